"""What `durability: association` does about a disk that refuses to flush what was acknowledged."""

import errno
import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.blobs import files
from node.domain.errors import RefusedError
from node.spool import deferred_flush
from node.spool.entries import acknowledged
from tests.contract.test_blobs import keep, reception
from tests.contract.test_durability import later
from tests.lab.program import wait_until
from tests.lab.spool import half_written


def _raise(number: int) -> None:
    raise OSError(number, os.strerror(number))


def test_nothing_more_is_acknowledged_while_a_flush_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An association that stands is refused, too, as long as what was acknowledged before is not on the disk; then it is served again."""
    inbox = later(tmp_path)
    flush = os.fdatasync
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda _: _raise(errno.EIO))
        keep(inbox, b"first", association="a1")
        assert not inbox.ended("a1")
        assert inbox.ended("a2"), "another association lost nothing"
        with pytest.raises(RefusedError):
            inbox.begin(reception())
    assert os.fdatasync is flush
    wait_until(lambda: len(inbox.waiting(10)) == 1, 60, "it is written again")
    wait_until(lambda: inbox.crowded() is None, 60, "associations are admitted")
    keep(inbox, b"second", association="a1")
    assert inbox.ended("a1")
    assert [entry.read_bytes()[-5:] for entry in inbox.waiting(10)] == [b"first", b"econd"]


def test_names_that_are_not_flushed_are_flushed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's flush fails once, and no instance follows that would bring another one: it is asked for again."""
    inbox = later(tmp_path)
    flushed = threading.Event()
    failures = [OSError(errno.EIO, "I/O error")]

    def flush_folder(folder: Path) -> None:
        if failures:
            raise failures.pop()
        files.flush_folder(folder)
        flushed.set()

    monkeypatch.setattr(deferred_flush, "flush_folder", flush_folder)
    keep(inbox, association="a1")
    assert not inbox.ended("a1")
    assert flushed.wait(60)
    wait_until(lambda: inbox.ended("a1"), 60, "the names are on the disk")
    assert len(inbox.waiting(10)) == 1


def test_what_the_kernel_dropped_after_a_failed_flush_is_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page that could not be written is read as zeros when the bytes are to be written again: that instance is torn, and said to be."""
    inbox = later(tmp_path)
    with capture_logs() as events:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", lambda _: _raise(errno.EIO))
            keep(inbox, b"\1" * 20_000, association="a1")
            inbox.ended("a1")
            (path,) = acknowledged(tmp_path / "coming")
            with path.open("r+b") as file:
                file.seek(8192)
                file.write(b"\0" * 4096)
        wait_until(lambda: any(one["event"] == "inbox.torn" for one in events), 60, "it is told")
        wait_until(lambda: not inbox._receiver.deferred.behind(), 60, "nothing waits")
    assert not inbox.ended("a1"), "an association that still stands is not released as if all were well"
    assert inbox.ended("a2")
    assert inbox.waiting(10) == []
    assert half_written(tmp_path) == []


@pytest.mark.slow
def test_who_waits_to_owe_is_served_by_another_thread_when_one_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As much waits as may when the thread that flushes ends by a defect: another one flushes."""
    inbox = later(tmp_path)
    flushing, dies = threading.Event(), threading.Event()
    failures = [ZeroDivisionError()]

    def flush_folder(folder: Path) -> None:
        if failures:
            flushing.set()
            dies.wait(60)
            raise failures.pop()
        files.flush_folder(folder)

    monkeypatch.setattr(deferred_flush, "MOST_WAITING", 1)
    monkeypatch.setattr(deferred_flush, "flush_folder", flush_folder)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    keep(inbox, b"first", association="a1")
    assert flushing.wait(60)
    keep(inbox, b"second", association="a1")
    third = threading.Thread(target=keep, args=(inbox, b"third"), kwargs={"association": "a1"}, daemon=True)
    third.start()
    wait_until(lambda: inbox._receiver.deferred._change._waiters, 60, "it waits")  # type: ignore[attr-defined]
    dies.set()
    third.join(60)
    assert not third.is_alive()
    wait_until(lambda: len(inbox.waiting(10)) == 3, 60, "all are entries")
