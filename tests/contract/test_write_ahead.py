"""Files that are written ahead: what goes into them is durable with one flush of its bytes, and is found when the spool is opened next."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from structlog.testing import capture_logs

import node.spool.inbox
import node.spool.write_ahead
from node.assembly import compose
from node.assembly.backups import back_up
from node.assembly.configuration import load
from node.assembly.horizon import journaled_until
from node.blobs.encryption.decrypted import DecryptedFiles, FileEncryption
from node.blobs.encryption.keys import EncryptionKeys, key_of
from node.domain.errors import RefusedError
from node.settings.store import Durability
from node.spool.inbox import FolderInbox
from node.spool.proof import Proof, acknowledged, proof_in
from node.spool.room import DiskFailed
from node.spool.write_ahead import MOST_BYTES, Slot
from tests.contract.test_blobs import keep, reception
from tests.lab.program import wait_until
from tests.lab.spool import half_written

pytestmark = pytest.mark.slow

_HERE = Path(__file__).parents[2]
_AHEAD = 64 * 2**20


def inbox_of(
    folder: Path, durability: Durability = Durability.EACH, *, ahead_bytes: int = _AHEAD, encryption: FileEncryption | None = None
) -> FolderInbox:
    """One that writes ahead, and names what was acknowledged when an association ends and not before, however long the machine pauses."""
    with mock.patch.multiple(node.spool.inbox, FLUSHED_AFTER_S=3600.0, NAMED_AFTER_S=3600.0):
        return FolderInbox(folder, min_free_bytes=0, durability=durability, ahead_bytes=ahead_bytes, encryption=encryption)


def slots(folder: Path) -> list[Path]:
    """Those that lie in the spool."""
    return sorted((folder / "coming").glob("*.slot"))


def filled(folder: Path, inbox: FolderInbox, count: int = 4, *, size: int = 300_000) -> list[Path]:
    """The slots after a burst of so many instances of that size, all entries; no more are made."""
    before = len(inbox.waiting(100))
    with mock.patch.object(node.spool.write_ahead, "_AFTER_S", 3600.0):  # however long the machine pauses, it is one burst
        for number in range(count):
            keep(inbox, bytes([number]) * size, association="first")
        inbox.ended("first")
        wait_until(lambda: len(inbox.waiting(100)) >= before + count, 60, "the burst is named")
    wait_until(lambda: len(slots(folder)) >= count, 60, "files are written ahead")
    still(folder)
    return slots(folder)


def still(folder: Path) -> None:
    """Wait until no more are made."""
    before, at = len(slots(folder)), time.monotonic()
    while time.monotonic() - at < 0.4:
        time.sleep(0.05)
        if (now := len(slots(folder))) != before:
            before, at = now, time.monotonic()


@pytest.fixture(params=list(Durability))
def durability(request: pytest.FixtureRequest) -> Durability:
    """Both use slots; with `each` their bytes are flushed before they are acknowledged."""
    given: Durability = request.param
    return given


def test_as_many_as_the_last_burst_had_and_a_quarter_more(tmp_path: Path, durability: Durability) -> None:
    """As long as its largest in steps of 64 KiB, and a block for the proof; within the bytes that it may take; none for what is large."""
    inbox = inbox_of(tmp_path, durability)
    made = filled(tmp_path, inbox, 8)
    assert len(made) == 10
    assert {path.stat().st_size for path in made} == {5 * 65536 + 4096}
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    inbox.close()
    assert slots(tmp_path) == []

    few = inbox_of(tmp_path / "few", durability, ahead_bytes=1_000_000)
    assert len(filled(tmp_path / "few", few, 2)) == 2
    few.close()
    none = inbox_of(tmp_path / "none", durability)
    keep(none, bytes(MOST_BYTES + 1))
    time.sleep(0.6)
    assert slots(tmp_path / "none") == []
    off = inbox_of(tmp_path / "off", durability, ahead_bytes=0)
    keep(off, bytes(1000))
    time.sleep(0.6)
    assert slots(tmp_path / "off") == []


def test_what_goes_into_one_becomes_an_entry_of_its_own_length(tmp_path: Path, durability: Durability) -> None:
    """Byte for byte, in the order in which they came, when they came; the slots are gone, others follow."""
    inbox = inbox_of(tmp_path, durability)
    filled(tmp_path, inbox)
    came = []
    for number in range(10, 14):
        keep(inbox, bytes([number]) * (300_000 - number), association="a1")
        newest = acknowledged(tmp_path / "coming")[-1]
        came.append(time.time() - 100 * number)
        os.utime(newest, (came[-1], came[-1]))  # cutting it later is not when it came
    assert inbox.ended("a1")
    wait_until(lambda: len(inbox.waiting(100)) == 8, 60, "they are named")
    for entry, number, at in zip(inbox.waiting(100)[4:], range(10, 14), came, strict=True):
        content = entry.read_bytes()
        assert content[128:132] == b"DICM"
        assert content.endswith(bytes([number]) * (300_000 - number))
        assert len(content) < 301_000
        assert abs(entry.stat().st_mtime - at) < 0.5
    still(tmp_path)
    assert len(slots(tmp_path)) == 5
    inbox.close()


def test_with_each_the_bytes_are_flushed_and_no_name_has_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fdatasync, of the slot, between the last byte with its proof and the answer; no folder is flushed meanwhile."""
    inbox = inbox_of(tmp_path)
    filled(tmp_path, inbox)
    calls: list[str] = []

    def traced(name: str, real: Callable[..., Any], *given: Any) -> Any:
        calls.append(_called(name, *given))
        return real(*given)

    for name in ("writev", "pwrite", "fdatasync", "fsync", "rename", "ftruncate"):
        monkeypatch.setattr(os, name, partial(traced, name, getattr(os, name)))
    keep(inbox, bytes(100_000), association="a1")
    answered = list(calls)
    assert answered == ["writev", "pwrite", "fdatasync", "rename .told"]
    (told,) = acknowledged(tmp_path / "coming")
    assert inbox.oldest() is not None
    inbox.ended("a1")
    wait_until(lambda: not told.exists(), 60, "it is named")
    # the name that proves it before its proof goes, its length before it is an entry
    wait_until(lambda: "fsync inbox" in calls, 60, "its name is flushed")
    assert [one for one in calls[4:] if one != "fsync"][:5] == ["fsync coming", "ftruncate", "fdatasync", "rename .dcm", "fsync inbox"]
    inbox.close()


