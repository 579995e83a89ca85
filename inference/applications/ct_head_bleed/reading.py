"""What three networks say of a head: a label for each mm³ that each of them gives alone, and that of their mean probabilities.

The image is turned so that planes run to the head, rows to the back and columns to the left, brought to 1 mm as the networks were trained,
with skull and scalp on it, and looked at where the skull's inside is. Planes stay parallel to the slices that were acquired: a turn by
some degrees would mix thick slices at the vertex, where bone and brain then look like blood.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.ct_head_bleed.network import CLASSES, INPUT, OUTPUT
from inference.applications.ct_head_bleed.skull import COARSE_MM, intracranial
from inference.applications.ct_head_bleed.tiling import Tile, tiles_of, with_margin
from inference.applications.port import Infer, ModelRef
from inference.engines.concurrent_calls import calls_at_once, in_order
from inference.errors import InputError
from inference.imaging.resample import Grid, Interpolation, reorientation, resample
from inference.imaging.volume import Volume

MODELS = tuple(ModelRef(name=f"blast_ct_{number}") for number in (1, 2, 3))
VOXEL_MM = 1.0
WINDOW_HU = (-15.0, 100.0)
AIR_HU = -1024.0

LEAST_CM3, MOST_CM3 = 150.0, 4000.0
"""What a skull holds: as mr-brain's bounds of what is possible, over all ages."""
COVERED = 0.7
"""Share of the brain's surface that has bone beside it, at least. The real head that it was fixed by has 1.00, a belly 0.34, a chest
0.33."""
BEYOND_MM = 6.0
"""How far beyond the inside that was found anything is marked: to the bone, not into the scalp."""

Labels = NDArray[np.uint8]


class NoHeadOnCT(InputError):
    """Nothing in the images is as soft and as large as a brain, with bone around it."""

    code = "HLM-3210"
    remedy = (
        "Look at the series: ct-head-bleed needs a whole head on plain CT, with its skull. Another part of the body, or a head without "
        "bone: narrow the route's `when`, or cancel the job."
    )


class HeadLesion(IntEnum):
    """Channels of the networks, as labels."""

    INTRAPARENCHYMAL = 1
    EXTRA_AXIAL = 2
    OEDEMA = 3
    INTRAVENTRICULAR = 4


HAEMORRHAGES = (HeadLesion.INTRAPARENCHYMAL, HeadLesion.EXTRA_AXIAL, HeadLesion.INTRAVENTRICULAR)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """What was seen.

    Attributes
    ----------
    grid
        1 mm along the axes of the images.
    together
        (Z, Y, X) the `HeadLesion`, or 0, that the mean of the networks' probabilities is highest for.
    alone
        The same by each network for itself.
    searched_cm3
        The inside of the skull, and `BEYOND_MM` around it.
    """

    grid: Grid
    together: Labels
    alone: tuple[Labels, ...]
    searched_cm3: float

    def marked_cm3(self, lesions: Sequence[HeadLesion]) -> float:
        """What all networks together mark as one of these."""
        return _cm3(np.isin(self.together, lesions))

    def alone_cm3(self, lesions: Sequence[HeadLesion]) -> tuple[float, ...]:
        """What each network alone marks as one of these."""
        return tuple(_cm3(np.isin(labels, lesions)) for labels in self.alone)

    def shares(self, lesions: Sequence[HeadLesion]) -> tuple[float, ...]:
        """Of what all together mark as one of these, the share that each network alone marks so; 0 where nothing is."""
        marked = np.isin(self.together, lesions)
        count = max(int(np.count_nonzero(marked)), 1)
        return tuple(int(np.count_nonzero(np.isin(labels[marked], lesions))) / count for labels in self.alone)


def read_head(volume: Volume, infer: Infer) -> Reading:
    """Look at a head with all networks.

    Raises
    ------
    NoHeadOnCT
        Nothing in the images is as soft and as large as a brain, with bone around it.
    """
    hu, grid = at_one_mm(volume)
    inside = inside_of_skull(hu)
    together, alone = labels_of(hu, inside, infer)
    return Reading(grid=grid, together=together, alone=alone, searched_cm3=_cm3(inside))


def at_one_mm(volume: Volume) -> tuple[NDArray[Any], Grid]:
    """The images at 1 mm, (Z, Y, X) HU: z to the head, y to the back, x to the left, as nearly as turns can; and their grid."""
    turn = reorientation(Grid.of(volume), "SPL")
    source = turn.grid(Grid.of(volume))
    grid = _of_one_mm(source)
    return resample(turn.apply(volume.voxels), source, grid, by=Interpolation.LINEAR, fill=AIR_HU), grid


