"""What series lack that came over a real association: what was refused, what broke off, what a dead receiver left."""

import errno
import gc
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, EnhancedMRImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from structlog.testing import capture_logs

from node.blobs.port import BlobsFailed
from node.dimse.acceptor.accepted import SeriesUnderWay
from node.domain.shortage import RefusedInstance, Shortfalls, TornSeries
from node.flow.index import ShortfallStage
from node.journal.journal import Journal
from node.settings.node import Node
from node.settings.peers import Settle
from node.spool import room
from node.spool.shortfalls import FolderShortfalls, Reserve, oldest_shortfall
from tests.dimse.conftest import PACS, Listen, Listening, instance, offer
from tests.lab import empty_journal
from tests.lab.program import wait_until
from tests.lab.small_disk import KINDS, fill, small_disk
from tests.lab.wire import Sender


def kept(shortfalls: FolderShortfalls) -> tuple[list[RefusedInstance], list[TornSeries]]:
    """All that waits for the journal."""
    found = [read for entry in shortfalls.waiting(1000) if (read := shortfalls.read(entry)) is not None]
    return [one for refused, _ in found for one in refused], [one for _, torn in found for one in torn]


def series(count: int, *, syntax: str = ExplicitVRLittleEndian) -> list[Dataset]:
    """Images of one series."""
    made = [instance(syntax=syntax) for _ in range(count)]
    for one in made[1:]:
        one.StudyInstanceUID, one.SeriesInstanceUID = made[0].StudyInstanceUID, made[0].SeriesInstanceUID
    return made


def standing(running: Listening) -> list[str]:
    return [path.name for path in (running.folder / "owed" / "standing").iterdir() if path.suffix == ".stands"]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_what_a_full_disk_refuses_is_remembered_with_its_series(listen: Listen, monkeypatch: pytest.MonkeyPatch, syntax: str) -> None:
    """0xA700, and on the disk before: which instance, of which series and study, from whom. Tried again it is the same word; a restart
    finds it."""
    running = listen(min_free_bytes=1)
    images = series(4, syntax=syntax)
    offers = [offer(one) for one in images]
    full = os.statvfs(running.folder)
    with Sender(running.port, offers) as sender:
        assert [sender.store(one) for one in offers[:2]] == [0x0000, 0x0000]
        monkeypatch.setattr("node.spool.room.os.statvfs", lambda _: os.statvfs_result((*full[:3], 0, 0, *full[5:])))
        monkeypatch.setattr(room, "AHEAD_BYTES", 0)
        wait_until(lambda: sender.store(offers[2]) == 0xA700, 10, "the disk is full")
        assert sender.store(offers[3]) == 0xA700
        assert sender.store(offers[3]) == 0xA700
    refused, torn = kept(FolderShortfalls(running.folder))
    said = {(one.sop_instance_uid, one.series_instance_uid, one.study_instance_uid, one.peer, one.status) for one in refused}
    assert said == {(one.SOPInstanceUID, images[0].SeriesInstanceUID, images[0].StudyInstanceUID, "pacs", 0xA700) for one in images[2:]}
    assert (len(refused), torn) == (2, [])


@pytest.mark.parametrize("other_class", [False, True])
def test_what_says_of_no_series_is_taken_for_one_of_the_series_before(listen: Listen, other_class: bool) -> None:
    """An instance whose bytes are none is refused: the images before it are not known to be whole. One of another SOP class, or the first
    of all, says nothing of them."""
    running = listen()
    images = series(3)
    if other_class:
        images[2].SOPClassUID = EnhancedMRImageStorage
    good, last = [offer(one) for one in images[:2]], offer(images[2])
    garbage = replace(last, data_set=b"\xff" * 5000)
    first = replace(good[0], data_set=b"\xff" * 5000, sop_instance_uid="1.2.3")
    with Sender(running.port, [*good, last]) as sender:
        assert [sender.store(one) for one in (first, *good, garbage)] == [0xC000, 0x0000, 0x0000, 0xC000]
    refused, torn = kept(FolderShortfalls(running.folder))
    said = [(one.sop_instance_uid, one.series_instance_uid, one.study_instance_uid) for one in refused]
    taken = (str(images[2].SOPInstanceUID), images[0].SeriesInstanceUID, images[0].StudyInstanceUID)
    assert (said, torn) == ([] if other_class else [taken], [])


def test_an_association_that_is_released_owes_nothing(listen: Listen) -> None:
    """While it stands a file says what it is in the middle of; it goes with the release."""
    running = listen()
    offers = [offer(one) for one in series(2)]
    with Sender(running.port, offers) as sender:
        assert [sender.store(one) for one in offers] == [0x0000, 0x0000]
        assert len(standing(running)) == 1
    wait_until(lambda: not standing(running), 30, "the association has ended")
    assert kept(running.shortfalls) == ([], [])


