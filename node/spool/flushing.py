"""Shared flushes: one serves all threads that wait, and the disk may begin before any does."""

import contextlib
import ctypes
import errno
import threading
from collections.abc import Callable
from functools import lru_cache

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
