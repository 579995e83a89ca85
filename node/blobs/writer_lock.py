"""Writer lock: tells whether the process that writes files in a folder still runs (flock; released by the kernel when it ends).

Every file of a writer has its token in its name. The writer holds its lock before the first such file exists, so that a process that opens
the folder at any moment can tell what an ended writer left from what is being written, without a lock on every file.
"""

import contextlib
import fcntl
import os
import threading
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path

_LOCK = ".life"
_BETWEEN = "-"


class WriterLock:
    """Locks the token of one writer in `folder`, from its first file until this object is forgotten or its process ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._beginning = threading.Lock()
        self._token = ""

    def path(self, name: str) -> Path:
        """Where this writer's file `name` lies; OSError when the disk does not take the lock's file."""
        return self._folder / self.named(name)

    def named(self, name: str) -> str:
        """What this writer's file `name` is called in the folder; OSError as above."""
        if not self._token:
            with self._beginning:
                if not self._token:
                    fd, lock = _begin(self._folder)
                    weakref.finalize(self, _end, fd, lock, os.getpid())
                    self._token = lock.stem
        return f"{self._token}{_BETWEEN}{name}"


def delete_left(folder: Path) -> int:
    """Delete what ended writers left in `folder`; how many files."""
    swept = 0
    for paths in left_by_ended(folder):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                swept += 1
    return swept


def left_by_ended(folder: Path) -> Iterator[list[Path]]:
    """For each ended writer in `folder`, the files that it left; no other process meets the same while the caller handles it.

    A file that has no known token is an ended writer's: a lock is there before its files are.
    """
    by_token: dict[str, list[Path]] = {}
    with os.scandir(folder) as entries:
        for one in entries:
            by_token.setdefault(_token_of(one.name), []).append(Path(one.path))
    for token, paths in by_token.items():
        with _ended(folder / f"{token}{_LOCK}") as ended:
            if ended:
                yield [path for path in paths if path.suffix != _LOCK]


def _token_of(name: str) -> str:
    """The token of the writer whose file is called so."""
    return name.partition(_BETWEEN)[0].removesuffix(_LOCK)


def _begin(folder: Path) -> tuple[int, Path]:
    while True:
        path = folder / f"{uuid.uuid4().hex}{_LOCK}"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd, path
        except BaseException:  # raised again: no lock stays that no writer holds
            _end(fd, path, os.getpid())
            raise
        # between the two calls another process took it for an ended one's: no file has its token yet, so another one does as well
        os.close(fd)


def _end(fd: int, path: Path, owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork that ends; the writer goes on
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(fd)


@contextlib.contextmanager
def _ended(lock: Path) -> Iterator[bool]:
    """Whether no process holds that lock (any more); its file goes last, so that a sweep that ends half-way is finished by the next."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        with contextlib.suppress(FileNotFoundError):
            lock.unlink()
    finally:
        os.close(fd)
