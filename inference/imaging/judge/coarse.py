"""A volume and its masks on a grid of about 3 mm, turned to head, back and left: all that forms are judged on.

Blocks of voxels become their mean, so that noise is not taken for structure. Oblique axes are turned as nearly as turns can.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.imaging.resample import Grid, reorientation
from inference.imaging.volume import Volume

STEP_MM = 3.0
FINEST_MM = 1.4
"""Finer voxels are passed over before blocks are made: a head of 50 million voxels would take longer than all else."""

MOST = 1e9
"""Values beyond are no measurement; their sums would be infinite."""

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coarse:
    """One volume, as coarse as it is judged.

    Attributes
    ----------
    values
        (Z, Y, X) float32; axes to the head, to the back, to the left.
    spacing_mm
        Along these axes.
    """

    values: Values
    spacing_mm: tuple[float, float, float]
    _strides: tuple[int, int, int]
    _blocks: tuple[int, int, int]
    _volume: Volume

    def mask(self, mask: Mask) -> Mask:
        """A mask on the volume's grid brought to this one; at least half of each block is marked."""
        share = _blocked(_turned(self._volume, mask), self._strides, self._blocks)
        half: Mask = share >= np.float32(0.5)
        return half


def coarse_of(volume: Volume) -> Coarse:
    """The coarse volume."""
    source = Grid.of(volume)
    z_mm, y_mm, x_mm = reorientation(source, "SPL").grid(source).spacing_mm
    turned = _turned(volume, volume.voxels)
    strides, blocks, steps = [], [], []
    for mm, count in zip((z_mm, y_mm, x_mm), turned.shape, strict=True):
        stride = max(1, min(int(FINEST_MM // mm), count))
        block = max(1, min(round(STEP_MM / (mm * stride) - 0.01), count // stride))
        strides.append(stride)
        blocks.append(block)
        steps.append(mm * stride * block)
    by, of = (strides[0], strides[1], strides[2]), (blocks[0], blocks[1], blocks[2])
    return Coarse(
        values=_finite(_blocked(turned, by, of)), spacing_mm=(steps[0], steps[1], steps[2]), _strides=by, _blocks=of, _volume=volume
    )


def _finite(values: Values) -> Values:
    """Without what is no number, and without numbers so large that no arithmetic in 32 bits is left with them."""
    return np.clip(np.nan_to_num(values), -MOST, MOST)


def _turned(volume: Volume, array: NDArray[Any]) -> NDArray[Any]:
    return reorientation(Grid.of(volume), "SPL").apply(array)


def _blocked(array: NDArray[Any], strides: tuple[int, int, int], blocks: tuple[int, int, int]) -> Values:
    thin = array[tuple(slice(stride // 2, None, stride) for stride in strides)]
    counts = [size // block for size, block in zip(thin.shape, blocks, strict=True)]
    whole = thin[tuple(slice(0, count * block) for count, block in zip(counts, blocks, strict=True))]
    parted = whole.reshape(counts[0], blocks[0], counts[1], blocks[1], counts[2], blocks[2])
    means: Values = parted.mean(axis=(1, 3, 5), dtype=np.float32)
    return means