@pytest.mark.parametrize("how", ["aborted", "lost in the middle"])
def test_a_transfer_that_breaks_off_is_remembered_with_its_last_series(listen: Listen, how: str) -> None:
    """The series before had ended: senders send one after the other."""
    running = listen()
    first, second = series(2), series(3)
    offers = [offer(one) for one in (*first, *second)]
    with Sender(running.port, offers) as sender:
        assert [sender.store(one) for one in offers[:4]] == [0x0000] * 4
        if how == "aborted":
            sender.association.abort()
        else:
            sender.abort_in_the_middle(offers[4])
    wait_until(lambda: running.said("association.ended"), 30, "it has ended")
    refused, torn = kept(running.shortfalls)
    assert refused == []
    assert [(one.series_instance_uid, one.study_instance_uid, one.peer) for one in torn] == [
        (second[0].SeriesInstanceUID, second[0].StudyInstanceUID, "pacs")
    ]
    assert standing(running) == []


def test_a_sender_that_is_idle_for_too_long_has_torn_nothing(listen: Listen) -> None:
    """The node ends the association between two messages: scanners leave theirs open while they scan."""
    running = listen(node=Node(port=0, idle_timeout=timedelta(seconds=1)))
    (one,) = [offer(one) for one in series(1)]
    sender = Sender(running.port, [one])
    assert sender.store(one) == 0x0000
    wait_until(lambda: running.said("association.ended"), 30, "it has ended")
    _, torn = kept(running.shortfalls)
    assert torn == []


@pytest.mark.parametrize("cut_off", [False, True])
def test_who_was_silent_for_longer_than_its_quiet_window_has_torn_nothing(listen: Listen, cut_off: bool) -> None:
    """By then the series counted as complete: a scanner that is switched off with its association open makes nobody wait. An instance that
    is cut off was under way, whatever the window is."""
    running = listen(peers=(replace(PACS, settle=Settle(quiet=timedelta(microseconds=1))),))
    offers = [offer(one) for one in series(2)]
    with Sender(running.port, offers) as sender:
        assert sender.store(offers[0]) == 0x0000
        if cut_off:
            sender.abort_in_the_middle(offers[1])
        else:
            sender.association.abort()
    wait_until(lambda: running.said("association.ended"), 30, "it has ended")
    _, torn = kept(running.shortfalls)
    assert bool(torn) is cut_off
    assert standing(running) == []


def test_series_that_are_sent_in_turns_are_all_under_way() -> None:
    """Who comes back to a series has not ended the one before either."""
    turns = SeriesUnderWay()
    assert [turns.came("1", one) for one in "AAB"] == [True, False, True]
    assert turns.series == [("1", "B")]
    assert turns.came("1", "A")
    assert turns.series == [("1", "A"), ("1", "B")]
    assert [turns.came("1", one) for one in "BABA"] == [False] * 4  # nothing to write down anew
    turns.came("1", "C")
    assert turns.series == [("1", "A"), ("1", "B"), ("1", "C")]


def test_what_a_killed_receiver_was_in_the_middle_of_is_found_by_the_next(tmp_path: Path) -> None:
    """Its lock went with it; what stood is torn, and told once. One that lives is left alone."""
    shortfalls = FolderShortfalls(tmp_path)
    shortfalls.stands("a1", "pacs", [("1.1", "1.1.1")])
    assert kept(FolderShortfalls(tmp_path)) == ([], [])
    pid = os.fork()
    if pid == 0:
        FolderShortfalls(tmp_path).stands("a2", None, [("2.2", "2.2.1"), ("2.2", "2.2.2")])
        os._exit(0)  # as a kill does: nothing of Python ends
    os.waitpid(pid, 0)
    refused, torn = kept(FolderShortfalls(tmp_path))
    assert refused == []
    assert {(one.association, one.series_instance_uid, one.peer) for one in torn} == {("a2", "2.2.1", None), ("a2", "2.2.2", None)}
    assert len(kept(FolderShortfalls(tmp_path))[1]) == 2


def test_a_file_that_says_something_else_is_told_and_left(tmp_path: Path) -> None:
    """It keeps nothing else waiting."""
    shortfalls = FolderShortfalls(tmp_path)
    (tmp_path / "owed" / "x.refused").write_text("[]")
    uids = {"sop_instance_uid": "1.2", "series_instance_uid": "1.1.1", "study_instance_uid": "1.1"}
    shortfalls.refused(RefusedInstance(**uids, peer=None, status=0xA700, at=datetime.now(UTC)))
    assert [one.sop_instance_uid for one in kept(shortfalls)[0]] == ["1.2"]
    assert (tmp_path / "owed" / "x.unreadable").exists()


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own where the receiver's spool lies."""
    with small_disk(tmp_path / "blobs", request.param, 32 if request.param == "ext4" else 16) as made:
        yield made


