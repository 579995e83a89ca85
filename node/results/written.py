"""Sequences of hundreds of items that are all of one form, written as bytes: a library's data set for each of them is most of an encoding.

Explicit VR Little Endian with defined lengths (PS3.5 7.1.2, 7.5), as the library writes it: the objects are the same, byte for byte.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag, Tag

from inference.imaging.volume import SliceSource
from node.results.masks.frames import Frames
from node.results.normalise import CHARACTER_SET, decimal

_LONG = {b"SQ", b"OB", b"OW", b"UN", b"UT"}
_ITEM = b"\xfe\xff\x00\xe0"

_CLASS, _INSTANCE, _FRAME = Tag("ReferencedSOPClassUID"), Tag("ReferencedSOPInstanceUID"), Tag("ReferencedFrameNumber")
_REFERENCED = Tag("ReferencedSOPSequence")
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
            written[id(dataset)] = dataset, _item(_whole(dataset))
        made.append(written[id(dataset)][1])
    return made


def image_items(images: Iterable[tuple[str, str, Sequence[int]]], rest: Dataset) -> list[bytes]:
    """A content item of a structured report for each (SOP Class UID, SOP Instance UID, frames), PS3.3 C.18.4; `rest` is what all have in
    common: relationship, value type and concept name."""
    common = [_written(rest, tag) for tag in sorted(rest.keys())]
    made = []
    for sop_class_uid, sop_instance_uid, frames in images:
        elements = [_uid(_CLASS, sop_class_uid), _uid(_INSTANCE, sop_instance_uid)]
        if frames:
            elements.append(_element(_FRAME, b"IS", _padded("\\".join(map(str, frames)).encode(), b" ")))
        # group 0008: before all else of a content item, which is of group 0040
        made.append(_item(_sequence(_REFERENCED, _item(*elements)), *common))
    return made


def hold_frames(made: Dataset, frames: Frames, planes: Sequence[Dataset], sources: Sequence[SliceSource]) -> None:
    """Write the per-frame functional groups of a segmentation, each frame where its slice lies and referring to its true source.

    Parameters
    ----------
    made
        As the library made it for one frame: its derivation and index, and its segment unless all frames share it.
    planes, sources
        Where each slice of the volume lies, and what it came from.
    """
    (first,) = made.PerFrameFunctionalGroupsSequence
    form = tuple(sorted(first.keys()))
    assert form in ((_DERIVATION, _CONTENT, _PLACE), (_DERIVATION, _CONTENT, _PLACE, _SEGMENT)), f"a frame of another form: {form}"
    derivation = first[_DERIVATION][0]
    # but for what is written here, frames differ in nothing
    rest = _without(derivation, _SOURCE), _without(derivation[_SOURCE][0], _CLASS, _INSTANCE)
    used = [int(z) for z in np.unique(frames.slices)]
    derivations = {z: _derivation(rest, sources[z]) for z in used}
    places = {z: _place(planes[z]) for z in used}
    by_segment = frames.numbers.any()
    rows = zip(frames.numbers.tolist(), frames.slices.tolist(), frames.places.tolist(), strict=True)
    if _SEGMENT in form:
        items = (_item(derivations[z], _content(number, place), places[z], _segment(number)) for number, z, place in rows)
    elif by_segment:
        items = (_item(derivations[z], _content(number, place), places[z]) for number, z, place in rows)
    else:
        items = (_item(derivations[z], _content(place), places[z]) for _, z, place in rows)
    hold(made, _FRAMES, items)


def _derivation(rest: tuple[dict[BaseTag, bytes], dict[BaseTag, bytes]], source: SliceSource) -> bytes:
    of_derivation, of_source = rest
    image = {**of_source, _CLASS: _uid(_CLASS, source.sop_class_uid), _INSTANCE: _uid(_INSTANCE, source.sop_instance_uid)}
    if source.frame is not None:
        image[_FRAME] = _element(_FRAME, b"IS", _padded(str(source.frame).encode(), b" "))
    derivation = {**of_derivation, _SOURCE: _sequence(_SOURCE, _item(*_in_order(image)))}
    return _sequence(_DERIVATION, _item(*_in_order(derivation)))


def _content(*indices: int) -> bytes:
    return _sequence(_CONTENT, _item(_element(_INDICES, b"UL", struct.pack(f"<{len(indices)}I", *indices))))


def _place(plane: Dataset) -> bytes:
    position = "\\".join(decimal(mm) for mm in plane[_POSITION].value)
    return _sequence(_PLACE, _item(_element(_POSITION, b"DS", _padded(position.encode(), b" "))))


def _segment(number: int) -> bytes:
    return _sequence(_SEGMENT, _item(_element(_NUMBER, b"US", struct.pack("<H", number))))


def _without(dataset: Dataset, *tags: BaseTag) -> dict[BaseTag, bytes]:
    """The written elements of a data set, but for some."""
    return {tag: _written(dataset, tag) for tag in sorted(dataset.keys()) if tag not in tags}


def _written(dataset: Dataset, tag: BaseTag) -> bytes:
    return _whole(Dataset({tag: dataset[tag]}))


def _whole(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset, CHARACTER_SET)
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
