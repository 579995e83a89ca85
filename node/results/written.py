"""Sequences of hundreds of items that are all of one form, written as bytes: a library's data set for each of them is most of an encoding.

Explicit VR Little Endian with defined lengths (PS3.5 7.1.2, 7.5), as the library writes it: the objects are the same, byte for byte.
"""

from collections.abc import Iterable, Sequence

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag, Tag

from node.dicom.elements import item, sequence, text_element
from node.results.normalise import CHARACTER_SET

_CLASS, _INSTANCE, _FRAME = Tag("ReferencedSOPClassUID"), Tag("ReferencedSOPInstanceUID"), Tag("ReferencedFrameNumber")
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
        item(text_element(_CLASS, b"UI", sop_class_uid), text_element(_INSTANCE, b"UI", sop_instance_uid))
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
        elements = [text_element(_CLASS, b"UI", sop_class_uid), text_element(_INSTANCE, b"UI", sop_instance_uid)]
        if frames:
            elements.append(text_element(_FRAME, b"IS", "\\".join(map(str, frames))))
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
