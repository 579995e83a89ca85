"""Where hippodeep marks the hippocampi of a head: it finds the way to the MNI space, and looks at a crop in voxels of 1 mm there.

The steps and figures are those of the published program (Thyreau and others, Medical Image Analysis 43:214-228, 2018).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.mr_brain_structures.hippodeep import AFFINE, HALF, HIPPOCAMPUS, INPUT, LOST, SIDE, TISSUES
from inference.applications.port import Infer, ModelRef
from inference.imaging.resample import Grid, Interpolation, Shape, reorientation, resample
from inference.imaging.volume import Affine, Volume
from inference.stages import BACK, RESAMPLE, stage

TISSUES_MODEL = ModelRef(name="hippodeep_tissues")
AFFINE_MODEL = ModelRef(name="hippodeep_affine")
HIPPOCAMPUS_MODEL = ModelRef(name="hippodeep_hippocampus")
MODELS = (TISSUES_MODEL, AFFINE_MODEL, HIPPOCAMPUS_MODEL)

AXES = "LAS"
CROP: Shape = (107, 72, 68)
"""Voxels of 1 mm in the MNI space: to the left, the front and the head."""
_SKULL, _LAID = 0, [1, 3]
"""Of the tissues: the inside of the skull, and those by which the head is laid on the MNI space, within it."""
_MNI_REACH = np.array([90.0, 108.0, 90.0])
"""Half of what the affine network takes for the MNI space, mm along each axis; its middle lies as follows in the crop's voxels."""
_MNI_MIDDLE = np.array([54.0, 41.0, 63.0])
_FIRST = 6
"""The first voxel of either half, from the right end of the crop and from its left one."""
_ABOVE_BELOW = 2
"""Voxels at the feet and at the head that neither half has."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hippocampi:
    """What is more than half hippocampus, (Z, Y, X) on the grid of the images."""

    left: Mask
    right: Mask


def hippocampi(volume: Volume, infer: Infer) -> Hippocampi:
    """Mark both hippocampi of a head."""
    source = Grid.of(volume)
    turn = reorientation(source, AXES)
    head, grid = turn.apply(_finite(volume.voxels)), turn.grid(source)
    mean, deviation = float(head.mean(dtype=np.float64)), float(head.std(dtype=np.float64)) or 1.0
    with stage(RESAMPLE):
        # the first and the last voxel of either lie on one another, not the borders of their fields of view
        onto = Grid(shape=(SIDE,) * 3, affine=grid.affine @ _between_ends(grid.shape) @ np.linalg.inv(_between_ends((SIDE,) * 3)))
        seen = (resample(head, grid, onto, by=Interpolation.LINEAR) - np.float32(mean)) / np.float32(deviation)
    tissues = infer(TISSUES_MODEL, {INPUT: seen[None, None]})[TISSUES]
    laid = infer(AFFINE_MODEL, {INPUT: tissues[:, _LAID] * tissues[:, [_SKULL]]})[AFFINE]
    crop = Grid(shape=CROP, affine=grid.affine @ _crop_in(grid.shape, laid.reshape(3, 4)))
    with stage(RESAMPLE):
        halves = _halves(resample(head, grid, crop, by=Interpolation.LINEAR, fill=mean))
    right, left = infer(HIPPOCAMPUS_MODEL, {INPUT: halves[:, None]})[HIPPOCAMPUS][:, 0]
    with stage(BACK):
        return Hippocampi(left=_back(left, crop, source, mirrored=True), right=_back(right, crop, source, mirrored=False))


def _between_ends(shape: tuple[int, ...]) -> Affine:
    """From −1 to 1 along each axis to the first and the last index."""
    half = (np.array(shape) - 1) / 2
    matrix = np.diag([*half, 1.0])
    matrix[:3, 3] = half
    return matrix


def _crop_in(shape: Shape, laid: NDArray[Any]) -> Affine:
    """From indices of the crop to those of the head, by what the affine network says of the head between −1 and 1."""
    crop = np.eye(4)
    crop[:3] = np.column_stack([np.diag(1 / _MNI_REACH), -_MNI_MIDDLE / _MNI_REACH])
    to_head = np.eye(4)
    to_head[:3] += laid.astype(np.float64)
    matrix: Affine = _between_ends(shape) @ to_head @ crop
    return matrix


def _halves(crop: Floats) -> Floats:
    """(2, *HALF) the right half as it lies, and the left one mirrored, by the mean and deviation of the whole crop."""
    level = (crop - crop.mean()) / (crop.std() or np.float32(1))
    inner = level[:, :, _ABOVE_BELOW : CROP[2] - _ABOVE_BELOW]
    return np.stack([inner[_FIRST : _FIRST + HALF[0]], inner[::-1][_FIRST : _FIRST + HALF[0]]])


def _back(half: Floats, crop: Grid, source: Grid, *, mirrored: bool) -> Mask:
    """The mask, on a grid, of one half's probabilities: they are told between 0 and 1 from one half to three quarters on, as published."""
    told = np.where(half > 0.5, np.clip(2 * half - np.float32(0.5), 0, 1), np.float32(0))
    whole = np.zeros(CROP, dtype=np.float32)
    at = [_FIRST + LOST, LOST, _ABOVE_BELOW + LOST]
    (whole[::-1] if mirrored else whole)[tuple(slice(first, first + count) for first, count in zip(at, told.shape, strict=True))] = told
    mask = np.zeros(source.shape, dtype=np.bool_)
    start, stop = _extent(crop, source)
    if all(first < last for first, last in zip(start, stop, strict=True)):
        inside = tuple(slice(first, last) for first, last in zip(start, stop, strict=True))
        mask[inside] = resample(whole, crop, source.cropped(start, stop), by=Interpolation.LINEAR) >= np.float32(0.5)
    return mask


def _extent(crop: Grid, source: Grid) -> tuple[Shape, Shape]:
    """First index and the one after the last of the voxels of a grid among which a crop lies."""
    corners = np.array([[*corner, 1.0] for corner in np.ndindex(2, 2, 2)]) * [*crop.shape, 1.0] - [0.5, 0.5, 0.5, 0.0]
    at = (np.linalg.inv(source.affine) @ crop.affine @ corners.T)[:3]
    low = np.clip(np.floor(at.min(axis=1)).astype(int), 0, np.array(source.shape))
    high = np.clip(np.ceil(at.max(axis=1)).astype(int) + 1, 0, np.array(source.shape))
    return (int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2]))


def _finite(voxels: NDArray[Any]) -> NDArray[Any]:
    return np.nan_to_num(voxels) if voxels.dtype.kind == "f" else voxels
