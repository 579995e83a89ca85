"""Durable files and folders: a power loss leaves all of a file or nothing, all are private to the user that the node runs as, and a place
on the disk is known again, so that nothing is written where something else was mounted."""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
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
