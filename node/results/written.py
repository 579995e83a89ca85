"""Sequences of hundreds of items that are all of one form, written as bytes: a library's data set for each of them is most of an encoding.

Explicit VR Little Endian with defined lengths (PS3.5 7.1.2, 7.5), as the library writes it: the objects are the same, byte for byte.
"""

import struct
from collections.abc import Iterable, Sequence

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag, Tag

from node.results.normalise import CHARACTER_SET, decimal

_LONG = {b"SQ", b"OB", b"OW", b"UN", b"UT"}
_ITEM = b"\xfe\xff\x00\xe0"

_CLASS, _INSTANCE, _FRAME = Tag("ReferencedSOPClassUID"), Tag("ReferencedSOPInstanceUID"), Tag("ReferencedFrameNumber")
_DERIVATION, _SOURCE = Tag("DerivationImageSequence"), Tag("SourceImageSequence")
_CONTENT, _INDICES = Tag("FrameContentSequence"), Tag("DimensionIndexValues")
_PLACE, _POSITION = Tag("PlanePositionSequence"), Tag("ImagePositionPatient")
_SEGMENT, _NUMBER = Tag("SegmentIdentificationSequence"), Tag("ReferencedSegmentNumber")
_FRAMES = Tag("PerFrameFunctionalGroupsSequence")


def hold(dataset: Dataset, tag: BaseTag, items: Iterable[bytes]) -> None:
    """Put a sequence of written items into a data set; it, and all that it will be part of, has to be `settled` before it is written."""
    content = b"".join(items)
    dataset[tag] = RawDataElement(tag, "SQ", len(content), content, 0, False, True)


def settled(dataset: Dataset) -> Dataset:
    """Let a data set be written as it stands in Explicit VR Little Endian; else the writer takes held sequences apart again, lest they be
    of another form.

    The writer then resolves no ambiguous value representation either: a data set that has one is refused by it.
    """
    character_set = convert_encodings(CHARACTER_SET) if "SpecificCharacterSet" in dataset else default_encoding
    dataset.set_original_encoding(False, True, character_set)
    return dataset


def references(instances: Iterable[tuple[str, str]]) -> list[bytes]:
    """An item for each (SOP Class UID, SOP Instance UID)."""
    return [_item(_uid(_CLASS, sop_class_uid), _uid(_INSTANCE, sop_instance_uid)) for sop_class_uid, sop_instance_uid in instances]


def hold_frames(made: Dataset, sources: Sequence[tuple[str, str, int | None]]) -> None:
    """Write the per-frame functional groups of a segmentation, each referring to its true source.

    Parameters
    ----------
    made
        As the library made it: one derivation, position and index for each frame, and the segment unless all frames share it.
    sources
        SOP Class UID, SOP Instance UID and frame number for each frame of `made`.
    """
    frames = made.PerFrameFunctionalGroupsSequence
    first = frames[0]
    derivation = first[_DERIVATION][0]
    # but for what `_frame` writes, frames differ in nothing
    rest = _without(derivation, _SOURCE), _without(derivation[_SOURCE][0], _CLASS, _INSTANCE)
    forms = {tuple(sorted(frame.keys())) for frame in frames}
    assert forms <= {(_DERIVATION, _CONTENT, _PLACE), (_DERIVATION, _CONTENT, _PLACE, _SEGMENT)}, f"frames of another form: {forms}"
    hold(made, _FRAMES, [_frame(frame, source, rest) for frame, source in zip(frames, sources, strict=True)])


def _frame(frame: Dataset, source: tuple[str, str, int | None], rest: tuple[dict[BaseTag, bytes], dict[BaseTag, bytes]]) -> bytes:
    of_derivation, of_source = rest
    sop_class_uid, sop_instance_uid, number = source
    image = {**of_source, _CLASS: _uid(_CLASS, sop_class_uid), _INSTANCE: _uid(_INSTANCE, sop_instance_uid)}
    if number is not None:
        image[_FRAME] = _element(_FRAME, b"IS", _padded(str(number).encode(), b" "))
    derivation = {**of_derivation, _SOURCE: _sequence(_SOURCE, _item(*_in_order(image)))}
    indices = frame[_CONTENT][0][_INDICES].value
    listed = [indices] if isinstance(indices, int) else list(indices)
    position = "\\".join(decimal(mm) for mm in frame[_PLACE][0][_POSITION].value)
    elements = [
        _sequence(_DERIVATION, _item(*_in_order(derivation))),
        _sequence(_CONTENT, _item(_element(_INDICES, b"UL", struct.pack(f"<{len(listed)}I", *listed)))),
        _sequence(_PLACE, _item(_element(_POSITION, b"DS", _padded(position.encode(), b" ")))),
    ]
    if _SEGMENT in frame:
        elements.append(_sequence(_SEGMENT, _item(_element(_NUMBER, b"US", struct.pack("<H", frame[_SEGMENT][0][_NUMBER].value)))))
    return _item(*elements)


def _without(dataset: Dataset, *tags: BaseTag) -> dict[BaseTag, bytes]:
    """The written elements of a data set, but for some."""
    return {tag: _written(dataset, tag) for tag in sorted(dataset.keys()) if tag not in tags}


def _written(dataset: Dataset, tag: BaseTag) -> bytes:
    alone = Dataset({tag: dataset[tag]})
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, alone, CHARACTER_SET)
    return buffer.getvalue()


def _in_order(elements: dict[BaseTag, bytes]) -> list[bytes]:
    return [elements[tag] for tag in sorted(elements)]


def _item(*elements: bytes) -> bytes:
    content = b"".join(elements)
    return _ITEM + struct.pack("<I", len(content)) + content


def _sequence(tag: BaseTag, *items: bytes) -> bytes:
    return _element(tag, b"SQ", b"".join(items))


def _uid(tag: BaseTag, value: str) -> bytes:
    return _element(tag, b"UI", _padded(value.encode("ascii"), b"\0"))


def _element(tag: BaseTag, vr: bytes, value: bytes) -> bytes:
    head = struct.pack("<HH", tag.group, tag.element) + vr
    return head + (b"\0\0" + struct.pack("<I", len(value)) if vr in _LONG else struct.pack("<H", len(value))) + value


def _padded(value: bytes, with_: bytes) -> bytes:
    return value + with_ if len(value) % 2 else value
