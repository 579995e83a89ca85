"""Files on their way to a peer: which of files, folders and zips can be sent, who each instance is, the presentation contexts that a batch
of them needs, and the fallback syntaxes.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom import dcmread, uid
from pydicom.errors import InvalidDicomError
from pynetdicom.dsutils import encode, split_dataset

from inference.imaging.deflated import JPIP
from inference.imaging.errors import NotDicom
from node.dicom.archives import DAMAGED, Unpacked, is_archive
from node.dicom.elements import plain_elements
from node.dicom.part10 import dataset_offset
from node.dicom.peek import NotADataset, Peek
from node.dicom.transfer_syntax import UNCOMPRESSED, Context
from node.dimse.port import NotAFile
from node.dimse.ul import pdu

MOST_CONTEXTS: Final = 128  # PS3.8 9.3.2.2: odd numbers from 1 to 255
_FIRST_READ_BYTES: Final = 4096
_LOOK_BYTES: Final = 256
"""The SOP class and instance stand in the first of so many bytes, mostly."""
_META_BYTES: Final = 1 << 20
"""More than any file meta information has; what claims more is left to pydicom to judge."""
_NAMING: Final = (0x00020002, 0x00020003, 0x00020010)
"""Media Storage SOP Class and SOP Instance UID, Transfer Syntax UID."""
_OF_UIDS: Final = frozenset("0123456789.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One Part 10 file: who its instance is, and where its data set begins.

    What the data set calls itself counts, where it says so at its beginning; else the file meta information. Programs that rewrite UIDs
    leave the older ones there, and a receiver compares the command with the data set (PS3.4 B.2.3). `file` tells it from one that takes its
    place before it is sent: device, inode and size.
    """

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    offset: int
    file: tuple[int, int, int]


def file_of(status: os.stat_result) -> tuple[int, int, int]:
    """Which file it is."""
    return status.st_dev, status.st_ino, status.st_size


def outgoing(path: Path) -> Outgoing:
    """Read the file meta information, and the beginning of the data set.

    Raises
    ------
    NotAFile
        The file cannot be read or is no Part 10 file, or its meta information does not say what it holds.
    """
    try:
        return _plain(path) or _by_pydicom(path)
    except OSError as unreadable:
        raise NotAFile(f"{path}: {unreadable.strerror}") from unreadable


