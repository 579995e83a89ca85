"""Anatomy without a network: finds the body, and tells the left lung from the right one. Works on a coarse grid.

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
"""Where more than this share of the border of what was seen is tissue, the border cuts the body."""

SATELLITE = 0.03
"""Parts smaller than this share of all that is marked are dropped: gas in the bowel, foam in the table."""

GAS_HU = -950
"""What is as light as that is free gas and no lung: air outside, airways, bowel, air under a blanket."""

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
    unseen = _unseen(hu)
    labels, found = ndimage.label(~(largest | unseen), structure=_IN_PLANE)
    body: Mask = ~_outside(labels, found, hu, unseen)[labels] & ~unseen
    return body


def _outside(labels: Labels, found: int, hu: NDArray[Any], unseen: Mask) -> NDArray[np.bool_]:
    """Which parts around the body's tissue are outside: those that reach the border of what was seen.

    Where that border cuts the body, lung reaches it, too: then what is heavier than free air is inside.
    """
    from scipy import ndimage

    edge = ndimage.binary_dilation(unseen, structure=_SQUARE)
    for axis in (1, 2):
        edge.swapaxes(0, axis)[[0, -1]] = True
    outside = np.zeros(found + 1, dtype=np.bool_)
    bordering = np.setdiff1d(np.unique(labels[edge]), [0])  # label 0 is the body's tissue
    outside[bordering] = True
    if bordering.size and (hu[edge & ~unseen] > TISSUE_HU).mean() > CUT:
        air = np.where(hu < TISSUE_HU, labels, 0)
        # arms and clothes lie out there as well: of the air alone, and its median
        medians = np.array(ndimage.median(hu, air, bordering), dtype=np.float64)
        airless = ~np.isin(bordering, air)
        outside[bordering] = airless | (medians <= GAS_HU)
    return outside


def _unseen(hu: NDArray[Any]) -> Mask:
    """What the scanner did not see and filled with one value: around a round field of view, to the corners of every slice."""
    from scipy import ndimage

    corners = hu[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    if corners.min() != corners.max():
        return np.zeros(hu.shape, dtype=np.bool_)
    labels, _ = ndimage.label(hu == corners.flat[0], structure=_IN_PLANE)
    unseen: Mask = np.isin(labels, np.unique(labels[:, [0, 0, -1, -1], [0, -1, 0, -1]]))
    return unseen


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