def _called(call: str, *given: object) -> str:
    """What a call was for; what the writer ahead flushes beside it is a file's."""
    if call == "rename":
        return f"rename {Path(str(given[1])).suffix}"
    if call == "fsync":
        path = Path(os.readlink(f"/proc/self/fd/{given[0]}"))
        return f"fsync {path.name}" if (path.is_dir() and path.name == "inbox") or _names_what_is_owed(path) else "fsync"
    return call


def _names_what_is_owed(path: Path) -> bool:
    """The folder `coming`, flushed while something in it bears the name that proves it."""
    return path.is_dir() and path.name == "coming" and bool(acknowledged(path))


def test_one_that_does_not_fit_goes_on_as_a_file_of_its_own(tmp_path: Path, durability: Durability) -> None:
    """Just under, at, just over and far over what fits, in fragments that no slot ends at."""
    inbox = inbox_of(tmp_path, durability)
    sizes = [327_680 - 600, 327_680, 327_681, 331_776, 400_000, 3_000_000]
    filled(tmp_path, inbox, len(sizes))
    sent = [os.urandom(size) for size in sizes]
    for dataset in sent:
        incoming = inbox.begin(reception(association="a1"))
        for at in range(0, len(dataset), 70_001):
            incoming.write(dataset[at : at + 70_001])
        incoming.keep()
    assert inbox.ended("a1")
    wait_until(lambda: len(inbox.waiting(100)) == 2 * len(sizes), 60, "they are entries")
    entries = inbox.waiting(100)[len(sizes) :]
    for entry, dataset in zip(entries, sent, strict=True):
        content = entry.read_bytes()
        assert content.endswith(dataset)
        assert content[:132] == bytes(128) + b"DICM"
        assert len(content) < len(dataset) + 1000
    inbox.close()


def test_what_is_given_up_is_gone_with_its_slot(tmp_path: Path, durability: Durability) -> None:
    """No half instance stays on the disk; the next one, shorter, is whole and has nothing of it."""
    inbox = inbox_of(tmp_path, durability)
    before = filled(tmp_path, inbox)
    half = inbox.begin(reception(association="a1"))
    half.write(b"half " * 50_000)
    half.abandon()
    half.abandon()
    assert slots(tmp_path) == before[1:]
    keep(inbox, b"whole", association="a1")
    inbox.ended("a1")
    wait_until(lambda: len(inbox.waiting(100)) == 5, 60, "it is an entry")
    assert inbox.waiting(100)[-1].read_bytes().endswith(b"whole")
    assert inbox.waiting(100)[-1].stat().st_size < 1000
    inbox.close()


