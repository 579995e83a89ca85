"""The space inside the skull on CT, without a network: what is as soft and as thick as a brain, and how much of its surface bone covers.

Arrays here have axes (z, y, x) in steps of `COARSE_MM`; z runs to the head.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COARSE_MM = 2.0
SOFT_HU = (-20, 120)
"""Brain, its water and blood; fat is less, bone is more."""
BONE_HU = 180
"""The vault, also where a thick slice holds a half of it."""
DEEP_MM = 7.0
"""What is this deep in soft tissue everywhere is brain: through the foramina and between two vertebrae nothing as thick leads outside."""
REGROWN_MM = 9.0
COVERED_MM = 8.0
"""How far from the brain's surface its bone begins, at most: a wide subarachnoid space, the falx at the vertex."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intracranial:
    """What lies inside the skull.

    Attributes
    ----------
    mask
        (Z, Y, X) on the coarse grid; empty where nothing is as thick and as soft.
    volume_cm3
        Of the mask.
    covered
        Share of its surface, that at the border of the images apart, that has bone beside it: 0 to 1.
    """

    mask: Mask
    volume_cm3: float
    covered: float


def intracranial(hu: NDArray[Any]) -> Intracranial:
    """Find the largest thick soft part of (Z, Y, X) in HU, with what is enclosed in it."""
    from scipy import ndimage

    soft = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
    depth = _inside_mm(soft)
    parts, found = ndimage.label(depth > DEEP_MM)
    if not found:
        return Intracranial(mask=np.zeros(hu.shape, dtype=np.bool_), volume_cm3=0.0, covered=0.0)
    core = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    grown = (ndimage.distance_transform_edt(~core, sampling=COARSE_MM) <= REGROWN_MM) & (hu < BONE_HU)
    mask: Mask = ndimage.binary_fill_holes(grown & (hu > SOFT_HU[0]))
    surface = mask & ~ndimage.binary_erosion(mask, border_value=1)
    to_bone = ndimage.distance_transform_edt(hu < BONE_HU, sampling=COARSE_MM)
    covered = float((to_bone[surface] <= COVERED_MM).mean()) if surface.any() and to_bone.any() else 0.0
    return Intracranial(mask=mask, volume_cm3=float(mask.sum()) * COARSE_MM**3 / 1000, covered=covered)


def _inside_mm(mask: Mask) -> NDArray[np.float64]:
    """How deep each voxel lies in a mask; beyond the images it goes on."""
    from scipy import ndimage

    if mask.all():
        return np.full(mask.shape, np.inf)
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(mask, sampling=COARSE_MM)
    return depth
