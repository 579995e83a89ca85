"""Writing a file so that a power loss leaves all of it or nothing, and private to the user that the node runs as."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

Bytes: TypeAlias = bytes | memoryview

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_MOST_AT_ONCE = 1 << 30  # one write takes no more than 2 GiB
_MOST_PARTS = 256  # of the 1024 that Linux takes


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
    except BaseException:
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


def cut(fd: int, size: int, *, least_ns: int = 0) -> None:
    """Make a file shorter, and no younger: when it was written last is when its instance came, and that was not before `least_ns`."""
    before = os.fstat(fd)
    os.ftruncate(fd, size)
    os.utime(fd, ns=(before.st_atime_ns, max(before.st_mtime_ns, least_ns)))


def flush_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it, private and durable.

    One that was there is flushed too: whoever made it may have been killed, or its disk have failed, before its name was durable. Levels
    are made one after the other, so that nothing above the deepest one that is there can be in that state.
    """
    if folder.is_dir():
        with contextlib.suppress(PermissionError):  # it lies in what is somebody else's, who made it
            flush_folder(folder.parent)
        return
    make_folder(folder.parent)
    # not mkdir(exist_ok=True): it says that a folder exists which was there and is gone again, and nobody would try again
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, FOLDER_MODE)
    flush_folder(folder.parent)
