"""Diameters of what one slice shows of a structure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Place = tuple[float, float]
"""Row and column, by the edges of pixels: the middle of the first is (0.5, 0.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The longest diameter of a mask, from outer edge to outer edge, its ends, and the widest one across it."""

    long_mm: float
    short_mm: float
    start: Place
    end: Place


def axes_mm(plane: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """The longest diameter of a mask (Y, X), and the widest one across it, from outer edge to outer edge; 0 and 0 where it is empty."""
    if not plane.any():
        return 0.0, 0.0
    axes = axes_of(plane, spacing_mm)
    return axes.long_mm, axes.short_mm


def axes_of(plane: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> Axes:
    """Both diameters of a mask (Y, X) that is not empty, and where the longest lies."""
    # only the ends of each row can be farthest: a few for each, so that all pairs are few
    rows = np.flatnonzero(plane.any(axis=1))
    first, last = plane[rows].argmax(axis=1), plane.shape[1] - 1 - plane[rows, ::-1].argmax(axis=1)
    ends = np.stack([np.repeat(rows, 2), np.stack([first, last], axis=1).ravel()], axis=1)
    places = ends * np.array(spacing_mm)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    voxel = float(np.sqrt(np.prod(spacing_mm)))
    longest = float(apart[one, other])
    along = (places[other] - places[one]) / longest if longest else np.array([0.0, 1.0])
    across = places @ np.array([-along[1], along[0]])
    # from the middles of the outermost voxels to their edges
    beyond = along * voxel / 2 / np.array(spacing_mm)
    start, end = ends[one] + 0.5 - beyond, ends[other] + 0.5 + beyond
    return Axes(
        long_mm=longest + voxel,
        short_mm=float(across.max() - across.min()) + voxel,
        start=(float(start[0]), float(start[1])),
        end=(float(end[0]), float(end[1])),
    )
