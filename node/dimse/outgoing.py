"""Files on their way to a peer: who each instance is, the presentation contexts that a batch of them needs, and the fallback syntaxes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread, uid
from pydicom.errors import InvalidDicomError
from pynetdicom.dsutils import encode, split_dataset
from pynetdicom.presentation import PresentationContext, build_context

from node.dimse.errors import NotAFile

MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: odd numbers from 1 to 255
_UNCOMPRESSED = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One Part 10 file: its identity by its file meta information, and where its data set begins."""

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    offset: int


def outgoing(path: Path) -> Outgoing:
    """Read the file meta information alone.

    Raises
    ------
    NotAFile
        The file cannot be read or is no Part 10 file, or its meta information does not say what it holds.
    """
    try:
        meta, offset = split_dataset(path)
        return Outgoing(
            path=path,
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
            offset=offset,
        )
    except OSError as unreadable:
        raise NotAFile(f"{path}: {unreadable.strerror}") from unreadable
    # what pydicom raises at garbage is whatever comes first
    except (InvalidDicomError, AttributeError, ValueError, KeyError, NotImplementedError, EOFError, TypeError) as wrong:
        raise NotAFile(f"{path} is no DICOM file with file meta information") from wrong


def batches(instances: Sequence[Outgoing]) -> Iterator[tuple[list[PresentationContext], list[Outgoing]]]:
    """Split into what one association can negotiate for; the order stays.

    For each SOP class and transfer syntax there are one context with that syntax alone, so that what is accepted goes out as it is,
    and one with the uncompressed syntaxes for peers that take only those.
    """
    contexts: dict[tuple[str, tuple[str, ...]], PresentationContext] = {}
    batch: list[Outgoing] = []
    for instance in instances:
        wanted = {key: build_context(key[0], list(key[1])) for key in _keys(instance)}
        if len(contexts.keys() | wanted.keys()) > MOST_CONTEXTS:
            yield list(contexts.values()), batch
            contexts, batch = {}, []
        contexts = wanted | contexts
        batch.append(instance)
    if batch:
        yield list(contexts.values()), batch


def _keys(instance: Outgoing) -> list[tuple[str, tuple[str, ...]]]:
    own = instance.transfer_syntax_uid
    keys: list[tuple[str, tuple[str, ...]]] = [(instance.sop_class_uid, (own,))]
    # video has no uncompressed form that anybody would want
    if not own.startswith("1.2.840.10008.1.2.4.10"):
        keys += [(instance.sop_class_uid, (str(syntax),)) for syntax in _UNCOMPRESSED if syntax != own]
    return keys


def context_for(instance: Outgoing, accepted: Sequence[PresentationContext]) -> tuple[int, str] | None:
    """Number and transfer syntax of the accepted context for an instance: its own syntax if possible; None if the peer takes neither."""
    syntaxes = {
        str(context.transfer_syntax[0]): context.context_id for context in accepted if context.abstract_syntax == instance.sop_class_uid
    }
    for syntax in (instance.transfer_syntax_uid, *_UNCOMPRESSED):
        if syntax in syntaxes:
            return int(syntaxes[syntax]), str(syntax)
    return None


def transcoded(instance: Outgoing, syntax: str) -> BytesIO:
    """The data set in an uncompressed syntax, decoded if need be; it stays the same instance.

    Raises
    ------
    NotAFile
        The pixels cannot be decoded.
    """
    target = uid.UID(syntax)
    try:
        dataset = dcmread(instance.path)
        if uid.UID(instance.transfer_syntax_uid).is_compressed and "PixelData" in dataset:
            dataset.decompress(generate_instance_uid=False)
        data = encode(dataset, target.is_implicit_VR, target.is_little_endian, False)
    except (OSError, InvalidDicomError, AttributeError, ValueError, KeyError, NotImplementedError, RuntimeError, TypeError) as undecodable:
        raise NotAFile(f"{instance.path} cannot be brought into {target.name}: {undecodable}") from undecodable
    if data is None:
        raise NotAFile(f"{instance.path} cannot be brought into {target.name}")
    return BytesIO(data)
