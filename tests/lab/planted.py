"""A made head on FLAIR with lesions planted in it: their place and size are known to the voxel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.imaging.volume import SliceSource, Volume

SHAPE, SPACING = (44, 112, 112), (3.5, 1.6, 1.6)
BRAIN_MM = (60.0, 75.0, 62.0)
"""Half axes of the made brain along (z, y, x)."""
ORDINARY, NOISE, BRIGHT = 300.0, 18.0, 480.0


def ellipsoid(centre_mm: Sequence[float], half_mm: Sequence[float]) -> NDArray[np.bool_]:
    """Voxels whose middle lies in an ellipsoid about a point, mm along (z, y, x) from the middle of the grid."""
    axes = np.ogrid[tuple(slice(0, count) for count in SHAPE)]
    away = [(axis - (count - 1) / 2) * mm - at for axis, count, mm, at in zip(axes, SHAPE, SPACING, centre_mm, strict=True)]
    distance = sum((each / half) ** 2 for each, half in zip(away, half_mm, strict=True))
    return np.asarray(distance <= 1)


def head(*lesions: tuple[Sequence[float], Sequence[float]], noise: float = NOISE, seed: int = 3) -> Volume:
    """A brain in dark water and skull with a scalp around it, and ellipsoids of `BRIGHT` (centre, half axes in mm) in it."""
    image = np.zeros(SHAPE, dtype=np.float64)
    image[ellipsoid((0, 0, 0), [mm + 14 for mm in BRAIN_MM])] = 170.0
    image[ellipsoid((0, 0, 0), [mm + 10 for mm in BRAIN_MM])] = 25.0
    image[ellipsoid((0, 0, 0), BRAIN_MM)] = ORDINARY
    # ventricles
    image[ellipsoid((0, 0, 8), (12, 22, 5))] = 60.0
    image[ellipsoid((0, 0, -8), (12, 22, 5))] = 60.0
    for centre, half in lesions:
        image[ellipsoid(centre, half)] = BRIGHT
    image += np.random.default_rng(seed).normal(scale=noise, size=SHAPE) * (image > 0)
    return volume(np.rint(np.clip(image, 0, None)).astype(np.int16))


def volume(voxels: NDArray[np.int16]) -> Volume:
    affine = np.array([[0, 0, SPACING[2], -90], [0, SPACING[1], 0, -90], [SPACING[0], 0, 0, -75], [0, 0, 0, 1]], dtype=np.float64)
    return Volume(
        voxels=voxels,
        affine=affine,
        sources=tuple(SliceSource(sop_instance_uid=f"1.2.{z}", sop_class_uid="1.2.840.10008.5.1.4.1.1.4") for z in range(len(voxels))),
        modality="MR",
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        frame_of_reference_uid="1.4",
    )


LESIONS = (((10, 30, 30), (9, 7, 12)), ((-20, -25, 35), (7, 6, 5)), ((25, 10, -30), (6, 4, 4)))
"""Three, largest first, away from the ventricles and from the edge."""
