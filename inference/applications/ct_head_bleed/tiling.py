"""Tiles of a head for BLAST-CT's networks: only such as hold a part of what is looked at, on a raster of `MULTIPLE` voxels."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.ct_head_bleed.network import MARGIN, MULTIPLE

MOST = (45, 60, 60)
"""Sides of an output tile, at most: a larger one wastes less on its margins, and takes more memory (this one about 1 GB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One output tile: voxels from `start` to before `stop` along z, y, x, multiples of `MULTIPLE`; the last may lie beyond the image."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]


def tiles_of(mask: NDArray[np.bool_]) -> tuple[Tile, ...]:
    """Tiles without overlap that hold every voxel of a mask (Z, Y, X)."""
    blocks = _blocks(mask)
    return tuple(
        Tile(start=(z[0], y[0], x[0]), stop=(z[1], y[1], x[1]))
        for z in _parts(_along(blocks, 0), MOST[0])
        for y in _parts(_along(_within(blocks, z), 1), MOST[1])
        for x in _parts(_along(_within(_within(blocks, z).swapaxes(0, 1), y), 2), MOST[2])
    )


def with_margin(image: NDArray[Any], tile: Tile) -> NDArray[np.float32]:
    """What a network sees for a tile: `MARGIN` voxels more on each side; beyond the image its outermost values go on."""
    indices = [
        np.clip(np.arange(first - MARGIN, last + MARGIN), 0, size - 1)
        for first, last, size in zip(tile.start, tile.stop, image.shape, strict=True)
    ]
    seen: NDArray[np.float32] = image[np.ix_(*indices)]
    return seen


def _blocks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which blocks of `MULTIPLE` voxels a side hold a part of the mask."""
    padded = np.pad(mask, [(0, -side % MULTIPLE) for side in mask.shape])
    z, y, x = (side // MULTIPLE for side in padded.shape)
    return np.asarray(padded.reshape(z, MULTIPLE, y, MULTIPLE, x, MULTIPLE).any(axis=(1, 3, 5)))


def _along(blocks: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Which places along one axis hold a block."""
    return np.asarray(blocks.any(axis=tuple({0, 1, 2} - {axis})))


def _within(blocks: NDArray[np.bool_], span: tuple[int, int]) -> NDArray[np.bool_]:
    return blocks[span[0] // MULTIPLE : span[1] // MULTIPLE]


def _parts(held: NDArray[np.bool_], most: int) -> Iterator[tuple[int, int]]:
    """From the first block that is held to the last, in parts as even as they can be; those without one are left out."""
    at = np.flatnonzero(held)
    if at.size == 0:
        return
    first, last = int(at[0]), int(at[-1]) + 1
    count = -(-(last - first) * MULTIPLE // most)
    borders = [first + round(part * (last - first) / count) for part in range(count + 1)]
    for low, high in itertools.pairwise(borders):
        if held[low:high].any():
            yield low * MULTIPLE, high * MULTIPLE
