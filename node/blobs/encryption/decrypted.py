"""Decrypted copies of encrypted files while they are in use: a folder in memory, bounded, shared by the processes of one host.

It is emptied when the first process comes and when the last one goes; what a crash of all leaves lies in memory until either happens, or
the machine is switched off. What is in memory, and may get from there onto a disk, is read from /proc, which Linux has.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

from node.blobs.cache import Cache
from node.blobs.encryption.encrypted_file import EncryptionKeys, Encryptor, decrypted
from node.blobs.files import FOLDER_MODE, Bytes, WriterLock, write_flushed
from node.blobs.port import BlobsFailed
from node.domain.errors import ConfigError, JournalError

_LOCK = "in-use.lock"
_ENTRIES = "entries"
_FORGET_S = 600.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


class DecryptedOnDisk(ConfigError):
    """Where opened files would lie is a disk, or is too small, or is somebody else's."""

    code = "HLM-2075"
    remedy = (
        "Name a folder on a tmpfs that holds `memory` under `store: {encryption: {folder: …}}` (in a container: `--shm-size`); or, if "
        "that disk is itself encrypted, say `on_disk: true`."
    )


class DecryptedFull(JournalError):
    """There is no room in memory for what has to be opened: jobs that run now hold it."""

    code = "HLM-7058"
    remedy = (
        "It goes on by itself when they end. Should it come again: raise `store: {encryption: {memory: …}}` (the largest study, times "
        "`workers`), and with it the tmpfs below it."
    )
    retry = True


class DecryptedFiles:
    """Keeps decrypted copies below `root`, by the names of their blobs.

    Parameters
    ----------
    most_bytes
        The bound of all copies together, `hold`s included.
    on_disk
        Let `root` be on a disk.

    Raises
    ------
    DecryptedOnDisk
        `root` lies on a disk, has not so much room, or is not this user's own.
    """

    def __init__(self, root: Path, *, most_bytes: int, on_disk: bool = False) -> None:
        try:
            _use(self, root)
            if not on_disk and not lies_in_memory(root):
                raise DecryptedOnDisk(f"{root} lies on a disk, not in memory")
            if (there := whole_memory(root)) < most_bytes:
                raise DecryptedOnDisk(f"{root} has room for {there / 2**20:.0f} MiB, and `memory` is {most_bytes / 2**20:.0f} MiB")
            self.most_bytes = most_bytes
            self.root = root
            self._cache = Cache(root, most_bytes=most_bytes, min_free_bytes=0)
            self._writer = WriterLock(self.folder(_ENTRIES))
        except (OSError, BlobsFailed) as failed:
            raise DecryptedOnDisk(f"{root} cannot be used: {getattr(failed, 'strerror', None) or failed}") from failed

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
        DecryptedFull
            What is in use leaves no room.
        """
        if not self._cache.make_room(size):
            raise DecryptedFull(f"{size} bytes more find no room beside what is in use")
        try:
            self._cache.add(name, parts)
        except BlobsFailed as failed:
            if isinstance(failed.__cause__, OSError) and failed.__cause__.errno in _NO_ROOM:
                raise DecryptedFull(str(failed)) from failed
            raise

    def drop(self, name: str) -> None:
        """Forget a copy; an absent one is no error."""
        with contextlib.suppress(OSError):
            self._cache.drop(name)

    def hold(self) -> AbstractContextManager[None]:
        """Let nothing that this thread finds inside the block go before its end."""
        return self._cache.hold()

    def sweep(self) -> None:
        """Drop what was not asked for in ten minutes."""
        self._cache.forget(unused_s=_FORGET_S)

    @contextlib.contextmanager
    def once(self, parts: Iterable[Bytes], like: os.stat_result) -> Iterator[Path]:
        """A file of these bytes for the time of the block, as old as `like` says; beside the bound, so that no job keeps what came in from
        being looked at.

        Raises
        ------
        DecryptedFull
            The memory is full.
        """
        path = self._writer.path(uuid.uuid4().hex)
        try:
            write_flushed(path, parts)
            os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))
        except OSError as failed:
            if failed.errno not in _NO_ROOM:
                raise
            raise DecryptedFull(f"{self.root} is full") from failed
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


class FileEncryption:
    """Encrypts and decrypts with the keys of one node; its place in memory is made when the first file is opened.

    Parameters
    ----------
    memory
        Makes the place; DecryptedOnDisk where it is none.
    """

    def __init__(self, keys: EncryptionKeys, memory: Callable[[], DecryptedFiles]) -> None:
        self.keys = keys
        self.encryptor = Encryptor(keys.first)
        self._memory = memory

    @cached_property
    def memory(self) -> DecryptedFiles:
        """Where files lie decrypted."""
        return self._memory()

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[Path]:
        """A file with the content of `path`, for the time of the block: itself, where it is not encrypted.

        Raises
        ------
        DecryptionFailed, KeyUnknown, DecryptedFull
            There is none.
        """
        parts = decrypted(path, self.keys)
        if parts is None:
            yield path
            return
        with contextlib.closing(parts), self.memory.once(parts, os.stat(path)) as copy:
            yield copy


def is_left_behind(root: Path) -> bool:
    """Whether `root` is such a folder of this user's, and no process uses it: its processes were killed, or the last is just going."""
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
        raise DecryptedOnDisk(f"{root} is not a folder of this user's own (mode 0700)")


def _use(user: object, root: Path) -> None:
    """Share `root` with the other processes that use it, until `user` is gone; empty it when no other process does, now and then."""
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


# ---- what lies in memory
def lies_in_memory(folder: Path) -> bool:
    """Whether `folder` is on a tmpfs or ramfs; where the system does not say, it is not."""
    resolved, device = folder.resolve(), os.stat(folder).st_dev
    named = f"{os.major(device)}:{os.minor(device)}"
    for line in _lines(Path("/proc/self/mountinfo")):
        before, _, behind = line.partition(" - ")
        fields = before.split()
        # proc(5): 36 35 98:0 /root /mount/point options - type source
        if len(fields) > 4 and fields[2] == named and resolved.is_relative_to(_unescaped(fields[4])):
            return behind.split()[0] in _IN_MEMORY
    return False


def whole_memory(folder: Path) -> int:
    """How many bytes the file system of `folder` has in all: what others hold of it now may be gone when it is needed."""
    status = os.statvfs(folder)
    return status.f_blocks * status.f_frsize


def swaps() -> list[str]:
    """Where the system writes memory to when it runs short of it; swap in compressed memory (zram) is none."""
    return [name for line in _lines(Path("/proc/swaps"))[1:] if (name := line.split()[0]) and not Path(name).name.startswith("zram")]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _unescaped(field: str) -> str:
    """A mount point as a path: blanks and the like stand as three octal digits."""
    for character in " \t\n\\":
        field = field.replace(f"\\{ord(character):03o}", character)
    return field
