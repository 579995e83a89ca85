"""Whether two files with one SOP Instance UID are the same data set, the same image with another header, or different images."""

from dataclasses import replace
from enum import Enum
from pathlib import Path

import numpy as np

from inference.errors import InputError
from inference.imaging.compare_attributes import MOST_BYTES, head_bytes, same_attributes
from inference.imaging.errors import NoPixelData
from inference.imaging.header import Instance, read_instance
from inference.imaging.stored import StoredFrames, Values


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
