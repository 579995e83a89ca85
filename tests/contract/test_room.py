"""The marks of the disk and of the spool: what is refused when, that it ends by itself, and that operators hear of it once."""

import errno
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.domain.errors import RefusedError
from node.spool import room as module
from node.spool.inbox import FolderInbox
from tests.contract.test_blobs import keep, reception
from tests.lab.program import wait_until
from tests.lab.spool import half_written

_GIB = 2**30


class Disk:
    """A disk as `statvfs` tells it; what is written to it takes room, and time passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.free = free
        self.files = 10_000
        self.looks = 0
        self.now = 1000.0
        monkeypatch.setattr(os, "statvfs", self._statvfs)
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))

    def _statvfs(self, _: object) -> SimpleNamespace:
        self.looks += 1
        return SimpleNamespace(f_bavail=self.free, f_frsize=1, f_files=10_000, f_favail=self.files)

    def later(self, seconds: float) -> None:
        """The clock goes on."""
        self.now += seconds


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """100 GiB are free."""
    return Disk(monkeypatch, 100 * _GIB)


def _inbox(folder: Path, **marks: Any) -> FolderInbox:
    return FolderInbox(folder, min_free_bytes=marks.pop("min_free_bytes", 2 * _GIB), **marks)


def test_no_association_is_admitted_below_the_higher_mark(tmp_path: Path, disk: Disk) -> None:
    """2.2 GiB of a `min_free` of 2: those who stand go on, newcomers wait; until 2.4 GiB are free, so that it does not flap."""
    inbox = _inbox(tmp_path)
    seen = []
    with capture_logs() as events:
        for free in (2.3, 2.19, 2.3, 2.39, 2.41, 2.3):
            disk.free = int(free * _GIB)
            disk.later(2)
            seen.append(inbox.crowded() is None)
            keep(inbox)
    assert seen == [True, False, False, False, True, True]
    assert [one["event"] for one in events] == ["intake.crowded", "intake.roomy"]
    assert events[0]["reason"] == "2.19 GiB of the disk are free, and min_free is 2.00 GiB"


def test_what_an_instance_is_refused_for_is_told_as_people_read_it(tmp_path: Path, disk: Disk) -> None:
    """4 KB above the mark: no raw bytes, and the two numbers read differently."""
    disk.free = 100_003_840
    room = module.Room(tmp_path, tmp_path, min_free_bytes=100_000_000, most_waiting=100)
    with pytest.raises(RefusedError, match=r"^95\.371 MiB .* would leave less than min_free, 95\.367 MiB"):
        room.take(10_000)


def test_the_mark_is_not_overrun_however_much_comes_at_once(tmp_path: Path, disk: Disk) -> None:
    """Eight processes that share a disk, four writers in each: each takes 4 MiB ahead, and only while there is plenty."""
    disk.free = 2 * _GIB + 300_000_000
    rooms = [module.Room(tmp_path, tmp_path, min_free_bytes=2 * _GIB, most_waiting=100) for _ in range(8)]
    taking = threading.Lock()

    def write(room: module.Room) -> None:
        while True:
            try:
                room.take(128 * 1024)
            except RefusedError:
                return
            with taking:
                disk.free -= 128 * 1024

    threads = [threading.Thread(target=write, args=(room,)) for room in rooms for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # between a look and the write that it is for others write too: a fragment a writer; the clock stands, so that nothing runs out
    assert disk.free >= 2 * _GIB - 8 * 4 * 2**20 - 32 * 128 * 1024


def test_the_disk_is_not_asked_for_every_fragment(tmp_path: Path, disk: Disk) -> None:
    """A roomy disk is asked once for some instances' worth of fragments, and again after a while."""
    room = module.Room(tmp_path, tmp_path, min_free_bytes=2 * _GIB, most_waiting=100)
    for _ in range(320):
        room.take(128 * 1024)
    assert disk.looks == 10
    disk.later(1)
    room.take(1)
    assert disk.looks == 11


