"""Figures of segmentation: overlap of found and true structure, distances between their surfaces in mm, volume.

Surfaces are the voxels of a mask that have a neighbour outside it; their distances come from MONAI, in mm, whatever the voxels' shape.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE_MM = 1.0
"""Of the surface Dice: how far surfaces may lie from each other and still agree."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Masks:
    """A structure twice, as it was found and as it is, both (Z, Y, X) on one grid."""

    found: NDArray[np.bool_]
    true: NDArray[np.bool_]


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Dice's coefficient of two masks, 0 to 1; NaN where both are empty."""
    sizes = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / sizes if sizes else float("nan")


def agreement(masks: Masks, spacing_mm: tuple[float, float, float]) -> Mapping[str, float]:
    """All figures of one structure in one case, by the names of `figures.KINDS`.

    Where one mask is empty, both Dice are 0 and there is no distance (NaN); where both are, there is nothing to say (NaN).
    """
    found, true = int(np.count_nonzero(masks.found)), int(np.count_nonzero(masks.true))
    within, far, mean = _surfaces(masks, spacing_mm) if found and true else (0.0 if found or true else np.nan, np.nan, np.nan)
    return {
        "Dice": dice(masks.found, masks.true),
        "surface Dice": within,
        "Hausdorff 95 %": far,
        "surface distance": mean,
        "volume error": 100 * (found - true) / true if true else np.nan,
    }


def _surfaces(masks: Masks, spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    """Share of both surfaces within the tolerance; the larger of the two 95th percentiles; mean over both surfaces."""
    import torch
    from monai.metrics.utils import get_edge_surface_distance

    here = _box(masks.found | masks.true)
    one, other = (torch.from_numpy(np.ascontiguousarray(mask[here])) for mask in (masks.found, masks.true))
    with warnings.catch_warnings():
        # MONAI speaks of its own options
        warnings.simplefilter("ignore", FutureWarning)
        _, distances, _ = get_edge_surface_distance(one, other, spacing=spacing_mm, symmetric=True)
    there, back = (each.numpy().astype(np.float64) for each in distances)
    both = np.concatenate([there, back])
    return float((both <= TOLERANCE_MM).mean()), float(max(np.percentile(there, 95), np.percentile(back, 95))), float(both.mean())


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Where the mask is, and a voxel around it where the image has one."""
    ends = []
    for axis in range(mask.ndim):
        there = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        ends.append(slice(max(0, int(there[0]) - 1), int(there[-1]) + 2))
    return tuple(ends)
