"""Result objects as Part 10 files that are named by their own bytes: equal UIDs mean equal bytes, whichever node wrote them.

SOP Instance UID and Series Instance UID derive from a digest of the object in which they have no value: of its transfer syntax and of its
data set, a deflated one before it is deflated. The pixels are written and digested once, where they stay. Sequences of hundreds of items
that are all of one form are written as bytes, as the library writes them (Explicit VR Little Endian with defined lengths, PS3.5 7.1.2,
7.5): its data set for each item is most of an encoding.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from pydicom import dcmwrite
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from node.dicom.elements import element, item, sequence, text_element
from node.dicom.part10 import PREAMBLE, dataset_offset
from node.dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION, derive_long_uid
from node.results.normalise import CHARACTER_SET
from node.results.pixels import Pixels
from node.results.port import ResultMisidentified

_REFERENCED_CLASS, _REFERENCED_INSTANCE, _REFERENCED_FRAME = (
    Tag("ReferencedSOPClassUID"),
    Tag("ReferencedSOPInstanceUID"),
    Tag("ReferencedFrameNumber"),
)
_REFERENCED = Tag("ReferencedSOPSequence")


def hold(dataset: Dataset, tag: BaseTag, items: Iterable[bytes]) -> None:
    """Put a sequence of written items into a data set; it, and all that it will be part of, has to go through `as_explicit`."""
    content = b"".join(items)
    dataset[tag] = RawDataElement(tag, "SQ", len(content), content, 0, False, True)


def as_explicit(dataset: Dataset) -> Dataset:
    """Let a data set be written as it stands in Explicit VR Little Endian; else the writer takes held sequences apart again, lest they be
    of another form.

    The writer then resolves no ambiguous value representation either: a data set that has one is refused by it.
    """
    character_set = convert_encodings(CHARACTER_SET) if "SpecificCharacterSet" in dataset else default_encoding
    dataset.set_original_encoding(False, True, character_set)
    return dataset


def references(instances: Iterable[tuple[str, str]]) -> list[bytes]:
    """An item for each (SOP Class UID, SOP Instance UID)."""
    return [
        item(text_element(_REFERENCED_CLASS, b"UI", sop_class_uid), text_element(_REFERENCED_INSTANCE, b"UI", sop_instance_uid))
        for sop_class_uid, sop_instance_uid in instances
    ]


def items(datasets: Iterable[Dataset], known: dict[int, tuple[Dataset, bytes]] | None = None) -> list[bytes]:
    """Data sets as items of a sequence.

    Parameters
    ----------
    known
        By `id`, which holds as long as the data set is kept beside it: what was written of those that come in many sequences. Added to.
    """
    written = {} if known is None else known
    made = []
    for dataset in datasets:
        if id(dataset) not in written:
            written[id(dataset)] = dataset, item(_whole(dataset))
        made.append(written[id(dataset)][1])
    return made


def image_items(images: Iterable[tuple[str, str, Sequence[int]]], rest: Dataset) -> list[bytes]:
    """A content item of a structured report for each (SOP Class UID, SOP Instance UID, frames), PS3.3 C.18.4; `rest` is what all have in
    common: relationship, value type and concept name."""
    common = [written(rest, tag) for tag in sorted(rest.keys())]
    made = []
    for sop_class_uid, sop_instance_uid, frames in images:
        elements = [text_element(_REFERENCED_CLASS, b"UI", sop_class_uid), text_element(_REFERENCED_INSTANCE, b"UI", sop_instance_uid)]
        if frames:
            elements.append(text_element(_REFERENCED_FRAME, b"IS", "\\".join(map(str, frames))))
        # group 0008: before all else of a content item, which is of group 0040
        made.append(item(sequence(_REFERENCED, item(*elements)), *common))
    return made


def written(dataset: Dataset, tag: BaseTag) -> bytes:
    """One element of a data set."""
    return _whole(Dataset({tag: dataset[tag]}))


def _whole(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset, CHARACTER_SET)
    return buffer.getvalue()


INSTANCE_TO_COME = "2.25.100000000000000000000000000000000080018"
SERIES_TO_COME = "2.25.100000000000000000000000000000000200014"
"""What an object calls itself and its series until its bytes say who it is; as long as the UIDs that take their place."""

_INSTANCE, _SERIES, _META_INSTANCE = 0x00080018, 0x0020000E, 0x00020003
_TO_COME = re.compile(rb"2\.25\.10{30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """A Part 10 file that bears the UIDs which its bytes ask for."""

    sop_instance_uid: str
    series_instance_uid: str
    data: bytes


def named(dataset: Dataset, pixels: Pixels | None = None, syntax: UID = ExplicitVRLittleEndian) -> NamedFile:
    """Write an object and name it; `dataset` bears the name afterwards, for whatever refers to it.

    Parameters
    ----------
    dataset
        In Explicit VR Little Endian, whatever the syntax: it is deflated, or its pixels are fragments. Nowhere but at its top does it speak
        of its own instance or series.
    pixels
        Pixel data that are not in `dataset`; nothing in it comes behind them.

    Raises
    ------
    ResultMisidentified
        The object refers to itself: what it would call itself is not known before it is written.
    """
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = INSTANCE_TO_COME, SERIES_TO_COME
    file = BytesIO()
    dataset.file_meta = _meta(dataset.SOPClassUID, ExplicitVRLittleEndian if syntax.is_deflated else syntax)
    dcmwrite(file, as_explicit(dataset), enforce_file_format=True)
    written = file.tell()
    if pixels is not None:
        pixels.append_to(file)
    with file.getbuffer() as whole:
        digest = _digest(whole, syntax)
        instance, series = _instance_uid(digest), _series_uid([digest])
        _name(whole, instance, series)
        if re.search(_TO_COME, whole[:written]):
            raise ResultMisidentified(f"an object of the class {dataset.SOPClassUID} refers to itself, or to its series")
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = instance, series
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    data = _deflated(file, dataset, syntax) if syntax.is_deflated else file.getvalue()
    return NamedFile(sop_instance_uid=instance, series_instance_uid=series, data=data)


def named_series(files: Sequence[bytearray]) -> list[NamedFile]:
    """Name the instances of one series, written in Explicit VR Little Endian; the series is named by all of them in their order.

    `files` are empty afterwards, lest hundreds of images be held twice.
    """
    digests = []
    for file in files:
        with memoryview(file) as whole:
            digests.append(_digest(whole, ExplicitVRLittleEndian))
    series, made = _series_uid(digests), []
    for file, digest in zip(files, digests, strict=True):
        instance = _instance_uid(digest)
        with memoryview(file) as whole:
            _name(whole, instance, series)
        made.append(NamedFile(sop_instance_uid=instance, series_instance_uid=series, data=bytes(file)))
        file.clear()
    return made


def file_head(sop_class_uid: str) -> bytes:
    """Preamble and file meta information (PS3.10 7.1) of an object that has no name yet."""
    return _head(_meta(sop_class_uid, ExplicitVRLittleEndian))


def _instance_uid(digest: str) -> str:
    return derive_long_uid("instance", digest)


def _series_uid(digests: Sequence[str]) -> str:
    return derive_long_uid("series", *digests)


def _digest(whole: memoryview, syntax: UID) -> str:
    """SHA-256 over the Transfer Syntax UID and the data set, both own UIDs without a value."""
    digest = sha256(str(syntax).encode())
    at = dataset_offset(whole)
    for tag, to_come in ((_INSTANCE, INSTANCE_TO_COME), (_SERIES, SERIES_TO_COME)):
        begins, ends = _place(whole, tag, to_come)
        digest.update(whole[at:begins])
        digest.update(element(tag, b"UI", b""))
        at = ends
    digest.update(whole[at:])
    return digest.hexdigest()


def _name(whole: memoryview, instance: str, series: str) -> None:
    """Put the UIDs where their places were kept."""
    places = (
        (_META_INSTANCE, INSTANCE_TO_COME, instance),
        (_INSTANCE, INSTANCE_TO_COME, instance),
        (_SERIES, SERIES_TO_COME, series),
    )
    for tag, to_come, uid in places:
        begins, ends = _place(whole, tag, to_come)
        whole[begins:ends] = text_element(tag, b"UI", uid)


def _place(whole: memoryview, tag: int, to_come: str) -> tuple[int, int]:
    """Where the element begins and ends that holds a place: its value is the UID to come."""
    found = re.search(re.escape(text_element(tag, b"UI", to_come)), whole)
    assert found is not None, "every result has a SOP Instance UID and a Series Instance UID"
    return found.span()


def _meta(sop_class_uid: str, syntax: UID, sop_instance_uid: str = INSTANCE_TO_COME) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta


def _head(meta: FileMetaDataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_file_meta_info(buffer, meta)
    return PREAMBLE + buffer.getvalue()


def _deflated(file: BytesIO, dataset: Dataset, syntax: UID) -> bytes:
    """The file with its data set deflated as a whole, behind meta information that is not (PS3.5 A.5)."""
    deflated = BytesIO()
    deflated.write(_head(_meta(dataset.SOPClassUID, syntax, dataset.SOPInstanceUID)))
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    with file.getbuffer() as whole, whole[dataset_offset(whole) :] as part:
        deflated.write(compressor.compress(part))
    deflated.write(compressor.flush())
    if deflated.tell() % 2:
        deflated.write(b"\0")
    return deflated.getvalue()