# ---- kills and lost power

_KILLED = """
import os, signal, sys, threading
from pathlib import Path
from tests.contract.test_blobs import keep, reception
from tests.contract.test_write_ahead import filled, inbox_of
inbox = inbox_of(Path(sys.argv[1]))
filled(Path(sys.argv[1]), inbox)
named = sys.argv[2] == "named"
if not named:  # the name that follows never comes, as when the power fails right behind the flush
    rename = os.rename
    os.rename = lambda old, new: None if str(old).endswith(".slot") else rename(old, new)
for number in range(10, 14):
    keep(inbox, bytes([number]) * 200_000, association="a1")
half = inbox.begin(reception(association="a2"))
half.write(b"half of it")
os.kill(os.getpid(), signal.SIGKILL)
"""


def _killed(folder: Path, *, named: bool) -> None:
    """A receiver that is killed with four entries, four acknowledged in slots, and one half-written."""
    command = [sys.executable, "-c", _KILLED, str(folder), "named" if named else "unnamed"]
    done = subprocess.run(command, capture_output=True, check=False, cwd=_HERE, timeout=120)
    assert done.returncode == -9, done.stderr
    assert len(acknowledged(folder / "coming")) == (4 if named else 0)


@pytest.mark.parametrize("named", [True, False])
def test_a_kill_takes_nothing_that_was_acknowledged(tmp_path: Path, named: bool) -> None:
    """Under the name that proves it, or still under the slot's: whoever opens the spool next makes an entry of it, cut to its length."""
    _killed(tmp_path, named=named)
    with capture_logs() as events:
        inbox = FolderInbox(tmp_path, min_free_bytes=0)
    found = [entry.read_bytes() for entry in inbox.waiting(100)[4:]]
    assert [content[-200_000:] for content in found] == [bytes([number]) * 200_000 for number in range(10, 14)]
    assert all(len(content) < 201_000 for content in found)
    assert half_written(tmp_path) == []
    assert {one["event"]: one.get("instances") for one in events if one["log_level"] == "info"}["inbox.taken_up"] == 4
    assert "inbox.torn" not in {one["event"] for one in events}


def test_it_is_cut_only_when_its_name_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking up, too, may lose its power: until the folder was flushed the proof behind the bytes is all there is."""
    _killed(tmp_path, named=False)
    flushed: list[str] = []
    fsync, ftruncate = os.fsync, os.ftruncate

    def cut(fd: int, size: int) -> None:
        assert any(path.endswith("/coming") for path in flushed)
        ftruncate(fd, size)

    def flush(fd: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "ftruncate", cut)
    assert len(FolderInbox(tmp_path, min_free_bytes=0).waiting(100)) == 8


def test_what_was_not_flushed_to_its_end_is_no_entry(tmp_path: Path) -> None:
    """Zeros in the bytes, in the proof, another length: none was acknowledged with `each`, and nobody is alarmed."""
    _killed(tmp_path, named=False)
    proven = [path for path in slots(tmp_path) if proof_in(path) is not None]
    assert len(proven) == 4
    for path, at in zip(proven, (8192, None, -512), strict=False):
        with path.open("r+b") as file:
            if at is None:
                file.truncate(300_000)
            else:
                file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
                file.write(bytes(512))
    with capture_logs() as events:
        inbox = FolderInbox(tmp_path, min_free_bytes=0)
    assert [entry.read_bytes()[-1] for entry in inbox.waiting(100)[4:]] == [13]
    assert [one for one in events if one["log_level"] != "info"] == []
    assert half_written(tmp_path) == []


def test_what_an_instance_says_at_the_place_of_a_proof_is_none(tmp_path: Path) -> None:
    """Bytes of one that outgrew a slot, with a proof that is right but for the token of the receiver, which nobody is told."""
    folder = tmp_path / "coming"
    folder.mkdir()
    path = folder / "0123-000000001.slot"
    path.write_bytes(bytes(8192))
    fd = os.open(path, os.O_WRONLY)
    Slot(fd=fd, path=str(folder / "4567-000000001.slot"), capacity=4096).prove(Proof(name="forged", size=1, check=0))
    assert proof_in(path) is None
    Slot(fd=fd, path=str(path), capacity=4096).prove(Proof(name="../../forged", size=1, check=0))
    assert proof_in(path) is None
    Slot(fd=fd, path=str(path), capacity=4096).prove(Proof(name="00-honest", size=1, check=0))
    assert proof_in(path) == Proof(name="00-honest", size=1, check=0)
    os.close(fd)


def test_one_that_the_disk_does_not_give_back_lies_aside(tmp_path: Path) -> None:
    """It may hold what was acknowledged: it is not deleted, and holds up no other."""
    _killed(tmp_path, named=False)
    bad = next(path for path in slots(tmp_path) if proof_in(path) is not None)
    bad.unlink()
    bad.symlink_to(bad)  # it cannot be opened, by nobody: EACCES is nothing to root
    with capture_logs() as events:
        inbox = FolderInbox(tmp_path, min_free_bytes=0)
    assert len(inbox.waiting(100)) == 7
    assert [(one["entry"], one["acknowledged"]) for one in events if one["event"] == "inbox.unreadable"] == [(bad.name, True)]
    assert [path.name for path in inbox.asides()] == [bad.name]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOENT])
def test_one_that_cannot_be_named_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Its file is broken, or another opener was faster."""
    _killed(tmp_path, named=False)
    rename, refused = os.rename, list[Path]()

    def first_fails(old: Path, new: Path) -> None:
        if str(old).endswith(".slot") and not refused and "/aside/" not in str(new):
            refused.append(old)
            raise OSError(code, os.strerror(code))
        rename(old, new)

    monkeypatch.setattr(os, "rename", first_fails)
    inbox = FolderInbox(tmp_path, min_free_bytes=0)
    assert len(inbox.waiting(100)) == 7
    assert [path.name for path in inbox.asides()] == ([Path(refused[0]).name] if code == errno.EIO else [])


