"""Sliding window: a model that takes small volumes, run over a large one by any engine, its outputs blended where windows overlap."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.engines.concurrent_calls import calls_at_once, in_order
from inference.engines.errors import WrongTensors
from inference.engines.port import ModelRef, Tensors

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]
Place: TypeAlias = tuple[int, ...]
SIGMA = 0.125
"""Width of the blending Gaussian as a share of the window's side: at the middle of a face its weight is e⁻⁸."""

HELD_BYTES = 2**30
"""Of outputs under way or waiting for their turn. Two are always held, also of a hundred channels that have a gigabyte each."""

_AT_FIRST = 2


def infer_tiled(
    infer: Callable[[ModelRef, Tensors], Mapping[str, Array]],
    model: ModelRef,
    image: Array,
    *,
    input: str,
    output: str,
    window: tuple[int, ...],
    overlap: float = 0.5,
    batch: int = 1,
    fill: float = 0.0,
    beside: Mapping[str, Array] | None = None,
    prepare: Callable[[Array], Array] | None = None,
    at_once: int | None = None,
    finish: Callable[[Floats], Array] | None = None,
    sigma: float | None = None,
    least: float = 0.0,
    as_nnunet: bool = False,
) -> Array:
    """A model's output for an image that is larger than what the model takes.

    Windows are cut as they are asked for and blended as they come back, in the order of the windows, so that the bytes of the result do
    not depend on `at_once` or on which window came first. Blended sums are kept for as many slices as windows still reach (a window's
    depth) and for all channels; what lies before them is finished and let go.

    Parameters
    ----------
    infer
        As an application gets it, or an engine's method. Its first error ends the whole, and so does its deadline.
    image
        (C, …) with as many spatial axes as `window`, in the dtype that the model (or `prepare`) takes. Where it is smaller than the
        window it is padded evenly with `fill`.
    input, output
        Names of the model's input for the image and of the output that is wanted; with a leading batch axis.
    overlap
        Share of the window that neighbours have in common, 0 to below 1.
    batch
        Windows to a call; the model's max_batch_size at most.
    beside
        Further inputs, the same for every window, without the batch axis.
    prepare
        Makes what the model takes of windows (N, C, …), voxel by voxel, so that the image itself may stay as it is stored.
    at_once
        Calls under way at a time; None: as many as `infer` says are worth it, one where it says nothing.
    finish
        Makes what is kept of blended values: (channels, slices, …) float32 to (…, slices, …), voxel by voxel, such as the largest
        channel's number. It must not keep what it is given. None keeps the values.
    sigma
        Width of the blending Gaussian as a share of the window's side; infinite weighs all voxels of a window alike. None: `SIGMA`.
    least
        What a voxel weighs at least; MONAI's windows never weigh less than 1e-3.
    as_nnunet
        Windows as nnU-Net lays, weighs and sums them: no further apart than `overlap` says and evenly over each axis; the Gaussian's peak
        of 10 on the voxel behind the middle; weights and sums in half precision, which near the borders of an image decides some voxels.
        Else they are as far apart as `overlap` says, the last one flush with the end, the peak is in the middle, sums are float32.

    Returns
    -------
    numpy.ndarray
        (channels of the output, …) float32 on the image's grid, weighted by a Gaussian around each window's centre; or what `finish` makes.

    Raises
    ------
    WrongTensors
        The output is not of the window's size, or is no floating-point tensor.
    """
    shape, starts = _places(image, window, overlap, as_nnunet)
    blend = WindowBlend(shape, window, starts, finish, SIGMA if sigma is None else sigma, least, as_nnunet)
    _run(infer, model, image, input, output, blend, batch=batch, fill=fill, beside=beside, prepare=prepare, at_once=at_once)
    return blend.result()


def infer_in_slabs(
    infer: Callable[[ModelRef, Tensors], Mapping[str, Array]],
    model: ModelRef,
    image: Array,
    *,
    input: str,
    output: str,
    window: tuple[int, ...],
    take: Callable[[Array], None],
    overlap: float = 0.5,
    as_nnunet: bool = False,
) -> None:
    """As `infer_tiled`, and nothing of the output is kept.

    Parameters
    ----------
    take
        Is given the blended values (channels, slices, …), slab after slab from the first slice on; it must not keep what it is given.
    """
    shape, starts = _places(image, window, overlap, as_nnunet)
    blend = WindowBlend(shape, window, starts, take, SIGMA, 0.0, as_nnunet)
    _run(infer, model, image, input, output, blend)
    blend.end()


def _places(image: Array, window: Place, overlap: float, as_nnunet: bool) -> tuple[Place, list[list[int]]]:
    """The image's grid, and where windows begin on each of its axes."""
    if not 0 <= overlap < 1:
        raise ValueError(f"an overlap of {overlap:g} of a window; from 0 to below 1 makes sense")
    if image.ndim != len(window) + 1:
        raise ValueError(f"an image of shape {image.shape} is not channels and {len(window)} axes for a window of {window}")
    shape = image.shape[1:]
    return shape, [_starts(length, side, overlap, as_nnunet) for length, side in zip(shape, window, strict=True)]


