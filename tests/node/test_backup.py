"""`hilum backup` of a node at work, `hilum restore` elsewhere: nothing that was acknowledged before the backup is missing, each study has
one set of results, and a damaged or misplaced backup is refused before anything is touched."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.lab.node import Node, hilum
from tests.lab.program import wait_until
from tests.node.test_whole_way import _block, _done, _send, _settings

pytestmark = [pytest.mark.slow]
_PATIENCE_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """A node that was stopped when its one study was done, for tests that change nothing of it; its study's files lie in `folder`/in."""

    folder: Path
    settings: dict[str, Any]
    node: Node

    def elsewhere(self, folder: Path) -> Node:
        """The same configuration for another place."""
        return _elsewhere(self.settings, folder, self.folder)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    """One for all."""
    folder = tmp_path_factory.mktemp("analysed")
    settings = _settings(folder)
    with Node(settings, folder) as node:
        _send(node, _block(folder / "in"))
        _done(node)
    return Analysed(folder=folder, settings=settings, node=node)


def _backup(node: Node, target: Path, *more: str) -> dict[str, Any]:
    said = node.hilum("backup", "--to", target, "--json", *more)
    assert said.code == 0, said.out + said.err
    told: dict[str, Any] = said.json
    return told


def _elsewhere(settings: dict[str, Any], folder: Path, old: Path) -> Node:
    """The same configuration for another place; its sink is the same archive."""
    folder.mkdir()
    moved = json.loads(
        json.dumps(settings).replace(str(old / "hilum.db"), str(folder / "hilum.db")).replace(str(old / "blobs"), str(folder / "blobs"))
    )
    node = Node(moved, folder)
    assert not (folder / "blobs").exists()
    return node


def _received(database: Path) -> set[str]:
    with sqlite3.connect(database) as connection:
        return {row[0] for row in connection.execute("SELECT sop_instance_uid FROM instance WHERE standing = 'current'")}


def test_a_node_under_load_is_backed_up_killed_and_restored(tmp_path: Path) -> None:
    """While studies come and are analysed, backups are taken; the node is killed and restored elsewhere from the last: every instance that
    was acknowledged before it began is there, each study has one set of results, and what was done is not done again."""
    settings = _settings(tmp_path)
    # no pause of a sender under load ends an arrival
    settings["peers"]["scanner"]["settle"]["quiet"] = "5s"  # type: ignore[index]
    target = tmp_path / "backups"
    with Node(settings, tmp_path) as node:
        sent = [_block(tmp_path / f"in{number}", slices=12 + number, patient=f"P{number}") for number in range(6)]
        _send(node, sent[0])
        _done(node)
        results_before = sorted(path.name for path in (tmp_path / "results").rglob("*.dcm"))
        acknowledged: list[int] = []

        def send() -> None:
            for number, files in enumerate(sent[1:], 1):
                if hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER").code == 0:
                    acknowledged.append(number)

        sending = threading.Thread(target=send)
        sending.start()
        wait_until(lambda: len(acknowledged) >= 2, _PATIENCE_S, "two studies were acknowledged")
        first = _backup(node, target, "--check")
        wait_until(lambda: len(acknowledged) >= 4, _PATIENCE_S, "four studies were acknowledged")
        before = [0, *acknowledged]
        # a study that only the dead node routed is another job after the restore, whose results an archive that has the first ones refuses
        wait_until(lambda: len(node.jobs()) >= len(before), _PATIENCE_S, "they are routed")
        last = _backup(node, target)
        node.kill()
        sending.join()

        other = _elsewhere(settings, tmp_path / "elsewhere", tmp_path)
        assert Path(last["folder"]).parent == target
        assert last["linked"] > 0
        assert first["folder"] < last["folder"]
        shutil.rmtree(tmp_path / "blobs")
        (tmp_path / "hilum.db").unlink()
        told = other.hilum("restore", last["folder"], "--json")
        assert told.code == 0, told.out + told.err
        expected = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for number in before for path in sent[number]}
        with other:
            wait_until(lambda: expected <= _received(other.folder / "hilum.db"), _PATIENCE_S, "what was acknowledged is there")
            more = _block(tmp_path / "more", slices=30, patient="MORE")
            _send(other, more)
            # what came only in part is a study too, but may have too few slices to be analysed
            sets = (*(sent[number] for number in before), more)
            whole = {str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID) for files in sets}

            def done() -> bool:
                """Each has one job, which is done, or which the archive had all of when the journal did not know (HLM-3083)."""
                ended = [job["study_uid"] for job in other.jobs() if job["state"] == "done" or job["code"] == "HLM-3083"]
                return sorted(one for one in ended if one in whole) == sorted(whole)

            wait_until(done, _PATIENCE_S, "all is done, and it goes on")
            counts: dict[str, int] = {}
            for path in (tmp_path / "results").rglob("*.dcm"):
                study = str(dcmread(path, stop_before_pixels=True).StudyInstanceUID)
                counts[study] = counts.get(study, 0) + 1
            assert {study: counts.get(study) for study in whole} == dict.fromkeys(whole, 3)
        assert results_before == sorted(path.name for path in (tmp_path / "results").rglob("*.dcm") if path.name in results_before)


