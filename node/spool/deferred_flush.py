"""Deferred flush: instances that were acknowledged are flushed, and named as entries, a little later, many with one flush.

Until then an instance is a file in `coming` whose name tells its length and a checksum of its bytes. The name is given by a rename after
the last byte was written: a process that is killed leaves them all whole, and the process that opens the spool next makes entries of them
(node.spool.inbox). With `durability: each` an instance is an entry before it is acknowledged, by a flush that is shared: one serves all
threads that wait, and the disk may begin before any does.
"""

import contextlib
import ctypes
import errno
import os
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from node.blobs.files import FILE_MODE, flush_folder, write_all
from node.observe.events import alarm
from node.spool.entries import WordSum

_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h; sync_file_range(2): begin to write, wait for nothing


class SharedFlush:
    """Flushes once for all threads that wait: one that comes while a flush runs waits for the next, which one of them does for all.

    A flush that was running already does not count: it may have passed over what was changed since it began.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._turn = threading.Condition()
        self._running = False
        self._next = _Round()

    def wait(self) -> None:
        """Return when a flush that began after this call has ended.

        Raises
        ------
        OSError
            It failed.
        """
        with self._turn:
            mine = self._next
            self._turn.wait_for(lambda: mine.ended or not self._running)
            leads = not mine.ended
            if leads:
                self._running = True
                self._next = _Round()
        if leads:
            self._lead(mine)
        if mine.failed is not None:
            raise OSError(mine.failed.errno, mine.failed.strerror)

    def _lead(self, mine: "_Round") -> None:
        try:
            self._flush()
            mine.failed = None
        except OSError as failed:
            mine.failed = failed
        finally:
            with self._turn:
                mine.ended = True
                self._running = False
                self._turn.notify_all()


class _Round:
    """One flush that threads wait for; failed until it has succeeded."""

    def __init__(self) -> None:
        self.ended = False
        self.failed: OSError | None = OSError(errno.EIO, "the flush did not end")


def begin_to_write(fd: int, offset: int, size: int) -> None:
    """Let the kernel write this part of a file to the disk from now on, so that less is left for the flush; a hint, where there is such."""
    _sync_file_range()(fd, offset, size, _SYNC_FILE_RANGE_WRITE)


@lru_cache(maxsize=1)
def _sync_file_range() -> Callable[[int, int, int, int], object]:
    with contextlib.suppress(AttributeError, OSError):
        call = ctypes.CDLL(None).sync_file_range
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
        return call
    return lambda *_: None


FLUSHED_AFTER_S = 0.5
"""So that, with the time a flush takes, an instance is on disk within a second."""
_AGAIN_S = 1.0
_AT_ONCE = 4
_BATCH = 512  # rather by time than by number: while it is flushed, what comes in waits for the disk and the interpreter
_BATCH_BYTES = 256 * 2**20  # half a second of a disk that writes 512 MiB a second
MOST_WAITING = 1024
"""Instances that wait for their flush: whoever adds one more waits, so that a slow disk slows the network."""
_OF_OPEN_FILES = 4  # each is an open file: at most one of so many that the process may have
_MOST_BYTES = 2**30
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgedInstance:
    """One instance that was acknowledged and is no entry yet; `fd` its open file, so that no error of writing it back is missed."""

    association: str
    fd: int
    path: str
    entry: str
    size: int
    check: int


class DeferredFlush:
    """Queue of instances whose flush is due, and the thread that flushes; bounded, so that a slow disk slows the network.

    Parameters
    ----------
    inbox
        Where instances lie afterwards.
    after_s
        How long an instance waits at most until that is begun.
    kept
        Called after some became entries.
    failed, worked
        Called with the reason when the disk does not take them, and when it took all.
    """

    def __init__(
        self,
        inbox: Path,
        *,
        after_s: float,
        kept: Callable[[], None],
        failed: Callable[[str], None],
        worked: Callable[[], None],
    ) -> None:
        self._after_s = after_s
        self._inbox = inbox
        self._kept = kept
        self._failed = failed
        self._worked = worked
        self._change = threading.Condition()
        self._waiting: list[AcknowledgedInstance] = []
        self._flushing: list[AcknowledgedInstance] = []
        self._torn: list[AcknowledgedInstance] = []
        self._bytes = 0
        self._since = 0.0
        self._again_at = 0.0
        self._at_once = False
        self._behind = False
        self._named = True
        self._lost: set[str] = set()
        """Associations of which an instance that was acknowledged is torn, and gone."""
        self._thread: threading.Thread | None = None
        self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _OF_OPEN_FILES
        self._flushers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="flush")

    def add(self, instance: AcknowledgedInstance) -> None:
        """Add one more to the queue; waits while it is full."""
        with self._change:
            while len(self._waiting) >= min(MOST_WAITING, self._most) or self._bytes >= _MOST_BYTES:
                self._start()
                self._change.wait()
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(instance)
            self._bytes += instance.size
            self._start()
            if len(self._waiting) == 1 or self._due():  # it need not be woken for each
                self._change.notify_all()

    def behind(self) -> bool:
        """Tell whether the disk refuses what was acknowledged before: nothing more is to be acknowledged until it takes that."""
        if self._behind:
            with self._change:
                self._start()
        return self._behind

    def flush(self, association: str | None = None) -> bool:
        """Return when nothing of this association, or of any, waits for its first flush: whether all of it is on the disk."""
        with self._change:
            while any(association in (None, one.association) for one in (*self._waiting, *self._flushing)):
                if self._waiting:  # what is being flushed is waited for only: what comes next is not to be flushed alone
                    self._at_once = True
                self._start()
                self._change.notify_all()
                self._change.wait()
            refused = self._lost | {one.association for one in self._torn}
            return self._named and association not in refused and not (association is None and refused)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="flush", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._due():
                    self._change.wait(self._patience())
                self._flushing, self._waiting, self._bytes, self._at_once = self._waiting, [], 0, False
                self._change.notify_all()  # there is room for more
            done = False
            try:
                self._flush(self._flushing)
                done = True
            finally:
                with self._change:
                    if not done:  # a defect: what is not named yet is written again by the next thread
                        known = {one.path for one in self._torn}
                        self._torn += [one for one in self._flushing if one.path not in known and os.path.exists(one.path)]
                        self._behind = self._behind or bool(self._torn)
                        self._thread = None  # it still ends: a caller that waits is to start another one
                    self._flushing = []
                    self._change.notify_all()

    def _due(self) -> bool:
        now = time.monotonic()
        if self._behind and now >= self._again_at:
            return True
        many = len(self._waiting) >= min(_BATCH, self._most) or self._bytes >= _BATCH_BYTES
        return bool(self._waiting) and (many or self._at_once or now - self._since >= self._after_s)

    def _patience(self) -> float | None:
        ends = [self._since + self._after_s] * bool(self._waiting) + [self._again_at] * self._behind
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _flush(self, batch: list[AcknowledgedInstance]) -> None:
        """The bytes of all, then their names as entries."""
        again, self._torn = self._torn, []
        self._again_at = time.monotonic() + _AGAIN_S
        flushed = [one for one in again if self._write_again(one)]
        for one in batch:
            begin_to_write(one.fd, 0, one.size)
        # at once, so that they share the device's flushes: one after another, each would wait for one of its own
        for one, refused in zip(batch, self._flushers.map(_flushed, batch), strict=True):
            if refused is None:
                flushed.append(one)
            else:
                self._tell(one, refused)
        for one in flushed:
            try:
                os.rename(one.path, one.entry)
            except OSError as refused:
                self._tell(one, refused)
        try:
            flush_folder(self._inbox)
        except OSError as refused:
            self._behind, self._named = True, False
            self._failed(f"names could not be flushed: {refused.strerror}")
            return
        self._named = True
        if not self._torn:
            self._behind = False
            self._worked()
        if flushed:
            self._kept()

    def _write_again(self, one: AcknowledgedInstance) -> bool:
        """The bytes into another file: after a failed flush the kernel takes those of the first for written, and may have dropped them."""
        copy = f"{one.path}.again"
        try:
            check = WordSum()
            with open(one.path, "rb") as written:
                fd = os.open(copy, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
                try:
                    while chunk := written.read(_CHUNK_BYTES):
                        check.add(chunk)
                        write_all(fd, chunk)
                    came = os.fstat(written.fileno())
                    os.utime(fd, ns=(came.st_atime_ns, came.st_mtime_ns))
                    os.fdatasync(fd)
                finally:
                    os.close(fd)
            if check.value != one.check:
                os.unlink(copy)
                os.unlink(one.path)
                self._lost.add(one.association)
                alarm("inbox.torn", instances=1)
                return False
            os.rename(copy, one.path)
        except FileNotFoundError:
            if not os.path.exists(one.entry):  # another process took it away: waiting for it brings nothing back
                self._lost.add(one.association)
                alarm("inbox.torn", instances=1)
            return False
        except OSError as refused:
            with contextlib.suppress(OSError):
                os.unlink(copy)
            self._tell(one, refused)
            return False
        return True

    def _tell(self, one: AcknowledgedInstance, refused: OSError) -> None:
        self._torn.append(one)
        self._behind = True
        self._failed(f"acknowledged instances cannot be flushed: {refused.strerror}")
        alarm("inbox.flush_failed", association=one.association, bytes=one.size, reason=refused.strerror)


def _flushed(one: AcknowledgedInstance) -> OSError | None:
    """Why the bytes could not be flushed; the file is closed."""
    try:
        os.fdatasync(one.fd)
    except OSError as refused:
        return refused
    finally:
        with contextlib.suppress(OSError):
            os.close(one.fd)
    return None