def test_one_that_is_taken_up_came_when_its_name_says(tmp_path: Path) -> None:
    """After a power loss a slot may bear the time at which it was made, days before: nothing is received before it began to come."""
    _killed(tmp_path, named=False)
    for path in slots(tmp_path):
        os.utime(path, (1e9, 1e9))
    began = time.time()
    inbox = FolderInbox(tmp_path, min_free_bytes=0)
    assert all(0 <= began - entry.stat().st_mtime < 120 for entry in inbox.waiting(100)[4:])


def test_a_backup_of_a_node_that_was_killed_has_it(tmp_path: Path) -> None:
    """Whoever makes a backup takes up first what was acknowledged and lies in slots."""
    (tmp_path / "hilum.yaml").write_text(
        'node: {ae_title: HILUM, listen: "127.0.0.1:0"}\n'
        'peers: {ct1: {ae_title: CT1, address: "127.0.0.1:0"}}\n'
        'store: {journal: "sqlite:hilum.db", blobs: "file:blobs"}\n'
        "sinks: {out: {kind: folder, path: out}}\n"
        "routes: [{name: lungs, when: {Modality: CT}, run: [ct-lung], send: [out]}]\n"
    )
    config = load(tmp_path / "hilum.yaml")
    compose.open_journal(config).close()
    _killed(config.store.blobs, named=False)
    taken = back_up(config, tmp_path / "backups")
    assert len(list((taken.folder / "spool" / "inbox").glob("*.dcm"))) == 8
    assert taken.left_out == []


# ---- disks that refuse


@contextlib.contextmanager
def _refusing(monkeypatch: pytest.MonkeyPatch, call: str, code: int, *, of: str) -> Iterator[list[str]]:
    """The call fails for files and folders whose path ends so."""
    real, refused = getattr(os, call), []

    def fail(fd: int, *given: object) -> object:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.endswith(of):
            refused.append(path)
            raise OSError(code, os.strerror(code))
        return real(fd, *given)

    with monkeypatch.context() as disk:
        disk.setattr(os, call, fail)
        yield refused