def _run(
    infer: Callable[[ModelRef, Tensors], Mapping[str, Array]],
    model: ModelRef,
    image: Array,
    input: str,
    output: str,
    blend: "WindowBlend",
    *,
    batch: int = 1,
    fill: float = 0.0,
    beside: Mapping[str, Array] | None = None,
    prepare: Callable[[Array], Array] | None = None,
    at_once: int | None = None,
) -> None:
    """Every window's output, blended."""
    window = blend.window
    groups = _groups(list(itertools.product(*blend.starts)), batch)

    def call(group: Sequence[Place]) -> Array:
        further = {name: np.repeat(array[None], len(group), axis=0) for name, array in (beside or {}).items()}
        tiles = _cut(image, group, window, fill)
        return infer(model, {input: tiles if prepare is None else prepare(tiles), **further})[output]

    room = _Room()
    with closing(in_order((partial(call, group) for group in groups), at_once or calls_at_once(infer, model), room)) as answers:
        for group, values in zip(groups, answers, strict=True):
            _check_output(model, output, values, (len(group), *window))
            room.learn(values)
            for place, tile in zip(group, values, strict=True):
                blend.add(place, tile)


def window_starts(length: int, side: int, overlap: float) -> list[int]:
    """Where windows of `side` begin on an axis of `length`: evenly stepped, the last one flush with the end."""
    step = max(1, int(side * (1 - overlap)))
    last = max(0, length - side)
    return sorted({*range(0, last, step), last})


def spread_starts(length: int, side: int, overlap: float) -> list[int]:
    """The same evenly: as few windows as are no further apart than the overlap wants, at equal distances but for rounding."""
    last = max(0, length - side)
    count = math.ceil(last / (side * (1 - overlap))) + 1
    return sorted({round(last * place / max(1, count - 1)) for place in range(count)})


def gaussian(window: Sequence[int], sigma: float = SIGMA) -> Floats:
    """The weight of each voxel of a window, largest at its centre; read-only."""
    return _gaussian(tuple(window), sigma)