def _plain(path: Path) -> Outgoing | None:
    """What nearly every file gives with one read; None where anything is unusual."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        file = file_of(os.fstat(descriptor))
        begins = os.read(descriptor, _FIRST_READ_BYTES)
        if begins[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00" or len(begins) < 144:
            return None
        end = dataset_offset(begins)
        if end > _META_BYTES:
            return None
        if end + 2 > len(begins):
            begins += os.pread(descriptor, end + _FIRST_READ_BYTES - len(begins), len(begins))
    finally:
        os.close(descriptor)
    # a group length that leaves elements of the group out would let them go over the wire
    if len(begins) < end or begins[end : end + 2] == b"\x02\x00" or (found := meta_texts(begins[144:end])) is None:
        return None
    syntax = found[2]
    sop_class, instance = _named(begins[end:], syntax) or found[:2]
    return Outgoing(path=path, sop_instance_uid=instance, sop_class_uid=sop_class, transfer_syntax_uid=syntax, offset=end, file=file)


def meta_texts(meta: bytes) -> tuple[str, str, str] | None:
    """SOP class, SOP instance and transfer syntax of the elements behind the group length; None unless each stands there, plainly."""
    found: dict[int, str] = {}
    try:
        for tag, _, start, end in plain_elements(meta):
            if tag >> 16 != 2:
                return None
            if tag in _NAMING:
                found[tag] = meta[start:end].decode("ascii", "replace").strip("\0 ")
    except NotDicom:
        return None
    texts = tuple(found.get(tag, "") for tag in _NAMING)
    # a value that pydicom would read otherwise, or complain of, is its to judge
    if not all(text and set(text) <= _OF_UIDS for text in texts):
        return None
    return texts[0], texts[1], texts[2]


def _by_pydicom(path: Path) -> Outgoing:
    try:
        file = file_of(path.stat())
        meta, offset = split_dataset(path)
        syntax, said = str(meta.TransferSyntaxUID), (str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID))
        with path.open("rb") as opened:
            opened.seek(offset)
            sop_class, instance = _named(opened.read(_FIRST_READ_BYTES), syntax) or said
        return Outgoing(path=path, sop_instance_uid=instance, sop_class_uid=sop_class, transfer_syntax_uid=syntax, offset=offset, file=file)
    # what pydicom raises at garbage is whatever comes first
    except (InvalidDicomError, AttributeError, ValueError, KeyError, NotImplementedError, EOFError, TypeError) as wrong:
        raise NotAFile(f"{path} is no DICOM file with file meta information") from wrong


def _named(begins: bytes, syntax: str) -> tuple[str, str] | None:
    """What a data set that begins so calls its SOP class and itself; None where it does not say so there, or not in UIDs."""
    peek = Peek(syntax=syntax, sop_class="", sop_instance="")
    named = None
    try:
        for at in range(0, len(begins), _LOOK_BYTES):
            peek.feed(begins[at : at + _LOOK_BYTES])
            if named := peek.instance:
                break
    except NotADataset:
        return None
    return named if named and all(set(uid) <= _OF_UIDS for uid in named) else None


def batches(instances: Sequence[Outgoing]) -> Iterator[tuple[list[Context], list[Outgoing]]]:
    """Split into what one association can negotiate for; the order stays.

    For each SOP class and transfer syntax there are one context with that syntax alone, so that what is accepted goes out as it is,
    and one for each uncompressed syntax, for peers that take only those.
    """
    contexts: dict[Context, None] = {}
    batch: list[Outgoing] = []
    for instance in instances:
        wanted = dict.fromkeys(contexts_for(instance))
        if len(contexts.keys() | wanted.keys()) > MOST_CONTEXTS:
            yield list(contexts), batch
            contexts, batch = {}, []
        contexts |= wanted
        batch.append(instance)
    if batch:
        yield list(contexts), batch


def contexts_for(instance: Outgoing) -> list[Context]:
    """In what an instance may be sent, the best first: its own syntax, then the uncompressed ones."""
    own = instance.transfer_syntax_uid
    syntaxes = [own]
    # video has no uncompressed form that anybody would want, and JPIP refers to pixels that are not here
    if not own.startswith("1.2.840.10008.1.2.4.10") and own not in JPIP:
        syntaxes += [syntax for syntax in UNCOMPRESSED if syntax != own]
    return [Context(sop_class_uid=instance.sop_class_uid, transfer_syntax_uid=syntax) for syntax in syntaxes]


def transcoded(instance: Outgoing, syntax: str) -> bytes:
    """The data set in an uncompressed syntax, decoded if need be; it stays the same instance.

    Raises
    ------
    NotAFile
        The pixels cannot be decoded.
    """
    target = uid.UID(syntax)
    try:
        dataset = dcmread(instance.path)
        if file_of(instance.path.stat()) != instance.file:
            raise NotAFile(f"{instance.path} became another file before it was sent")
        if uid.UID(instance.transfer_syntax_uid).is_compressed and "PixelData" in dataset:
            dataset.decompress(generate_instance_uid=False)
        data: bytes | None = encode(dataset, target.is_implicit_VR, target.is_little_endian, False)
    except (OSError, InvalidDicomError, AttributeError, ValueError, KeyError, NotImplementedError, RuntimeError, TypeError) as undecodable:
        raise NotAFile(f"{instance.path} cannot be brought into {target.name}: {undecodable}") from undecodable
    if data is None:
        raise NotAFile(f"{instance.path} cannot be brought into {target.name}")
    return data


WINDOW_BYTES: Final = 4 << 20
"""What of a data set is in memory at a time; most instances are smaller."""


def window() -> bytearray:
    """Room for one instance at a time: it is free again when `Association.store` has returned. Pages that nobody writes cost nothing."""
    return bytearray(WINDOW_BYTES)


class Ready:
    """An instance in one presentation context. It holds the file open and, of what is in `window`, its first bytes.

    Nothing is read that the caller's window does not hold, so that an instance of gigabytes takes no more memory than a slice.
    """

    def __init__(self, instance: Outgoing, *, context_id: int, syntax: str, window: bytearray) -> None:
        """Read the first window.

        Raises
        ------
        NotAFile
            It cannot be read, or not be brought into `syntax`.
        """
        self.instance = instance
        self.context_id = context_id
        self.syntax = syntax
        self._window = window
        self._file = -1
        self._data = b""
        if syntax != instance.transfer_syntax_uid:
            self._data = transcoded(instance, syntax)
            self._size = self._first = len(self._data)
            return
        try:
            self._file = os.open(instance.path, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(self._file)
            if file_of(status) != instance.file:
                raise OSError(errno.ESTALE, "it became another file before it was sent")
            self._size = status.st_size - instance.offset
            self._first = self._read(0)
        except OSError as unreadable:
            self.close()
            raise NotAFile(f"{instance.path}: {unreadable.strerror}") from unreadable
        if self._size <= 0:
            self.close()
            raise NotAFile(f"{instance.path} has no data set behind its file meta information")

    def fragments(self, most_bytes: int) -> Iterator[list[bytes | memoryview]]:
        """The P-DATA-TFs of the data set, none longer than `most_bytes` without its head, a window at a time: heads and fragments in turn.

        Raises
        ------
        OSError
            The file cannot be read to the end that it had.
        """
        fragment = pdu.longest_fragment(most_bytes)
        inner = pdu.data_head(self.context_id, fragment, command=False, last=False)
        done, there = 0, self._first
        source = memoryview(self._data) if self._data else memoryview(self._window)
        while done < self._size:
            end = done + there
            pieces: list[bytes | memoryview] = []
            at = 0
            while at < there:
                length = min(fragment, there - at)
                last = end == self._size and at + length == there
                pieces.append(inner if length == fragment and not last else self._head(length, last=last))
                pieces.append(source[at : at + length])
                at += length
            yield pieces
            done = end
            if done < self._size:
                there = self._read(done)

    def _head(self, length: int, *, last: bool) -> bytes:
        return pdu.data_head(self.context_id, length, command=False, last=last)

    def _read(self, done: int) -> int:
        """Fill the window from there on; how many bytes it holds of the data set."""
        wanted = min(len(self._window), self._size - done)
        with memoryview(self._window) as window:
            read = 0
            while read < wanted:
                count = os.preadv(self._file, [window[read:wanted]], self.instance.offset + done + read)
                if count == 0:
                    raise OSError(5, "the file became shorter while it was read")
                read += count
        if hasattr(os, "posix_fadvise") and self._size > done + read:
            # the disk reads on while this window goes over the wire
            os.posix_fadvise(self._file, self.instance.offset + done + read, len(self._window), os.POSIX_FADV_WILLNEED)
        return read

    def close(self) -> None:
        """Let the file go."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1


