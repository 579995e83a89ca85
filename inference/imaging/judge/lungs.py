"""Lung check: compares attenuation and place of marked voxels with lungs on CT, on both sides within a chest, or cut."""

import numpy as np

from inference.imaging.judge.borders import Met
from inference.imaging.judge.coarse import Coarse, Mask
from inference.imaging.judge.doubt import Bounds, Doubt
from inference.imaging.volume import Volume
from inference.translatable import say

MEAN_HU = Bounds(usual=(-930.0, -520.0), possible=(-970.0, -150.0))
"""Lungs have -900 to -700 HU in inspiration, more in children and breathed out; water comes into them in acute failure. Fat has -100."""
FREE_GAS_HU = -985.0
MOST_FREE_GAS = Bounds(usual=(None, 0.25), possible=(None, 0.6))
"""Share of voxels that are free gas: of bullae and airways a part, of bowel and of the air outside nearly all."""
FLAT_HU = Bounds(usual=(30.0, None), possible=(15.0, None))
"""Half the way between the percentiles 16 and 84, a standard deviation without the border: vessels run through every lung, none through a
foam, a ball of gas or a bottle."""
WIDEST_MM = 400.0
"""From side to side, wide of any chest: air beside the body is as wide as the images."""


def lung_doubts(volume: Volume, coarse: Coarse, mask: Mask, marked: Mask, cut: tuple[Met, ...]) -> list[Doubt]:
    """What speaks against lungs."""
    values = coarse.values[marked]
    if values.size < 64:
        return []  # a sliver of lung at the border of an abdomen is small on this grid
    low, high = (float(bound) for bound in np.percentile(values, (16, 84)))
    mean_hu, free, deviation = float(values.mean()), float((values < FREE_GAS_HU).mean()), (high - low) / 2
    across = np.flatnonzero(marked.any(axis=(0, 1)))
    wide_mm = float(across[-1] - across[0] + 1) * coarse.spacing_mm[2]
    doubts = MEAN_HU.doubt(mean_hu, say("its mean is {mean} HU", mean=f"{mean_hu:.0f}"))
    doubts += MOST_FREE_GAS.doubt(free, say("{share} % of it are free gas", share=f"{100 * free:.0f}"))
    even = say("its values differ by {deviation} HU only: no vessels run through it", deviation=f"{deviation:.0f}")
    doubts += FLAT_HU.doubt(deviation, even)
    if wide_mm > WIDEST_MM:
        doubts.append(Doubt(said=say("it is {wide} mm wide", wide=f"{wide_mm:.0f}"), impossible=True))
    return doubts