def test_a_backup_is_refused_where_it_does_harm(analysed: Analysed, tmp_path: Path) -> None:
    """A place that holds something, a byte that changed, a file that is gone, a folder that is no backup: each is told, nothing touched."""
    taken = Path(_backup(analysed.node, tmp_path / "backups")["folder"])
    onto = analysed.node.hilum("restore", taken)
    assert (onto.code, "HLM-2098" in onto.err) == (1, True), onto.err
    other = analysed.elsewhere(tmp_path / "elsewhere")
    kept = min((taken / "blobs" / "instances").rglob("*.dcm"))
    content = kept.read_bytes()
    kept.unlink()  # it may share its bytes with the store
    gone = other.hilum("restore", taken)
    assert (gone.code, "HLM-7057" in gone.err) == (1, True), gone.err
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    changed = hilum("restore", taken, "--check")
    assert (changed.code, "other bytes" in changed.err) == (1, True), changed.err
    assert "HLM-7057" in hilum("restore", analysed.folder / "in", "--check").err
    assert not (other.folder / "hilum.db").exists()
    assert [path for path in (other.folder / "blobs").rglob("*") if path.is_file()] == []
    kept.write_bytes(content)
    assert other.hilum("restore", taken).code == 0
    with other:
        assert [job["state"] for job in other.jobs()] == ["done"]


def test_a_restore_that_was_killed_is_finished_by_another(analysed: Analysed, tmp_path: Path) -> None:
    """Half of the files are there and no journal: the same call goes on; one of another backup is refused."""
    first = Path(_backup(analysed.node, tmp_path / "backups")["folder"])
    second = Path(_backup(analysed.node, tmp_path / "backups")["folder"])
    other = analysed.elsewhere(tmp_path / "elsewhere")
    store = other.folder / "blobs"
    shutil.copytree(second / "blobs" / "instances", store / "instances")
    (store / "restoring").write_text(str(second.resolve()))
    assert "HLM-2098" in other.hilum("restore", first).err
    assert other.hilum("restore", second).code == 0
    assert not (store / "restoring").exists()
    assert [job["state"] for job in other.jobs()] == ["done"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from node.assembly.backups import restore as bring_back
from node.assembly.configuration import load
from node.backup import restore

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(restore, sys.argv[3], killed)
bring_back(load(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_nothing_works_on_a_half_restore_whichever_step_it_was_killed_before(analysed: Analysed, tmp_path: Path) -> None:
    """Before models come, before the journal, before it is tidied, before the mark goes: the node refuses to start and commands to read,
    each with the way out; the same call goes on every time, and the last one is finished."""
    taken = Path(_backup(analysed.node, tmp_path / "backups")["folder"])
    other = analysed.elsewhere(tmp_path / "elsewhere")
    for step in ("_bring_models", "restore_journal", "_tidy", "end_restore"):
        done = subprocess.run([sys.executable, "-c", _KILLED, other.config, taken, step], capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        for command in (("serve",), ("serve", "--stages", "receive"), ("studies", "list"), ("backup", "--to", tmp_path / "of the half")):
            refused = other.hilum(*command)
            assert (refused.code, "HLM-2093" in refused.err, str(taken.resolve()) in refused.err) == (1, True, True), refused.err
    assert other.hilum("restore", taken).code == 0
    assert not (other.folder / "blobs" / "restoring").exists()
    with other:
        assert [job["state"] for job in other.jobs()] == ["done"]
