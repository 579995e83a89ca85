"""Compares two files with one SOP Instance UID: the same data set, the same image with another header, or different images."""

import os
from collections.abc import Set
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.filereader import read_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import UID

from inference.errors import InputError
from inference.imaging import tags
from inference.imaging.deflated import DEFLATED
from inference.imaging.errors import NoPixelData, NotDicom
from inference.imaging.header import PARSE_ERRORS, Instance, read_instance
from inference.imaging.stored import StoredFrames, Values

Stored: TypeAlias = DataElement | RawDataElement
MOST_BYTES = 1 << 20
"""Of attributes before the pixels, or of a file without: what is longer is not compared, for it would keep whoever indexes for seconds."""
_HELD_BYTES = 1 << 20
_PACKING = frozenset({*tags.PIXELS, 0x00280004, 0x00280006, 0x7FE00001, 0x7FE00002, 0xFFFCFFFC})
"""At the outer level: pixel data, Photometric Interpretation and Planar Configuration (which are judged by what the pixels decode to),
offset tables, padding."""
_REPACKING = _PACKING | {0x00082111}
"""Between transfer syntaxes also Derivation Description, where encoders tell how they compressed."""
_OF_PIXELS = frozenset({"OB", "OW", "OF", "OD", None})
_UNKNOWN = frozenset({"UN", None})
_AMBIGUOUS = -1
_CHARACTER_SET = 0x00080005
_TEXT = frozenset(["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"])
"""Whose values are padded, and mean the same without."""


def same_attributes(a: Path, b: Path) -> bool:
    """Every attribute of two Part 10 files but the packing of pixels is equal, byte for byte.

    File meta information, transfer syntax, lengths of sequences and groups, and padding do not count. False where equality cannot be
    shown, or not at a bounded price: in big-endian and deflated data sets, with overlays in the unused bits of the pixels (PS3.5 8.1.2,
    retired), with private sequences of unknown value representation.

    Raises
    ------
    InputError
        A file cannot be parsed.
    """
    try:
        syntaxes = _syntax(a), _syntax(b)
        if not all(syntax.is_little_endian and syntax not in DEFLATED for syntax in syntaxes):
            return False
        one, other = dcmread(a, defer_size=_HELD_BYTES), dcmread(b, defer_size=_HELD_BYTES)
        return _pixel_tag(one) == _pixel_tag(other) != _AMBIGUOUS and _alike(
            one, other, but=_PACKING if syntaxes[0] == syntaxes[1] else _REPACKING
        )
    except PARSE_ERRORS as broken:
        raise NotDicom(f"{a.name} and {b.name} cannot be compared: {type(broken).__name__}") from broken


def head_bytes(path: Path, pixels_at: int | None) -> int:
    """How long the attributes of a file are; `pixels_at` is where its pixel data begin, None where it has none."""
    return os.stat(path).st_size if pixels_at is None else pixels_at


def _syntax(path: Path) -> UID:
    return UID(str(read_file_meta_info(path).TransferSyntaxUID))


def _pixel_tag(dataset: Dataset) -> int | None:
    """The one pixel data element, None for none; `_AMBIGUOUS` where not all that is drawn is what `same_image` compares."""
    found = [_stored(dataset, tag) for tag in _tags(dataset) if tag in tags.PIXELS]
    if len(found) > 1 or any(one.VR not in _OF_PIXELS for one in found) or _draws_into_pixels(dataset):
        return _AMBIGUOUS
    return int(found[0].tag) if found else None


def _draws_into_pixels(dataset: Dataset) -> bool:
    positions = (_stored(dataset, tag) for tag in _tags(dataset) if tag.group & 0xFF00 == 0x6000 and tag.element == 0x0102)
    return any(one.value not in (b"\0\0", b"", None) for one in positions)


def _alike(one: Dataset, other: Dataset, *, but: Set[int] = frozenset()) -> bool:
    # as they lie in the files, private creators first: looking at one element decodes others
    ours, theirs = (
        {tag: _stored(each, tag) for tag in sorted(_tags(each)) if tag not in but and tag.element != 0} for each in (one, other)
    )
    if ours.keys() != theirs.keys():
        return False
    cheap_first = sorted(ours, key=lambda tag: ("SQ" in (ours[tag].VR, theirs[tag].VR), tag))
    return all(_same_element((one, ours[tag]), (other, theirs[tag]), tag) for tag in cheap_first)


def _tags(dataset: Dataset) -> set[BaseTag]:
    return set(dataset.keys())  # a data set iterates over its elements, and reads each


def _stored(dataset: Dataset, tag: BaseTag) -> Stored:
    return dataset.get_item(tag)


