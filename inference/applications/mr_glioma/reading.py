"""What nine networks say of four contrasts of a brain: whole tumour, core within it, enhancing tumour within that, on a grid of 1 mm.

Three networks to a part step along planes, rows and columns; the mean of their probabilities counts. Those for the core see the box of the
whole tumour, those for enhancing tumour the box of the core. Values and steps are the authors' (Wang and others, arXiv 1709.00382).

Networks normalise by the statistics of what they are fed: the size of tiles and how many go in one call are part of what they compute, and
so is the noise that stands where there is no brain. Both are fixed here.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.mr_glioma.network import CONTRASTS, INPUT, OUTPUT, SLICES_IN, SLICES_OUT
from inference.applications.port import Infer, ModelRef
from inference.engines.concurrent_calls import calls_at_once, in_order

TILES = 5
"""Tiles in one call, as the authors run them; the last call of a view has those that are left."""
MARGIN = 5
"""Voxels around a box."""
SEED = 1709_00382

LEAST_WHOLE, LEAST_ENHANCING = 2000, 30
"""Voxels of 1 mm³: smaller parts of the whole tumour are dropped where there are several; less enhancing tumour in all is none."""
SECOND = 0.1
"""A second part of the core counts that has at least this share of the first."""
WITHIN = 0.5
"""Share of a part of the core that lies in the whole tumour, at least."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
_EDGES = 2
"""What voxels have in common, at most: faces and edges, 18 neighbours."""


class TumourPart(StrEnum):
    """What a network tells from the rest."""

    WHOLE = "wt"
    CORE = "tc"
    ENHANCING = "en"


class Direction(StrEnum):
    """Along which axis a network steps."""

    AXIAL = "axial"
    SAGITTAL = "sagittal"
    CORONAL = "coronal"


_AXES = {Direction.AXIAL: (0, 1, 2), Direction.SAGITTAL: (2, 0, 1), Direction.CORONAL: (1, 0, 2)}
"""Axes of the volume (z, y, x) as slices, rows and columns."""
_LEAST_SIDES = {Direction.AXIAL: (180, 160), Direction.SAGITTAL: (160, 180), Direction.CORONAL: (160, 160)}
_LEAST_SIDE_OF_CROP = 96
_MULTIPLE = 4


def model_of(part: TumourPart, view: Direction) -> ModelRef:
    """The network of a part and a view."""
    return ModelRef(name=f"brats17_{part.value}_{view.value}")


MODELS = tuple(model_of(part, view) for part in TumourPart for view in Direction)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tumour:
    """Masks (Z, Y, X) at 1 mm, each within the one before."""

    whole: Mask
    core: Mask
    enhancing: Mask

    def of(self, part: TumourPart) -> Mask:
        """One of them."""
        return {TumourPart.WHOLE: self.whole, TumourPart.CORE: self.core, TumourPart.ENHANCING: self.enhancing}[part]


def read_tumour(contrasts: Mapping[str, NDArray[Any]], brain: Mask, infer: Infer) -> Tumour:
    """Look for a glioma.

    Parameters
    ----------
    contrasts
        Of each of `CONTRASTS` the values (Z, Y, X) at 1 mm: z to the head, y to the back, x to the left.
    brain
        (Z, Y, X), not empty.
    """
    box = _box_of(brain, brain.shape)
    seen = np.stack([_normalised(contrasts[name][box], brain[box], number) for number, name in enumerate(CONTRASTS)])
    core, enhancing = (np.zeros(seen.shape[1:], dtype=np.bool_) for _ in range(2))
    whole = _parts_above(_closed(_marked(seen, TumourPart.WHOLE, infer)), LEAST_WHOLE)
    if whole.any():
        at = _box_of(whole, whole.shape)
        core[at] = _largest_two(_closed(_marked(seen[(slice(None), *at)], TumourPart.CORE, infer)))
    if core.any():
        at = _box_of(core, core.shape)
        enhancing[at] = _marked(seen[(slice(None), *at)], TumourPart.ENHANCING, infer)
    found = together(whole, core, enhancing)
    whole, core, enhancing = (_in_box(found.of(part), box, brain.shape) for part in TumourPart)
    return Tumour(whole=whole, core=core, enhancing=enhancing)


def together(whole: Mask, core: Mask, enhancing: Mask) -> Tumour:
    """What three answers say together: each of them is bounded by the others."""
    within = _parts_above(_closed(whole | core | enhancing), LEAST_WHOLE)
    inside = _closed((core | enhancing) & within) & within
    inside = _largest_two(_mostly_in(inside, whole & within))
    lit = enhancing & inside
    if np.count_nonzero(lit) < LEAST_ENHANCING:
        lit = np.zeros_like(lit)
    return Tumour(whole=(whole & within) | inside, core=inside, enhancing=lit)


def probability(seen: Floats, part: TumourPart, infer: Infer) -> Floats:
    """(Z, Y, X) the mean of three views' probabilities, of contrasts (4, Z, Y, X)."""
    total: Floats = np.zeros(seen.shape[1:], dtype=np.float32)
    for number, view in enumerate(Direction):
        axes = _AXES[view]
        turned = seen.transpose(0, *(axis + 1 for axis in axes))
        found = _of_view(turned, model_of(part, view), _sides(part, view, turned.shape[2:]), infer, number)
        total += found.transpose(np.argsort(axes)) / np.float32(len(Direction))
    return total


