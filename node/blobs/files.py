"""Durable files and folders: a power loss leaves all of a file or nothing, all are private to the user that the node runs as, and a place
on the disk is known again, so that nothing is written where something else was mounted.

The writer lock tells whether the process that writes files in a folder still runs (flock; released by the kernel when it ends). Every file
of a writer has its token in its name. The writer holds its lock before the first such file exists, so that a process that opens the folder
at any moment can tell what an ended writer left from what is being written, without a lock on every file.
"""

import contextlib
import fcntl
import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

Bytes: TypeAlias = bytes | memoryview

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_MOST_AT_ONCE = 1 << 30  # one write takes no more than 2 GiB
_MOST_PARTS = 256  # of the 1024 that Linux takes
_TRIES = 20
_MOST_FOLDERS = 10_000


def write_flushed(path: Path, parts: Iterable[Bytes]) -> None:
    """Create `path` with these bytes, on disk when it returns; its name is not durable yet. Leaves nothing behind when it fails."""
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            for part in parts:
                write_all(fd, part)
            os.fdatasync(fd)
        finally:
            os.close(fd)
    except BaseException:  # raised again: no part of a file stays, whatever ended the writing
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def write_parts(fd: int, parts: Sequence[Bytes]) -> None:
    """Write all of them, one behind the other, however little the system takes at once."""
    written = os.writev(fd, parts[:_MOST_PARTS])
    for part in parts:
        if written < len(part):
            write_all(fd, memoryview(part)[written:])
            written = 0
        else:
            written -= len(part)


def write_all(fd: int, data: Bytes) -> None:
    """Write all of it, however little the system takes at once."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left[:_MOST_AT_ONCE]) :]


def flush_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it, private and durable.

    One that was there is flushed too: the process that made it may have been killed, or its disk have failed, before its name was durable.
    Levels are made one after the other, so that nothing above the deepest one that is there can be in that state.
    """
    if folder.is_dir():
        with contextlib.suppress(PermissionError):  # it lies in a folder of another user, who made it
            flush_folder(folder.parent)
        return
    make_folder(folder.parent)
    # not mkdir(exist_ok=True): it says that a folder exists which was there and is gone again, and no caller would try again
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, FOLDER_MODE)
    flush_folder(folder.parent)


class DurableFolders:
    """Makes folders below `root` when they are needed, and makes their names durable; `root` itself is.


    A file system may bring a rename to the disk without the folder that it leads into, so a folder's name is flushed first. That it is
    there says nothing: the process that made it may have been killed before that, or its flush have failed. A process therefore believes
    what it has flushed itself, and flushes each other one once.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: set[Path] = set()

    def act(self, folder: Path, act: Callable[[], object]) -> None:
        """Do something that needs `folder`, and again should another process, deleting its last file, take it away in between.

        Raises
        ------
        OSError
            The folder cannot be made or flushed, and nothing was done; or what `act` raises.
        """
        for last in [False] * _TRIES + [True]:
            try:
                self._make(folder)
                act()
            except FileNotFoundError:
                self._durable.difference_update((folder, *folder.parents))
                if last:
                    raise
            else:
                return

    def _make(self, folder: Path) -> None:
        if folder in self._durable or folder == self._root:
            return
        self._make(folder.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, FOLDER_MODE)
        flush_folder(folder.parent)
        if len(self._durable) >= _MOST_FOLDERS:
            self._durable.clear()
        self._durable.add(folder)


class Place:
    """What lay at `path` when this was made (a folder or a file, known by device and inode) and must stay there; the owner made sure that
    it is the right one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode = _inode(path)

    def why(self) -> str:
        """Why it is not what it was, as a sentence without its end; "" while it is."""
        try:
            inode = _inode(self.path)
        except FileNotFoundError:
            return f"{self.path} was deleted or moved, or its file system is not mounted any more"
        except OSError as refused:
            return f"{self.path}: {refused.strerror}"
        return "" if inode == self._inode else f"{self.path} is not what it was: something else was put or mounted there"

    def taken(self) -> bool:
        """Whether something lies there now that is not what it was."""
        try:
            return _inode(self.path) != self._inode
        except OSError:
            return False


def _inode(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


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
