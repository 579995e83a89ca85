"""Deformations as they are served: what a field of offsets does to places, and where it folds space; SimpleITK is not imported."""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from inference.findings import Deformation

MOST_FOLDED = 0.001
"""Share of the cells that move in which a served deformation may fold space."""
_MOVES_MM = 0.01


def places_in_prior(deformation: Deformation, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where places of the current's frame of reference lie in the prior's.

    Parameters
    ----------
    places
        (N, 3) mm, LPS.

    Returns
    -------
    (N, 3) mm, LPS.
    """
    to_grid, to_prior = np.linalg.inv(deformation.affine), np.linalg.inv(deformation.matrix)
    nodes = (places @ to_grid[:3, :3].T + to_grid[:3, 3]).T
    offsets = [map_coordinates(deformation.offsets[..., axis], nodes, order=1, mode="grid-constant") for axis in range(3)]
    moved: NDArray[np.float64] = (places + np.stack(offsets, axis=1)) @ to_prior[:3, :3].T + to_prior[:3, 3]
    return moved


def stretch(deformation: Deformation) -> NDArray[np.float64]:
    """How a volume at each cell of the grid changes on its way to the prior: the least of the Jacobian determinants at its eight corners.

    Returns
    -------
    (Z-1, Y-1, X-1): 1 where nothing is bent, 0 or less where space is folded; the offsets between the nodes are linear along each axis,
    and each corner's slopes are those within the cell.
    """
    offsets = deformation.offsets.astype(np.float64)
    directions, spacing = deformation.affine[:3, :3], np.linalg.norm(deformation.affine[:3, :3], axis=0)
    slopes = [np.diff(offsets, axis=axis) / spacing[axis] for axis in range(3)]  # per mm along the grid's axes
    least: NDArray[np.float64] | None = None
    for corner in itertools.product((0, 1), repeat=3):
        columns = []
        for axis, slope in enumerate(slopes):
            # of the axis itself there is one slope a cell; along the others the cell begins or ends at the corner
            cut = [slice(None) if other == axis else slice(at, offsets.shape[other] - 1 + at) for other, at in enumerate(corner)]
            columns.append(slope[tuple(cut)])
        gradient = np.stack(columns, axis=-1) @ (directions / spacing).T
        determinants = np.linalg.det(np.eye(3) + gradient)
        least = determinants if least is None else np.minimum(least, determinants)
    assert least is not None
    return least


def folded(deformation: Deformation) -> float:
    """Share, 0 to 1, of the cells with a moving node in which space is folded: two places of the current images are one of the prior's."""
    moving = np.linalg.norm(deformation.offsets, axis=-1) > _MOVES_MM
    inside = np.zeros(tuple(count - 1 for count in moving.shape), dtype=np.bool_)
    for corner in itertools.product((0, 1), repeat=3):
        inside |= moving[tuple(slice(at, count - 1 + at) for at, count in zip(corner, moving.shape, strict=True))]
    return float((stretch(deformation)[inside] <= 0).mean()) if inside.any() else 0.0
