"""The masks of the lungs on the source grid: body first, then the network slice by slice inside it, then left and right."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.ct_lung.anatomy import Side, body_mask, sides
from inference.applications.ct_lung.network import INPUT, OUTPUT
from inference.applications.ct_lung.stored import MARGIN, MULTIPLE, NO_NUMBER, PIXELS
from inference.applications.port import Infer, ModelRef
from inference.engines.calling import call_of
from inference.engines.concurrent_calls import calls_at_once, in_order
from inference.engines.errors import NotFinite
from inference.engines.port import WholeImage
from inference.imaging.resample import Grid, Interpolation, Shape, reorientation, resample
from inference.imaging.volume import Volume

MODEL = ModelRef(name="unet_small_lung_ct")
STORED = ModelRef(name="unet_small_lung_ct_stored")

AIR_HU = -400
COARSE_MM = 3.0
PIXEL_MM = 1.0
"""Pixel spacing that the network sees: the middle of what it was trained on."""

BATCH = 8
MOST = 0.9
"""A body mask that keeps this share of what the network marks is right; one that keeps less may have lost a thin chest wall."""

LEAST_CM3 = 30.0
"""Less than this is no lung, not even of one that is only just in the images: gas, partial volume at the skin."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """Indices on the turned grid: slices z, and rows and columns to look at."""

    start: Shape
    stop: Shape

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(first, last) for first, last in zip(self.start, self.stop, strict=True))
        return z, y, x


def segment(volume: Volume, infer: Infer) -> dict[Side, Mask]:
    """Masks (Z, Y, X) on the grid of `volume`: LEFT and RIGHT, or BOTH where they cannot be told apart; empty without lungs."""
    source = Grid.of(volume)
    turn = reorientation(source, "SPL")
    hu, grid = turn.apply(volume.voxels), turn.grid(source)
    coarse = grid.resized(_coarse_shape(grid))
    coarse_hu = resample(hu, grid, coarse, by=Interpolation.NEAREST)
    body, wide = body_mask(coarse_hu), body_mask(coarse_hu, opened=False)
    box = _box(wide & (coarse_hu < AIR_HU), wide, grid)
    if box is None:
        return {}
    lungs = np.zeros(grid.shape, dtype=np.bool_)
    lungs[box.inside] = _marked(hu[box.inside], grid.cropped(box.start, box.stop), infer)
    marked = resample(lungs, grid, coarse, by=Interpolation.NEAREST)
    body = _trusted(marked, body, wide)
    lungs &= resample(body, coarse, grid, by=Interpolation.NEAREST)
    owner = sides(marked & body, coarse_hu, coarse.spacing_mm[2])
    fine_owner = resample(owner, coarse, grid, by=Interpolation.NEAREST)
    masks = {side: lungs & (fine_owner == side) for side in (Side.LEFT, Side.RIGHT, Side.BOTH) if (owner == side).any()}
    if sum(int(mask.sum()) for mask in masks.values()) * volume.voxel_volume_mm3 / 1000 < LEAST_CM3:
        return {}
    return {side: np.ascontiguousarray(turn.undo(mask)) for side, mask in masks.items() if mask.any()}


def _coarse_shape(grid: Grid) -> Shape:
    z, y, x = (min(count, max(1, round(count * step / COARSE_MM))) for count, step in zip(grid.shape, grid.spacing_mm, strict=True))
    return z, y, x


def _box(air: Mask, body: Mask, grid: Grid) -> _Box | None:
    """The slices in which the body holds air, and the rows and columns that the body takes in them; None without any air."""
    heights = np.flatnonzero(air.any(axis=(1, 2)))
    if heights.size == 0:
        return None
    first, last = int(heights[0]), int(heights[-1]) + 1
    rows, columns = (np.flatnonzero(body[first:last].any(axis=axes)) for axes in ((0, 2), (0, 1)))
    coarse = ((first, last), (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1))
    start, stop = [], []
    for (low, high), fine, of in zip(coarse, grid.shape, body.shape, strict=True):
        start.append(max(0, int(np.floor(low * fine / of)) - 1))
        stop.append(min(fine, int(np.ceil(high * fine / of)) + 1))
    return _Box(start=(start[0], start[1], start[2]), stop=(stop[0], stop[1], stop[2]))


def _marked(hu: NDArray[Any], grid: Grid, infer: Infer) -> Mask:
    """What the network marks, in batches of slices, several of them under way where the engine computes several."""
    marked = np.zeros(grid.shape, dtype=np.bool_)
    pixels = _pixels(grid)
    parts = list(_batches(grid.shape[0]))
    how = call_of(infer, MODEL)
    if isinstance(how, WholeImage) and how.model is not None and hu.dtype == np.int16:
        model, look = how.model, partial(_look_stored, infer, how.model)
    else:
        model, look = MODEL, partial(_look, infer, grid)
    calls = (partial(look, hu[part], pixels) for part in parts)
    with closing(in_order(calls, calls_at_once(infer, model))) as masks:
        for part, mask in zip(parts, masks, strict=True):
            marked[part] = mask
    return marked


def _look(infer: Infer, grid: Grid, hu: NDArray[Any], pixels: tuple[int, int]) -> Mask:
    """The network on slices (N, Y, X) that are brought to its pixels here, and its answer brought back."""
    _, rows, columns = grid.shape
    here = grid.cropped((0, 0, 0), (hu.shape[0], rows, columns))
    there = here.resized((hu.shape[0], *pixels))
    image = resample(hu.astype(np.float32), here, there, by=Interpolation.LINEAR)
    image += 1024
    # scanners fill what they did not see with values below air
    np.maximum(image, 0, out=image)
    padded = np.pad(image, ((0, 0), *(_padding(side) for side in pixels)), mode="edge")
    probability = infer(MODEL, {INPUT: padded[:, None]})[OUTPUT][:, 0]
    inner = probability[:, MARGIN : MARGIN + pixels[0], MARGIN : MARGIN + pixels[1]]
    return resample(inner, there, here, by=Interpolation.LINEAR) > 0.5


def _look_stored(infer: Infer, model: ModelRef, hu: NDArray[np.int16], pixels: tuple[int, int]) -> Mask:
    """The same from the ensemble, which takes slices as they are stored and gives the mask on their grid.

    Raises
    ------
    NotFinite
        The network within it gives values that are no numbers: a server does not look at what its steps give each other.
    """
    stored = np.ascontiguousarray(hu)[:, None]
    mask = infer(model, {INPUT: stored, PIXELS: np.array([pixels] * hu.shape[0])})[OUTPUT][:, 0]
    if mask.max(initial=0) == NO_NUMBER:
        raise NotFinite(f'the network within "{model.name}" gives values that are no numbers, or are infinite')
    return mask > 0


def _pixels(grid: Grid) -> tuple[int, int]:
    """Rows and columns that the network sees of a slice."""
    rows, columns = (max(1, round(count * step / PIXEL_MM)) for count, step in zip(grid.shape[1:], grid.spacing_mm[1:], strict=True))
    return rows, columns


def _batches(count: int) -> Iterator[slice]:
    for start in range(0, count, BATCH):
        yield slice(start, min(start + BATCH, count))


def _padding(side: int) -> tuple[int, int]:
    return MARGIN, MARGIN + -(side + 2 * MARGIN) % MULTIPLE


def _trusted(marked: Mask, body: Mask, wide: Mask) -> Mask:
    """`body`, unless only `wide` (with table and clothes, but with a thin chest wall, too) holds most of what the network marks."""
    most = MOST * int(marked.sum())
    if int((marked & body).sum()) < most <= int((marked & wide).sum()):
        return wide
    return body
