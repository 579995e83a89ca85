"""Which voxels of an image a segmentation marks, in its segments' colours: found by where its frames say they lie, never by their order.

Reads the form that every job has that found anything: BINARY, one bit a voxel, uncompressed (PS3.3 C.8.20).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.imaging.errors import MissingAttribute, UnsupportedSyntax
from inference.imaging.geometry import Plane
from inference.imaging.header import Instance, read_instance
from node.console.images.stack import Stack, normal_of

_PARALLEL = 0.999
_UNCOLOURED = (255, 120, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment; `rgb` is how its author wants it drawn."""

    number: int
    label: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Masks:
    """A segmentation without its voxels.

    Attributes
    ----------
    numbers, planes
        Of each frame the segment's number, and where it lies.
    positions, normals
        The same as arrays: (frame, 3), mm and unit vectors.
    """

    instance: Instance
    segments: tuple[Segment, ...]
    numbers: tuple[int, ...]
    planes: tuple[Plane, ...]
    positions: NDArray[np.float64]
    normals: NDArray[np.float64]

    def frames_at(self, plane: Plane, reach_mm: float) -> list[int]:
        """The frames that lie on an image's plane: parallel to it, and nearer than `reach_mm`; of each segment only the nearest."""
        normal = normal_of(plane)
        apart = np.abs((self.positions - np.asarray(plane.position)) @ normal)
        fits = np.flatnonzero((apart < reach_mm) & (np.abs(self.normals @ normal) > _PARALLEL))
        nearest: dict[int, int] = {}
        for index in sorted(map(int, fits), key=lambda index: float(apart[index])):
            nearest.setdefault(self.numbers[index], index)
        return sorted(nearest.values())

    def marked(self, stack: Stack) -> list[int]:
        """Which images of a stack have frames on them."""
        reach_mm = stack.gap_mm / 2
        return [index for index, one in enumerate(stack.images) if one.plane is not None and self.frames_at(one.plane, reach_mm)]


def read_masks(path: Path) -> Masks:
    """What the header of a segmentation says.

    Raises
    ------
    InputError
        It cannot be read, or is none whose frames all have a place.
    """
    instance = read_instance(path)
    header, uid = instance.header, instance.sop_instance_uid
    if instance.pixels.bits_allocated != 1 or instance.pixels.transfer_syntax.is_encapsulated or not instance.pixels.offset:
        raise UnsupportedSyntax(f"{uid} is no uncompressed segmentation of one bit a voxel")
    planes = tuple(plane for plane in instance.planes if plane is not None)
    numbers = _numbers(header, uid)
    if len(planes) != instance.pixels.frames or len(numbers) != len(planes):
        raise MissingAttribute(f"frames of {uid} have no place or no segment")
    segments = tuple(
        Segment(number=int(one.SegmentNumber), label=str(one.get("SegmentLabel") or one.SegmentNumber), rgb=_colour(one))
        for one in header.get("SegmentSequence") or ()
    )
    for sequence in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "SegmentSequence", "SourceImageSequence"):
        if sequence in header:
            del header[sequence]  # it is kept in memory: thousands of items say nothing more
    return Masks(
        instance=instance,
        segments=segments,
        numbers=numbers,
        planes=planes,
        positions=np.array([plane.position for plane in planes]).reshape(-1, 3),
        normals=np.array([normal_of(plane) for plane in planes]).reshape(-1, 3),
    )


def overlay(masks: Masks, path: Path, frames: Sequence[int], plane: Plane) -> NDArray[np.uint8]:
    """The frames drawn on an image's own grid: RGBA (rows, columns, 4), opaque where a segment is and clear elsewhere."""
    colours = {one.number: one.rgb for one in masks.segments}
    drawn = np.zeros((plane.rows, plane.columns, 4), dtype=np.uint8)
    for index in frames:
        inside = _on(masks.planes[index], plane, _bits(replace(masks.instance, path=path), index))
        drawn[inside] = (*colours.get(masks.numbers[index], _UNCOLOURED), 255)
    return drawn


def size_at(masks: Masks, path: Path, frames: Sequence[int]) -> int:
    """How many voxels frames mark."""
    return sum(int(np.count_nonzero(_bits(replace(masks.instance, path=path), index))) for index in frames)


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


def _on(own: Plane, plane: Plane, bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask at the centre of each pixel of an image: the nearest voxel of the frame, none beyond its edges."""
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
    inside: NDArray[np.bool_] = within & bits[np.clip(row, 0, own.rows - 1), np.clip(column, 0, own.columns - 1)]
    return inside


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
