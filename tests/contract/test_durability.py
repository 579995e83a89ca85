"""What is on disk when a sender is told 0x0000, and what a kill or a power loss leaves of it, with either `durability`."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from structlog.testing import capture_logs

from node.assembly import compose
from node.assembly.backups import back_up
from node.assembly.configuration import load
from node.blobs import files
from node.blobs.port import BlobsFailed
from node.domain.errors import RefusedError
from node.settings.store import Durability
from node.spool import deferred_flush
from node.spool import inbox as blobs_inbox
from node.spool.entries import acknowledged, name_without_token, received_ns
from node.spool.horizon import journaled_until
from node.spool.inbox import FolderInbox
from tests.contract.test_blobs import keep, reception
from tests.lab.program import wait_until
from tests.lab.spool import half_written

_HERE = Path(__file__).parents[2]


def later(folder: Path) -> FolderInbox:
    """An inbox that flushes at the end of an association, or within a second."""
    return FolderInbox(folder, min_free_bytes=0, durability=Durability.ASSOCIATION)


def _before_each_flush(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    """Of what was acknowledged: the threads that flush it do something before each."""
    flush = os.fdatasync

    def fdatasync(fd: int) -> None:
        if threading.current_thread().name.startswith("flush_"):
            does()
        flush(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)


def test_what_is_acknowledged_is_no_entry_until_it_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledged, told to the horizon as the oldest, and not waiting for the index; the end of the association flushes and names it."""
    flushing = threading.Event()
    flush = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (flushing.wait(60), flush(fd))[1])
    inbox = later(tmp_path)
    keep(inbox, association="a1")
    assert inbox.waiting(10) == []
    (told,) = acknowledged(tmp_path / "coming")
    assert inbox.oldest() == told
    flushing.set()
    inbox.ended("a1")
    (entry,) = inbox.waiting(10)
    assert entry.read_bytes().endswith(b"the bytes")
    assert inbox.oldest() == entry
    assert half_written(tmp_path) == []


def test_the_oldest_is_what_came_first_whether_it_is_owed_or_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for its flush has the token of its receiver before the time in its name: it is older than an entry that came after it."""
    before, after = (tmp_path / name for name in ("before.dcm", "after.dcm"))
    for file in (before, after):
        file.write_bytes(b"an instance")
    inbox = later(tmp_path / "spool")
    inbox.take_back(before)
    (first,) = inbox.waiting(10)
    flushing = threading.Event()
    _before_each_flush(monkeypatch, lambda: flushing.wait(60))
    keep(inbox, association="a1")
    inbox.take_back(after)
    (told,) = acknowledged(tmp_path / "spool" / "coming")
    assert inbox.oldest() == first
    inbox.drop(first)
    assert inbox.oldest() == told
    assert name_without_token(told.name) < inbox.waiting(1)[0].name
    assert received_ns(told.name) < received_ns(inbox.waiting(1)[0].name)
    flushing.set()
    inbox.close()


def test_the_end_of_an_association_hastens_nothing_that_comes_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a flush that has begun does not have the next association's first instance flushed alone."""
    _before_each_flush(monkeypatch, lambda: time.sleep(0.3))
    with monkeypatch.context() as patch:
        patch.setattr(blobs_inbox, "FLUSHED_AFTER_S", 3600.0)
        inbox = later(tmp_path)
    keep(inbox, association="a1")
    inbox.ended("a1")
    keep(inbox, association="a2")
    wait_until(lambda: len(acknowledged(tmp_path / "coming")) <= 1, 30, "the first is flushed")
    time.sleep(0.6)
    assert len(acknowledged(tmp_path / "coming")) == 1
    inbox.ended("a2")
    assert len(inbox.waiting(10)) == 2
    inbox.close()


@pytest.mark.parametrize("durability", list(Durability))
def test_a_file_that_is_expected_is_the_next_instance_s_or_nobody_s(tmp_path: Path, durability: Durability) -> None:
    """It is made once, taken by the next instance of that association alone, gone when the association ends without one, and swept like
    any half-written one when its receiver is killed."""
    inbox = FolderInbox(tmp_path, min_free_bytes=0, durability=durability)
    keep(inbox, association="a1")
    inbox.expect("a1")
    (expected,) = [name for name in half_written(tmp_path) if name.endswith(".part")]
    inbox.expect("a1")
    keep(inbox, b"another's", association="a2")
    assert [name for name in half_written(tmp_path) if name.endswith(".part")] == [expected]
    keep(inbox, b"the next", association="a1")
    inbox.expect("a1")
    for association in ("a1", "a2", "a1", "never seen"):
        assert inbox.ended(association)
    assert half_written(tmp_path) == []
    assert sorted(entry.read_bytes()[-8:] for entry in inbox.waiting(10)) == [b"he bytes", b"nother's", b"the next"]

    ends = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(_HERE)!r})
