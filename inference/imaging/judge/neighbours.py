"""Neighbour check: compares each pair of neighbouring slices of a marked body with the pairs around it.

Where slices are missing between two that claim to be neighbours, these differ more than any pair near by. A slice that is spoilt differs
from both its neighbours, and slices that were made thinner by a sender differ in turns: neither is taken for a gap. Slabs and packages of
slices that were measured one after the other are not equally bright: a pair stands out by what is left when both are as bright.

Two gaps within AROUND pairs of each other hide each other, each being what differs most around the other; a step of brightness hides a
gap near by as well.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.imaging.judge.coarse import FINEST_MM, Mask
from inference.imaging.volume import Volume

AROUND = 4
"""Pairs before and after one, that it is compared with."""
LEAST = 4
"""Pairs that there have to be around it."""
WIDE = 0.3
"""Share of its largest slice, from which on a mask is looked at: near its ends it changes from slice to slice."""


def widest_step(volume: Volume, mask: Mask) -> float:
    """How much the pair of slices that stands out most differs, by the pair around it that differs most; 0 where there are too few."""
    rows, columns = (max(1, int(FINEST_MM // step_mm)) for step_mm in volume.spacing_mm[1:])
    areas = np.count_nonzero(mask, axis=(1, 2))
    at = np.flatnonzero(areas > WIDE * areas.max())
    if at.size < 2:
        return 0.0
    kept = np.s_[int(at[0]) : int(at[-1]) + 1, ::rows, ::columns]
    voxels, marked = volume.voxels[kept], mask[kept]
    # what lies beside the mask in every slice is never looked at
    around = (slice(None), *(_reach(np.asarray(marked.any(axis=axes))) for axes in ((0, 2), (0, 1))))
    pairs = _differences(voxels[around], marked[around])
    widest = 0.0
    for number, pair in enumerate(pairs):
        others = [*pairs[max(0, number - AROUND) : number], *pairs[number + 1 : number + 1 + AROUND]]
        if len(others) >= LEAST and (most := max(each.as_stored for each in others)) > 0:
            widest = max(widest, pair.as_bright / most)
    return widest


def _reach(some: Mask) -> slice:
    at = np.flatnonzero(some)
    return slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Difference:
    """The mean difference of two slices where either is marked: as they are, and, where that is less, were both as bright as the first."""

    as_stored: float
    as_bright: float


def _differences(voxels: NDArray[np.generic], mask: Mask) -> list[_Difference]:
    """That of each slice and the next; how bright one is, is the median of what both mark."""
    found = []
    for number in range(len(voxels) - 1):
        pair = np.nan_to_num(voxels[number : number + 2].astype(np.float32))
        either, both = mask[number] | mask[number + 1], mask[number] & mask[number + 1]
        first, second = pair[:, either]
        as_stored = as_bright = float(np.abs(second - first).mean()) if first.size else 0.0
        bright, other = (float(np.median(values)) for values in pair[:, both]) if both.any() else (0.0, 0.0)
        if bright > 0 and other > 0:
            as_bright = min(as_stored, float(np.abs(second * (bright / other) - first).mean()))
        found.append(_Difference(as_stored=as_stored, as_bright=as_bright))
    return found