def _same_element(one: tuple[Dataset, Stored], other: tuple[Dataset, Stored], tag: BaseTag) -> bool:
    first, second = one[1], other[1]
    if isinstance(first, RawDataElement) and isinstance(second, RawDataElement):
        told = {first.VR, second.VR} - _UNKNOWN
        if len(told) > 1 or _is_deferred(first) or _is_deferred(second):
            return False
        ours, theirs = first.value or b"", second.value or b""
        if ours == theirs:
            return True
        if told & _TEXT:
            return ours.rstrip(b" \0") == theirs.rstrip(b" \0")
    these, those = _read(*one, tag), _read(*other, tag)
    if these.VR == those.VR == "SQ":
        return len(these.value) == len(those.value) and all(map(_alike, these.value, those.value))
    if these.is_empty and those.is_empty:
        return True
    # the reader decodes some for its own use
    return these.VR == those.VR and (these.VR not in _TEXT or tag == _CHARACTER_SET) and bool(these.value == those.value)


def _is_deferred(stored: RawDataElement) -> bool:
    return stored.value is None and stored.length != 0


def _read(dataset: Dataset, stored: Stored, tag: BaseTag) -> DataElement:
    """The element, with its items where it has some: one of unknown VR is read as what the other file says it is (PS3.5 6.2.2 note 2)."""
    if isinstance(stored, RawDataElement) and stored.VR in _UNKNOWN and tag.is_private:
        return convert_raw_data_element(stored._replace(VR="SQ", is_implicit_VR=True), encoding=dataset.original_character_set, ds=dataset)
    return dataset[tag]


class Likeness(Enum):
    """What two files with one SOP Instance UID are to each other."""

    DATA_SET = "data set"  # one is the other in another encoding
    IMAGE = "image"  # the same pixels at the same place, another header
    NONE = "none"


def likeness(a: Path, b: Path) -> Likeness:
    """How much of two files is equal: see `same_image` and `same_attributes`.

    Raises
    ------
    InputError
        A file cannot be read, or the stored bytes differ and cannot be decoded.
    """
    first, second = _instance(a), _instance(b)
    if not _same_image(first, second):
        return Likeness.NONE
    heads = [head_bytes(path, None if one is None else one.pixels.offset) for path, one in ((a, first), (b, second))]
    try:
        return Likeness.DATA_SET if max(heads) <= MOST_BYTES and same_attributes(a, b) else Likeness.IMAGE
    except InputError:
        return Likeness.IMAGE  # of the header more cannot be said


def same_image(a: Path, b: Path) -> bool:
    """Pixels (decoded), what they mean, and where they lie are equal, whatever the transfer syntax and the rest of the header.

    Two instances without pixel data (reports, presentation states) count as the same image: there is none that could differ. A lossy
    copy of an image is another image.

    Raises
    ------
    InputError
        A file cannot be read, or the stored bytes differ and cannot be decoded.
    """
    return _same_image(_instance(a), _instance(b))


def refuse_undecodable(path: Path) -> None:
    """Read the header, and decode the first and the last frame.

    Raises
    ------
    InputError
        One of them cannot be.
    """
    instance = _instance(path)
    if instance is not None:
        frames = StoredFrames(instance)
        for index in {0, instance.pixels.frames - 1}:
            _frame(frames, index)


def _same_image(first: Instance | None, second: Instance | None) -> bool:
    if first is None or second is None:
        return first is None and second is None
    if not _same_header(first, second):
        return False
    if _same_bytes(first, second):
        return True
    ours, theirs = StoredFrames(first), StoredFrames(second)
    return all(np.array_equal(_frame(ours, frame), _frame(theirs, frame)) for frame in range(first.pixels.frames))


def _instance(path: Path) -> Instance | None:
    try:
        instance = read_instance(path)
    except NoPixelData:
        return None
    instance.refuse_half_a_place()
    return instance


def _same_header(first: Instance, second: Instance) -> bool:
    """Equal but for how the pixels are packed and which file they are in."""
    packed = first.pixels
    # decoders give RGB for YBR, and any plane order: these two and the frames' packing are the syntax's own affair
    unpacked = replace(
        second.pixels,
        transfer_syntax=packed.transfer_syntax,
        big_endian=packed.big_endian,
        offset=packed.offset,
        length=packed.length,
        planar=packed.planar,
        photometric=packed.photometric if packed.samples > 1 else second.pixels.photometric,
    )
    return unpacked == packed and (first.planes, first.rescale, first.lookup_table, first.frame_of_reference_uid) == (
        second.planes,
        second.rescale,
        second.lookup_table,
        second.frame_of_reference_uid,
    )


def _same_bytes(first: Instance, second: Instance) -> bool:
    """The pixel data is equal byte for byte: then nothing need be decoded, not even a video."""
    how = [(each.pixels.transfer_syntax, each.pixels.length, each.pixels.photometric, each.pixels.planar) for each in (first, second)]
    if how[0] != how[1] or not first.pixels.offset or not second.pixels.offset:
        return False
    with first.path.open("rb") as ours, second.path.open("rb") as theirs:
        ours.seek(first.pixels.offset)
        theirs.seek(second.pixels.offset)
        # to the end of an encapsulated file, whose length is not stated: what may trail differs only by padding
        wanted = first.pixels.length if not first.pixels.transfer_syntax.is_encapsulated else -1
        return ours.read(wanted) == theirs.read(wanted)


def _frame(frames: StoredFrames, index: int) -> Values:
    return frames.rgb(index) if frames.instance.pixels.samples > 1 else frames.read(index, None)