from node.spool.inbox import FolderInbox
inbox = FolderInbox(Path({str(tmp_path)!r}), min_free_bytes=0)
inbox.expect("a3")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", ends], check=False, timeout=60)
    assert len(half_written(tmp_path)) == 1
    FolderInbox(tmp_path, min_free_bytes=0)
    assert half_written(tmp_path) == []


def test_a_file_that_cannot_be_made_ahead_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk refuses the instance when it comes, not the association before it does."""
    inbox = FolderInbox(tmp_path, min_free_bytes=0)
    keep(inbox, association="a1")

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "open", full)
        inbox.expect("a1")
        with pytest.raises(RefusedError):
            keep(inbox, association="a1")
    keep(inbox, association="a1")
    assert len(inbox.waiting(10)) == 2
    assert half_written(tmp_path) == []


@pytest.mark.slow
def test_it_is_flushed_without_an_end(tmp_path: Path) -> None:
    """An association that stays open and says nothing: what it sent becomes entries by itself, and whoever empties the inbox is told."""
    kept = threading.Semaphore(0)
    inbox = FolderInbox(tmp_path, min_free_bytes=0, durability=Durability.ASSOCIATION, kept=kept.release)
    for number in range(1, 4):
        keep(inbox)
        assert kept.acquire(timeout=60)
        assert len(inbox.waiting(10)) == number


def _disk_time(folder: Path) -> float:
    """When a file is written now, as its file system says: in steps of some milliseconds."""
    (now := folder / "now").write_bytes(b"")
    return now.stat().st_mtime


def test_what_waits_behind_a_long_one_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The horizon of the index is when the oldest began to come: one that ended before it, and is not named yet, is behind the horizon."""
    flushing = threading.Event()
    flush = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (flushing.wait(60), flush(fd))[1])
    inbox = later(tmp_path)
    long = inbox.begin(reception(association="a1"))
    long.write(bytes(2**21))
    keep(inbox, b"short", association="a2")
    ended = acknowledged(tmp_path / "coming")[0].stat().st_mtime
    wait_until(lambda: _disk_time(tmp_path) > ended, 30, "the clock of the disk goes on")
    long.write(b"its end")
    long.keep()
    oldest = inbox.oldest()
    assert oldest is not None
    assert oldest.stat().st_mtime > ended
    until = journaled_until(mock.Mock(at=lambda stamp: datetime.fromtimestamp(stamp, UTC)), inbox, tmp_path)
    assert until is not None
    assert until.timestamp() < ended
    flushing.set()
    inbox.close()


def test_the_end_of_one_association_waits_for_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When `ended` returns its instances were flushed, their names too; nothing is named before its bytes are flushed."""
    calls: list[str] = []

    def traced(name: str, real: Callable[..., Any], *given: Any) -> Any:
        calls.append(_told(name, *given))
        return real(*given)

    for name in ("fdatasync", "rename", "fsync"):
        monkeypatch.setattr(os, name, partial(traced, name, getattr(os, name)))
    inbox = later(tmp_path)
    for number in range(3):
        keep(inbox, bytes([number]), association="a1")
    inbox.ended("a1")
    assert all(calls[:end].count("entry") <= calls[:end].count("fdatasync") for end in range(len(calls)))
    assert (calls.count("fdatasync"), calls.count("entry"), calls[-1]) == (3, 3, "fsync")
    assert [entry.read_bytes()[-1] for entry in inbox.waiting(10)] == [0, 1, 2]


def _told(call: str, *given: object) -> str:
    """What a call was for."""
    return "entry" if call == "rename" and str(given[-1]).endswith(".dcm") else call


_KILLED = """
import os, signal, sys, threading
from pathlib import Path
from tests.contract.test_blobs import keep, reception
from tests.contract.test_durability import later
os.fdatasync = lambda _: threading.Event().wait()
inbox = later(Path(sys.argv[1]))
for number in range(5):
    keep(inbox, bytes([number]) * 300_000)
