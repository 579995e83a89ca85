"""A node that encrypts what lies on its disk: whoever has the disk reads nothing of a patient, whoever has the key loses nothing."""

import contextlib
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from inference.imaging.write_series import write_series
from node.assembly.configuration import load
from node.settings.store import Durability
from node.store.encryption import memory_folder
from tests.lab.dcmtk import dcmsend
from tests.lab.node import Node, hilum
from tests.lab.program import wait_until
from tests.node.test_whole_way import _results, _settings, _volume_cm3

pytestmark = [pytest.mark.slow]

_PATIENCE_S = 120
_NAME = b"TELLTALE^ERIKA"
_PIXELS = np.array([-991, 1234, -877, 1357, -765, 1487, -653, 1523], np.int16)
"""In the first row of every slice: sixteen bytes that stand nowhere else."""
_TELLING = {"the patient's name": _NAME, "a DICOM file": b"DICM", "pixels": _PIXELS.tobytes()}
_MAGIC = b"\x8ahilum\r\n"


def _key(folder: Path, name: str = "at-rest.key") -> Path:
    path = folder / name
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return path


def _sealed(folder: Path, *keys: Path, durability: Durability = Durability.EACH) -> dict[str, Any]:
    """A node's settings, everything that it keeps below `state`; without keys nothing is encrypted."""
    settings: dict[str, Any] = _settings(folder)
    settings["store"] = {
        "journal": f"sqlite:{folder / 'hilum.db'}",
        "blobs": f"file:{folder / 'state' / 'blobs'}",
        "min_free": "100MB",
        "high_water": 1,
        "durability": durability.value,
    }
    if keys:
        settings["store"]["encryption"] = {"key_file": [str(key) for key in keys], "memory": "64MiB"}
    return settings


def _series(folder: Path, patient: str) -> list[Path]:
    """A CT of air with a block of 10 × 20 × 12 voxels of 60 HU, and what betrays it."""
    voxels = np.full((12, 64, 64), -1000, np.int16)
    voxels[:, 20:30, 10:30] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    files = write_series(voxels, affine, folder, modality="CT", patient_id=patient)
    for file in files:
        dataset = dcmread(file)
        dataset.PatientName = _NAME.decode()
        stored = np.array(dataset.pixel_array)
        stored[0, :8] = _PIXELS
        dataset.PixelData = stored.tobytes()
        dataset.save_as(file)
    assert set(_found(folder)) == set(_TELLING), "what is looked for can be found"
    return files


def _found(folder: Path) -> set[str]:
    """What the files below `folder` betray."""
    found = set()
    # a folder that goes meanwhile ends pathlib's walk, and would end the watch with it
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    content = path.read_bytes()
                    found |= {what for what, telling in _TELLING.items() if telling in content}
    return found


@contextlib.contextmanager
def _watched(folder: Path) -> Iterator[set[str]]:
    """What the files below `folder` betray at any moment of the block."""
    found: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            found.update(_found(folder))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield found
    finally:
        over.set()
        watching.join()
        found |= _found(folder)


def _send(node: Node, files: list[Path]) -> None:
    if Path("/usr/bin/dcmsend").exists():
        said = dcmsend(node.port, files[0].parent, calling="SCANNER")
        assert said.code == 0, said.text
        return
    sent = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert sent.code == 0, sent.out + sent.err


def _done(node: Node, count: int) -> None:
    node.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == ["done"] * count, _PATIENCE_S, f"{count} jobs are done")


def _memory(node: Node) -> Path:
    store = load(node.config).store
    assert store.encryption is not None
    return memory_folder(store, store.encryption)


def _of_sinks(folder: Path) -> None:
    """The results of one study are right."""
    results = _results(folder)
    assert set(results) == {"SEG", "SR", "OT"}
    # the block, and the four voxels a slice that betray the series
    assert _volume_cm3(results["SR"]) == pytest.approx((10 * 20 + 4) * 12 * 2 / 1000)


def _blobs(folder: Path) -> list[Path]:
    kinds = [folder / "state" / "blobs" / kind for kind in ("instances", "findings", "results")]
    found = [path for kind in kinds for path in kind.rglob("*") if path.is_file()]
    assert {path.relative_to(folder / "state" / "blobs").parts[0] for path in found} == {"instances", "findings", "results"}
    return found


