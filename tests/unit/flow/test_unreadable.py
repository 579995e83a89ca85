"""An entry of the inbox whose bytes the disk does not give: everything else goes on, and what was acknowledged stays."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.dicom import part10 as files
from node.dicom.elements import Buffer
from node.flow import index
from node.flow.index import IndexStage
from tests.unit.flow.files import slice_of
from tests.unit.flow.test_index import Receiver


def _stage(receiver: Receiver) -> IndexStage:
    return IndexStage(receiver.journal, receiver.inbox, receiver.blobs, receiver.config, lambda: receiver.now)


def _refused_by_the_disk(receiver: Receiver) -> Path:
    """An entry that opens and cannot be read, by nobody: a folder (EACCES is nothing to root)."""
    entry = receiver.config.store.blobs / "inbox" / "00000000000000000001-1-1-000000000.dcm"
    entry.mkdir()
    return entry


def test_one_entry_that_cannot_be_read_holds_up_nothing(tmp_path: Path) -> None:
    """It is the oldest; the one behind it is journaled at once, and operators are told once, with a code."""
    receiver = Receiver(tmp_path)
    bad = _refused_by_the_disk(receiver)
    receiver.send(slice_of(1))
    stage = _stage(receiver)
    with capture_logs() as told:
        assert stage.step() == 1
        assert stage.step() == 0
    assert len(receiver.rows(1)) == 1
    assert os.path.lexists(bad)
    assert [(one["entry"], one["code"]) for one in told if one["event"] == "index.unreadable"] == [(bad.name, "HLM-3086")]


def test_it_is_set_aside_when_a_minute_did_not_help(tmp_path: Path) -> None:
    """Until then others wait for it as for any entry; then it lies aside with its reason, the journal knows, and nobody waits."""
    receiver = Receiver(tmp_path)
    bad = _refused_by_the_disk(receiver)
    stage = _stage(receiver)
    for _ in range(20):
        stage.step()
        if not os.path.lexists(bad):
            break
        assert receiver.inbox.oldest() == bad
        receiver.now += timedelta(seconds=10)
    kept = receiver.config.store.blobs / "aside" / bad.name
    assert os.path.lexists(kept)
    assert "HLM-3086" in kept.with_suffix(".txt").read_text()
    assert [(one.entry, one.code) for one in receiver.journal.instances.asides()] == [(bad.name, "HLM-3086")]
    assert receiver.inbox.oldest() is None


def test_one_that_can_be_read_again_is_journaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that comes back within the minute has lost nothing to the side."""
    receiver = Receiver(tmp_path)
    receiver.send(slice_of(1))
    stage = _stage(receiver)
    opens = os.open

    def refuse(path: str | Path, *how: int) -> int:
        if str(path).endswith(".dcm"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opens(path, *how)

    with monkeypatch.context() as failing:
        failing.setattr(os, "open", refuse)
        assert stage.step() == 0
    receiver.now += timedelta(seconds=10)
    assert stage.step() == 1
    assert len(receiver.rows(1)) == 1
    assert receiver.journal.instances.asides() == []


def test_what_is_the_machines_fault_is_no_entrys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files say nothing of the file: no entry goes aside for them, however long it takes."""
    receiver = Receiver(tmp_path)
    receiver.send(slice_of(1))
    stage = _stage(receiver)
    with monkeypatch.context() as failing:
        failing.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(errno.EMFILE, "too many open files")))
        for _ in range(10):
            with pytest.raises(OSError, match="too many"):
                stage.step()
            receiver.now += timedelta(seconds=60)
    assert stage.step() == 1


def test_a_page_that_the_disk_does_not_give_is_an_error_and_no_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a mapped file, such a page would end the process by SIGBUS, and the next one too; here the file is cut while it is mapped."""
    receiver = Receiver(tmp_path)
    receiver.send(slice_of(1))
    (entry,) = receiver.inbox.waiting(1)
    mapped = files.mapped

    @contextmanager
    def cut(path: Path) -> Iterator[tuple[Buffer, float]]:
        with mapped(path) as given:
            os.truncate(path, 0)
            yield given

    stage = _stage(receiver)
    with monkeypatch.context() as failing, capture_logs() as told:
        failing.setattr(index, "mapped", cut)
        assert stage.step() == 0
    assert [one["entry"] for one in told if one["event"] == "index.unreadable"] == [entry.name]


def test_many_of_them_leave_room_for_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one step takes: those behind them are reached all the same."""
    monkeypatch.setattr(index, "BATCH", 3)
    receiver = Receiver(tmp_path)
    for number in range(1, 6):
        entry = receiver.config.store.blobs / "inbox" / f"0000000000000000000{number}-1-1-000000000.dcm"
        entry.mkdir()
    receiver.send(slice_of(1))
    stage = _stage(receiver)
    for _ in range(3):
        stage.step()
    assert len(receiver.rows(1)) == 1


def test_a_blob_that_cannot_be_read_is_mended_by_a_copy_that_can(tmp_path: Path) -> None:
    """Other bytes come under a known UID, and the disk does not give the old ones: the new ones are used, the index goes on."""
    receiver = Receiver(tmp_path)
    receiver.send(slice_of(1))
    receiver.index()
    (row,) = receiver.rows(1)
    blob = receiver.blobs.path(row.blob)
    blob.unlink()
    blob.mkdir()  # opens, and cannot be read: EISDIR
    again = slice_of(1)
    again.PatientComments = "corrected"
    receiver.send(again)
    assert _stage(receiver).step() == 1
    assert [standing.value for standing in receiver.standings(1)] == ["replaced", "current"]
