"""The mask of the intracranial space, as deepbet computes it: find the head's bounding box coarsely, then segment inside it.

Every step repeats the published pipeline on views of the source volume; only the two grids that the networks see are copied.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import Infer, ModelRef
from inference.errors import InputError
from inference.imaging.components import fill_holes, largest_component
from inference.imaging.resample import Grid, Interpolation, Shape, reorientation, resample
from inference.imaging.volume import Volume
from inference.stages import BACK, RESAMPLE, stage

BOUNDING_BOX = ModelRef(name="deepbet_bbox")
BRAIN = ModelRef(name="deepbet_brain")

COARSE: Shape = (128, 128, 128)
FINE: Shape = (256, 256, 256)
PERCENTILES = (0.5, 99.5)
CENTRE, SPREAD = 0.449, 0.226  # what the networks were trained to see as mean and standard deviation
PIECE = 1 << 15
MARGIN = 0.1
SPARSE = 0.02
"""A plane of the coarse mask belongs to the box when more than this share of it is marked."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class NoBrainOnT1(InputError):
    """The network marks nothing: the images show no head, or another contrast than T1."""

    code = "HLM-3150"
    remedy = "Look at the series: mr-brain needs a whole head on T1. Narrow the route's `when`, or cancel the job."


def extract(volume: Volume, infer: Infer) -> Mask:
    """The mask (Z, Y, X) on the grid of `volume`.

    Raises
    ------
    NoBrainOnT1
    """
    source = Grid.of(volume)
    turn = reorientation(source, "RAS")
    head, grid = turn.apply(volume.voxels), turn.grid(source)

    with stage(RESAMPLE):
        coarse = _values(head, grid, COARSE)
        low, high = (float(bound) for bound in np.percentile(coarse, PERCENTILES))
        _normalise(coarse, low, high)
    marked = _marked(infer, BOUNDING_BOX, coarse)
    with stage(RESAMPLE):
        start, stop = bounding_box(largest_component(marked), grid.shape)
        box = grid.cropped(start, stop)
        inside = tuple(slice(first, last) for first, last in zip(start, stop, strict=True))
        fine = _normalise(_values(head[inside], box, FINE), low, high)
    marked = _marked(infer, BRAIN, fine)
    with stage(BACK):
        # as it lies in the source's memory: turned back while it is resampled, and what follows runs along the source's rows
        part = np.empty(turn.undo(np.empty(box.shape, dtype=np.bool_)).shape, dtype=np.bool_)
        resample(marked, box.resized(FINE), box, by=Interpolation.NEAREST, out=turn.apply(part))
        mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
        turn.apply(mask)[inside] = turn.apply(fill_holes(largest_component(part)))
    return mask


def _values(array: NDArray[Any], grid: Grid, shape: Shape) -> Floats:
    values: Floats = np.empty(shape, dtype=np.float32)
    resample(array, grid, grid.resized(shape), by=Interpolation.NEAREST, out=values)
    return np.nan_to_num(values, copy=False) if array.dtype.kind == "f" else values


def _normalise(values: Floats, low: float, high: float) -> Floats:
    """Clip at `low` and `high`, then bring mean and standard deviation to what the networks know; in place."""
    flat = values.reshape(-1)
    total = squares = 0.0
    # piece by piece: three passes over a volume become one over what the processor's cache holds
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE]
        np.clip(piece, low, high, out=piece)
        exact = piece.astype(np.float64)
        # about the lower bound, near which most of a head's voxels lie: no digits cancel
        exact -= low
        total += float(exact.sum())
        exact *= exact
        squares += float(exact.sum())
    mean = total / flat.size
    variance = squares / flat.size - mean * mean
    if not high > low or not variance > 0:
        raise NoBrainOnT1("the images are even: every voxel has the same value")
    scale = SPREAD / math.sqrt(variance)
    factor, offset = np.float32(scale), np.float32(CENTRE - (mean + low) * scale)
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE]
        piece *= factor
        piece += offset
    return values


def _marked(infer: Infer, model: ModelRef, values: Floats) -> Mask:
    """The voxels (x, y, z to the right, front, head) to which the network gives more than one half."""
    probability: Floats = infer(model, {"INPUT__0": values[None, None]})["OUTPUT__0"][0, 1]
    marked: Mask = probability > 0.5
    if not marked.any():
        raise NoBrainOnT1(f'the network "{model.name}" finds no brain in the images')
    return marked


def bounding_box(mask: Mask, shape: Shape) -> tuple[Shape, Shape]:
    """First index and the one after the last, on a grid of `shape` over the mask's field of view, with the margin around.

    Raises
    ------
    NoBrainOnT1
        Too little is marked.
    """
    start, stop = [], []
    for axis, length in enumerate(shape):
        others = tuple(other for other in range(3) if other != axis)
        planes = np.flatnonzero(mask.mean(axis=others) > SPARSE)
        if planes.size == 0:
            raise NoBrainOnT1("too little of the images looks like brain")
        scale = length / mask.shape[axis]
        first, last = int(planes[0]), int(planes[-1]) + 1
        centre, size = round(scale * (first + last) / 2), round(scale * (last - first) * (1 + 2 * MARGIN))
        start.append(max(0, int(centre - size / 2)))
        stop.append(min(length, int(centre + size / 2)))
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])