half = inbox.begin(reception())
half.write(b"half of it")
os.kill(os.getpid(), signal.SIGKILL)
"""


def _killed(folder: Path) -> None:
    """A receiver that is killed with five instances acknowledged, none flushed, and one half-written."""
    done = subprocess.run([sys.executable, "-c", _KILLED, folder], capture_output=True, check=False, cwd=_HERE)
    assert done.returncode == -9, done.stderr
    assert len(acknowledged(folder / "coming")) == 5
    assert list((folder / "inbox").iterdir()) == []


def test_a_kill_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Whoever opens the spool next makes entries of what is whole, in their order, and sweeps the half one."""
    _killed(tmp_path)
    with capture_logs() as events:
        inbox = FolderInbox(tmp_path, min_free_bytes=0)
    assert [entry.read_bytes()[-300_000:] for entry in inbox.waiting(10)] == [bytes([number]) * 300_000 for number in range(5)]
    assert list((tmp_path / "coming").iterdir()) == []
    assert [(one["event"], one.get("instances"), one.get("half_written")) for one in events] == [
        ("inbox.taken_up", 5, None),
        ("inbox.swept", None, 1),
    ]


def test_a_backup_of_a_node_that_was_killed_has_it(tmp_path: Path) -> None:
    """Whoever makes a backup takes up first what was acknowledged and is not flushed."""
    (tmp_path / "hilum.yaml").write_text(
        'node: {ae_title: HILUM, listen: "127.0.0.1:0"}\n'
        'peers: {ct1: {ae_title: CT1, address: "127.0.0.1:0"}}\n'
        'store: {journal: "sqlite:hilum.db", blobs: "file:blobs"}\n'
        "sinks: {out: {kind: folder, path: out}}\n"
        "routes: [{name: lungs, when: {Modality: CT}, run: [ct-lung], send: [out]}]\n"
    )
    config = load(tmp_path / "hilum.yaml")
    compose.open_journal(config).close()
    _killed(config.store.blobs)
    taken = back_up(config, tmp_path / "backups")
    assert len(list((taken.folder / "spool" / "inbox").glob("*.dcm"))) == 5
    assert taken.left_out == []


@pytest.mark.slow
def test_a_power_loss_leaves_no_torn_instance(tmp_path: Path) -> None:
    """Cut off, empty, full length with a page of zeros, one bit turned: each is told by its name and deleted; the whole one stays."""
    _killed(tmp_path)
    paths = acknowledged(tmp_path / "coming")
    os.truncate(paths[0], 4096)
    os.truncate(paths[1], 0)
    with paths[2].open("r+b") as file:
        file.seek(8192)
        file.write(b"\0" * 4096)
    with paths[3].open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x02")
    with capture_logs() as events:
        inbox = FolderInbox(tmp_path, min_free_bytes=0)
    (entry,) = inbox.waiting(10)
    assert entry.read_bytes().endswith(bytes([4]) * 300_000)
    assert {one["event"]: one.get("instances") for one in events}["inbox.torn"] == 4
    assert list((tmp_path / "coming").iterdir()) == []


def test_one_that_the_disk_does_not_give_back_holds_up_no_other(tmp_path: Path) -> None:
    """The spool opens, the others become entries; that one lies aside as it was, is told with a code, and is nothing to wait for."""
    _killed(tmp_path)
    bad = acknowledged(tmp_path / "coming")[1]
    bad.unlink()
    bad.symlink_to(bad)  # it cannot be opened, by nobody: EACCES is nothing to root
    with capture_logs() as events:
        inbox = FolderInbox(tmp_path, min_free_bytes=0)
    assert [entry.read_bytes()[-1] for entry in inbox.waiting(10)] == [0, 2, 3, 4]
    assert [(one["entry"], one["code"], one["acknowledged"]) for one in events if one["event"] == "inbox.unreadable"] == [
        (bad.name, "HLM-7051", True)
    ]
    (kept,) = inbox.asides()
    assert kept == tmp_path / "aside" / bad.name
    assert list((tmp_path / "coming").iterdir()) == []


