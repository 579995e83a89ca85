"""Which voxels of an image a segmentation marks, in its segments' colours: found by where its frames say they lie, never by their order.

Reads what every job has that found anything: BINARY, one bit a voxel, uncompressed; and, as others send them, FRACTIONAL segmentations and
label maps (PS3.3 C.8.20, C.8.23) in any transfer syntax that images may have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.errors import quoted
from inference.imaging.errors import MissingAttribute, UnsupportedSyntax
from inference.imaging.geometry import Plane
from inference.imaging.header import PARSE_ERRORS, Instance, read_instance
from inference.imaging.stored import StoredFrames, Values
from node.console.images.stack import Stack, normal_of

_PARALLEL = 0.999
_UNCOLOURED = (255, 120, 0)
_ALL = 0
"""In the place of a segment's number: the frame is of all segments, a label map's; its voxels hold the numbers."""
_OPAQUE = 255


class Voxels(StrEnum):
    """What a voxel of a segmentation holds: its SegmentationType."""

    BINARY = "BINARY"
    FRACTIONAL = "FRACTIONAL"
    LABELMAP = "LABELMAP"


_SHARES = {"PROBABILITY": "probability", "OCCUPANCY": "occupancy"}
_BITS = {Voxels.BINARY: (1,), Voxels.FRACTIONAL: (8,), Voxels.LABELMAP: (8, 16)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment; `rgb` is how its author wants it drawn."""

    number: int
    label: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageMasks:
    """A segmentation without its voxels.

    Attributes
    ----------
    numbers, planes
        Of each frame the segment's number (a label map's: 0), and where it lies.
    voxels, full
        What a voxel holds; of FRACTIONAL ones the value that means all, and whether it is a probability or an occupancy (`share_of`).
    positions, normals
        The same as arrays: (frame, 3), mm and unit vectors.
    sources
        Of masks over time, whose frames lie over each other: the image that each frame is of, by its SOP Instance UID and (of a multi-frame
        one) its frame; () where the place alone tells it.
    """

    instance: Instance
    segments: tuple[Segment, ...]
    numbers: tuple[int, ...]
    planes: tuple[Plane, ...]
    positions: NDArray[np.float64]
    normals: NDArray[np.float64]
    voxels: Voxels = Voxels.BINARY
    full: int = 1
    share_of: str = ""
    sources: tuple[tuple[str, int | None], ...] = ()

    def frames_at(self, plane: Plane, reach_mm: float) -> list[int]:
        """The frames that lie on an image's plane: parallel to it, and nearer than `reach_mm`; of each segment only the nearest. Over time
        those of the image itself: another phase has another mask."""
        normal = normal_of(plane)
        apart = np.abs((self.positions - np.asarray(plane.position)) @ normal)
        fits = np.flatnonzero((apart < reach_mm) & (np.abs(self.normals @ normal) > _PARALLEL))
        if self.sources:
            fits = np.array([index for index in map(int, fits) if self.sources[index] == (plane.uid, plane.frame)], dtype=np.intp)
        nearest: dict[int, int] = {}
        for index in sorted(map(int, fits), key=lambda index: float(apart[index])):
            nearest.setdefault(self.numbers[index], index)
        return sorted(nearest.values())

    def marked(self, stack: Stack) -> list[int]:
        """Which images of a stack have frames on them."""
        reach_mm = stack.gap_mm / 2
        return [index for index, one in enumerate(stack.images) if one.plane is not None and self.frames_at(one.plane, reach_mm)]


def read_masks(path: Path) -> ImageMasks:
    """What the header of a segmentation says.

    Raises
    ------
    InputError
        It cannot be read, or is none whose frames all have a place.
    """
    instance = read_instance(path)
    try:
        return _described(instance)
    except PARSE_ERRORS as broken:
        raise MissingAttribute(f"the segments of {instance.sop_instance_uid} cannot be read: {quoted(broken)}") from broken


