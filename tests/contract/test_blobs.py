"""What every plug-in behind the blobs port, and the inbox beside it, promises."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian, MRImageStorage

from node.blobs.folder import FolderBlobs
from node.blobs.port import Blobs
from node.dicom.part10 import received_head
from node.dimse.port import Intake
from node.domain.errors import JournalError, RefusedError
from node.domain.instance import Reception
from node.spool.inbox import FolderInbox, UploadingInbox
from tests.lab.spool import half_written, keep_whole


@pytest.fixture
def inbox(tmp_path: Path) -> FolderInbox:
    """An inbox that any disk has room for."""
    return FolderInbox(tmp_path / "blobs", min_free_bytes=0)


def reception(**other: object) -> Reception:
    """What a listener would hand over."""
    given = {
        "sop_instance_uid": "1.2.3",
        "sop_class_uid": str(MRImageStorage),
        "transfer_syntax_uid": str(ImplicitVRLittleEndian),
        "calling_ae": "PACS",
        "called_ae": "HILUM",
        "address": "192.0.2.1",
        "association": "a1",
        "received_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Reception(**{**given, **other})  # type: ignore[arg-type]


def keep(inbox: Intake, dataset: bytes = b"the bytes", **other: object) -> None:
    """What a listener does with one instance."""
    keep_whole(inbox, reception(**other), dataset)


# ---- blobs
def test_what_is_put_is_there(blobs: Blobs) -> None:
    """Bytes and memory views, at any depth."""
    blobs.put("results/1/a.dcm", b"abc")
    blobs.put("b", memoryview(b"xyz"))
    assert blobs.path("results/1/a.dcm").read_bytes() == b"abc"
    assert blobs.path("b").read_bytes() == b"xyz"


def test_equal_bytes_may_be_put_again_and_others_not(blobs: Blobs) -> None:
    """A name is made from what it holds: the same again is a retry, something else a defect; the first bytes stay."""
    blobs.put("a", b"abc")
    blobs.put("a", b"abc")
    for other in (b"abd", b"abcd", b""):
        with pytest.raises(JournalError):
            blobs.put("a", other)
    assert blobs.path("a").read_bytes() == b"abc"


def test_an_absent_blob_has_a_path_and_can_be_deleted(blobs: Blobs) -> None:
    """Deleting is idempotent, and `path` asks no disk."""
    assert not blobs.path("x/y").exists()
    blobs.delete("x/y")
    blobs.put("x/y", b"1")
    blobs.delete("x/y")
    blobs.delete("x/y")
    assert not blobs.path("x/y").exists()


def test_names_are_listed_by_prefix(blobs: Blobs) -> None:
    """Every blob once, none of the spool's files."""
    for name in ("a/1", "a/2", "ab", "b/c/d"):
        blobs.put(name, b"")
    assert sorted(blobs.names()) == ["a/1", "a/2", "ab", "b/c/d"]
    assert sorted(blobs.names("a")) == ["a/1", "a/2", "ab"]
    assert list(blobs.names("z")) == []


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../up", "inbox/x", "aside/x", "partial/x", "cache/x", "hold/x"])
def test_names_that_are_none_of_ours_are_defects(blobs: Blobs, name: str) -> None:
    """No name leaves the folder or reaches into the spool."""
    with pytest.raises(AssertionError):
        blobs.path(name)


def test_deleting_and_putting_in_one_folder_at_once(blobs: Blobs) -> None:
    """Emptied folders go, and whoever is about to write into one makes it again."""
    stop = threading.Event()

    def delete() -> None:
        while not stop.is_set():
            blobs.put("series/other", b"")
            blobs.delete("series/other")

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        for number in range(100 if isinstance(blobs, FolderBlobs) else 20):
            blobs.put(f"series/{number}", b"1")
            blobs.delete(f"series/{number}")
    finally:
        stop.set()
        thread.join()
    assert list(blobs.names()) == []


