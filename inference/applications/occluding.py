"""Occlusion sensitivity (Zeiler and Fergus 2014): which parts of an image an answer would miss, by asking of changed images alone."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

OCCLUSION = "Occlusion sensitivity"

Odds: TypeAlias = Callable[[Iterable[NDArray[np.float32]]], NDArray[np.float64]]
"""The log odds (N,) of one answer about N images (C, …)."""


def occlusion(image: NDArray[np.float32], side: Sequence[int], step: Sequence[int], odds: Odds) -> NDArray[np.float32]:
    """How far the log odds fall where a square has the image's mean: of each pixel (…) the mean of the squares that covered it.

    Parameters
    ----------
    image
        (C, …) as a network sees it; each channel gets its own mean.
    side, step
        Of the square, in pixels along each axis, and how far it is moved; the last one of a line ends where the image does, at the latest.
    """
    axes = image.shape[1:]
    places = list(itertools.product(*map(_squares, axes, side, step)))
    grey = [channel.mean() for channel in image]

    def hidden() -> Iterator[NDArray[np.float32]]:
        for place in places:
            changed = image.copy()
            for channel, mean in zip(changed, grey, strict=True):
                channel[place] = mean
            yield changed

    falls = odds([image])[0] - odds(hidden())
    total, count = np.zeros(axes), np.zeros(axes)
    for fall, place in zip(falls, places, strict=True):
        total[place] += fall
        count[place] += 1
    return (total / count).astype(np.float32)


def _squares(length: int, side: int, step: int) -> list[slice]:
    """Along one axis: together they cover every pixel."""
    last = -(-max(length - side, 0) // step) * step
    return [slice(start, min(start + side, length)) for start in range(0, last + 1, step)]
