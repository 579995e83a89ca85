"""Which segments have voxels, where, and under which number the result objects speak of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.findings import Findings, Segment

_TOGETHER = 8
"""Slices that are looked at in one go: those of a mask stay in the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbered:
    """A segment. `number` is its SegmentNumber, `slices` the slices that hold any of it, ascending."""

    number: int
    segment: Segment
    slices: NDArray[np.intp]


def numbered(findings: Findings) -> tuple[Numbered, ...]:
    """The segments that have voxels, numbered from 1 without gaps, as segmentations demand (PS3.3 C.8.20.2.4)."""
    occupied = [(segment, np.flatnonzero(segment.mask.any(axis=(1, 2)))) for segment in findings.segments]
    found = [(segment, slices) for segment, slices in occupied if slices.size]
    return tuple(Numbered(number=number, segment=segment, slices=slices) for number, (segment, slices) in enumerate(found, 1))


def empty(findings: Findings) -> tuple[Segment, ...]:
    """The segments of which nothing was found."""
    return tuple(segment for segment in findings.segments if not segment.mask.any())


def unoccupied(findings: Findings) -> tuple[Numbered, ...]:
    """The segments of findings in which none has a voxel, on the first and the last slice: a reader sees how far it was looked."""
    return tuple(
        Numbered(number=number, segment=segment, slices=np.unique([0, len(segment.mask) - 1]).astype(np.intp))
        for number, segment in enumerate(findings.segments, 1)
    )


def overlap(found: Sequence[Numbered]) -> bool:
    """Whether any voxel belongs to more than one segment."""
    if len(found) < 2:
        return False
    depth, rows, columns = found[0].segment.mask.shape
    taken = np.empty((_TOGETHER, rows, columns), dtype=np.bool_)
    shared = np.empty_like(taken)
    for low in range(0, depth, _TOGETHER):
        high = min(low + _TOGETHER, depth)
        here = [one.segment.mask[low:high] for one in found if np.searchsorted(one.slices, low) < np.searchsorted(one.slices, high)]
        if len(here) < 2:
            continue
        before, both = taken[: high - low], shared[: high - low]
        before[...] = here[0]
        for mask in here[1:]:
            if np.logical_and(mask, before, out=both).any():
                return True
            np.logical_or(mask, before, out=before)
    return False