@pytest.mark.parametrize("call", ["fdatasync", "pwrite"])
def test_a_flush_that_fails_acknowledges_nothing_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The slot is not used again, and those that were ready go: what the disk does with them, nobody knows."""
    inbox = inbox_of(tmp_path)
    filled(tmp_path, inbox)
    with _refusing(monkeypatch, call, errno.EIO, of=".slot") as refused, pytest.raises(RefusedError):
        keep(inbox, bytes(1000))
    assert len(refused) == 1
    assert half_written(tmp_path) == []
    assert len(inbox.waiting(100)) == 4
    keep(inbox, b"again")
    assert len(inbox.waiting(100)) == 5


@pytest.mark.parametrize(("call", "of"), [("fsync", "/coming"), ("ftruncate", ".told"), ("fdatasync", ".told")])
def test_names_that_the_disk_refuses_are_owed_until_it_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, of: str
) -> None:
    """Acknowledged instances stay where they are proven, nothing more is acknowledged; when it works again they are entries."""
    inbox = inbox_of(tmp_path)
    filled(tmp_path, inbox)
    told = [b"acknowledged"]
    with _refusing(monkeypatch, call, errno.EIO, of=of) as refused:
        keep(inbox, b"acknowledged", association="a1")
        inbox.ended("a1")
        wait_until(lambda: bool(refused), 60, "the disk refused")
        wait_until(lambda: _behind(inbox, told), 60, "nothing more is acknowledged")
    wait_until(lambda: len(inbox.waiting(100)) == 4 + len(told), 60, "every one that was acknowledged is an entry")
    for entry, content in zip(inbox.waiting(100)[4:], told, strict=True):
        assert entry.read_bytes().endswith(content)
    inbox.close()


def _behind(inbox: FolderInbox, told: list[bytes]) -> bool:
    """Whether nothing more is acknowledged; what still was, before the refusal was known, is noted."""
    content = b"another %d" % len(told)
    try:
        keep(inbox, content)
    except DiskFailed:
        return True
    told.append(content)
    return False


def test_a_full_disk_gets_the_room_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written ahead goes with the first instance that there is no room for, and none is made before there is plenty."""
    inbox = FolderInbox(tmp_path, min_free_bytes=2**20, ahead_bytes=_AHEAD)
    filled(tmp_path, inbox)
    with monkeypatch.context() as disk:
        status = os.statvfs(tmp_path)
        full = os.statvfs_result((status[0], status[1], status[2], 0, 0, *status[5:]))
        disk.setattr(os, "statvfs", lambda _: full)
        time.sleep(0.3)  # what was seen of the room before is not asked again for a moment
        with pytest.raises(RefusedError):
            keep(inbox, b"no room")
        assert slots(tmp_path) == []
    time.sleep(0.3)
    keep(inbox, b"room")
    assert len(filled(tmp_path, inbox)) >= 4
    inbox.close()


def test_what_is_written_ahead_gives_way_before_anybody_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room that slots take is room: associations are admitted, and an instance goes on in the middle, once they are gone."""
    inbox = FolderInbox(tmp_path, min_free_bytes=2**20, ahead_bytes=_AHEAD)
    status = os.statvfs(tmp_path)

    def short(_: object) -> os.statvfs_result:
        blocks = 0 if len(slots(tmp_path)) > 1 else status.f_bavail  # one may be an instance's already
        return os.statvfs_result((status[0], status[1], status[2], blocks, blocks, *status[5:]))

    filled(tmp_path, inbox)
    with monkeypatch.context() as disk:
        disk.setattr(os, "statvfs", short)
        time.sleep(1.1)  # what was seen of the room before is not asked again for a moment
        assert inbox.crowded() is None
        assert slots(tmp_path) == []
    filled(tmp_path, inbox)
    half = inbox.begin(reception(association="a1"))
    with monkeypatch.context() as disk:
        disk.setattr(os, "statvfs", short)
        time.sleep(0.3)
        half.write(bytes(300_000))
        half.keep()
    inbox.close()


@pytest.mark.parametrize(("blocks", "files"), [(0, 10**6), (10**9, 1500)])
def test_none_is_written_while_room_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, files: int) -> None:
    """Bytes or files: the marks are far away when they are written, and afterwards."""
    inbox = FolderInbox(tmp_path, min_free_bytes=0, ahead_bytes=_AHEAD)
    status = os.statvfs(tmp_path)
    there = os.statvfs_result((status[0], status[1], status[2], blocks, blocks, 10**7, files, files, *status[8:]))
    keep(inbox, bytes(1000))
    monkeypatch.setattr(os, "statvfs", lambda _: there)
    time.sleep(0.8)
    assert slots(tmp_path) == []


def test_a_thread_that_cannot_be_had_refuses_no_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again with the next one."""
    inbox = inbox_of(tmp_path)
    start = threading.Thread.start

    def none_left(thread: threading.Thread) -> None:
        if thread.name == "ahead":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", none_left)
        keep(inbox, bytes(1000))
    assert len(inbox.waiting(100)) == 1
    assert filled(tmp_path, inbox)
    inbox.close()


