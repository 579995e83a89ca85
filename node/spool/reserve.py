"""Reserve: a file whose blocks are on the disk already, so that some records can still be written when the disk takes nothing more.

It has slots of one size, filled from the front and emptied together; what is overwritten in place needs no room. File systems that never
write in place (btrfs, ZFS) may refuse it all the same.
"""

import contextlib
import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from node.blobs.files import FILE_MODE, flush_folder, write_all

_SLOT_BYTES = 512
"""A sector: it is written whole, or not at all."""
_SLOTS = 4096
_HEAD = struct.Struct("<II16s")  # bytes of the record, their CRC-32, its key; no record: 0
_AT_ONCE = 128
MOST_BYTES = _SLOT_BYTES - _HEAD.size
"""Of one record."""


class Reserve:
    """Keeps records in a file at `path`, for several processes; each of its calls holds the file's lock (flock)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Have all of its blocks on the disk, if there is plenty of room; what is missing of them is written.

        Raises
        ------
        OSError
            Not all of them are; those that are can be used.
        """
        with self._locked(os.O_CREAT) as fd:
            missing = _SLOTS * _SLOT_BYTES - os.fstat(fd).st_size
            disk = os.fstatvfs(fd)
            if 0 < missing < disk.f_bavail * disk.f_frsize // 2:
                os.lseek(fd, 0, os.SEEK_END)
                write_all(fd, bytes(missing))  # not posix_fallocate: blocks that were never written are changed in the file system first
                os.fdatasync(fd)
        flush_folder(self.path.parent)

    def keep(self, key: bytes, record: bytes) -> None:
        """Have a record on the disk, unless one with this key (16 bytes) is.

        Raises
        ------
        OSError
            It is not: too long, no slot is empty, or the disk does not take it.
        """
        if not 0 < len(record) <= MOST_BYTES:
            raise OSError(errno.EFBIG, f"a record of {len(record)} bytes, more than {MOST_BYTES}")
        with self._locked() as fd:
            slots = list(_filled(fd))
            if any(_HEAD.unpack_from(slot)[2] == key for slot in slots):
                return
            at = len(slots) * _SLOT_BYTES
            if at + _SLOT_BYTES > os.fstat(fd).st_size:
                raise OSError(errno.EDQUOT, f"the {len(slots)} slots of the reserve are full")
            slot = _HEAD.pack(len(record), zlib.crc32(record), key) + record
            if os.pwrite(fd, slot.ljust(_SLOT_BYTES, b"\0"), at) < _SLOT_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(fd)

    def records(self) -> list[bytes | None]:
        """What is kept, in order; None for one that is not what was written. FileNotFoundError: there is no such file."""
        with self._locked() as fd:
            return [_record(slot) for slot in _filled(fd)]

    def clear(self, seen: int) -> None:
        """Empty it, if nothing was kept since `seen` records were: those are kept on with what came.

        Raises
        ------
        OSError
            It is not empty.
        """
        with self._locked() as fd:
            if sum(1 for _ in _filled(fd)) == seen:
                os.pwrite(fd, bytes(seen * _SLOT_BYTES), 0)
                os.fdatasync(fd)

    @contextlib.contextmanager
    def _locked(self, flags: int = 0) -> Iterator[int]:
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | flags, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)


def _filled(fd: int) -> Iterator[bytes]:
    """The slots before the first empty one."""
    at, slots = 0, 1  # it is mostly empty, and asked several times a second
    while read := os.pread(fd, slots * _SLOT_BYTES, at):
        at, slots = at + len(read), _AT_ONCE
        for start in range(0, len(read) - _SLOT_BYTES + 1, _SLOT_BYTES):
            if not read[start : start + 4].strip(b"\0"):
                return
            yield read[start : start + _SLOT_BYTES]


def _record(slot: bytes) -> bytes | None:
    size, check, _ = _HEAD.unpack_from(slot)
    record = slot[_HEAD.size : _HEAD.size + size]
    return record if len(record) == size and zlib.crc32(record) == check else None
