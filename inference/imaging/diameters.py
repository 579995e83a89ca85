"""Diameters of what one slice shows of a structure."""

import numpy as np
from numpy.typing import NDArray


def axes_mm(plane: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """The longest diameter of a mask (Y, X), and the widest one across it, from outer edge to outer edge; 0 and 0 where it is empty."""
    points = np.argwhere(plane)
    if not len(points):
        return 0.0, 0.0
    # only the ends of each row can be farthest: a few for each, so that all pairs are few
    rows = np.unique(points[:, 0])
    ends = np.array([(row, end) for row in rows for end in (points[points[:, 0] == row, 1].min(), points[points[:, 0] == row, 1].max())])
    places = ends * np.array(spacing_mm)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    voxel = float(np.sqrt(np.prod(spacing_mm)))
    longest = float(apart[one, other])
    if longest == 0:
        return voxel, voxel
    along = (places[other] - places[one]) / longest
    across = places @ np.array([-along[1], along[0]])
    return longest + voxel, float(across.max() - across.min()) + voxel
