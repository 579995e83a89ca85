"""Files on their way to a peer: who each instance is, the presentation contexts that a batch of them needs, and the fallback syntaxes."""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import dcmread, uid
from pydicom.errors import InvalidDicomError
from pynetdicom.dsutils import encode, split_dataset

from node.dimse.errors import NotAFile
from node.domain.context import Context

MOST_CONTEXTS: Final = 128  # PS3.8 9.3.2.2: odd numbers from 1 to 255
_UNCOMPRESSED: Final = (str(uid.ExplicitVRLittleEndian), str(uid.ImplicitVRLittleEndian))
_FIRST_READ_BYTES: Final = 4096
_META_BYTES: Final = 1 << 20
"""More than any file meta information has; what claims more is left to pydicom to judge."""
_LONG_VRS: Final = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SOP_CLASS, _SOP_INSTANCE, _SYNTAX = 0x0002, 0x0003, 0x0010


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One Part 10 file: its identity by its file meta information, and where its data set begins.

    `file` tells it from one that takes its place before it is sent: device, inode and size.
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
    """Read the file meta information alone.

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
        end = 144 + int(struct.unpack_from("<L", begins, 140)[0])
        if end > _META_BYTES:
            return None
        if end + 2 > len(begins):
            begins += os.pread(descriptor, end + 2 - len(begins), len(begins))
    finally:
        os.close(descriptor)
    # a group length that leaves elements of the group out would let them go over the wire
    if len(begins) < end or begins[end : end + 2] == b"\x02\x00" or (found := meta_texts(begins[144:end])) is None:
        return None
    sop_class, instance, syntax = found
    return Outgoing(path=path, sop_instance_uid=instance, sop_class_uid=sop_class, transfer_syntax_uid=syntax, offset=end, file=file)


def meta_texts(meta: bytes) -> tuple[str, str, str] | None:
    """SOP class, SOP instance and transfer syntax of the elements behind the group length; None unless each stands there, plainly."""
    found: dict[int, str] = {}
    at = 0
    while at + 8 <= len(meta):
        group, element, vr, length = struct.unpack_from("<HH2sH", meta, at)
        at += 8
        if vr in _LONG_VRS:
            if at + 4 > len(meta):
                return None
            length = int(struct.unpack_from("<L", meta, at)[0])
            at += 4
        if group != 2 or at + length > len(meta):
            return None
        if element in (_SOP_CLASS, _SOP_INSTANCE, _SYNTAX):
            found[element] = meta[at : at + length].decode("ascii", "replace").strip("\0 ")
        at += length
    texts = tuple(found.get(element, "") for element in (_SOP_CLASS, _SOP_INSTANCE, _SYNTAX))
    # a value that pydicom would read otherwise, or complain of, is its to judge
    if at != len(meta) or not all(text and set(text) <= set("0123456789.") for text in texts):
        return None
    return texts[0], texts[1], texts[2]


def _by_pydicom(path: Path) -> Outgoing:
    try:
        file = file_of(path.stat())
        meta, offset = split_dataset(path)
        return Outgoing(
            path=path,
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
            offset=offset,
            file=file,
        )
    # what pydicom raises at garbage is whatever comes first
    except (InvalidDicomError, AttributeError, ValueError, KeyError, NotImplementedError, EOFError, TypeError) as wrong:
        raise NotAFile(f"{path} is no DICOM file with file meta information") from wrong


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
    # video has no uncompressed form that anybody would want
    if not own.startswith("1.2.840.10008.1.2.4.10"):
        syntaxes += [syntax for syntax in _UNCOMPRESSED if syntax != own]
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