def test_an_instance_that_outgrows_the_room_is_refused_and_gone(tmp_path: Path, disk: Disk) -> None:
    """Nobody knows how long an instance is when it begins: it is refused where the room ends, and a smaller one is still taken."""
    inbox = _inbox(tmp_path)
    disk.free = 2 * _GIB + 3_000_000
    incoming = inbox.begin(reception())

    def write_on() -> None:
        for _ in range(100):
            incoming.write(bytes(100_000))
            disk.free -= 100_000

    with pytest.raises(RefusedError) as refused:
        write_on()
    assert refused.value.status == 0xA700
    assert half_written(tmp_path) == []
    disk.free = 2 * _GIB + 3_000_000
    keep(inbox, bytes(100_000))
    incoming.abandon()
    assert len(inbox.waiting(10)) == 1


def test_a_disk_without_room_for_names_is_full(tmp_path: Path, disk: Disk) -> None:
    """Bytes are free, inodes are not."""
    inbox = _inbox(tmp_path)
    disk.files = 10
    disk.later(2)
    assert "10 files" in (inbox.crowded() or "")


def test_a_spool_that_nobody_empties_admits_no_association(tmp_path: Path, disk: Disk) -> None:
    """More entries than `most_waiting`: the journal is away, or too slow. A tenth below it, associations are admitted again."""
    inbox = _inbox(tmp_path, most_waiting=100)
    for number in range(101):
        (tmp_path / "inbox" / f"{number:03d}.dcm").touch()
    disk.later(10)
    assert "101 instances wait" in (inbox.crowded() or "")
    for gone, crowded in ((95, True), (91, True), (89, False)):
        for number in range(gone, 101):
            (tmp_path / "inbox" / f"{number:03d}.dcm").unlink(missing_ok=True)
        disk.later(10)
        assert (inbox.crowded() is not None) == crowded


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_disk_that_fails_admits_no_association_until_it_takes_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Told once however many senders meet it; tried again whenever somebody asks, so that nobody waits longer than the trouble lasts."""
    inbox = FolderInbox(tmp_path, min_free_bytes=0)

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with capture_logs() as events:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fails)
            for _ in range(3):
                with pytest.raises(RefusedError):
                    keep(inbox)
                assert os.strerror(number) in (inbox.crowded() or "")
        wait_until(lambda: inbox.crowded() is None, 60, "it takes a write")
    assert [one["event"] for one in events] == ["intake.crowded", "intake.roomy"]
    assert half_written(tmp_path) == []
    keep(inbox)


@pytest.mark.slow
def test_a_disk_that_takes_bytes_and_no_names_is_not_called_good_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's flush is refused, the file's is not: associations are refused until both work, without a turn in between."""
    inbox = FolderInbox(tmp_path, min_free_bytes=0)
    real = os.fsync

    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with capture_logs() as events:
        monkeypatch.setattr(os, "fsync", fails)
        with pytest.raises(RefusedError):
            keep(inbox)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert inbox.crowded() is not None
        monkeypatch.setattr(os, "fsync", real)
        wait_until(lambda: inbox.crowded() is None, 60, "it takes names again")
    assert [one["event"] for one in events] == ["intake.crowded", "intake.roomy"]


def test_a_write_that_takes_only_a_part_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take less than it is given: every byte is there in the end."""
    write, most = os.write, 0
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, memoryview(data)[:1000]))
    monkeypatch.setattr(os, "writev", lambda fd, parts: write(fd, b"".join(parts)[:most]))
    sent = [bytes([number]) * 7000 for number in range(5)]
    for most in (0, 1, 700, 6999, 7000, 7001, 20_000, 40_000):
        inbox = FolderInbox(tmp_path / str(most), min_free_bytes=0)
        incoming = inbox.begin(reception())
        incoming.write(*sent[:2], b"", *sent[2:])
        incoming.keep()
        head, _, data = inbox.waiting(1)[0].read_bytes().partition(sent[0])
        assert data == b"".join(sent[1:]), most
        assert head.startswith(bytes(128) + b"DICM")