def _marked(seen: Floats, part: TumourPart, infer: Infer) -> Mask:
    return probability(seen, part, infer) > 0.5


def _normalised(values: NDArray[Any], brain: Mask, number: int) -> Floats:
    """A contrast by its mean and deviation in the brain; outside, and where it shows nothing, standard normal noise."""
    shown = brain & (values > 0)
    counted = values[shown].astype(np.float64)
    mean, deviation = (float(counted.mean()), float(counted.std())) if counted.size else (0.0, 0.0)
    normalised = _noise(values.shape, number)
    normalised[shown] = (values[shown].astype(np.float32) - mean) / (deviation or 1.0)
    return normalised


def _noise(shape: tuple[int, ...], *number: int) -> Floats:
    return np.random.default_rng((SEED, *number)).standard_normal(shape, dtype=np.float32)


def _sides(part: TumourPart, view: Direction, sides: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a tile: at least as many as the authors feed, and multiples of what the network halves."""
    least = _LEAST_SIDES[view] if part is TumourPart.WHOLE else (_LEAST_SIDE_OF_CROP, _LEAST_SIDE_OF_CROP)
    rows, columns = (max(low, -(-side // _MULTIPLE) * _MULTIPLE) for low, side in zip(least, sides, strict=True))
    return rows, columns


def _of_view(seen: Floats, model: ModelRef, sides: tuple[int, int], infer: Infer, number: int) -> Floats:
    """(S, R, C) the probability of the part, of contrasts (4, S, R, C), slice by slice in tiles."""
    _, slices, *plane = seen.shape
    ahead = (SLICES_IN - SLICES_OUT) // 2
    before = [(side - have) // 2 for side, have in zip(sides, plane, strict=True)]
    room = _noise((len(seen), max(slices, SLICES_OUT) + 2 * ahead, *sides), len(CONTRASTS), number)
    at = tuple(slice(low, low + have) for low, have in zip((ahead, *before), (slices, *plane), strict=True))
    room[(slice(None), *at)] = seen
    starts = [*range(0, max(slices - SLICES_OUT, 0), SLICES_OUT), max(slices - SLICES_OUT, 0)]
    calls = [starts[first : first + TILES] for first in range(0, len(starts), TILES)]
    found = np.empty(seen.shape[1:], dtype=np.float32)
    with closing(in_order((_call(infer, model, room, each) for each in calls), calls_at_once(infer, model))) as answers:
        for each, logits in zip(calls, answers, strict=True):
            for start, tile in zip(each, logits, strict=True):
                inner = tile[(slice(None), slice(0, min(SLICES_OUT, slices)), *at[1:])]
                with np.errstate(over="ignore"):  # beyond e to the 88th is infinity, and the probability 0
                    found[start : start + SLICES_OUT] = 1 / (1 + np.exp(inner[0] - inner[1]))
    return found


def _call(infer: Infer, model: ModelRef, room: Floats, starts: list[int]) -> Callable[[], Floats]:
    return partial(_logits, infer, model, room, starts)


def _logits(infer: Infer, model: ModelRef, room: Floats, starts: list[int]) -> Floats:
    tiles = np.stack([room[:, start : start + SLICES_IN] for start in starts])
    logits: Floats = infer(model, {INPUT: tiles})[OUTPUT]
    return logits


def _box_of(mask: Mask, shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """The box of a mask, with a margin as far as there are voxels."""
    bounds = []
    for axis, side in enumerate(shape):
        held = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        bounds.append(slice(max(int(held[0]) - MARGIN, 0), min(int(held[-1]) + 1 + MARGIN, side)))
    z, y, x = bounds
    return z, y, x


def _in_box(mask: Mask, box: tuple[slice, slice, slice], shape: tuple[int, ...]) -> Mask:
    whole = np.zeros(shape, dtype=np.bool_)
    whole[box] = mask
    return whole


def _closed(mask: Mask) -> Mask:
    from scipy import ndimage

    closed: Mask = ndimage.binary_closing(mask, structure=ndimage.generate_binary_structure(3, _EDGES))
    return closed | mask


def _labelled(mask: Mask) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Parts of a mask, numbered from 1, and how many voxels each has."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask, structure=ndimage.generate_binary_structure(3, _EDGES))
    return labels, np.bincount(labels.ravel())[1:]


def _parts_above(mask: Mask, least: int) -> Mask:
    labels, sizes = _labelled(mask)
    return mask if len(sizes) <= 1 else np.isin(labels, np.flatnonzero(sizes > least) + 1)


def _largest_two(mask: Mask) -> Mask:
    labels, sizes = _labelled(mask)
    if len(sizes) <= 1:
        return mask
    first, second = np.argsort(-sizes, kind="stable")[:2]
    return np.isin(labels, [first + 1, *([second + 1] if sizes[second] >= SECOND * sizes[first] else [])])


def _mostly_in(mask: Mask, other: Mask) -> Mask:
    labels, sizes = _labelled(mask)
    inside = np.bincount(labels[other], minlength=len(sizes) + 1)[1:]
    return np.isin(labels, np.flatnonzero(inside >= WITHIN * sizes) + 1)
