"""Part 10 files (PS3.10 7.1): their file meta information written and read, and the data set found behind it."""

import errno
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from pathlib import Path
from typing import Final

from inference.imaging.deflated import DEFLATED
from inference.imaging.errors import NotDicom
from node.dicom.elements import (
    EXPLICIT_LITTLE,
    FAR,
    Buffer,
    Coding,
    Data,
    Inflated,
    element,
    end_of_value,
    head_at,
    text_element,
)
from node.dicom.transfer_syntax import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from node.dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.dicom.vr import may_be_vr
from node.domain.instance import Reception

PREAMBLE: Final = b"\0" * 128 + b"DICM"
"""What a Part 10 file begins with; the file meta information follows."""
_META_BEGINS, _LENGTH = 144, struct.Struct("<L")
_POPULATE_READ = 22  # linux/mman.h; madvise(2)


@dataclass(frozen=True, slots=True)
class Part10:
    """A file taken apart: meta elements by tag, where the data set's bytes begin in the file, and the data set as it can be walked.

    A deflated one is inflated while it is walked, and ends somewhere before `end`.
    """

    meta: dict[int, bytes]
    offset: int
    dataset: Data
    start: int
    end: int
    coding: Coding


def dataset_offset(file: bytes | memoryview) -> int:
    """Where the data set begins in a file whose meta information begins with its length, as PS3.10 7.1 demands: (0002,0000)."""
    return _META_BEGINS + _LENGTH.unpack_from(file, _META_BEGINS - 4)[0]  # type: ignore[no-any-return]


def take_apart(file: Buffer) -> Part10:
    """Read the file meta information and find the data set.

    Raises
    ------
    NotDicom
        No Part 10 file.
    """
    if bytes(file[128:132]) != b"DICM":
        raise NotDicom("no DICM prefix: not a Part 10 file")
    meta: dict[int, bytes] = {}
    position = 132
    while len(file) - position >= 8 and struct.unpack_from("<H", file, position)[0] == 2:
        tag, _, start, length = head_at(file, position, len(file), EXPLICIT_LITTLE)
        position = end_of_value(file, start, length, len(file), tag)
        # a data set may begin with such elements too: the first, which our listener wrote, counts
        meta.setdefault(tag, bytes(file[start:position]))
    syntax = meta.get(0x00020010, b"").decode("ascii", "replace").rstrip("\0 ")
    if not syntax:
        raise NotDicom("the file meta information has no transfer syntax")
    if syntax in DEFLATED:
        return Part10(meta, position, Inflated(file, position), 0, FAR, EXPLICIT_LITTLE)
    explicit = syntax != IMPLICIT_VR_LITTLE_ENDIAN
    if explicit and len(file) - position >= 8 and not may_be_vr(bytes(file[position + 4 : position + 6])):
        explicit = False  # some senders negotiate explicit and write implicit VR
    coding = Coding(explicit=explicit, order=">" if syntax == EXPLICIT_VR_BIG_ENDIAN else "<")
    return Part10(meta, position, file, position, len(file), coding)


@contextmanager
def mapped(path: Path) -> Iterator[tuple[Buffer, float]]:
    """The bytes of a file without reading it (a header lies in its first pages, whatever its size), and when it was written."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_size == 0:
            yield b"", status.st_mtime  # nothing cannot be mapped
            return
        with mmap(fd, status.st_size, access=ACCESS_READ) as content:
            yield content, status.st_mtime
    finally:
        os.close(fd)


def need_pages(content: Buffer, pass_bytes: int, *, between: Callable[[], None]) -> None:
    """Have the disk give every byte of a mapped file, `pass_bytes` in memory at a time; OSError where it does not.

    `between` is called before each pass.

    Without, a process that looks at a page that cannot be read is ended by a signal (SIGBUS). Linux from 5.14; older ones do not say.
    """
    if not isinstance(content, mmap):
        return
    size = len(content)
    for start in range(0, size, pass_bytes):
        part = min(pass_bytes, size - start)
        between()
        try:
            content.madvise(_POPULATE_READ, start, part)
        except OSError as refused:
            if refused.errno == errno.EINVAL:
                return  # an older kernel
            if refused.errno == errno.EFAULT:
                raise OSError(errno.EIO, os.strerror(errno.EIO)) from refused
            raise
        if size > pass_bytes:
            content.madvise(MADV_DONTNEED, start, part)  # it stays in the system's cache


def data_set_digest(content: Buffer, offset: int, pass_bytes: int, *, between: Callable[[], None]) -> str:
    """SHA-256 of a file from `offset` on, `pass_bytes` in memory at a time; `between` is called behind each pass."""
    digest = hashlib.sha256()
    with memoryview(content) as whole:
        for start in range(0, len(content), pass_bytes):
            with whole[max(start, offset) : start + pass_bytes] as part:
                digest.update(part)
            between()
            if isinstance(content, mmap) and len(content) > pass_bytes:
                content.madvise(MADV_DONTNEED, start, min(pass_bytes, len(content) - start))  # it stays in the system's cache
    return digest.hexdigest()


def received_head(reception: Reception) -> bytes:
    """Preamble, prefix and file meta information; the data set's bytes follow as they are.

    Who sent it is told twice: as Source Application Entity Title, which every reader knows, and as the Sending and Receiving ones with
    their presentation addresses (PS3.10 table 7.1-1), so that the file alone says how it came. Which peer of the configuration the sender
    was admitted as, which its certificate may have decided, is Private Information there.
    """
    before = _before(reception.sop_class_uid)
    own = text_element(0x00020003, b"UI", reception.sop_instance_uid)
    after = _after(reception.transfer_syntax_uid, reception.calling_ae, reception.called_ae, reception.address, reception.peer)
    length = element(0x00020000, b"UL", struct.pack("<L", len(before) + len(own) + len(after)))
    return b"".join((PREAMBLE, length, before, own, after))


@lru_cache(maxsize=256)
def _before(sop_class_uid: str) -> bytes:
    return element(0x00020001, b"OB", b"\x00\x01") + text_element(0x00020002, b"UI", sop_class_uid)


@lru_cache(maxsize=256)
def _after(transfer_syntax_uid: str, calling_ae: str, called_ae: str, address: str, peer: str) -> bytes:
    """The same for every instance of an association and syntax."""
    source = f"dicom://{_host(address)}"
    return b"".join(
        (
            text_element(0x00020010, b"UI", transfer_syntax_uid),
            text_element(0x00020012, b"UI", IMPLEMENTATION_CLASS_UID),
            text_element(0x00020013, b"SH", IMPLEMENTATION_VERSION),
            text_element(0x00020016, b"AE", calling_ae),
            text_element(0x00020017, b"AE", calling_ae),
            text_element(0x00020018, b"AE", called_ae),
            text_element(0x00020026, b"UR", source),
            text_element(0x00020027, b"UR", source),
            *((text_element(0x00020100, b"UI", IMPLEMENTATION_CLASS_UID), text_element(0x00020102, b"OB", peer)) if peer else ()),
        )
    )


def _host(address: str) -> str:
    """An IPv6 address stands in brackets in a URI (RFC 3986 3.2.2)."""
    return f"[{address}]" if address.count(":") > 1 else address
