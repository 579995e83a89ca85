"""Border check: finds where a mask meets the border of the images, or ends just before it; its size is then a lower bound."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from inference.imaging.resample import Grid, reorientation
from inference.imaging.volume import Volume
from inference.translatable import Translatable, listed, say

LEAST_MM2 = 10.0
"""Contact with a border below which it is one voxel too many, and nothing is cut."""
NEAR_MM = 8.0
"""How far from a border a mask that fades out may end."""
WIDE = 0.3
"""Share of its largest plane from which on a cut changes the form: below, it takes a twelfth of a ball's diameter at most."""
LOOKED_AT = 32
"""Planes of each axis, among which the largest is looked for."""
SLABS = 2
"""Planes before the border that a network may leave empty, however thick they are."""

Mask = NDArray[np.bool_]


class Border(StrEnum):
    """The six borders of a volume, by the axis of the patient that they are nearest to."""

    LOWER = "lower"
    UPPER = "upper"
    FRONT = "front"
    BACK = "back"
    RIGHT = "right"
    LEFT = "left"


_NAMES = {
    Border.LOWER: say("lower"),
    Border.UPPER: say("upper"),
    Border.FRONT: say("front"),
    Border.BACK: say("back"),
    Border.RIGHT: say("right"),
    Border.LEFT: say("left"),
}
_OF_AXES = ((Border.LOWER, Border.UPPER), (Border.FRONT, Border.BACK), (Border.RIGHT, Border.LEFT))
"""First and last plane of each axis after turning to head, back and left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """One border that a mask meets.

    Attributes
    ----------
    touched
        It reaches the border; else it fades out before it.
    share
        How wide it is there, by its largest parallel plane: 1 where it is cut in its middle.
    """

    border: Border
    touched: bool
    share: float


def borders_met(volume: Volume, mask: Mask) -> tuple[Met, ...]:
    """The borders that a mask (Z, Y, X) on the grid of `volume` meets, in the order of `Border`."""
    turn = reorientation(Grid.of(volume), "SPL")
    turned, spacing_mm = turn.apply(mask), turn.grid(Grid.of(volume)).spacing_mm
    met = []
    for axis, borders in enumerate(_OF_AXES):
        first, second = (mm for other, mm in enumerate(spacing_mm) if other != axis)
        planes = np.moveaxis(turned, axis, 0)
        for border, inwards in zip(borders, (planes, planes[::-1]), strict=True):
            area_mm2 = _area_mm2(inwards[0], first * second)
            touched = area_mm2 >= LEAST_MM2
            near_mm2, depth_mm = (area_mm2, 0.0) if touched else _near_mm2(inwards, spacing_mm[axis], first * second)
            if near_mm2 < LEAST_MM2:
                continue
            share = near_mm2 / max(near_mm2, _largest_mm2(planes, first * second))
            if touched or share > max(WIDE, _dome(depth_mm, int(planes.any(axis=(1, 2)).sum()) * spacing_mm[axis])):
                met.append(Met(border=border, touched=touched, share=share))
    return tuple(met)


def _near_mm2(planes: Mask, step_mm: float, pixel_mm2: float) -> tuple[float, float]:
    """How wide a mask is near a border that it does not touch, and how deep that plane lies; 0 where it ends farther away."""
    reach = min(len(planes), max(SLABS, int(NEAR_MM // step_mm)) + 1)
    # a ragged last plane is less than the mask is there: the widest of those near the border tells
    widest = max(((_area_mm2(planes[at], pixel_mm2), at) for at in range(1, reach)), default=(0.0, 0))
    return widest[0], (widest[1] + 0.5) * step_mm


def _dome(depth_mm: float, long_mm: float) -> float:
    """How wide a ball as long as the mask is at this depth, by its largest plane: what is as wide is whole, however thick planes are."""
    radius_mm = long_mm / 2
    return 1 - (1 - min(depth_mm, radius_mm) / radius_mm) ** 2


def _largest_mm2(planes: Mask, pixel_mm2: float) -> float:
    return max(_area_mm2(plane, pixel_mm2) for plane in planes[:: max(1, len(planes) // LOOKED_AT)])


def _area_mm2(plane: Mask, pixel_mm2: float) -> float:
    return int(np.count_nonzero(plane)) * pixel_mm2


def in_words(met: tuple[Met, ...]) -> Translatable:
    """ "lower and left"."""
    return listed([_NAMES[each.border] for each in met])
