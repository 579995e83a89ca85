"""A cascade of nnU-Net: what one network marks is a channel for each label beside the images that a finer network sees.

The labels come back to the series' grid first, as a file of them would hold them; then they take the images' way to the finer network's
grid, turned, cut to the same box and resampled as labels are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.inferer import Inferer
from inference.applications.bundle.nnunet.preparing import CropToNonzero, Resample, coarse, together, zoomed
from inference.applications.bundle.steps import Array, ImageOnGrid, Orientation, Transform
from inference.applications.port import ModelRef
from inference.imaging.resample import Grid, reorientation

Labels = NDArray[np.int32]

_OUTSIDE = -1
"""nnU-Net's label of what is background and not inside the patient: it is no neighbour of a structure as other background is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarser:
    """The network that comes first: how it is called, and how its labels are resampled to the finer one's grid (as `Resample` is)."""

    model: ModelRef
    prepare: tuple[Transform, ...]
    inferer: Inferer
    order: int = 1
    order_apart: int = 0
    apart: bool | None = None


def appended(
    steps: Sequence[Transform],
    images: Sequence[ImageOnGrid],
    labels: Array,
    numbers: Sequence[int],
    by: Coarser,
    room: Callable[[tuple[int, ...]], None],
) -> ImageOnGrid:
    """What the finer network sees: the images after `steps`, and behind them a channel for each label, 1 where it is (C, Z, Y, X).

    Parameters
    ----------
    images
        On the series' grid.
    labels
        (Z, Y, X) on the same.
    room
        Is asked before there is a channel for each label: refuses a shape (C, Z, Y, X) that takes too much memory.
    """
    done = list(images)
    there: Labels = labels.astype(np.int32)
    for step in steps:
        grid = done[0].grid
        done = together([step], done)
        if isinstance(step, Orientation):
            there = np.ascontiguousarray(reorientation(grid, step.axcodes).apply(there))
        elif isinstance(step, CropToNonzero):
            there = _cropped(there, grid, done[0])
            # values are normalised inside of what is known as inside or marked
            done = [replace(image, inside=there != _OUTSIDE) for image in done]
        elif isinstance(step, Resample):
            room((len(done) + len(numbers), *done[0].grid.shape))
            apart = coarse(grid.spacing_mm, step.wanted(grid), by.apart)
            there = resampled(there, done[0].grid.shape, by.order, apart, by.order_apart)
    values = np.empty((len(done) + len(numbers), *there.shape), dtype=np.float32)
    for channel, image in enumerate(done):
        values[channel] = image.values
    for channel, number in enumerate(numbers, start=len(done)):
        np.equal(there, number, out=values[channel], casting="unsafe")
    return replace(done[0], values=values)


def _cropped(labels: Labels, before: Grid, image: ImageOnGrid) -> Labels:
    """Labels in the box of an image that was just cropped; background outside of the patient is told apart."""
    assert image.inside is not None, "the step looked for it"
    start = np.rint(np.linalg.inv(before.affine) @ image.grid.affine[:, 3]).astype(int)[:3]
    box = tuple(slice(first, first + side) for first, side in zip(start, image.grid.shape, strict=True))
    cut = labels[box].copy()
    cut[(cut == 0) & ~image.inside] = _OUTSIDE
    return cut


def resampled(labels: Labels, shape: tuple[int, ...], order: int, apart: int | None, order_apart: int) -> Labels:
    """Labels of the same field of view in `shape` voxels: of each voxel the label whose mask is largest there, resampled by splines.

    Parameters
    ----------
    apart
        The axis along which the nearest plane is taken, after the planes across it; None resamples all axes at once.
    """
    if labels.shape == tuple(shape):
        return labels
    if apart is None:
        return _largest(labels, shape, order)
    if order_apart != 0:
        raise ValueError("labels are resampled to the nearest plane along a coarse axis")
    planes = np.moveaxis(labels, apart, 0)
    sides = tuple(side for axis, side in enumerate(shape) if axis != apart)
    made = np.stack([_largest(plane, sides, order) for plane in planes])
    at = (np.arange(shape[apart]) + 0.5) * (len(made) / shape[apart]) - 0.5
    nearest = np.clip(np.floor(at + 0.5).astype(np.intp), 0, len(made) - 1)
    return np.ascontiguousarray(np.moveaxis(made.take(nearest, axis=0), 0, apart))


def _largest(labels: Labels, sides: Sequence[int], order: int) -> Labels:
    """Where two are largest, the label of the nearest voxel, if it is one of them; else the smaller number."""
    near = zoomed(labels.astype(np.float64), sides, 0).astype(np.int32)
    if order == 0 or labels.shape == tuple(sides):
        return near
    winner: Labels = np.zeros(sides, dtype=np.int32)
    best: Any = np.full(sides, -np.inf)
    of_near = np.zeros(sides, dtype=np.bool_)
    for number in np.unique(labels):
        share = zoomed((labels == number).astype(np.float64), sides, order)
        more, here = share > best, near == number
        winner[more] = number
        of_near = np.where(more, here, of_near | (here & (share == best)))
        np.maximum(best, share, out=best)
    return np.where(of_near, near, winner)