def test_a_flush_that_is_refused_sets_nothing_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are there: the spool is opened again later, and nothing was moved or deleted meanwhile."""
    _killed(tmp_path)
    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        with pytest.raises(BlobsFailed, match="cannot be flushed"):
            FolderInbox(tmp_path, min_free_bytes=0)
    assert len(acknowledged(tmp_path / "coming")) == 5
    assert len(FolderInbox(tmp_path, min_free_bytes=0).waiting(10)) == 5


def test_what_a_live_receiver_owes_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others open the spool while a flush is due: it stays the receiver's."""
    flushing = threading.Event()
    flush = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (flushing.wait(60), flush(fd))[1])
    inbox = later(tmp_path)
    keep(inbox, association="a1")
    other = FolderInbox(tmp_path, min_free_bytes=0)
    assert other.waiting(10) == []
    assert len(acknowledged(tmp_path / "coming")) == 1
    flushing.set()
    inbox.ended("a1")
    assert len(other.waiting(10)) == 1


@pytest.mark.parametrize("call", ["fdatasync", "rename"])
def test_a_disk_that_does_not_flush_loses_nothing_and_stops_associations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """What was acknowledged is written again once the disk works; until then it is no entry, and no association is admitted."""
    inbox = later(tmp_path)
    real = getattr(os, call)
    failing = threading.Event()
    failing.set()

    def fails(*given: object) -> object:
        if failing.is_set() and not str(given[0]).endswith(".part"):
            raise OSError(errno.EIO, "I/O error")
        return real(*given)

    monkeypatch.setattr(os, call, fails)
    if call == "fdatasync":
        monkeypatch.setattr(inbox._room, "_probe", lambda: None)
    keep(inbox, association="a1")
    inbox.ended("a1")
    assert inbox.waiting(10) == []
    assert call == "rename" or "I/O error" in (inbox.crowded() or "")
    failing.clear()
    wait_until(lambda: len(inbox.waiting(10)) == 1, 60, "it is written again")
    assert inbox.waiting(1)[0].read_bytes().endswith(b"the bytes")
    assert half_written(tmp_path) == []


def test_many_threads_owe_at_once(tmp_path: Path) -> None:
    """Nothing is lost between associations that end while others go on; a bound makes them wait, never drop."""
    inbox = later(tmp_path)

    def associate(association: str) -> None:
        for number in range(60):
            keep(inbox, f"{association}-{number:03d}".encode(), association=association)
        inbox.ended(association)

    threads = [threading.Thread(target=associate, args=(f"a{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {entry.read_bytes()[-6:] for entry in inbox.waiting(1000)}
    assert found == {f"a{number}-{which:03d}".encode() for number in range(8) for which in range(60)}
    assert half_written(tmp_path) == []


def test_what_was_refused_is_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks to keep an instance after its write was refused, or after it was abandoned, is refused again; keeping twice is once."""
    for durability in Durability:
        inbox = FolderInbox(tmp_path / durability, min_free_bytes=0, durability=durability)
        refused = inbox.begin(reception())
        with monkeypatch.context() as patch:
            patch.setattr(os, "writev", lambda *_: _raise(errno.ENOSPC))
            with pytest.raises(RefusedError):
                refused.write(b"1")
        with pytest.raises(RefusedError):
            refused.write(b"2")
        with pytest.raises(RefusedError):
            refused.keep()
        abandoned = inbox.begin(reception())
        abandoned.abandon()
        abandoned.abandon()
        with pytest.raises(RefusedError):
            abandoned.keep()
        kept = inbox.begin(reception())
        kept.write(b"1")
        kept.keep()
        kept.keep()
        kept.abandon()
        inbox.close()
        assert len(inbox.waiting(10)) == 1
        assert half_written(tmp_path / durability) == []


def _raise(number: int) -> None:
    raise OSError(number, os.strerror(number))


def test_a_defect_of_the_flush_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that flushes ends by a defect: the next one flushes what was due, and no sender waits for ever."""
    inbox = later(tmp_path)
    failures = [ZeroDivisionError()]

    def flush_folder(folder: Path) -> None:
        if failures:
            raise failures.pop()
        files.flush_folder(folder)

    monkeypatch.setattr(deferred_flush, "flush_folder", flush_folder)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    keep(inbox, b"first", association="a1")
    inbox.ended("a1")
    keep(inbox, b"second", association="a1")
    inbox.ended("a1")
    wait_until(lambda: len(inbox.waiting(10)) == 2, 60, "both are entries")