def test_an_owed_one_that_somebody_took_away_holds_up_nothing_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as lost, once; the others go on."""
    inbox = inbox_of(tmp_path)
    filled(tmp_path, inbox)
    with _refusing(monkeypatch, "fdatasync", errno.EIO, of=".told") as refused, capture_logs() as events:
        keep(inbox, b"taken away", association="a1")
        (told,) = acknowledged(tmp_path / "coming")
        inbox.ended("a1")
        wait_until(lambda: bool(refused), 60, "the disk refused")
        told.unlink()
        wait_until(lambda: any(one["event"] == "inbox.torn" for one in events), 60, "it is told")
    wait_until(lambda: not _behind(inbox, []), 60, "others are kept again")
    inbox.close()


def test_files_that_cannot_be_written_ahead_hold_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instances go on into files of their own; operators are told once."""
    inbox = inbox_of(tmp_path)
    with _refusing(monkeypatch, "fsync", errno.EIO, of=".slot"), capture_logs() as events:
        keep(inbox, bytes(1000))
        wait_until(lambda: any(one["event"] == "inbox.not_ahead" for one in events), 60, "it is told")
        assert slots(tmp_path) == []
        keep(inbox, bytes(1000))
    assert len(inbox.waiting(100)) == 2


# ---- the next receiver


def test_the_next_receiver_begins_where_this_one_was(tmp_path: Path, durability: Durability) -> None:
    """As many of that size, before anything came; a plan that is no plan is none."""
    inbox = inbox_of(tmp_path, durability)
    count = len(filled(tmp_path, inbox))
    inbox.close()
    after = inbox_of(tmp_path, durability)
    after.write_ahead()
    wait_until(lambda: len(slots(tmp_path)) == count, 60, "it has as many")
    after.close()
    for plan in ("", "65536", "65536 -4", "1 1", "99999999999 5", "x y"):
        (tmp_path / "ahead" / "plan").write_text(plan)
        other = inbox_of(tmp_path, durability)
        other.write_ahead()
        time.sleep(0.05)
        assert slots(tmp_path) == []
        other.close()


def test_a_report_behind_a_study_leaves_the_plan(tmp_path: Path, durability: Durability) -> None:
    """A dose report of a few kilobytes follows most CTs; a study of small images is another matter."""
    inbox = inbox_of(tmp_path, durability)
    before = filled(tmp_path, inbox, 8)
    keep(inbox, bytes(2000), association="a1")
    inbox.ended("a1")
    wait_until(lambda: len(inbox.waiting(100)) == 9, 60, "it is an entry")
    still(tmp_path)
    assert (len(slots(tmp_path)), slots(tmp_path)[0].stat().st_size) == (len(before), 5 * 65536 + 4096)
    filled(tmp_path, inbox, 8, size=20_000)
    assert {path.stat().st_size for path in slots(tmp_path)} == {65536 + 4096}
    inbox.close()


def test_what_waits_behind_a_long_one_is_not_passed_over(tmp_path: Path) -> None:
    """The horizon of the index is when the oldest began to come: one that ended before it, and is not named yet, is behind the horizon."""
    inbox = inbox_of(tmp_path)
    filled(tmp_path, inbox)
    for entry in inbox.waiting(100):
        entry.unlink()
    long = inbox.begin(reception(association="a1"))
    long.write(bytes(2 * MOST_BYTES))
    keep(inbox, b"short", association="a2")
    ended = acknowledged(tmp_path / "coming")[0].stat().st_mtime
    time.sleep(0.05)
    long.keep()
    (entry,) = inbox.waiting(100)
    assert entry.stat().st_mtime > ended
    until = journaled_until(mock.Mock(at=lambda stamp: datetime.fromtimestamp(stamp, UTC)), inbox, tmp_path)
    assert until is not None
    assert until.timestamp() < ended
    inbox.close()


def test_an_encrypted_instance_fits_as_any_other(tmp_path: Path, durability: Durability) -> None:
    """Its encrypted bytes are what is proven."""
    key = key_of(bytes(range(32)))
    encryption = FileEncryption(
        EncryptionKeys(first=key, by_id={key.id: key}), lambda: DecryptedFiles(tmp_path / "opened", most_bytes=2**20, on_disk=True)
    )
    inbox = inbox_of(tmp_path, durability, encryption=encryption)
    filled(tmp_path, inbox)
    keep(inbox, b"secret" * 1000, association="a1")
    inbox.ended("a1")
    wait_until(lambda: len(inbox.waiting(100)) == 5, 60, "it is an entry")
    entry = inbox.waiting(100)[-1]
    assert b"secret" not in entry.read_bytes()
    with inbox.opened(entry) as opened:
        assert opened.read_bytes().endswith(b"secret" * 1000)
    inbox.close()
