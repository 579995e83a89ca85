"""The disk that remembers and fails (disk.c): compiled once, preloaded into a node's processes, told what to do, its log read back."""

import contextlib
import ctypes
import errno
import hashlib
import mmap
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from pathlib import Path

from tests.lab.needs import program

_SOURCE = Path(__file__).with_name("disk.c")
_HEAD = struct.Struct("<6I3Q")
_MAGIC = 0x48494C55


class Kind(Enum):
    """What a line of the log tells."""

    CREATE = "c"
    MAKE = "m"  # a folder
    RENAME = "r"
    LINK = "l"
    UNLINK = "u"
    RMDIR = "d"
    WRITE = "w"
    TRUNCATE = "t"
    BEGIN = "b"  # of a flush
    END = "e"  # of one that succeeded: what was written before its beginning is durable
    FAILED = "f"  # what was written before its beginning never will be
    EVERYTHING = "a"  # syncfs ended
    SEND = "s"  # a P-DATA-TF or an A-RELEASE-RP is about to leave


@dataclass(frozen=True, slots=True)
class Line:
    """One change. `offset` of a flush is its token; `inode` of a SEND is the socket's descriptor."""

    kind: Kind
    pid: int
    inode: int
    path: str
    other: str
    offset: int
    length: int
    data: bytes


class Operation(IntFlag):
    """What can be made to fail."""

    WRITE = 1
    FSYNC = 2
    FDATASYNC = 4
    RENAME = 8
    LINK = 16
    UNLINK = 32
    OPEN = 64
    MKDIR = 128
    TRUNCATE = 256
    SEND = 512  # a P-DATA-TF
    READ = 1024
    FLUSH = FSYNC | FDATASYNC
    CHANGE = WRITE | RENAME | LINK | OPEN | MKDIR | TRUNCATE


class Mode(IntEnum):
    """How it fails."""

    FAIL = 0
    SHORT = 1  # a write writes half
    KILL = 2  # SIGKILL to the caller before it is done
    KILL_AFTER = 3


class Victim(IntEnum):
    """Who is killed."""

    SELF = 0
    SUPERVISOR = 1
    NODE = 2  # every process at once


class Lie(IntFlag):
    """A broken receiver, to prove that it is found: flushes that it leaves out, or makes after it has answered."""

    NO_FSYNC = 2
    NO_FDATASYNC = 4
    LATE = 8


class _Control(ctypes.Structure):
    """`struct control` of disk.c."""

    _fields_ = (
        ("active", ctypes.c_uint32),
        ("operations", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("mode", ctypes.c_uint32),
        ("victim", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("skip", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("fired", ctypes.c_uint64),
        ("clock_ns", ctypes.c_int64),
        ("free_bytes", ctypes.c_int64),
        ("lies", ctypes.c_uint32),
        ("spare", ctypes.c_uint32),
        ("path", ctypes.c_char * 128),
        ("process", ctypes.c_char * 64),
    )


def library() -> Path:
    """The compiled disk.c, kept in the temporary folder by the digest of its source."""
    source = _SOURCE.read_bytes()
    built = Path(tempfile.gettempdir()) / f"hilum-disk-{os.getuid()}-{hashlib.sha256(source).hexdigest()[:16]}.so"
    if not built.exists():
        fresh = built.with_suffix(f".{os.getpid()}")
        compiler = program("gcc", "gcc")
        done = subprocess.run(
            [str(compiler), "-shared", "-fPIC", "-O2", "-o", str(fresh), str(_SOURCE), "-ldl"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        fresh.rename(built)
    return built


class Disk:
    """What lies below `root`, as the processes see it that run in `environment`.

    Parameters
    ----------
    root
        The folder of the store; everything in it is written by processes that run in `environment`.
    folder
        Where the log and the control lie: outside `root`.
    records
        Keep a log; without one only faults are injected.
    """

    def __init__(self, root: Path, folder: Path, *, records: bool = True) -> None:
        root.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self._log = folder / "disk.log"
        self._path = control = folder / "disk.control"
        control.write_bytes(bytes(ctypes.sizeof(_Control)))
        with control.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), 0)
        self._control = _Control.from_buffer(self._mapped)
        self._control.free_bytes = -1
        self.environment = {
            "LD_PRELOAD": str(library()),
            "HILUM_DISK_ROOT": str(self.root),
            "HILUM_DISK_CONTROL": str(control),
            **({"HILUM_DISK_LOG": str(self._log)} if records else {}),
        }

    # ---- faults
    def fail(
        self,
        operations: Operation,
        *,
        error: int = errno.EIO,
        mode: Mode = Mode.FAIL,
        victim: Victim = Victim.SELF,
        skip: int = 0,
        count: int = -1,
        path: str = "",
        process: str = "",
        at_once: bool = True,
    ) -> None:
        """From now on such operations on paths that contain `path`, of processes whose command line contains `process`, fail: `skip` of
        them pass first, then `count` fail (-1: all). Without `at_once` not before somebody writes what `begins` says."""
        self.heal()
        told = self._control
        told.operations, told.error, told.mode, told.victim = int(operations), error, int(mode), int(victim)
        told.skip, told.count, told.path, told.process = skip, count, path.encode(), process.encode()
        told.fired = 0
        told.active = int(at_once)

    @property
    def control(self) -> Path:
        """The file through which the processes are told."""
        return self._path

    @staticmethod
    def begins() -> tuple[int, bytes]:
        """What is to be written where into `control`, for the fault to begin."""
        return _Control.active.offset, struct.pack("<I", 1)

    @staticmethod
    def turns(ahead_s: float) -> tuple[int, bytes]:
        """What is to be written where into `control`, for the clock to jump."""
        return _Control.clock_ns.offset, struct.pack("<q", int(ahead_s * 1e9))

    def heal(self) -> None:
        """Nothing fails any more."""
        self._control.active = 0

    @property
    def fired(self) -> int:
        """How often the fault was given."""
        return int(self._control.fired)

    def set_free(self, free_bytes: int | None) -> None:
        """What the file system says is free; None: the truth."""
        self._control.free_bytes = -1 if free_bytes is None else free_bytes

    def break_receiver(self, lie: Lie) -> None:
        """From now on the receiver's flushes lie."""
        self._control.lies = int(lie)

    def turn_clock(self, ahead_s: float) -> None:
        """The real-time clock of every process jumps to `ahead_s` seconds ahead of the truth."""
        self._control.clock_ns = int(ahead_s * 1e9)

    # ---- the log
    def lines(self) -> Iterator[Line]:
        """What happened until now, in its order."""
        raw = self._log.read_bytes()
        at = 0
        while at + _HEAD.size <= len(raw):
            magic, kind, pid, one, two, size, inode, offset, length = _HEAD.unpack_from(raw, at)
            assert magic == _MAGIC, f"the log is broken at {at}"
            body = at + _HEAD.size
            at = body + one + two + size
            if at > len(raw):
                return  # the last line, half written by a process that was killed
            yield Line(
                kind=Kind(chr(kind)),
                pid=pid,
                inode=inode,
                path=os.fsdecode(raw[body : body + one]),
                other=os.fsdecode(raw[body + one : body + one + two]),
                offset=offset,
                length=length,
                data=raw[body + one + two : at],
            )

    def close(self) -> None:
        """Let go of the control."""
        del self._control
        with contextlib.suppress(BufferError):
            self._mapped.close()
