"""Sliding window: a model that takes small volumes, run over a large one by any engine, its outputs blended where windows overlap."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from inference.engines.port import ModelRef, Tensors

Floats = NDArray[np.float32]
SIGMA = 0.125
"""Width of the blending Gaussian as a share of the window's side: at the middle of a face its weight is e⁻⁸."""


def infer_tiled(
    infer: Callable[[ModelRef, Tensors], dict[str, NDArray[np.float32]]],
    model: ModelRef,
    image: Floats,
    *,
    input: str,
    output: str,
    window: tuple[int, ...],
    overlap: float = 0.5,
    batch: int = 1,
    fill: float = 0.0,
) -> Floats:
    """A model's output for an image that is larger than what the model takes.

    Parameters
    ----------
    infer
        As an application gets it, or an engine's method.
    image
        (C, …) with as many spatial axes as `window`. Where it is smaller than the window it is padded evenly with `fill`.
    input, output
        Names of the model's one input and of the output that is wanted; with a leading batch axis.
    overlap
        Share of the window that neighbours have in common, 0 to below 1.
    batch
        Windows to a call; the model's max_batch_size at most.

    Returns
    -------
    numpy.ndarray
        (channels of the output, …) on the image's grid, weighted by a Gaussian around each window's centre.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"an overlap of {overlap:g} of a window; from 0 to below 1 makes sense")
    if image.ndim != len(window) + 1:
        raise ValueError(f"an image of shape {image.shape} is not channels and {len(window)} axes for a window of {window}")
    short = [max(0, side - length) for side, length in zip(window, image.shape[1:], strict=True)]
    before = [missing // 2 for missing in short]
    padded = np.pad(
        image, [(0, 0), *((first, missing - first) for first, missing in zip(before, short, strict=True))], constant_values=fill
    )
    places = list(itertools.product(*(window_starts(n, side, overlap) for n, side in zip(padded.shape[1:], window, strict=True))))
    weight = gaussian(window)
    total: Floats | None = None
    weights = np.zeros(padded.shape[1:], dtype=np.float32)
    for group in _groups(places, batch):
        tiles = np.stack([padded[(slice(None), *_window(place, window))] for place in group])
        outputs = infer(model, {input: tiles})[output]
        if total is None:
            total = np.zeros((outputs.shape[1], *padded.shape[1:]), dtype=np.float32)
        for place, values in zip(group, outputs, strict=True):
            where = _window(place, window)
            total[(slice(None), *where)] += values * weight
            weights[where] += weight
    assert total is not None, "there is always one window"
    total /= weights
    inner = tuple(slice(first, first + length) for first, length in zip(before, image.shape[1:], strict=True))
    return np.ascontiguousarray(total[(slice(None), *inner)])


def window_starts(length: int, side: int, overlap: float) -> list[int]:
    """Where windows of `side` begin on an axis of `length`: evenly stepped, the last one flush with the end."""
    step = max(1, round(side * (1 - overlap)))
    last = max(0, length - side)
    return sorted({*range(0, last, step), last})


def gaussian(window: Sequence[int]) -> Floats:
    """The weight of each voxel of a window, largest at its centre."""
    weight = np.ones(tuple(window))
    for axis, side in enumerate(window):
        at = (np.arange(side) - (side - 1) / 2) / (SIGMA * side)
        weight *= np.exp(-(at**2) / 2).reshape([-1 if each == axis else 1 for each in range(len(window))])
    # e⁻²⁴ in a corner is far from the smallest float32: where one window alone covers a corner, it still divides well
    return weight.astype(np.float32)


def _window(place: Sequence[int], window: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(start, start + side) for start, side in zip(place, window, strict=True))


def _groups(places: Sequence[tuple[int, ...]], size: int) -> list[Sequence[tuple[int, ...]]]:
    return [places[start : start + size] for start in range(0, len(places), size)]