_UID = re.compile(r"[0-9.]{1,64}")  # what peers take, leading zeros too
_DIRECTORY = "1.2.840.10008.1.3.10"
_LOCAL_HEADER = b"PK\3\4"
"""What a zip begins with (APPNOTE 4.3.7)."""


@dataclass(slots=True)
class Sendable:
    """What can be sent: the files and the names to call them by; and what cannot, with the reason. `unusable` was meant to go: DICOM files
    that do not say what they are, so that no context could be proposed for them, and zips that cannot be read."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)


def collect(paths: Iterable[Path], unpacked: Path, *, largest: int | None = None) -> Sendable:
    """Look through `paths`; members of zips are unpacked into the folder `unpacked` under names of ours.

    Parameters
    ----------
    largest
        Bytes that one zip may unpack to; None: what its own size explains.

    Raises
    ------
    ArchiveTooLarge
        It unpacks to more.
    """
    found = Sendable()
    for name, path in _files(paths, Unpacked(unpacked, largest), found):
        try:
            instance = outgoing(path)
        except NotAFile:
            if _is_zip(path):  # too damaged to be opened, or deeper in others than they are unpacked
                found.unusable.append((name, "a zip that cannot be read"))
            else:
                found.skipped.append((name, "not a DICOM file"))
            continue
        wrong = [keyword for keyword, uid in _identity(instance) if not _UID.fullmatch(uid)]
        if wrong:
            found.unusable.append((name, f"{' and '.join(wrong)} of its file meta information: no UID"))
        elif instance.sop_class_uid == _DIRECTORY:
            found.skipped.append((name, "a DICOMDIR: a list of files, no instance"))
        else:
            found.files.append((name, path))
    return found


def _is_zip(path: Path) -> bool:
    """Whether it begins as a zip does, whatever became of its end: a download that broke off has none."""
    with path.open("rb") as file:
        return file.read(len(_LOCAL_HEADER)) == _LOCAL_HEADER


def _identity(instance: Outgoing) -> tuple[tuple[str, str], ...]:
    """What presentation contexts and C-STORE requests are made of."""
    return (
        ("MediaStorageSOPClassUID", instance.sop_class_uid),
        ("MediaStorageSOPInstanceUID", instance.sop_instance_uid),
        ("TransferSyntaxUID", instance.transfer_syntax_uid),
    )


def _files(paths: Iterable[Path], unpacked: Unpacked, found: Sendable) -> Iterator[tuple[str, Path]]:
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for file in inside:
            if not is_archive(file):
                yield str(file), file
                continue
            try:
                yield from unpacked.members(file, str(file))
            except (*DAMAGED, OSError) as damaged:
                found.unusable.append((str(file), f"a zip that cannot be read: {damaged}"))
