"""The frames of a segmentation: which there are, in which order, and the bytes of their pixels.

Nothing is stacked or copied: what a frame holds goes from the masks to its place in the object.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from highdicom.spatial import get_volume_positions
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.results.segments import Numbered

_TOGETHER = 16
"""Frames that one thread packs in one go; a multiple of 8, so that each lot ends on a whole byte."""
_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """The frames of a segmentation.

    Attributes
    ----------
    numbers
        (frame,) the segment of each; 0 in label maps, whose frames hold all segments.
    slices
        (frame,) index of the slice of the volume that each lies on.
    places
        (frame,) place of that slice among those that have frames, along the normal, from 1: the index of its position.
    """

    numbers: NDArray[np.intp]
    slices: NDArray[np.intp]
    places: NDArray[np.intp]


def frames_of(found: Sequence[Numbered], planes: Sequence[Dataset], *, labels: bool) -> Frames:
    """The frames that hold anything, along the slice normal; segment after segment, or (in label maps) one for all segments on a slice."""
    order = along_normal(planes)
    held = np.zeros(len(planes), dtype=np.bool_)
    for one in found:
        held[one.slices] = True
    order = order[held[order]]
    place = np.zeros(len(planes), dtype=np.intp)
    place[order] = np.arange(1, len(order) + 1)
    if labels:
        return Frames(numbers=np.zeros_like(order), slices=order, places=place[order])
    numbers = np.concatenate([np.full(one.slices.size, one.number) for one in found])
    slices = np.concatenate([one.slices[np.argsort(place[one.slices])] for one in found])
    return Frames(numbers=numbers, slices=slices, places=place[slices])


def along_normal(planes: Sequence[Dataset]) -> NDArray[np.intp]:
    """The slices in the order of their distance along the normal (row x column direction reversed, as the library counts)."""
    row, column = np.array(planes[0].ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    positions = np.array([plane.ImagePositionPatient for plane in planes], dtype=np.float64)
    # slices, rows, columns: the library's axes, right-handed
    return np.asarray(np.argsort(positions @ np.cross(column, row), kind="stable"))


def evenly_spaced(planes: Sequence[Dataset], slices: NDArray[np.intp]) -> bool:
    """Whether these slices, in this order, are more than one and step evenly along the normal (DimensionOrganizationType 3D)."""
    if len(slices) < 2:
        return False
    spacing, _ = get_volume_positions([planes[z].ImagePositionPatient for z in slices], planes[0].ImageOrientationPatient, sort=False)
    return spacing is not None and spacing > 0


def packed_size(frames: int, rows: int, columns: int) -> int:
    """Bytes of so many frames of one bit a voxel, without the byte that makes the number even."""
    return -(-frames * rows * columns // 8)


def pack(found: Sequence[Numbered], frames: Frames, out: NDArray[np.uint8]) -> None:
    """Write the frames as packed bits, least significant first, without padding between them (PS3.5 8.1.1).

    Parameters
    ----------
    out
        (byte,) where they belong; exactly `packed_size`.
    """
    masks = {one.number: one.segment.mask for one in found}
    _, rows, columns = found[0].segment.mask.shape

    def lot(first: int, last: int) -> None:
        # a lot begins at a whole byte: either frames are whole bytes, or it begins at a multiple of 8 frames
        low, high = first * rows * columns // 8, -(-last * rows * columns // 8)
        out[low:high] = np.packbits(_voxels(masks, frames, first, last), bitorder="little")

    bounds = _runs(frames, 1 if rows * columns % 8 == 0 else 8)
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="pack") as pool:
        # packing leaves the interpreter to the other thread
        for _ in pool.map(lambda ends: lot(*ends), bounds):
            pass


def _runs(frames: Frames, step: int) -> Iterator[tuple[int, int]]:
    """Bounds of lots of frames; where frames are whole bytes (`step` 1) a lot is of one segment and of neighbouring slices."""
    count = len(frames.slices)
    if step > 1:
        yield from pairwise([*range(0, count, _TOGETHER), count])
        return
    stride = np.diff(frames.slices)
    # a lot's frames have to lie behind one another in memory
    breaks = np.flatnonzero((np.diff(frames.numbers) != 0) | (np.abs(stride) != 1)) + 1
    for low, high in pairwise([0, *map(int, breaks), count]):
        yield from pairwise([*range(low, high, _TOGETHER), high])


def _voxels(masks: dict[int, NDArray[np.bool_]], frames: Frames, first: int, last: int) -> NDArray[np.bool_]:
    """The voxels of a lot of frames, one after another."""
    number, low, high = frames.numbers[first], frames.slices[first], frames.slices[last - 1]
    if frames.numbers[last - 1] == number and abs(high - low) == last - first - 1:
        mask = masks[int(number)]
        run = mask[low : high + 1] if low <= high else mask[high : low + 1][::-1]
        return run.reshape(-1)
    several = zip(frames.numbers[first:last], frames.slices[first:last], strict=True)
    return np.concatenate([masks[int(number)][z].reshape(-1) for number, z in several])


def label(found: Sequence[Numbered], frames: Frames, out: NDArray[Any]) -> None:
    """Write the frames as segment numbers, 0 where there is no segment.

    Parameters
    ----------
    found
        Segments that do not overlap.
    out
        (frame, row, column) of zeros.
    """
    at = {int(z): index for index, z in enumerate(frames.slices)}

    def lot(first: int, last: int) -> None:
        for index in range(first, last):
            z = int(frames.slices[index])
            for one in on_slice[z]:
                np.copyto(out[index], one.number, where=one.segment.mask[z])

    on_slice: dict[int, list[Numbered]] = {z: [] for z in at}
    for one in found:
        for z in one.slices:
            on_slice[int(z)].append(one)
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="label") as pool:
        for _ in pool.map(lambda ends: lot(*ends), pairwise([*range(0, len(at), _TOGETHER), len(at)])):
            pass
