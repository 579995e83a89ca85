"""Which segments have voxels, where, and under which number the result objects speak of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.findings import Findings, Segment


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbered:
    """A segment that has voxels. `number` is its SegmentNumber, `slices` the slices that hold any of it, ascending."""

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


def overlap(found: Sequence[Numbered]) -> bool:
    """Whether any voxel belongs to more than one segment."""
    if len(found) < 2:
        return False
    taken = np.zeros(found[0].segment.mask.shape, dtype=np.bool_)
    for one in found:
        low, high = int(one.slices[0]), int(one.slices[-1]) + 1
        mask, before = one.segment.mask[low:high], taken[low:high]
        if bool(np.logical_and(mask, before).any()):
            return True
        np.logical_or(mask, before, out=before)
    return False
