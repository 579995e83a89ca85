"""Bright lesions: connected components of the contrast, each with its volume, its largest slice, and its length there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.applications.bright_lesion.contrast import OUTSTANDING, Floats, LesionContrast
from inference.findings import Box, Point
from inference.imaging.volume import Volume

LEAST_MM3 = 20.0
"""Smaller ones are a few voxels: as often noise as lesion."""
LEAST_BOX = 3
"""Pixels from side to side, from which on a box is drawn."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesion:
    """One part.

    Attributes
    ----------
    image
        Index of the slice on which its area is largest.
    shape
        There: a box around it, or its brightest point where it is too small for a box to be seen.
    diameter_mm
        There: between the middles of the two voxels that are farthest apart.
    """

    volume_mm3: float
    image: int
    shape: Box | Point
    diameter_mm: float


def lesions_in(contrast: LesionContrast, volume: Volume) -> tuple[list[Lesion], int]:
    """The lesions, largest first, and how many voxels stand out beside the large ones, those of parts that are too small among them."""
    from scipy import ndimage

    outstanding = (contrast.values > OUTSTANDING) | contrast.large
    labels, _ = ndimage.label(outstanding, structure=np.ones((3, 3, 3), dtype=np.bool_))
    sizes = np.bincount(labels.ravel())
    boxes = ndimage.find_objects(labels)
    kept = [number for number in range(1, len(sizes)) if sizes[number] * volume.voxel_volume_mm3 >= LEAST_MM3]
    # of equally large ones the first in the volume
    kept.sort(key=lambda number: (-int(sizes[number]), number))
    found = [_lesion(labels, number, boxes[number - 1], int(sizes[number]), contrast, volume) for number in kept]
    return found, int(np.count_nonzero(outstanding & ~contrast.large))


def _lesion(
    labels: NDArray[np.int32], number: int, box: tuple[slice, slice, slice], voxels: int, contrast: LesionContrast, volume: Volume
) -> Lesion:
    inside = labels[box] == number
    z = int(inside.sum(axis=(1, 2)).argmax())
    image = box[0].start + z
    plane = np.argwhere(inside[z]) + np.array([box[1].start, box[2].start])
    return Lesion(
        volume_mm3=voxels * volume.voxel_volume_mm3,
        image=image,
        shape=_shape(plane, contrast.values[image]),
        diameter_mm=_farthest_mm(plane, volume.spacing_mm[1:]),
    )


def _shape(plane: Indices, values: Floats) -> Box | Point:
    """A mark for these voxels (row, column) of one slice, counted from the outer edge of the first."""
    top, left = (int(least) for least in plane.min(axis=0))
    bottom, right = (int(most) + 1 for most in plane.max(axis=0))
    if min(bottom - top, right - left) >= LEAST_BOX:
        return Box(top=float(top), left=float(left), bottom=float(bottom), right=float(right))
    row, column = plane[int(values[plane[:, 0], plane[:, 1]].argmax())]
    return Point(row=float(row) + 0.5, column=float(column) + 0.5)


def _farthest_mm(plane: Indices, spacing_mm: tuple[float, float]) -> float:
    # only the ends of each row can be farthest: a few for each, so that all pairs are few
    rows = np.unique(plane[:, 0])
    columns = [plane[plane[:, 0] == row, 1] for row in rows]
    ends = np.array([(row, end) for row, here in zip(rows, columns, strict=True) for end in (here.min(), here.max())])
    return float(np.linalg.norm((ends[:, None] - ends[None]) * spacing_mm, axis=-1).max())