def _of_one_mm(source: Grid) -> Grid:
    """The grid of 1 mm voxels over the field of view of another, whose axes it has."""
    shape = [max(1, round(count * step / VOXEL_MM)) for count, step in zip(source.shape, source.spacing_mm, strict=True)]
    within = np.eye(4)
    for axis, (count, step) in enumerate(zip(shape, source.spacing_mm, strict=True)):
        within[axis, axis] = VOXEL_MM / step
        # both have their middle in one place
        within[axis, 3] = (source.shape[axis] - 1) / 2 - (count - 1) / 2 * VOXEL_MM / step
    return Grid(shape=(shape[0], shape[1], shape[2]), affine=source.affine @ within)


def inside_of_skull(hu: NDArray[Any]) -> NDArray[np.bool_]:
    """Where to look, (Z, Y, X) at 1 mm.

    Raises
    ------
    NoHeadOnCT
    """
    from scipy import ndimage

    every = round(COARSE_MM / VOXEL_MM)
    found = intracranial(hu[::every, ::every, ::every])
    if not LEAST_CM3 <= found.volume_cm3 <= MOST_CM3:
        raise NoHeadOnCT(
            f"{found.volume_cm3:.0f} cm³ in the images hang together and are as soft as a brain, not {LEAST_CM3:g} to {MOST_CM3:g}"
        )
    if found.covered < COVERED:
        covered = f"{100 * found.covered:.0f} % have bone beside them, in a skull at least {100 * COVERED:.0f} %"
        raise NoHeadOnCT(f"of the surface of what could be brain {covered}")
    near = ndimage.binary_dilation(found.mask, iterations=round(BEYOND_MM / COARSE_MM))
    for axis in range(3):
        near = np.repeat(near, every, axis=axis)
    planes, rows, columns = hu.shape
    inside: NDArray[np.bool_] = near[:planes, :rows, :columns]
    return inside


def labels_of(hu: NDArray[Any], inside: NDArray[np.bool_], infer: Infer) -> tuple[Labels, tuple[Labels, ...]]:
    """The label of every voxel inside, by all networks together and by each alone; 0 outside. (Z, Y, X) HU at 1 mm."""
    image = scaled(hu)
    tiles = tiles_of(inside)
    together = np.zeros(hu.shape, dtype=np.uint8)
    alone = tuple(np.zeros(hu.shape, dtype=np.uint8) for _ in MODELS)
    calls = (partial(_logits, infer, model, image, tile) for tile in tiles for model in MODELS)
    with closing(in_order(calls, calls_at_once(infer, MODELS[0]))) as answers:
        for tile in tiles:
            mean = np.zeros((CLASSES, *(last - first for first, last in zip(tile.start, tile.stop, strict=True))), dtype=np.float32)
            for labels in alone:
                logits = next(answers)
                mean += _softmax(logits)
                _put(labels, tile, logits.argmax(axis=0))
            _put(together, tile, mean.argmax(axis=0))
    for labels in (together, *alone):
        labels[~inside] = 0
    return together, alone


def scaled(hu: NDArray[Any]) -> NDArray[np.float32]:
    """HU as the networks take them: the ends of the window at -1 and +1."""
    low, high = WINDOW_HU
    image: NDArray[np.float32] = np.clip(hu, low, high).astype(np.float32)
    image *= 2 / (high - low)
    image -= (high + low) / (high - low)
    return image


def on_source(mask: NDArray[np.bool_], grid: Grid, volume: Volume) -> NDArray[np.bool_]:
    """A mask on the grid of the images: of each of their voxels, what lies at its centre."""
    return resample(mask, grid, Grid.of(volume), by=Interpolation.NEAREST)


def _logits(infer: Infer, model: ModelRef, image: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = infer(model, {INPUT: with_margin(image, tile)[None, None]})[OUTPUT][0]
    return logits


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=0))
    probability: NDArray[np.float32] = powers / powers.sum(axis=0)
    return probability


def _put(labels: Labels, tile: Tile, found: NDArray[np.intp]) -> None:
    """The part of a tile that lies in the image."""
    into = labels[tuple(slice(first, last) for first, last in zip(tile.start, tile.stop, strict=True))]
    into[...] = found[tuple(slice(0, side) for side in into.shape)]


def _cm3(mask: NDArray[np.bool_]) -> float:
    return int(np.count_nonzero(mask)) * VOXEL_MM**3 / 1000
