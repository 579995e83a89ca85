"""Neighbour check: compares each pair of neighbouring slices of a marked body with the pairs around it.

Where slices are missing between two that claim to be neighbours, these differ more than any pair near by. A slice that is spoilt differs
from both its neighbours, and slices that were made thinner by a sender differ in turns: neither is taken for a gap.
"""

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
    differences = _differences(volume.voxels[kept], mask[kept])
    widest = 0.0
    for number, difference in enumerate(differences):
        around = [*differences[max(0, number - AROUND) : number], *differences[number + 1 : number + 1 + AROUND]]
        if len(around) >= LEAST and (most := max(around)) > 0:
            widest = max(widest, difference / most)
    return widest


def _differences(voxels: NDArray[np.generic], mask: Mask) -> list[float]:
    """The mean difference of each slice and the next, where either is marked."""
    means = []
    for number in range(len(voxels) - 1):
        either = mask[number] | mask[number + 1]
        first, second = (np.nan_to_num(voxels[number + one][either].astype(np.float32)) for one in (0, 1))
        means.append(float(np.abs(second - first).mean()) if first.size else 0.0)
    return means
