"""`hilum patients erase` on a running node: afterwards no byte under its store names the patient, and everybody else's is untouched."""

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.lab import audit
from tests.lab.node import Node, hilum
from tests.lab.program import wait_until
from tests.node.test_whole_way import _block, _done, _send, _settings

pytestmark = [pytest.mark.slow]
_PATIENCE_S = 90
_STORE = ("hilum.db", "hilum.db-wal", "blobs", "blobs.run")


def _files(folder: Path) -> Iterator[Path]:
    """Every file of the node's store, its journal and its log; not what was sent in, nor what a sink holds."""
    for name in (*_STORE, "events.jsonl"):
        path = folder / name
        yield from [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]


def _telling(folder: Path, traces: set[bytes]) -> dict[str, set[bytes]]:
    """The files in which one of these stands, as bytes."""
    found: dict[str, set[bytes]] = {}
    for path in _files(folder):
        with contextlib.suppress(FileNotFoundError):  # what is gone meanwhile tells nothing
            content = path.read_bytes()
            found[str(path.relative_to(folder))] = {trace for trace in traces if trace in content}
    return {name: there for name, there in found.items() if there}


def _traces(files: list[Path]) -> set[bytes]:
    """What tells of a patient: the identifiers and names that stand in the files that were sent."""
    words: set[bytes] = set()
    for path in files:
        dataset = dcmread(path, stop_before_pixels=True)
        keywords = ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        words |= {str(dataset[one].value).encode() for one in keywords if one in dataset}
    return words


def _copies(folder: Path, patient: str, *, slices: int = 12) -> list[Path]:
    """A block whose headers name the patient; another number of slices is another study."""
    files = _block(folder, patient=patient, slices=slices)
    for path in files:
        dataset = dcmread(path)
        dataset.PatientName = f"{patient}^TELLTALE"
        dataset.save_as(path)
    return files


def test_no_byte_is_left_of_an_erased_patient(tmp_path: Path) -> None:
    """Identifiers, names and UIDs stood in the store and do not any more; the other patient's study, results and history are as before;
    a second try of the sender is dropped and told; and what is sent under another study is taken as new."""
    settings = _settings(tmp_path)
    settings["audit"] = {"folder": str(tmp_path / "audit")}
    with Node(settings, tmp_path) as node:
        gone, stays = _copies(tmp_path / "a", "GONE-PATIENT-7"), _copies(tmp_path / "b", "OTHER-PATIENT-8")
        _send(node, gone)
        _send(node, stays)
        _done(node, 2)
        traces = _traces(gone)
        results = {path.name for path in (tmp_path / "results").rglob("*.dcm")}
        assert traces <= set().union(*_telling(tmp_path, traces).values())
        before = _telling(tmp_path, _traces(stays))

        planned = node.hilum("patients", "erase", "--id", "GONE-PATIENT-7", "--dry-run", "--json").json
        assert (planned["instances"], planned["jobs"], planned["delivered_to"]) == (12, 1, ["results"])
        assert traces <= set().union(*_telling(tmp_path, traces).values())
        refused = node.hilum("patients", "erase", "--id", "GONE-PATIENT-7")
        assert refused.code == 1
        assert "nothing was erased" in refused.err

        done = node.hilum("patients", "erase", "--id", "GONE-PATIENT-7", "--yes")
        assert done.code == 0, done.out + done.err
        assert "erased: 12 instances, 1 job" in done.out
        assert "results" in done.out
        assert _telling(tmp_path, traces) == {}
        assert {name: there for name, there in _telling(tmp_path, _traces(stays)).items() if name.startswith("blobs")} == {
            name: there for name, there in before.items() if name.startswith("blobs")
        }
        assert [job["state"] for job in node.jobs()] == ["done"]

        _send(node, gone)

        def dropped() -> list[dict[str, Any]]:
            return [one for one in node.events() if one["event"] == "erased.came_again"]

        wait_until(lambda: sum(one["instances"] for one in dropped()) == 12, _PATIENCE_S, "the second try is dropped")
        assert _telling(tmp_path, traces) == {}
        assert len(node.studies()) == 1
        _send(node, _copies(tmp_path / "c", "GONE-PATIENT-7", slices=13))
        _done(node, 2)
        assert {path.name for path in (tmp_path / "results").rglob("*.dcm")} > results
        wait_until(lambda: len(audit.of(audit.trail(tmp_path / "audit"), "Export")) == 3, _PATIENCE_S, "the trail has caught up")
        (deleted,) = audit.of(audit.trail(tmp_path / "audit"), "DICOM Study Deleted")
    assert audit.patients(deleted) == ["GONE-PATIENT-7"]
    assert len(audit.studies(deleted)) == 1


def test_erasing_in_the_middle_of_everything(tmp_path: Path) -> None:
    """While the study comes, is analysed and delivered: the node goes on, and nothing of the patient is left when it is quiet."""
    with Node(_settings(tmp_path), tmp_path) as node:
        gone = _copies(tmp_path / "a", "GONE-PATIENT-7")
        traces = _traces(gone)
        _send(node, gone)
        for _ in range(3):
            done = node.hilum("patients", "erase", "--id", "GONE-PATIENT-7", "--yes", "--json")
            told = done.json
            assert (told["clean"], told["under_way"]) == (True, 0), done.out + done.err
            # 1: nothing was held at this moment
            assert done.code == (0 if told["instances"] or told["entries"] or any(told["erased"].values()) else 1), done.out + done.err
            _send(node, gone)
        _send(node, _copies(tmp_path / "b", "OTHER-PATIENT-8"))
        wait_until(lambda: [job["state"] for job in node.jobs()] == ["done"], _PATIENCE_S, "the other patient's job is done")
        assert _telling(tmp_path, traces) == {}
        assert not [one for one in node.events() if one["event"].endswith(".defect") or one["event"] == "process.died"]


def test_killed_in_the_middle_the_same_call_finishes(tmp_path: Path) -> None:
    """The rows are gone and the bytes are not, as after a SIGKILL between the two: the second call finds nobody and cleans up."""
    with Node(_settings(tmp_path), tmp_path) as node:
        gone = _copies(tmp_path / "a", "GONE-PATIENT-7")
        _send(node, gone)
        _done(node)
    traces = _traces(gone)
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "blobs", kept)
    assert node.hilum("patients", "erase", "--id", "GONE-PATIENT-7", "--yes").code == 0
    # put the bytes back, and the tombstones that a call killed here would have left
    for path in [one for one in kept.rglob("*") if one.is_file()]:
        target = tmp_path / "blobs" / path.relative_to(kept)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    names = [
        path.relative_to(kept).as_posix()
        for path in kept.rglob("*")
        if path.is_file() and re.match(r"(instances|results|findings)/", path.relative_to(kept).as_posix())
    ]
    with sqlite3.connect(tmp_path / "hilum.db") as connection:
        connection.executemany("INSERT INTO tombstone (blob, at) VALUES (?, 0)", [(name,) for name in names])
    assert _telling(tmp_path, traces) != {}
    again = hilum("patients", "erase", "--id", "GONE-PATIENT-7", "--yes", "--config", node.config)
    assert again.code == 0, again.out + again.err
    assert "erased: 0 instances, 0 jobs" in again.out
    assert _telling(tmp_path, traces) == {}
