"""Parts of the brain that stand out together, each with its volume, its largest slice, and how long it is there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.applications.bright_lesion.contrast import Contrast
from inference.findings import Box, Line, Point
from inference.imaging.volume import Volume

OUTSTANDING = 3.0
"""Robust standard deviations above the tissue around: below, noise and cortex stand out as often as lesions."""
LEAST_MM3 = 20.0
"""Smaller ones are a few voxels: as often noise as lesion."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesion:
    """One part.

    Attributes
    ----------
    image
        Index of the slice on which its area is largest; box, diameter and brightest point lie there.
    diameter
        Between the middles of the two voxels that are farthest apart; None where it is one voxel there.
    """

    volume_mm3: float
    image: int
    box: Box
    brightest: Point
    diameter: Line | None
    diameter_mm: float


def lesions_in(contrast: Contrast, volume: Volume) -> tuple[list[Lesion], int]:
    """The lesions, largest first, and how many voxels stand out in all, those of parts that are too small among them."""
    from scipy import ndimage

    outstanding = contrast.values > OUTSTANDING
    labels, _ = ndimage.label(outstanding, structure=np.ones((3, 3, 3), dtype=np.bool_))
    sizes = np.bincount(labels.ravel())
    boxes = ndimage.find_objects(labels)
    kept = [number for number in range(1, len(sizes)) if sizes[number] * volume.voxel_volume_mm3 >= LEAST_MM3]
    # of equally large ones the first in the volume
    kept.sort(key=lambda number: (-int(sizes[number]), number))
    found = [_lesion(labels, number, boxes[number - 1], int(sizes[number]), contrast, volume) for number in kept]
    return found, int(np.count_nonzero(outstanding))


def _lesion(
    labels: NDArray[np.int32], number: int, box: tuple[slice, slice, slice], voxels: int, contrast: Contrast, volume: Volume
) -> Lesion:
    inside = labels[box] == number
    z = int(inside.sum(axis=(1, 2)).argmax())
    image = box[0].start + z
    plane = np.argwhere(inside[z]) + np.array([box[1].start, box[2].start])
    top, left = plane.min(axis=0)
    bottom, right = plane.max(axis=0) + 1
    brightest = plane[int(contrast.values[image][tuple(plane.T)].argmax())]
    start, end, length_mm = _farthest(plane, volume.spacing_mm[1:])
    return Lesion(
        volume_mm3=voxels * volume.voxel_volume_mm3,
        image=image,
        box=Box(top=float(top), left=float(left), bottom=float(bottom), right=float(right)),
        brightest=_middle(brightest),
        diameter=Line(start=_middle(start), end=_middle(end)) if length_mm > 0 else None,
        diameter_mm=length_mm,
    )


def _farthest(plane: NDArray[np.int64], spacing_mm: tuple[float, float]) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """The two voxels (row, column) of a plane that are farthest apart, and how far in mm."""
    # only the ends of each row can be: a few for each, so that all pairs are few
    rows = np.unique(plane[:, 0])
    ends = np.array([(row, column) for row in rows for column in _ends(plane[plane[:, 0] == row, 1])])
    apart = np.linalg.norm((ends[:, None] - ends[None]) * spacing_mm, axis=-1)
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    return ends[one], ends[other], float(apart[one, other])


def _ends(columns: NDArray[np.int64]) -> tuple[int, int]:
    return int(columns.min()), int(columns.max())


def _middle(voxel: NDArray[np.int64]) -> Point:
    """The middle of a pixel, counted from the outer edge of the first."""
    return Point(row=float(voxel[0]) + 0.5, column=float(voxel[1]) + 0.5)
