"""Segments that have voxels: where, and under which number the result objects speak of them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.findings import Findings, Segment

_THREADS = 2
_TOGETHER = 8
"""Slices that are looked at in one go: those of a mask stay in the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbered:
    """A segment.

    Attributes
    ----------
    number
        Its SegmentNumber.
    slices
        The slices that hold any of it, ascending.
    rows
        The rows that all of it lies in.
    """

    number: int
    segment: Segment
    slices: NDArray[np.intp]
    rows: slice


def numbered(findings: Findings) -> tuple[Numbered, ...]:
    """The segments that have voxels, numbered from 1 without gaps, as segmentations demand (PS3.3 C.8.20.2.4)."""
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="look") as pool:
        occupied = zip(findings.segments, pool.map(_occupied, findings.segments), strict=True)
    found = [(segment, *where) for segment, where in occupied if where[0].size]
    return tuple(
        Numbered(number=number, segment=segment, slices=slices, rows=rows) for number, (segment, slices, rows) in enumerate(found, 1)
    )


def _occupied(segment: Segment) -> tuple[NDArray[np.intp], slice]:
    slices = np.flatnonzero(segment.mask.any(axis=(1, 2)))
    if not slices.size:
        return slices, slice(0, 0)
    shadow = np.asarray(segment.mask[slices[0] : slices[-1] + 1].any(axis=0))
    rows = np.flatnonzero(shadow.any(axis=1))
    return slices, slice(int(rows[0]), int(rows[-1]) + 1)


def unoccupied(findings: Findings) -> tuple[Numbered, ...]:
    """The segments of findings in which none has a voxel, on the first and the last slice: a reader sees how far it was looked."""
    return tuple(
        Numbered(number=number, segment=segment, slices=np.unique([0, len(segment.mask) - 1]).astype(np.intp), rows=slice(0, 0))
        for number, segment in enumerate(findings.segments, 1)
    )


def legible(found: Sequence[Numbered]) -> tuple[Numbered, ...]:
    """The segments with as many empty slices more as it takes for every reader to tell how the bits of BINARY frames follow each other.

    Frames follow each other bit by bit, and a last byte makes the number of bytes even (PS3.5 8.1.1, A.2). OHIF's adapters (5.14) tell
    frames that each begin on a byte from those by the number of bytes alone: they refuse a number that neither explains, as with that
    last byte, and take what both explain for the former, which shifts every slice. A few frames more make it a number that only the
    standard's form explains. Where there are no slices left for them, the segments stay as they are.
    """
    depth, rows, columns = found[0].segment.mask.shape
    count = sum(one.slices.size for one in found)
    spare = [_spare(one, depth) for one in found]
    wanted = next((more for more in range(_MOST_SPARE + 1) if _plain(count + more, rows * columns)), 0)
    if wanted > sum(map(len, spare)):
        return tuple(found)
    made = []
    for one, free in zip(found, spare, strict=True):
        taken, wanted = free[:wanted], max(0, wanted - len(free))
        made.append(replace(one, slices=np.sort(np.concatenate([one.slices, taken]).astype(np.intp))) if len(taken) else one)
    return tuple(made)


_MOST_SPARE = 32


def _plain(frames: int, voxels: int) -> bool:
    """Whether the bytes of so many frames of so many voxels are an even number that byte-aligned frames do not have (or have as well)."""
    size = -(-frames * voxels // 8)
    return size % 2 == 0 and (voxels % 8 == 0 or frames == 1 or size != frames * -(-voxels // 8))


def _spare(one: Numbered, depth: int) -> NDArray[np.intp]:
    """The slices that hold nothing of a segment, the nearest to it first."""
    free = np.setdiff1d(np.arange(depth), one.slices)
    away = np.abs(free[:, np.newaxis] - one.slices[np.newaxis, [0, -1]]).min(axis=1)
    return np.asarray(free[np.argsort(away, kind="stable")], dtype=np.intp)


def overlap(found: Sequence[Numbered]) -> bool:
    """Whether any voxel belongs to more than one segment."""
    if len(found) < 2:
        return False
    depth, rows, columns = found[0].segment.mask.shape
    taken = np.empty((_TOGETHER, rows, columns), dtype=np.bool_)
    for low in range(0, depth, _TOGETHER):
        high = min(low + _TOGETHER, depth)
        here = [one for one in found if np.searchsorted(one.slices, low) < np.searchsorted(one.slices, high)]
        if len(here) < 2:
            continue
        taken[...] = False
        for one in here:
            mask, before = one.segment.mask[low:high, one.rows], taken[: high - low, one.rows]
            if np.logical_and(mask, before).any():
                return True
            np.logical_or(mask, before, out=before)
    return False
