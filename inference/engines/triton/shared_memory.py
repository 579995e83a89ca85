"""A pool of system shared memory that this process and a Triton server on the same machine both see.

A region is a file in /dev/shm, locked (flock) by the process that made it for as long as that lives: the kernel lets the lock go with
the process, however it ends, so that the next start knows which files nobody owns. Regions are kept and used again: to register one costs
the server a mapping, and to unregister one right after its use fails. A region whose call was given up is never used again: the
server may still write to it.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIX = "hilum-"
FOLDER = Path("/dev/shm")
_LEAST = 2**20
_STEPS = 4  # classes between two powers of two: at most a quarter of a region stays empty
_LOOSE = 4  # an idle region is taken for what needs at least a quarter of it
_IDLE_S = 300.0
_NO_ROOM = {errno.ENOSPC, errno.ENOMEM, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True, kw_only=True, eq=False)
class Region:
    """One region: `name` is the file's and the one that it is registered under; `life` the server's life in which it was registered."""

    name: str
    size: int
    descriptor: int
    memory: mmap.mmap
    life: int = -1
    idle_since: float = field(default=0.0)

    def bytes(self, offset: int, size: int) -> NDArray[np.uint8]:
        """A view of a piece."""
        return np.frombuffer(self.memory, np.uint8, size, offset)

    def write(self, offset: int, array: NDArray[Any]) -> None:
        """Copy an array to `offset`, in C order, whatever its own strides are."""
        np.copyto(np.ndarray(array.shape, array.dtype, self.memory, offset), array)


class Pool:
    """Regions of this process, leased for one call each. May be used by many threads.

    Parameters
    ----------
    register
        Has the server map a region (name, size); raises when it cannot.
    unregister
        Has the server let go of a region (name): False when it is still in use there.
    limit
        Bytes that all regions together may take.
    seconds
        A clock that only goes forward.
    """

    def __init__(
        self,
        register: Callable[[str, int], None],
        unregister: Callable[[str], bool],
        *,
        limit: int,
        folder: Path = FOLDER,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._register = register
        self._unregister = unregister
        self._limit = limit
        self._folder = folder
        self._seconds = seconds
        self._lock = threading.Lock()
        self._idle: list[Region] = []
        self._leased: set[Region] = set()
        self._leftover: set[str] = set()
        self._life = 0
        self._closed = False

    @property
    def held(self) -> int:
        """Bytes that the regions take now."""
        with self._lock:
            return self._held()

    @contextlib.contextmanager
    def lease(self, size: int) -> Iterator[Region | None]:
        """A region of at least `size` bytes, registered, for as long as the block lasts; None where there is no room.

        After a block that raised, the region is let go of for good: the call may still be under way on the server.
        """
        region = self._take(size)
        if region is None:
            yield None
            return
        try:
            if region.life != self._life:
                life = self._life
                self._register(region.name, region.size)
                region.life = life
            yield region
        except BaseException:  # raised again: a call that broke off may still write there: the region is given up
            with self._lock:
                self._drop(region)
            raise
        with self._lock:
            self._leased.discard(region)
            region.idle_since = self._seconds()
            if self._closed:
                self._drop(region)
            else:
                self._idle.append(region)

    def forget(self) -> None:
        """The server lost its registrations (it was started again): every region is registered anew before its next use."""
        with self._lock:
            self._life += 1

    def tidy(self) -> None:
        """Let go of regions that nobody needed for minutes, and have the server let go of those that are gone here."""
        with self._lock:
            for region in [each for each in self._idle if self._seconds() - each.idle_since > _IDLE_S]:
                self._drop(region)
            names = sorted(self._leftover)
        for name in names:
            if self._unregister(name):
                with self._lock:
                    self._leftover.discard(name)

    def close(self) -> None:
        """Let go of everything; regions that are leased follow when their calls end."""
        with self._lock:
            self._closed = True
            for region in list(self._idle):
                self._drop(region)
        self.tidy()

    def _take(self, size: int) -> Region | None:
        needed = rounded(size)
        with self._lock:
            fits = [region for region in self._idle if needed <= region.size <= _LOOSE * needed]
            if fits:
                region = min(fits, key=lambda each: each.size)
                self._idle.remove(region)
                self._leased.add(region)
                return region
            made = self._make(needed)
            if made is not None:
                self._leased.add(made)
            return made

    def _make(self, size: int) -> Region | None:
        """A new region; idle ones make room, the longest idle first."""
        while self._held() + size > self._limit:
            if not self._idle:
                return None
            self._drop(min(self._idle, key=lambda region: region.idle_since))
        while True:
            try:
                return create(self._folder, size)
            except OSError as full:
                if full.errno not in _NO_ROOM:
                    raise
                if not self._idle:
                    return None
                self._drop(min(self._idle, key=lambda region: region.idle_since))

    def _drop(self, region: Region) -> None:
        """The file and this process's mapping go; the server's mapping stays until it can be unregistered."""
        if region in self._idle:
            self._idle.remove(region)
        self._leased.discard(region)
        if region.life >= 0:
            self._leftover.add(region.name)
        (self._folder / region.name).unlink(missing_ok=True)
        os.close(region.descriptor)

    def _held(self) -> int:
        return sum(region.size for region in (*self._idle, *self._leased))


def rounded(size: int) -> int:
    """The class of a size: the next quarter step between two powers of two, at least 1 MiB."""
    if size <= _LEAST:
        return _LEAST
    step = 1 << ((size - 1).bit_length() - 1)
    part = step // _STEPS
    return -(-size // part) * part


def create(folder: Path, size: int) -> Region:
    """Make and lock a file of `size` bytes whose pages are there.

    Raises
    ------
    OSError
        No room: better now than a signal at the first byte that does not fit (containers have 64 MB of /dev/shm unless told otherwise).
    """
    host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:32]
    while True:
        name = f"{PREFIX}{host}-{os.getpid()}-{secrets.token_hex(8)}"
        # readable by this user only: it holds patients' images
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink == 0:
                raise BlockingIOError
            os.posix_fallocate(descriptor, 0, size)
            return Region(name=name, size=size, descriptor=descriptor, memory=mmap.mmap(descriptor, size))
        except BlockingIOError:
            os.close(descriptor)  # another process's sweep was faster than the lock; the file is gone
        except OSError:
            (folder / name).unlink(missing_ok=True)
            os.close(descriptor)
            raise


def sweep(folder: Path = FOLDER) -> tuple[str, ...]:
    """Remove the regions of processes that are gone; their names."""
    swept = []
    for file in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or just gone
            descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.unlink()
                swept.append(file.name)
            finally:
                os.close(descriptor)
    return tuple(swept)


def abandoned(registered: Collection[str], folder: Path = FOLDER) -> tuple[str, ...]:
    """Those of hilum's regions that a server has registered and that are no file any more."""
    return tuple(name for name in registered if name.startswith(PREFIX) and not (folder / name).exists())
