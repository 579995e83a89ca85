"""Who writes in a folder, and whether he still lives: a lock that the kernel takes from whoever dies, however he dies.

Whatever a writer makes in the folder bears his token in its name. He holds his life's lock before the first such file exists, so that
whoever opens the folder at any moment can tell what a dead one left from what is being written, without a lock on every file.
"""

import contextlib
import fcntl
import os
import threading
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path

_LIFE = ".life"
_BETWEEN = "-"


class Writer:
    """One writer in `folder`, alive from its first file until it is forgotten or its process dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._beginning = threading.Lock()
        self._token = ""

    def path(self, name: str) -> Path:
        """Where this writer's file `name` lies; OSError when the disk does not take the sign that it lives."""
        return self._folder / self.named(name)

    def named(self, name: str) -> str:
        """What this writer's file `name` is called in the folder; OSError as above."""
        if not self._token:
            with self._beginning:
                if not self._token:
                    fd, life = _begin(self._folder)
                    weakref.finalize(self, _end, fd, life, os.getpid())
                    self._token = life.stem
        return f"{self._token}{_BETWEEN}{name}"


def sweep(folder: Path) -> int:
    """Delete what dead writers left in `folder`; how many files."""
    swept = 0
    for paths in left(folder):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                swept += 1
    return swept


def left(folder: Path) -> Iterator[list[Path]]:
    """For each writer that died in `folder`, what it left; no other process meets the same while the caller handles it.

    A file that bears no known token is a dead writer's: a life is there before its files are.
    """
    by_token: dict[str, list[Path]] = {}
    with os.scandir(folder) as entries:
        for one in entries:
            by_token.setdefault(token_of(one.name), []).append(Path(one.path))
    for token, paths in by_token.items():
        with _dead(folder / f"{token}{_LIFE}") as dead:
            if dead:
                yield [path for path in paths if path.suffix != _LIFE]


def token_of(path: str) -> str:
    """Of the writer whose file this is."""
    return path.rpartition("/")[2].partition(_BETWEEN)[0].removesuffix(_LIFE)


def _begin(folder: Path) -> tuple[int, Path]:
    while True:
        path = folder / f"{uuid.uuid4().hex}{_LIFE}"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd, path
        except BaseException:
            _end(fd, path, os.getpid())
            raise
        # between the two calls somebody took it for a dead one's: nothing bears its token yet, so another one does as well
        os.close(fd)


def _end(fd: int, path: Path, owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork that ends; who wrote goes on
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(fd)


@contextlib.contextmanager
def _dead(life: Path) -> Iterator[bool]:
    """Whether nobody lives that life (any more); its file goes last, so that a sweep that dies half-way is taken up by the next."""
    try:
        fd = os.open(life, os.O_RDWR | os.O_CLOEXEC)
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
            life.unlink()
    finally:
        os.close(fd)