def _described(instance: Instance) -> ImageMasks:
    header, uid = instance.header, instance.sop_instance_uid
    voxels = _voxels_of(instance)
    planes = tuple(plane for plane in instance.planes if plane is not None)
    numbers = (_ALL,) * instance.pixels.frames if voxels is Voxels.LABELMAP else _numbers(header, uid)
    if len(planes) != instance.pixels.frames or len(numbers) != len(planes):
        raise MissingAttribute(f"frames of {uid} have no place or no segment")
    segments = tuple(
        Segment(number=int(one.SegmentNumber), label=str(one.get("SegmentLabel") or one.SegmentNumber), rgb=_colour(one))
        for one in header.get("SegmentSequence") or ()
        # a label map may describe its background, which nobody wants drawn
        if voxels is not Voxels.LABELMAP or int(one.SegmentNumber) != _ALL
    )
    sources = _over_time(header)
    for sequence in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "SegmentSequence", "SourceImageSequence"):
        if sequence in header:
            del header[sequence]  # it is kept in memory: thousands of items say nothing more
    return ImageMasks(
        instance=instance,
        segments=segments,
        numbers=numbers,
        planes=planes,
        positions=np.array([plane.position for plane in planes]).reshape(-1, 3),
        normals=np.array([normal_of(plane) for plane in planes]).reshape(-1, 3),
        voxels=voxels,
        full=max(int(header.get("MaximumFractionalValue") or _OPAQUE), 1) if voxels is Voxels.FRACTIONAL else 1,
        share_of=_SHARES.get(str(header.get("SegmentationFractionalType") or ""), "") if voxels is Voxels.FRACTIONAL else "",
        sources=sources,
    )


def _over_time(header: Dataset) -> tuple[tuple[str, int | None], ...]:
    """The image that each frame is of, where frames say that they are of several temporal positions (PS3.3 C.7.6.16.2.2); else ()."""
    frames = header.get("PerFrameFunctionalGroupsSequence") or ()
    said = {content.get("TemporalPositionIndex") for frame in frames for content in frame.get("FrameContentSequence") or ()}
    if said <= {None}:
        return ()
    found = []
    for frame in frames:
        images = [image for one in frame.get("DerivationImageSequence") or () for image in one.get("SourceImageSequence") or ()]
        if len(images) != 1 and len(said) == 1:
            return ()  # one moment, as far as it is said: its place tells where it belongs
        if len(images) != 1:
            raise MissingAttribute("a frame of a segmentation over time names no image, or several, that it is of")
        number = images[0].get("ReferencedFrameNumber")
        found.append((str(images[0].ReferencedSOPInstanceUID), None if number is None else int(number)))
    return tuple(found)


def _voxels_of(instance: Instance) -> Voxels:
    pixels, uid = instance.pixels, instance.sop_instance_uid
    said = str(instance.header.get("SegmentationType") or "")
    if said not in list(Voxels):
        raise UnsupportedSyntax(f"{uid} is no segmentation: its SegmentationType is {quoted(said) if said else 'absent'}")
    voxels = Voxels(said)
    if pixels.bits_allocated not in _BITS[voxels]:
        raise UnsupportedSyntax(f"{uid} has {pixels.bits_allocated} bits a voxel, which no {said} segmentation has")
    if pixels.samples != 1:
        raise UnsupportedSyntax(f"{uid} has {pixels.samples} samples a voxel, which no segmentation has")
    if voxels is Voxels.BINARY and (pixels.transfer_syntax.is_encapsulated or not pixels.offset):
        raise UnsupportedSyntax(f"{uid} is a compressed segmentation of one bit a voxel")
    return voxels


def overlay(masks: ImageMasks, path: Path, frames: Sequence[int], plane: Plane) -> NDArray[np.uint8]:
    """The frames drawn on an image's own grid: RGBA (rows, columns, 4), clear where no segment is; opaque where one is, and of FRACTIONAL
    ones as opaque as the fraction is large. Where several are, the larger fraction is seen."""
    colours = {one.number: one.rgb for one in masks.segments}
    drawn = np.zeros((plane.rows, plane.columns, 4), dtype=np.uint8)
    read = _reader(masks, path)
    for index in frames:
        values = _on(masks.planes[index], plane, read(index))
        if masks.voxels is Voxels.LABELMAP:
            for number in np.unique(values[values != _ALL]).tolist():
                drawn[values == number] = (*colours.get(number, _UNCOLOURED), _OPAQUE)
            continue
        share = np.clip(np.rint(values.astype(np.float32) * (_OPAQUE / masks.full)), 0, _OPAQUE).astype(np.uint8)
        seen = (share > 0) & (share >= drawn[..., 3])
        drawn[seen, :3] = colours.get(masks.numbers[index], _UNCOLOURED)
        drawn[seen, 3] = share[seen]
    return drawn


