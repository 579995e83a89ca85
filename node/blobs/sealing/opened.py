"""Where encrypted files lie decrypted while they are in use: a folder in memory, bounded, shared by the processes of one host.

It is emptied when the first process comes and when the last one goes; what a crash of all leaves lies in memory until either happens, or
the machine is switched off.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import uuid
import weakref
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from node.blobs.cache import Cache
from node.blobs.errors import BlobsFailed
from node.blobs.files import FOLDER_MODE, Bytes, write_flushed
from node.blobs.lives import Writer
from node.blobs.sealing.errors import OpenedFull, OpenedOnDisk
from node.blobs.sealing.memory import lies_in_memory, whole_memory

_LOCK = "in-use.lock"
_ENTRIES = "entries"
_FORGET_S = 600.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Opened:
    """Decrypted copies below `root`, by the names of their blobs.

    Parameters
    ----------
    most_bytes
        The bound of all copies together, `hold`s included.
    on_disk
        Let `root` be on a disk.

    Raises
    ------
    OpenedOnDisk
        `root` lies on a disk, has not so much room, or is not this user's own.
    """

    def __init__(self, root: Path, *, most_bytes: int, on_disk: bool = False) -> None:
        try:
            _use(self, root)
            if not on_disk and not lies_in_memory(root):
                raise OpenedOnDisk(f"{root} lies on a disk, not in memory")
            if (there := whole_memory(root)) < most_bytes:
                raise OpenedOnDisk(f"{root} has room for {there / 2**20:.0f} MiB, and `memory` is {most_bytes / 2**20:.0f} MiB")
            self.most_bytes = most_bytes
            self.root = root
            self._cache = Cache(root, most_bytes=most_bytes, min_free_bytes=0)
            self._writer = Writer(self.folder(_ENTRIES))
        except (OSError, BlobsFailed) as failed:
            raise OpenedOnDisk(f"{root} cannot be used: {getattr(failed, 'strerror', None) or failed}") from failed

    def folder(self, name: str) -> Path:
        """A folder beside the copies, for what else must not lie on a disk; it goes when they go."""
        folder = self.root / name
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        return folder

    def find(self, name: str) -> Path | None:
        """The copy, marked as used and held for the `hold` around; None when there is none."""
        return self._cache.find(name)

    def add(self, name: str, parts: Iterable[Bytes], size: int) -> None:
        """Keep a copy of `size` bytes.

        Raises
        ------
        OpenedFull
            What is in use leaves no room.
        """
        if not self._cache.make_room(size):
            raise OpenedFull(f"{size} bytes more find no room beside what is in use")
        try:
            self._cache.add(name, parts)
        except BlobsFailed as failed:
            if isinstance(failed.__cause__, OSError) and failed.__cause__.errno in _NO_ROOM:
                raise OpenedFull(str(failed)) from failed
            raise

    def drop(self, name: str) -> None:
        """Forget a copy; an absent one is no error."""
        with contextlib.suppress(OSError):
            self._cache.drop(name)

    def hold(self) -> AbstractContextManager[None]:
        """Let nothing that this thread finds inside the block go before its end."""
        return self._cache.hold()

    def sweep(self) -> None:
        """Drop what nobody asked for in ten minutes."""
        self._cache.forget(unused_s=_FORGET_S)

    @contextlib.contextmanager
    def once(self, parts: Iterable[Bytes], like: os.stat_result) -> Iterator[Path]:
        """A file of these bytes for the time of the block, as old as `like` says; beside the bound, so that no job keeps what came in from
        being looked at.

        Raises
        ------
        OpenedFull
            The memory is full.
        """
        path = self._writer.path(uuid.uuid4().hex)
        try:
            write_flushed(path, parts)
            os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))
        except OSError as failed:
            if failed.errno not in _NO_ROOM:
                raise
            raise OpenedFull(f"{self.root} is full") from failed
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def is_left_behind(root: Path) -> bool:
    """Whether `root` is such a folder of this user's, and nobody uses it: its processes were killed, or the last is just going."""
    try:
        about = root.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return False
        fd = os.open(root / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _make_private(root: Path) -> None:
    """Make `root` where it is missing; whoever could have put another one there must not be able to read in it."""
    root.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    with contextlib.suppress(FileExistsError):
        os.mkdir(root, FOLDER_MODE)
    about = root.lstat()
    if not root.is_dir() or root.is_symlink() or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise OpenedOnDisk(f"{root} is not a folder of this user's own (mode 0700)")


def _use(user: object, root: Path) -> None:
    """Share `root` with whoever uses it, until `user` is gone; empty it when nobody else does, now and then."""
    while True:
        _make_private(root)
        try:
            fd = os.open(root / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue  # the last one took it away in this very moment
        _empty_if_alone(fd, root)
        fcntl.flock(fd, fcntl.LOCK_SH)
        if os.fstat(fd).st_nlink:
            break
        os.close(fd)  # it was taken away while this one waited
    weakref.finalize(user, _leave, fd, root, os.getpid())


def _leave(fd: int, root: Path, owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork that ends
    with contextlib.suppress(OSError):
        if _empty_if_alone(fd, root):
            os.unlink(root / _LOCK)
            os.rmdir(root)
    os.close(fd)


def _empty_if_alone(fd: int, root: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    for one in os.scandir(root):
        if one.is_dir(follow_symlinks=False):
            shutil.rmtree(one.path, ignore_errors=True)
        elif one.name != _LOCK:
            os.unlink(one.path)
    return True