def test_many_processes_may_put_the_same(blobs: Blobs) -> None:
    """Two jobs with one result: both succeed, one file stands."""
    threads = [threading.Thread(target=blobs.put, args=("same", b"x" * 100_000)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(blobs.names()) == ["same"]
    assert blobs.path("same").stat().st_size == 100_000


def test_what_is_there_is_told_without_being_fetched(blobs: Blobs) -> None:
    """Before and after it is put, and after it is deleted."""
    assert not blobs.has("a/b")
    blobs.put("a/b", b"1")
    assert blobs.has("a/b")
    blobs.delete("a/b")
    assert not blobs.has("a/b")


def test_names_are_listed_by_age(blobs: Blobs) -> None:
    """What was put just now is younger than a moment ago, whatever its sender's clock said."""
    blobs.put("a/b", b"1")
    assert list(blobs.names(written_before=datetime.now(UTC) - timedelta(minutes=1))) == []
    assert list(blobs.names(written_before=datetime.now(UTC) + timedelta(minutes=1))) == ["a/b"]


def test_what_is_held_stays_readable(blobs: Blobs) -> None:
    """Inside a hold a path leads to the bytes; a hold inside a hold ends by itself."""
    blobs.put("a/b", b"1")
    with blobs.hold():
        first = blobs.path("a/b")
        with blobs.hold():
            assert blobs.path("a/b").read_bytes() == b"1"
        assert first.read_bytes() == b"1"
        assert not blobs.path("a/c").exists()


def test_many_paths_at_once(blobs: Blobs) -> None:
    """In the order that was asked for; what is absent has a path that does not exist."""
    names = [f"series/{number}" for number in range(20)]
    for name in names:
        blobs.put(name, name.encode())
    with blobs.hold():
        assert [path.read_bytes().decode() for path in blobs.paths(names)] == names
        assert [path.exists() for path in blobs.paths(["series/x", names[3], "y"])] == [False, True, False]


def test_the_disk_is_measured_as_df_does(tmp_path: Path) -> None:
    """The share that is used, against the program that operators ask."""
    blobs = FolderBlobs(tmp_path)
    said = (
        subprocess.run(["df", "-P", "-B1", blobs.path("x").parent], capture_output=True, text=True, check=True)
        .stdout.splitlines()[1]
        .split()
    )
    assert blobs.used_share() == pytest.approx(int(said[4].rstrip("%")) / 100, abs=0.02)


def test_blobs_are_private(blobs: Blobs) -> None:
    """For the user that the node runs as, alone."""
    blobs.put("a/b", b"1")
    assert blobs.path("a/b").stat().st_mode & 0o777 == 0o600
    assert blobs.path("a/b").parent.stat().st_mode & 0o777 == 0o700


# ---- inbox
def test_what_is_kept_waits_oldest_first(inbox: FolderInbox) -> None:
    """In the order in which it came, whichever association brought it; `limit` takes the oldest."""
    for number in range(5):
        keep(inbox, bytes([number]), association=f"z{5 - number}")
    waiting = inbox.waiting(10)
    assert [path.read_bytes()[-1] for path in waiting] == [0, 1, 2, 3, 4]
    assert inbox.waiting(2) == waiting[:2]


def test_a_kept_file_is_read_by_others(inbox: FolderInbox) -> None:
    """pydicom reads who sent what, from where; the data set's bytes stand behind the meta information as they came."""
    came = {"address": "2001:db8::1", "calling_ae": "ÄE", "peer": "scanner"}
    keep(inbox, b"\x10\x00\x20\x00\x02\x00\x00\x0042", **came)
    content = inbox.waiting(1)[0].read_bytes()
    assert content.endswith(b"\x10\x00\x20\x00\x02\x00\x00\x0042")
    dataset = dcmread(BytesIO(content))
    assert dataset.PatientID == "42"
    assert dataset.file_meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert dataset.file_meta.SourcePresentationAddress == "dicom://[2001:db8::1]"
    assert dataset.file_meta.FileMetaInformationGroupLength == len(received_head(reception(**came))) - 144
    assert dataset.file_meta.PrivateInformation == b"scanner\0"


def test_no_name_is_the_senders(inbox: FolderInbox, tmp_path: Path) -> None:
    """Whatever a sender calls its instance or itself, the file lies in the inbox under a name of ours."""
    keep(inbox, sop_instance_uid="../../../x", association="../../y", calling_ae="../z")
    (entry,) = inbox.waiting(10)
    assert entry.parent == tmp_path / "blobs" / "inbox"
    assert ".." not in entry.name
    assert "/" not in entry.name


def test_settling_is_a_rename_and_can_be_repeated(inbox: FolderInbox, tmp_path: Path) -> None:
    """The same file, under the blob's name; again after a crash is no error, a blob that nobody has is."""
    keep(inbox)
    (entry,) = inbox.waiting(1)
    inode = entry.stat().st_ino
    inbox.move_to_blobs(entry, "instances/1/a.dcm")
    settled = FolderBlobs(tmp_path / "blobs").path("instances/1/a.dcm")
    assert settled.stat().st_ino == inode
    inbox.move_to_blobs(entry, "instances/1/a.dcm")
    with pytest.raises(JournalError):
        inbox.move_to_blobs(entry, "instances/1/b.dcm")
    assert inbox.waiting(1) == []


def test_setting_aside_keeps_the_file_and_the_reason(inbox: FolderInbox, tmp_path: Path) -> None:
    """Out of the way, not lost; no blob; repeatable."""
    keep(inbox)
    (entry,) = inbox.waiting(1)
    content = entry.read_bytes()
    for _ in range(2):
        kept = inbox.set_aside(entry, "cut off [HLM-3002]")
    assert kept.read_bytes() == content
    assert kept.with_suffix(".txt").read_text() == "cut off [HLM-3002]\n"
    assert inbox.waiting(1) == []
    assert list(FolderBlobs(tmp_path / "blobs").names()) == []


def test_dropping_is_idempotent(inbox: FolderInbox) -> None:
    """The same instance again is deleted; once is enough."""
    keep(inbox)
    (entry,) = inbox.waiting(1)
    inbox.drop(entry)
    inbox.drop(entry)
    assert inbox.waiting(1) == []


def test_no_room_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """0xA700 before a byte is written, when less than `min_free_bytes` would be left."""
    inbox = FolderInbox(tmp_path, min_free_bytes=1 << 62)
    with pytest.raises(RefusedError) as refused:
        keep(inbox)
    assert refused.value.status == 0xA700
    assert half_written(tmp_path) == []
    assert inbox.waiting(10) == []


@pytest.mark.parametrize("call", ["open", "writev", "fdatasync", "rename", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_fails_at_any_step_leaves_nothing(
    inbox: FolderInbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Fault injection at every system call: 0xA700, no file, and the next instance is kept."""

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(RefusedError) as refused:
            keep(inbox)
    assert refused.value.status == 0xA700
    assert half_written(tmp_path / "blobs") == []
    assert inbox.waiting(10) == []
    keep(inbox)
    assert len(inbox.waiting(10)) == 1


def test_what_is_put_again_after_its_name_could_not_be_flushed_has_a_durable_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies there by then, whole: that it is there says nothing about its name, which the second attempt flushes."""
    blobs = FolderBlobs(tmp_path)
    (tmp_path / "results").mkdir()
    flushed: list[Path] = []

    def flush(folder: Path, *, fails: bool) -> None:
        if fails and folder.name == "results":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flushed.append(folder)

    with monkeypatch.context() as patch:
        patch.setattr("node.blobs.folder.flush_folder", partial(flush, fails=True))
        with pytest.raises(JournalError):
            blobs.put("results/1.dcm", b"abc")
    assert blobs.has("results/1.dcm")
    assert tmp_path / "results" not in flushed
    monkeypatch.setattr("node.blobs.folder.flush_folder", partial(flush, fails=False))
    blobs.put("results/1.dcm", b"abc")
    assert flushed[-1] == tmp_path / "results"


@pytest.mark.slow
def test_a_real_full_disk_refuses(tmp_path: Path) -> None:
    """A write beyond the file size limit of the process: the kernel's own error, not a pretended one."""
    program = """
import resource, signal, sys
from pathlib import Path
from node.spool.inbox import FolderInbox
from node.domain.errors import RefusedError
from tests.contract.test_blobs import keep
inbox = FolderInbox(Path(sys.argv[1]), min_free_bytes=0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    keep(inbox, b"x" * 100_000)
except RefusedError as refused:
    print(f"{refused.status:04X}")
keep(inbox, b"x" * 1000)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert "A700" in done.stdout.splitlines()
    assert half_written(tmp_path) == []
    assert [path.suffix for path in (tmp_path / "inbox").iterdir()] == [".dcm"]


@pytest.mark.slow
def test_a_real_small_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """A file system of 4 MiB that fills up: 0xA700, what was kept stays whole, the rest is gone; emptied, it takes instances again."""
    program = """
import sys
from pathlib import Path
from node.spool.inbox import FolderInbox
from node.domain.errors import RefusedError
from tests.contract.test_blobs import keep
from tests.lab.program import wait_until
from tests.lab.spool import half_written, keep_whole
folder = Path(sys.argv[1])
inbox = FolderInbox(folder, min_free_bytes=0)
for number in range(12):
    try:
        keep(inbox, bytes([number]) * 600_000)
    except RefusedError as refused:
        print(f"refused {refused.status:04X}")
assert half_written(folder) == []
for entry in inbox.waiting(100):
    content = entry.read_bytes()
    print("kept", content[-600_000:] == content[-1:] * 600_000)
    inbox.drop(entry)
wait_until(lambda: inbox.crowded() is None, 60, "it takes a write")
keep(inbox, bytes(600_000))
print("again", len(inbox.waiting(10)))
"""
    mounted = f"mount -t tmpfs -o size=4m none {tmp_path} && exec {sys.executable} -c '{program}' {tmp_path}"
    done = subprocess.run(["unshare", "--map-root-user", "--mount", "sh", "-c", mounted], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    said = [line for line in done.stdout.splitlines() if "intake." not in line]
    assert said == ["refused A700"] * 6 + ["kept True"] * 6 + ["again 1"], done.stderr


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing_that_waits(tmp_path: Path) -> None:
    """SIGKILL in the middle of an instance: its half is no entry, and is swept when the inbox is opened again; whole ones stay."""
    program = """
import os, signal, sys
from pathlib import Path
from node.spool.inbox import FolderInbox
from tests.contract.test_blobs import keep
inbox = FolderInbox(Path(sys.argv[1]), min_free_bytes=0)
keep(inbox, b"whole")
os.fdatasync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
keep(inbox, b"half")
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, check=False)
    assert done.returncode == -9
    assert len(half_written(tmp_path)) == 1
    inbox = FolderInbox(tmp_path, min_free_bytes=0)
    assert list((tmp_path / "coming").iterdir()) == []
    (entry,) = inbox.waiting(10)
    assert entry.read_bytes().endswith(b"whole")


_AGAIN = 6
"""open, flock and close, a rest before and after each."""
_PAUSED = """
import fcntl, os, sys
from pathlib import Path
from node.blobs.folder import FolderBlobs
from node.spool.inbox import FolderInbox
from tests.contract.test_blobs import keep
def rest():
    print("paused", flush=True)
    sys.stdin.readline()
def resting(module, name):
    called = getattr(module, name)
    def paused(*given, **named):
        rest()
        done = called(*given, **named)
        rest()
        return done
    setattr(module, name, paused)
folder, what = Path(sys.argv[1]), sys.argv[2]
place = FolderInbox(folder, min_free_bytes=0) if what == "inbox" else FolderBlobs(folder)
for name in ("open", "write", "writev", "fdatasync", "close", "rename", "link", "fsync"):
    resting(os, name)
resting(fcntl, "flock")
keep(place) if what == "inbox" else place.put("a", b"1")
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["inbox", "blobs"])
def test_the_sweep_spares_whoever_is_alive(tmp_path: Path, what: str) -> None:
    """A writer that rests before and after each system call keeps its file, though two more open and sweep the same folder every time."""
    command = [sys.executable, "-c", _PAUSED, str(tmp_path), what]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for rests, line in enumerate(writer.stdout):
            if line == "paused\n":
                # what says that a writer lives may be swept before it is locked, and is made again: once is enough
                for _ in range(0 if _AGAIN <= rests < 2 * _AGAIN else 2):
                    FolderInbox(tmp_path, min_free_bytes=0)
                    FolderBlobs(tmp_path)
                writer.stdin.write("go on\n")
                writer.stdin.flush()
    assert writer.returncode == 0
    if what == "inbox":
        (entry,) = FolderInbox(tmp_path, min_free_bytes=0).waiting(10)
        assert entry.read_bytes().endswith(b"the bytes")
        assert list((tmp_path / "coming").iterdir()) == []
    else:
        assert FolderBlobs(tmp_path).path("a").read_bytes() == b"1"
        assert list((tmp_path / "partial").iterdir()) == []


def test_keeping_flushes_file_then_name(inbox: FolderInbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the promise: the bytes, their name, the folder; only then does `keep` return."""
    calls: list[str] = []

    def traced(name: str, real: Callable[..., Any], *given: Any) -> Any:
        calls.append(name)
        return real(*given)

    for name in ("fdatasync", "rename", "fsync"):
        monkeypatch.setattr(os, name, partial(traced, name, getattr(os, name)))
    keep(inbox)
    assert calls == ["fdatasync", "rename", "fsync"]


def test_many_threads_keep_at_once(inbox: FolderInbox) -> None:
    """Called from many threads: nothing is lost, nothing shares a name."""

    def associate(association: str) -> None:
        for number in range(20):
            keep(inbox, f"{association}-{number}".encode(), association=association)

    threads = [threading.Thread(target=associate, args=(f"a{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_bytes()[-6:] for path in inbox.waiting(1000)}) == len(inbox.waiting(1000)) == 160


# ---- a spool before a folder that several hosts mount
def test_a_spool_brings_its_entries_to_the_shared_folder(tmp_path: Path) -> None:
    """Published they lie in both, settled they have left the spool; one data set that two hosts received is one blob."""
    shared = FolderBlobs(tmp_path / "shared")
    for host in ("one", "other"):
        spool = UploadingInbox(tmp_path / host, shared, min_free_bytes=0)
        keep(spool, calling_ae=host.upper())
        (entry,) = spool.waiting(1)
        content = entry.read_bytes()
        for _ in range(2):
            spool.publish([(entry, f"instances/{host}.dcm"), (entry, "instances/same.dcm")])
        assert shared.path(f"instances/{host}.dcm").read_bytes() == content
        assert spool.waiting(1) == [entry]
        for _ in range(2):
            spool.move_to_blobs(entry, f"instances/{host}.dcm")
        assert spool.waiting(1) == []
    assert sorted(shared.names()) == ["instances/one.dcm", "instances/other.dcm", "instances/same.dcm"]


def test_taking_back_makes_an_entry_of_a_blob(inbox: FolderInbox, tmp_path: Path) -> None:
    """The same bytes wait again; the blob stays."""
    blobs = FolderBlobs(tmp_path / "blobs")
    blobs.put("instances/a.dcm", b"x" * 3_000_000)
    inbox.take_back(blobs.path("instances/a.dcm"))
    (entry,) = inbox.waiting(10)
    assert entry.read_bytes() == b"x" * 3_000_000
    assert blobs.has("instances/a.dcm")
