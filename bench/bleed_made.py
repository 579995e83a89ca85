"""Bleeds that a program plants into a real plain head: irregular, soft-edged, with the noise of the scan around them.

Arrays are (Z, Y, X) of 1 mm, as the networks of ct-head-bleed see a head.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.ct_head_bleed.network import MULTIPLE
from inference.applications.ct_head_bleed.skull import BONE_HU

LEAST_CM3, MOST_CM3 = 1.0, 20.0
SOFT_MM = 1.0
"""Deviation of the Gaussian that an edge fades by."""
ROUGH_MM = 6.0
"""How wide the dents are."""
NOISE_MM = 2.0
"""What is finer than that in the scan is its noise, and shows in the blood as well."""
BESIDE_MM = 6
"""A bleed's block holds this much around it."""
_MARGIN = 12
DENSE_HU, FAINT_HU = (60.0, 80.0), (50.0, 60.0)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bleed:
    """One planted bleed.

    Attributes
    ----------
    inside
        Where the blood is one half or more, on the whole head.
    hu
        The head with it.
    level_hu
        Of the blood, before noise.
    block
        The raster's blocks that hold it with `BESIDE_MM` around it.
    """

    inside: Mask
    hu: NDArray[np.float32]
    level_hu: float
    block: Mask

    @property
    def cm3(self) -> float:
        """Its volume."""
        return int(np.count_nonzero(self.inside)) / 1000

    @property
    def around(self) -> tuple[slice, ...]:
        """The block and a margin, for what looks at neighbours."""
        at = np.argwhere(self.block)
        return tuple(
            slice(max(int(low) - _MARGIN, 0), int(high) + _MARGIN) for low, high in zip(at.min(axis=0), at.max(axis=0), strict=True)
        )


def bleeds(hu: NDArray[Any], brain: Mask, count: int, *, faint: int, seed: int) -> Iterator[Bleed]:
    """`count` bleeds, each in a head of its own; the last `faint` of them of 50 to 60 HU, the others of 60 to 80.

    Parameters
    ----------
    hu
        The head.
    brain
        Where the middle of a bleed may lie; nothing of it is planted into bone.
    """
    from scipy import ndimage

    random = np.random.default_rng(seed)
    depth = ndimage.distance_transform_edt(brain)
    # volumes in even steps of their logarithm, in any order, so that small and large ones are of either density
    sizes = random.permutation(np.geomspace(LEAST_CM3, MOST_CM3, count))
    for number, size_cm3 in enumerate(sizes):
        low, high = FAINT_HU if number >= count - faint else DENSE_HU
        yield _planted(hu, depth, float(size_cm3), float(random.uniform(low, high)), random)


def _planted(hu: NDArray[Any], depth: NDArray[Any], cm3: float, level_hu: float, random: np.random.Generator) -> Bleed:
    from scipy import ndimage

    radius_mm = (3 * cm3 * 1000 / (4 * np.pi)) ** (1 / 3)
    deep = np.flatnonzero(depth > 0.6 * radius_mm)
    at = np.array(np.unravel_index(int(deep[random.integers(deep.size)]), hu.shape))
    reach = int(2 * radius_mm + 12)
    start = np.maximum(at - reach, 0)
    stop = np.minimum(at + reach, hu.shape)
    box = tuple(slice(int(first), int(last)) for first, last in zip(start, stop, strict=True))
    share = _shape(at - start, stop - start, cm3, radius_mm, hu[box] < BONE_HU, random)
    planted = hu.astype(np.float32)
    fine = planted[box] - ndimage.gaussian_filter(planted[box], NOISE_MM)
    planted[box] += share * (level_hu + fine - planted[box])
    inside = np.zeros(hu.shape, dtype=np.bool_)
    inside[box] = share >= 0.5
    return Bleed(inside=inside, hu=planted, level_hu=level_hu, block=_block(inside))


def _shape(
    at: NDArray[Any], sides: NDArray[Any], cm3: float, radius_mm: float, free: Mask, random: np.random.Generator
) -> NDArray[np.float32]:
    """How much of each voxel is blood: an ellipsoid with dents, cut so that one half of it or more encloses `cm3`."""
    from scipy import ndimage

    offsets = np.stack(np.meshgrid(*(np.arange(int(side)) - int(middle) for side, middle in zip(sides, at, strict=True)), indexing="ij"))
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    lengths = np.exp(random.normal(0, 0.2, size=3))
    away = np.linalg.norm(np.tensordot(turn, offsets, axes=1) / (lengths / np.prod(lengths) ** (1 / 3))[:, None, None, None], axis=0)
    rough = ndimage.gaussian_filter(random.normal(size=away.shape), ROUGH_MM / 2)
    height = np.where(free, -away / radius_mm + 0.25 * rough / rough.std(), -np.inf)
    count = round(cm3 * 1000)
    solid = height >= np.partition(height.ravel(), -count)[-count]
    parts, _ = ndimage.label(solid)
    solid = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    soft: NDArray[np.float32] = ndimage.gaussian_filter(ndimage.binary_fill_holes(solid).astype(np.float32), SOFT_MM)
    soft[~free] = 0
    return soft


def _block(inside: Mask) -> Mask:
    at = np.argwhere(inside)
    start = (at.min(axis=0) - BESIDE_MM) // MULTIPLE * MULTIPLE
    stop = -(-(at.max(axis=0) + 1 + BESIDE_MM) // MULTIPLE) * MULTIPLE
    block = np.zeros(inside.shape, dtype=np.bool_)
    block[tuple(slice(max(int(first), 0), int(last)) for first, last in zip(start, stop, strict=True))] = True
    return block
