"""What a derived image was made from, where its slices lie, and which of the source's slices each of them was made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.findings import DerivedImage
from inference.imaging.subject import Pair
from inference.imaging.volume import Affine, SliceSource, Volume
from node.results.errors import NotDerivable
from node.results.planes import Sources
from node.results.port import Encoding

DIRECTION_TOLERANCE = 1e-3
SAME_PLACE_VOXELS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Where the slices of a derived image lie.

    Attributes
    ----------
    positions
        (Z, 3) ImagePositionPatient of each slice, mm LPS.
    row, column
        Direction of increasing column index, then of increasing row index (ImageOrientationPatient).
    spacing_mm
        Along (z, y, x).
    """

    positions: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """What a derived image was made from: the volume, the header of every slice's source, and whether the grid is still its own."""

    volume: Volume
    headers: Sequence[Dataset]
    same_grid: bool
    of_prior: bool

    @property
    def sop_class_uid(self) -> str:
        """The class of the source, and therefore of the derived image."""
        return self.volume.sources[0].sop_class_uid


def origin_of(encoding: Encoding, sources: Sources, image: DerivedImage) -> Origin:
    """Which volume an image was made from."""
    subject = encoding.subject
    volume = subject.prior if image.of_prior and isinstance(subject, Pair) else encoding.volume
    affine = encoding.volume.affine if image.affine is None else image.affine
    # a prior that was resampled may have the current grid: its own it is not
    same = not image.of_prior and image.voxels.shape == volume.voxels.shape and same_place(affine, volume)
    headers = [sources.headers[source.sop_instance_uid] for source in volume.sources]
    return Origin(volume=volume, headers=headers, same_grid=same, of_prior=image.of_prior)


def same_place(affine: Affine, volume: Volume) -> bool:
    """Whether no corner of the volume lies elsewhere by more than a thousandth of a voxel; slices in unequal steps lie on no grid."""
    if volume.steps is not None:
        return False
    ends = np.array(np.meshgrid(*[(0, count - 1) for count in volume.voxels.shape])).reshape(3, -1)
    corners = np.vstack([ends, np.ones(ends.shape[1])])
    apart = np.linalg.solve(volume.affine, affine @ corners) - corners
    return bool(np.abs(apart).max() < SAME_PLACE_VOXELS)


def grid_of(encoding: Encoding, image: DerivedImage) -> Grid:
    """Where the slices lie, from the affine.

    Raises
    ------
    NotDerivable
        Its axes are not perpendicular: no stack of images lies like that.
    """
    affine = encoding.volume.affine if image.affine is None else image.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    if np.abs(directions.T @ directions - np.eye(3)).max() > DIRECTION_TOLERANCE:
        raise NotDerivable(f'the grid of "{image.label}" is sheared: no stack of images lies like that')
    z = np.arange(image.voxels.shape[0])
    return Grid(
        positions=affine[:3, 3] + z[:, None] * affine[:3, 0],
        row=directions[:, 2],
        column=directions[:, 1],
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
    )


def source_slices(encoding: Encoding, image: DerivedImage, origin: Origin) -> list[list[SliceSource]]:
    """The slices of the source that each derived slice was made of: those that it crosses, or lies between."""
    slices = origin.volume.sources
    if origin.same_grid:
        return [[source] for source in slices]
    affine = encoding.volume.affine if image.affine is None else image.affine
    registration = encoding.findings.registration
    # from the current patient coordinates, where the grid lies, to the prior's
    to_prior = np.linalg.inv(registration.matrix) if origin.of_prior and registration is not None else np.eye(4)
    depth, rows, columns = image.voxels.shape
    found = []
    for z in range(depth):
        corners = np.array([(z, y, x, 1) for y in (0, rows - 1) for x in (0, columns - 1)], dtype=np.float64).T
        along = origin.volume.to_indices((to_prior @ affine @ corners)[:3].T)[:, 0]
        first, last = int(np.floor(along.min() + 1e-6)), int(np.ceil(along.max() - 1e-6))
        # beyond the ends of the source a slice holds none of it, but was made from its border
        low, high = (min(max(bound, 0), len(slices) - 1) for bound in (first, last))
        found.append(list(slices[low : high + 1]))
    return found
