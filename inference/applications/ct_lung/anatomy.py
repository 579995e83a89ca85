"""What needs no network: where the body is, and which part of the lungs is left and which is right. Works on a coarse grid.

Arrays here have axes (z to the head, y to the back, x to the left), as after turning to "SPL".
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]

TISSUE_HU = -500
CUT = 0.2
"""An image side of which more than this share is tissue cuts through the body; the air at it is no air outside."""

SATELLITE = 0.03
"""Parts smaller than this share of all that is marked are dropped: gas in the bowel, foam in the table."""

GAS_HU = -950
"""Parts that are as light as gas on average are no lung: airways, bowel, air under a blanket."""

WALL = 3
"""Voxels (of about 3 mm) by which thick tissue reaches into thin tissue that it hangs together with."""

MINOR = 0.15
"""The smaller lung has at least this share; below, one of them is collapsed, absent or merged with the other."""

APART_MM = 40.0
"""The centres of two lungs lie at least this far apart from left to right."""

EROSIONS = 4
_IN_PLANE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3], dtype=np.int8)
_SQUARE = np.ones((1, 3, 3), dtype=np.int8)
_TOUCHING = np.ones((3, 3, 3), dtype=np.int8)


class Side(IntEnum):
    """To whom a voxel belongs. BOTH where left and right cannot be told apart."""

    NONE = 0
    LEFT = 1
    RIGHT = 2
    BOTH = 3


def body_mask(hu: NDArray[Any], *, opened: bool = True) -> Mask:
    """The patient with the air inside, slice by slice.

    Parameters
    ----------
    hu
        (Z, Y, X) on a grid of about 3 mm.
    opened
        Without table and clothes: what is thinner than about 9 mm and stands off the body is taken away. A chest wall that is as
        thin over a long way goes, too, and the lung behind it with it; False keeps both.
    """
    from scipy import ndimage

    tissue = hu > TISSUE_HU
    if opened:
        thick = _largest(ndimage.binary_opening(tissue, structure=_SQUARE))
        largest = tissue & ndimage.binary_dilation(thick, structure=_SQUARE, iterations=WALL)
    else:
        largest = _largest(tissue)
    # a side that cuts the body is a wall: the lung at it is not outside
    walls = [(False, False)] + [(bool(tissue.take(0, axis).mean() > CUT), bool(tissue.take(-1, axis).mean() > CUT)) for axis in (1, 2)]
    padding = [(int(first), int(last)) for first, last in walls]
    walled = np.pad(largest, padding, constant_values=True)
    labels, found = ndimage.label(~walled, structure=_IN_PLANE)
    outside = np.zeros(found + 1, dtype=np.bool_)
    for axis in (1, 2):
        for end in (0, -1):
            outside[np.unique(labels.take(end, axis))] = True
    outside[0] = False  # label 0 is the body's tissue
    inner = tuple(slice(first, length - last) for (first, last), length in zip(padding, walled.shape, strict=True))
    body: Mask = ~outside[labels[inner]]
    return body


def sides(lungs: Mask, hu: NDArray[Any], spacing_x_mm: float) -> NDArray[np.uint8]:
    """For every voxel of the grid, the `Side` of the part of the lungs that is nearest.

    The left lung is the one with the larger x (LPS). Parts that are too small or too light to be lung own their surroundings as NONE.

    Parameters
    ----------
    lungs, hu
        (Z, Y, X) on a grid of about 3 mm.
    """
    from scipy import ndimage

    labels, found = ndimage.label(lungs, structure=_TOUCHING)
    if found == 0:
        return np.zeros(lungs.shape, dtype=np.uint8)
    sizes = np.bincount(labels.ravel(), minlength=found + 1)
    means = ndimage.mean(hu, labels, range(found + 1))
    kept = [label for label in range(1, found + 1) if sizes[label] >= SATELLITE * sizes[1:].sum() and means[label] > GAS_HU]
    dropped: Mask = lungs & ~np.isin(labels, kept)
    lungs = lungs & ~dropped
    seeds = _two_lungs(lungs)
    owner = np.zeros(lungs.shape, dtype=np.uint8)
    if seeds is None:
        owner[lungs] = Side.BOTH
        return _spread(owner, lungs | dropped)
    centres = [float(ndimage.center_of_mass(seed)[2]) for seed in seeds]
    if abs(centres[0] - centres[1]) * spacing_x_mm < APART_MM:
        owner[lungs] = Side.BOTH
        return _spread(owner, lungs | dropped)
    left, right = seeds if centres[0] > centres[1] else (seeds[1], seeds[0])
    owner[left], owner[right] = Side.LEFT, Side.RIGHT
    return _spread(owner, left | right | dropped)


def _two_lungs(lungs: Mask) -> tuple[Mask, Mask] | None:
    """The cores of both lungs: two large parts, if need be after wearing away the bridge between them."""
    from scipy import ndimage

    worn = lungs
    for _ in range(EROSIONS + 1):
        labels, found = ndimage.label(worn)
        if found >= 2:
            sizes = np.bincount(labels.ravel())[1:]
            second, first = (int(label) for label in np.argsort(sizes, kind="stable")[-2:])
            if sizes[second] >= MINOR * sizes.sum():
                return labels == first + 1, labels == second + 1
        worn = ndimage.binary_erosion(worn, border_value=1)
    return None


def _spread(owner: NDArray[np.uint8], known: Mask) -> NDArray[np.uint8]:
    """Give every voxel the owner of the nearest one that is known."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    spread: NDArray[np.uint8] = owner[tuple(nearest)]
    return spread


def _largest(mask: Mask) -> Mask:
    from scipy import ndimage

    labels, found = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == int(sizes.argmax()) if found else mask
    return largest
