"""What the outline of a nodule says of its size and form: numbers of a mask alone, whatever its voxels hold."""

import math

import numpy as np
from numpy.typing import NDArray

from inference.imaging.diameters import axes_mm

FEATURES = (
    "longest diameter",
    "diameter across it",
    "height",
    "logarithm of the volume",
    "compactness",
    "solidity",
    "solidity of the largest slice",
    "breadth",
    "flatness",
    "depth",
    "unevenness",
    "thin parts",
)
_THIN_MM = 1.5
"""Half the width of what is a thin part of the largest slice."""


def outline_features(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """The numbers of `FEATURES`, of a mask (Z, Y, X) that is not empty; lengths in mm, the others without a unit.

    Compactness is 1 for a ball and less for what reaches further out (by second moments); solidity the share of the convex hull that is
    filled; breadth and flatness are the second and third of the main axes by the first; depth is how far the middle lies from the
    surface, by the radius of a ball of that volume; unevenness how far distances of the surface from the middle vary about their mean.
    """
    from scipy import ndimage

    inside = np.pad(mask, 1)
    step = np.array(spacing_mm)
    places = np.argwhere(inside) * step
    volume = len(places) * float(np.prod(step))
    radius = (3 * volume / (4 * math.pi)) ** (1 / 3)
    # a voxel is no point: it has moments of its own
    moments = np.cov(places.T, bias=True) + np.diag(step**2 / 12)
    first, second, third = np.sqrt(np.sort(np.linalg.eigvalsh(moments))[::-1])
    areas = inside.sum(axis=(1, 2))
    largest = inside[int(areas.argmax())]
    longest, across = max((axes_mm(plane, spacing_mm[1:]) for plane in inside[areas > 0]), key=lambda each: each[0])
    depth = float(ndimage.distance_transform_edt(inside, sampling=spacing_mm).max())
    surface = np.argwhere(inside & ~ndimage.binary_erosion(inside)) * step
    away = np.linalg.norm(surface - places.mean(axis=0), axis=1)
    within = ndimage.distance_transform_edt(largest, sampling=spacing_mm[1:])
    core = within > _THIN_MM
    near = ndimage.distance_transform_edt(~core, sampling=spacing_mm[1:]) <= _THIN_MM if core.any() else np.zeros_like(largest)
    return np.array(
        [
            longest,
            across,
            float(np.count_nonzero(areas)) * spacing_mm[0],
            math.log(volume),
            3 / 5 * radius**2 / float(np.trace(moments)),
            volume / _hull(places, step),
            float(areas.max() * np.prod(step[1:])) / _hull(np.argwhere(largest) * step[1:], step[1:]),
            second / first,
            third / first,
            depth / radius,
            float(away.std() / max(away.mean(), 1e-6)),
            1 - float(np.count_nonzero(largest & near)) / float(areas.max()),
        ]
    )


def _hull(places: NDArray[np.float64], step: NDArray[np.float64]) -> float:
    """Volume, or area, of the convex hull of voxels with their corners."""
    from scipy.spatial import ConvexHull

    corners = np.stack(np.meshgrid(*[(-0.5, 0.5)] * len(step), indexing="ij"), axis=-1).reshape(-1, len(step)) * step
    return float(ConvexHull((places[:, None] + corners).reshape(-1, len(step))).volume)