class _Room:
    """How many calls and their outputs there is memory for: a few until the first output has come, then as many as HELD_BYTES take."""

    def __init__(self) -> None:
        self._most = _AT_FIRST

    def __call__(self) -> int:
        return self._most

    def learn(self, output: Array) -> None:
        self._most = max(_AT_FIRST, HELD_BYTES // max(1, output.nbytes))


class WindowBlend:
    """The weighted sum, for as many slices (axis 1 of the output) as windows still reach; windows come ordered by their first axis.

    Slice z of the image is kept at z modulo the window's depth: a window fills the ring, and the next row of windows finds the slices
    that it shares where they are. Where values are kept as they are, the ring is as long as the image and becomes the result itself. What
    `finish` makes is the result; where it makes nothing, there is none.
    """

    def __init__(
        self,
        shape: Place,
        window: Place,
        starts: Sequence[Sequence[int]],
        finish: Callable[[Floats], Array | None] | None,
        sigma: float,
        least: float,
        as_nnunet: bool,
    ) -> None:
        self.window = window
        self.starts = starts
        self._shape = shape
        self._finish = finish
        self._weight: Array = _half_weights(window, sigma) if as_nnunet else np.maximum(gaussian(window, sigma), np.float32(least))
        # windows lie on a product of axes, and so do the sums of their weights unless these are bounded: no volume of weights is kept
        profiles = [_profile(side, sigma) for side in window]
        sums = [_summed(profile, length, begins) for profile, length, begins in zip(profiles, shape, starts, strict=True)]
        self._sum_of_slice = sums[0]
        self._sum_in_plane = _outer(sums[1:])
        self._scratch = np.empty(window, dtype=np.float32)
        self._depth = shape[0] if finish is None else min(window[0], shape[0])
        self._dtype = self._weight.dtype
        self._weights = np.zeros((self._depth, *shape[1:]), dtype=self._dtype) if least > 0 or as_nnunet else None
        self._ring: Array | None = None
        self._finished = 0
        self._out: Array | None = None

    def add(self, place: Place, tile: Array) -> None:
        """Blend one window's output (channels, …) in; slices before it are finished."""
        if self._ring is None:
            self._ring = np.zeros((tile.shape[0], self._depth, *self._shape[1:]), dtype=self._dtype)
        self._finish_until(max(place[0], 0))
        where, inside = _overlap(place, self.window, self._shape)
        for at, piece in self._pieces(where[0].start, where[0].stop):
            first = piece.start + inside[0].start - where[0].start
            part = (slice(first, first + piece.stop - piece.start), *inside[1:])
            for channel, values in enumerate(tile):
                weighted = np.multiply(values[part], self._weight[part], out=self._scratch[part], dtype=np.float32)
                self._ring[channel][(at, *where[1:])] += weighted
            if self._weights is not None:
                self._weights[(at, *where[1:])] += self._weight[part]

    def end(self) -> None:
        """Finish all slices that are left."""
        self._finish_until(self._shape[0])

    def result(self) -> Array:
        """All slices, finished."""
        self.end()
        assert self._out is not None, "there is always one window"
        return self._out

    def _finish_until(self, stop: int) -> None:
        assert self._ring is not None
        for at, piece in self._pieces(self._finished, stop):
            slab = self._ring[:, at]
            if self._weights is None:
                slab /= np.multiply.outer(self._sum_of_slice[piece], self._sum_in_plane).astype(np.float32)
            else:
                slab /= self._weights[at]
                self._weights[at] = 0
            if self._finish is None:
                self._out = self._ring
                continue
            finished = self._finish(slab)
            if finished is not None:
                lead = (slice(None),) * (finished.ndim - len(self._shape))
                if self._out is None:
                    self._out = np.empty((*finished.shape[: len(lead)], *self._shape), dtype=finished.dtype)
                self._out[(*lead, piece)] = finished
            slab[...] = 0
        self._finished = stop

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """Slices `start` to before `stop` of the image in runs that hang together in the ring: where in the ring, which of the image."""
        while start < stop:
            at = start % self._depth
            count = min(stop - start, self._depth - at)
            yield slice(at, at + count), slice(start, start + count)
            start += count


def _starts(length: int, side: int, overlap: float, as_nnunet: bool) -> list[int]:
    """As `window_starts` or `spread_starts`; below zero where the window is larger than the image, and reaches beyond it on both sides."""
    if length < side:
        return [-((side - length) // 2)]
    return spread_starts(length, side, overlap) if as_nnunet else window_starts(length, side, overlap)


def _overlap(place: Place, window: Place, shape: Place) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The part that a window and the image have in common: where in the image, where in the window."""
    where: list[slice] = []
    inside: list[slice] = []
    for start, side, length in zip(place, window, shape, strict=True):
        first, last = max(start, 0), min(start + side, length)
        where.append(slice(first, last))
        inside.append(slice(first - start, last - start))
    return tuple(where), tuple(inside)


def _cut(image: Array, group: Sequence[Place], window: Place, fill: float) -> Array:
    """The windows at these places, (N, C, …), padded with `fill` where they reach beyond the image."""
    tiles = np.empty((len(group), image.shape[0], *window), dtype=image.dtype)
    for tile, place in zip(tiles, group, strict=True):
        where, inside = _overlap(place, window, image.shape[1:])
        if any(part.stop - part.start < side for part, side in zip(inside, window, strict=True)):
            tile[...] = fill
        tile[(slice(None), *inside)] = image[(slice(None), *where)]
    return tiles


def _check_output(model: ModelRef, output: str, values: Array, expected: Place) -> None:
    shape = (*values.shape[:1], *values.shape[2:])
    if shape != expected or values.dtype.kind != "f":
        raise WrongTensors(
            f'model "{model.name}": output {output} is {values.dtype} of shape {values.shape}; '
            f"tiles are blended when it is floating-point, ({expected[0]}, channels, {', '.join(str(side) for side in expected[1:])})"
        )


def _profile(side: int, sigma: float) -> NDArray[np.float64]:
    """The Gaussian along one axis of a window."""
    at = (np.arange(side) - (side - 1) / 2) / (sigma * side)
    weight: NDArray[np.float64] = np.exp(-(at**2) / 2)
    return weight


def _summed(profile: NDArray[np.float64], length: int, starts: Sequence[int]) -> NDArray[np.float64]:
    """What the windows of one axis add up to at each index."""
    total = np.zeros(length)
    for start in starts:
        (where,), (inside,) = _overlap((start,), profile.shape, (length,))
        total[where] += profile[inside]
    return total


def _outer(profiles: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    product = np.ones(())
    for profile in profiles:
        product = np.multiply.outer(product, profile)
    return product


@lru_cache(maxsize=8)
def _gaussian(window: Place, sigma: float) -> Floats:
    # e⁻²⁴ in a corner is far from the smallest float32: where one window alone covers a corner, it still divides well
    weight: Floats = _outer([_profile(side, sigma) for side in window]).astype(np.float32)
    weight.setflags(write=False)
    return weight


def _half_weights(window: Place, sigma: float) -> Array:
    """nnU-Net's weights of a window, float16: where half precision has no number left, the least that it has there."""
    profiles = [np.exp(-(((np.arange(side) - side // 2) / (sigma * side)) ** 2) / 2) for side in window]
    weight: Array = (10 * _outer(profiles)).astype(np.float16)
    weight[weight == 0] = weight[weight > 0].min()
    return weight


def _groups(places: Sequence[Place], size: int) -> list[Sequence[Place]]:
    return [places[start : start + size] for start in range(0, len(places), size)]