@pytest.mark.parametrize("durability", Durability)
def test_nothing_readable_is_ever_on_the_disk_and_the_results_are_right(tmp_path: Path, durability: Durability) -> None:
    """From the first byte to the delivered result, looked at all the time: every file of instances, findings and results is encrypted. The
    journal is not, as the documentation says. What was decrypted in memory is gone with the node."""
    with Node(_sealed(tmp_path, _key(tmp_path), durability=durability), tmp_path) as node, _watched(tmp_path / "state") as betrayed:
        _send(node, _series(tmp_path / "in", "P1"))
        _done(node, 1)
        memory = _memory(node)
        assert memory.exists()
        doctor = {one["subject"]: one["level"] for one in node.doctor()["findings"]}
        assert doctor["encryption"] == "good"
    assert not betrayed
    assert all(path.read_bytes().startswith(_MAGIC) for path in _blobs(tmp_path))
    assert _NAME in (tmp_path / "hilum.db").read_bytes()
    assert not memory.exists()
    _of_sinks(tmp_path)


@pytest.mark.parametrize("durability", Durability)
def test_what_was_acknowledged_before_a_crash_is_analysed_after_it(tmp_path: Path, durability: Durability) -> None:
    """Killed between the answer and the index, the node finds every instance again, encrypted, and the study comes back whole."""
    settings = _sealed(tmp_path, _key(tmp_path), durability=durability)
    state = tmp_path / "state"
    run = state / "blobs.run"
    run.mkdir(parents=True)
    node = Node(settings, tmp_path)
    with (run / "spool.lock").open("w") as index:
        fcntl.flock(index, fcntl.LOCK_EX)  # as a process does that empties this spool already
        node.start()
        _send(node, _series(tmp_path / "in", "P1"))
        node.kill()
    waiting = [*(state / "blobs" / "inbox").glob("*.dcm"), *(state / "blobs" / "coming").glob("*.told")]
    assert len(waiting) == 12
    assert not _found(state)
    with node:
        _done(node, 1)
        assert not _found(state)
    _of_sinks(tmp_path)


def test_keys_change_and_a_node_without_them_does_not_start(tmp_path: Path) -> None:
    """Files from before are read, whichever key wrote them and where none did; the first key writes. Without a key that is needed nobody is
    admitted; one that nothing needs any more may go."""
    old, new = _key(tmp_path, "old.key"), _key(tmp_path, "new.key")
    with Node(_sealed(tmp_path), tmp_path / "plain") as node:
        _send(node, _series(tmp_path / "in1", "P1"))
        _done(node, 1)
    plain = set(_blobs(tmp_path))
    assert _found(tmp_path / "state")
    with Node(_sealed(tmp_path, old), tmp_path / "old") as node:
        _send(node, _series(tmp_path / "in2", "P2"))
        _done(node, 2)
        doctor = {one["subject"]: one for one in node.doctor()["findings"]}
        assert "were written before" in doctor["encryption"]["fix"]
    by_old = set(_blobs(tmp_path)) - plain
    assert all(path.read_bytes().startswith(_MAGIC) for path in by_old)
    with Node(_sealed(tmp_path, new, old), tmp_path / "both") as node:
        jobs = [job["id"] for job in node.jobs()]
        for path in (tmp_path / "results").rglob("*.dcm"):
            path.unlink()
        for job in jobs:  # frozen objects, one set in the clear and one under the old key
            assert node.hilum("jobs", "resend", job).code == 0
        wait_until(lambda: len(list((tmp_path / "results").rglob("*.dcm"))) == 6, _PATIENCE_S, "both sets are sent again")
        _send(node, _series(tmp_path / "in3", "P3"))
        _done(node, 3)
    ids = {path.read_bytes()[12:20] for path in set(_blobs(tmp_path)) - plain}
    assert len(ids) == 2
    for wrong in ((), (new,), (_key(tmp_path, "other.key"),)):
        node = Node(_sealed(tmp_path, *wrong), tmp_path / "wrong")
        said = node.hilum("serve")
        assert (said.code, "HLM-2074" in said.err, "node.ready" in said.out) == (1, True, False), said.err
        assert "HLM-2074" in node.hilum("doctor").out.replace("\n", "")
    for path in by_old:
        path.unlink()
    with Node(_sealed(tmp_path, new), tmp_path / "new") as node:
        _send(node, _series(tmp_path / "in4", "P4"))
        wait_until(lambda: sum(job["state"] == "done" for job in node.jobs()) == 4, _PATIENCE_S, "it goes on without the old key")


def _killed_before_the_index(folder: Path) -> Node:
    """A node that took a series in, encrypted, and died with all of it in its spool: another held the index's lock."""
    settings, run = _sealed(folder, _key(folder)), folder / "state" / "blobs.run"
    run.mkdir(parents=True)
    node = Node(settings, folder)
    with (run / "spool.lock").open("w") as index:
        fcntl.flock(index, fcntl.LOCK_EX)
        node.start()
        _send(node, _series(folder / "in", "P1"))
        node.kill()
    return node