def test_a_disk_that_is_full_to_the_last_byte_takes_the_word_that_an_instance_was_refused(
    disk: Path, listen: Listen, tmp_path: Path
) -> None:
    """Others have filled even what `min_free` keeps: no file can be written there. What was refused, and what broke off, is found all the
    same after a kill, with the disk as full, and its series are short in the journal until the rest comes."""
    running = listen(min_free_bytes=1)
    images, torn_image = series(3), instance()
    offers = [offer(one) for one in (*images, torn_image)]
    with Sender(running.port, offers) as sender:
        assert sender.store(offers[0]) == 0x0000
        fill(disk)
        with pytest.raises(OSError, match="No space left"):
            (disk / "owed" / "another").write_bytes(b"x")
        assert [sender.store(one) for one in (*offers[1:3], *offers[1:3])] == [0xA700] * 4
    pid = os.fork()
    if pid == 0:  # one more receiver, which is killed right behind the word
        shortfalls = FolderShortfalls(disk)
        shortfalls.torn("a1", "pacs", [(torn_image.StudyInstanceUID, torn_image.SeriesInstanceUID)])
        os._exit(0)
    os.waitpid(pid, 0)
    assert not running.said("owed.not_kept")
    after = FolderShortfalls(disk)
    refused, torn = kept(after)
    assert [one.sop_instance_uid for one in refused] == [one.SOPInstanceUID for one in images[1:]]
    assert [one.series_instance_uid for one in torn] == [torn_image.SeriesInstanceUID]
    assert oldest_shortfall(disk, since=time.time() + 60) is not None, "nothing settles before the journal has it"
    journal = Journal.open(empty_journal.make(f"sqlite:{tmp_path}/hilum.db"))
    taking = ShortfallStage(journal, after, journal.now)
    assert 0 < taking.step() <= 2  # what is released makes room for a file, on some
    assert taking.step() == 0
    assert journal.shortage.shortfalls(images[0].StudyInstanceUID) == {images[0].SeriesInstanceUID: Shortfalls(owed=2)}
    assert journal.shortage.shortfalls(torn_image.StudyInstanceUID) == {torn_image.SeriesInstanceUID: Shortfalls(torn=True)}
    assert (kept(after), oldest_shortfall(disk, since=0)) == (([], []), None)
    journal.close()


def test_what_the_reserve_holds_of_something_else_is_told(tmp_path: Path) -> None:
    """It keeps nothing else waiting, and goes."""
    shortfalls = FolderShortfalls(tmp_path)
    reserve = Reserve(tmp_path / "owed" / "reserve")
    reserve.keep(bytes(16), b"[]")
    shortfalls.torn("a1", None, [("2.2", "2.2.1")])
    with capture_logs() as events:
        assert [one.series_instance_uid for one in kept(shortfalls)[1]] == ["2.2.1"]
    assert [one["event"] for one in events] == ["owed.unreadable"]
    shortfalls.drop(reserve.path)
    assert len(shortfalls.waiting(10)) == 1


def test_what_a_full_disk_does_not_take_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the series that an association is in the middle of, nor of what was torn: a full disk does not fill with halves."""
    shortfalls = FolderShortfalls(tmp_path)

    def full(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "no space left on device", str(path), None, str(target))

    monkeypatch.setattr(Path, "rename", full)
    shortfalls.stands("a1", None, [("2.2", "2.2.1")])
    shortfalls.torn("a1", None, [("2.2", "2.2.1")])
    monkeypatch.undo()
    assert list(tmp_path.rglob("*.part")) == []
    assert [path.name for path in shortfalls.waiting(10)] == ["reserve"]


def test_a_file_that_the_disk_does_not_give_holds_nothing_else_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad sector: the next receiver starts all the same, and what else was kept comes into the journal; that one stays, and is told."""
    FolderShortfalls(tmp_path).stands("a1", "pacs", [("1.1", "1.1.1")])
    gc.collect()  # its life ends with it
    unreadable: list[Path] = []
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.suffix == ".stands" or path in unreadable:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    with capture_logs() as events:
        shortfalls = FolderShortfalls(tmp_path)
    assert [one["event"] for one in events] == ["owed.unreadable"]
    shortfalls.torn("a2", "pacs", [("2.1", "2.1.1")])
    shortfalls.torn("a3", "pacs", [("3.1", "3.1.1")])
    bad, _ = shortfalls.waiting(10)
    unreadable.append(bad)
    journal = Journal.open(empty_journal.make(f"sqlite:{tmp_path}/hilum.db"))
    taking = ShortfallStage(journal, shortfalls, journal.now)
    assert taking.step() == 1
    assert shortfalls.waiting(10) == [bad]
    with pytest.raises(BlobsFailed, match=bad.name):
        taking.step()
    unreadable.clear()
    assert (taking.step(), taking.step()) == (1, 0)
    assert {series for study in ("2.1", "3.1") for series in journal.shortage.shortfalls(study)} == {"2.1.1", "3.1.1"}
    journal.close()