def size_at(masks: ImageMasks, path: Path, frames: Sequence[int]) -> int:
    """How many voxels frames mark."""
    read = _reader(masks, path)
    return sum(int(np.count_nonzero(read(index))) for index in frames)


def _reader(masks: ImageMasks, path: Path) -> Callable[[int], Values]:
    """Reads a frame (Y, X) as it is stored."""
    instance = replace(masks.instance, path=path)
    if masks.voxels is Voxels.BINARY:
        return lambda frame: _bits(instance, frame)
    stored = StoredFrames(instance)
    return lambda frame: stored.read(frame, None)


def _bits(instance: Instance, frame: int) -> NDArray[np.bool_]:
    """One frame (Y, X); frames follow each other without padding between them (PS3.5 8.1.1, 8.2)."""
    pixels = instance.pixels
    count = pixels.rows * pixels.columns
    first = frame * count
    with instance.path.open("rb") as file:
        file.seek(pixels.offset + first // 8)
        raw = np.frombuffer(file.read((first % 8 + count + 7) // 8), dtype=np.uint8)
    bits = np.unpackbits(raw, bitorder="little")[first % 8 : first % 8 + count]
    return bits.reshape(pixels.rows, pixels.columns).astype(np.bool_)


def _on(own: Plane, plane: Plane, values: Values) -> Values:
    """The voxels at the centre of each pixel of an image: the nearest of the frame, 0 beyond its edges."""
    there, here = _axes(own), _axes(plane)
    offset = np.asarray(plane.position) - np.asarray(own.position)
    # (row, column) of the frame = start + step @ (row, column) of the image, in voxels
    into = np.array([there[0] / own.spacing[0], there[1] / own.spacing[1]])
    start = into @ offset
    step = into @ np.stack([here[0] * plane.spacing[0], here[1] * plane.spacing[1]], axis=1)
    rows, columns = np.arange(plane.rows)[:, None], np.arange(plane.columns)[None, :]
    row = np.rint(start[0] + step[0, 0] * rows + step[0, 1] * columns).astype(np.int64)
    column = np.rint(start[1] + step[1, 0] * rows + step[1, 1] * columns).astype(np.int64)
    within = (row >= 0) & (row < own.rows) & (column >= 0) & (column < own.columns)
    nearest: Values = values[np.clip(row, 0, own.rows - 1), np.clip(column, 0, own.columns - 1)]
    return np.where(within, nearest, nearest.dtype.type(0))


def _axes(plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where rows and columns lead: down, and to the right."""
    orientation = np.asarray(plane.orientation, dtype=np.float64)
    return orientation[3:], orientation[:3]


def _numbers(header: Dataset, uid: str) -> tuple[int, ...]:
    """The segment of each frame: its own functional group's, else the shared one's (PS3.3 C.8.20.3.1)."""
    shared = [
        group for one in header.get("SharedFunctionalGroupsSequence") or () for group in one.get("SegmentIdentificationSequence") or ()
    ]
    found = []
    for frame in header.get("PerFrameFunctionalGroupsSequence") or ():
        said = list(frame.get("SegmentIdentificationSequence") or ()) or shared
        if not said or "ReferencedSegmentNumber" not in said[0]:
            raise MissingAttribute(f"a frame of {uid} says of no segment that it shows it")
        found.append(int(said[0].ReferencedSegmentNumber))
    return tuple(found)


def _colour(segment: Dataset) -> tuple[int, int, int]:
    lab = segment.get("RecommendedDisplayCIELabValue")
    if lab is None or len(lab) != 3:
        return _UNCOLOURED
    from highdicom.color import CIELabColor

    red, green, blue = CIELabColor.from_dicom_value([int(value) for value in lab]).to_rgb(clip=True)
    return int(red), int(green), int(blue)