def test_a_damaged_instance_is_set_aside_and_one_that_is_stored_parks_its_job(tmp_path: Path) -> None:
    """Its series is short now and waits; neither holds up what comes after it, and a person can look at what lies aside."""
    node, blobs = _killed_before_the_index(tmp_path), tmp_path / "state" / "blobs"
    torn, *_ = sorted((blobs / "inbox").glob("*.dcm"))
    content = torn.read_bytes()
    torn.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with node:
        wait_until(lambda: (blobs / "aside" / torn.name).exists(), _PATIENCE_S, "it is set aside")
        assert "HLM-3090" in (blobs / "aside" / torn.name).with_suffix(".txt").read_text()
        wait_until(lambda: "incomplete" in [one["state"] for one in node.studies()], _PATIENCE_S, "the others wait for it")
        (study,) = (one for one in node.studies() if one["study_uid"])
        assert [(one["why"], one["came"], one["expected"]) for one in study["incomplete"]] == [("gap", 11, 12)]
        assert node.hilum("studies", "complete", study["study_uid"]).code == 0
        wait_until(lambda: node.jobs(), _PATIENCE_S, "the others go on")
        _send(node, _series(tmp_path / "after", "P2"))
        wait_until(lambda: any(job["state"] == "done" for job in node.jobs()), _PATIENCE_S, "what came later is analysed")
    (blobs / "aside" / torn.name).write_bytes(content)
    told = node.hilum("unseal", blobs / "aside", "--to", tmp_path / "look")
    assert told.code == 0, told.out + told.err
    assert dcmread(tmp_path / "look" / torn.name).PatientName == _NAME.decode()


def test_a_backup_holds_what_is_encrypted_and_not_the_key(tmp_path: Path) -> None:
    """It is restored where the key is, and refused, with nothing touched, where it is not."""
    key = _key(tmp_path)
    with Node(_sealed(tmp_path, key), tmp_path) as node:
        _send(node, _series(tmp_path / "in", "P1"))
        _done(node, 1)
        taken = node.hilum("backup", "--to", tmp_path / "backups", "--check", "--json").json
    kept = Path(taken["folder"])
    assert len(taken["sealed"]) == 1
    assert not _found(kept / "blobs")
    assert all(key.read_bytes() not in path.read_bytes() for path in kept.rglob("*") if path.is_file())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for wrong in ((), (_key(elsewhere, "other.key"),)):
        refused = Node(_sealed(elsewhere, *wrong), elsewhere).hilum("restore", kept)
        assert (refused.code, "HLM-2074" in refused.err) == (1, True), refused.err
        assert not (elsewhere / "state").exists()
    shutil.copy(key, elsewhere / "copied.key")
    other = Node(_sealed(elsewhere, elsewhere / "copied.key"), elsewhere)
    assert other.hilum("restore", kept).code == 0
    assert not _found(elsewhere / "state")
    with other:
        assert other.hilum("jobs", "resend", other.jobs()[0]["id"]).code == 0
        wait_until(lambda: len(list((elsewhere / "results").rglob("*.dcm"))) == 3, _PATIENCE_S, "the results are sent again")
    assert "HLM-2074" in Node(_sealed(elsewhere), elsewhere).hilum("serve").err
    _of_sinks(elsewhere)


def test_a_patient_is_erased_where_files_are_encrypted(tmp_path: Path) -> None:
    """What waits in the spool is found by its header, which nobody could read without the key."""
    node = _killed_before_the_index(tmp_path)
    erased = node.hilum("patients", "erase", "--id", "P1", "--yes")
    assert erased.code == 0, erased.out + erased.err
    assert not list((tmp_path / "state" / "blobs" / "inbox").glob("*.dcm"))


def test_a_key_is_read_by_each_process_for_itself(tmp_path: Path) -> None:
    """It stands in no command line, no environment and no event of any of them; one that others may read is refused."""
    key = _key(tmp_path)
    secret = key.read_bytes()
    with Node(_sealed(tmp_path, key), tmp_path) as node:
        events = json.dumps(node.events())
        for process in _family(node.pid):
            for about in ("environ", "cmdline"):
                assert secret not in (process / about).read_bytes()
                assert secret.hex().encode() not in (process / about).read_bytes().lower()
        assert secret.hex() not in events
    key.chmod(0o644)
    said = Node(_sealed(tmp_path, key), tmp_path).hilum("serve")
    assert (said.code, "HLM-2073" in said.err) == (1, True), said.err


def _family(pid: int) -> list[Path]:
    children = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()
    assert len(children) >= 3
    return [Path("/proc") / one for one in (str(pid), *children)]
