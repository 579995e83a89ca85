"""Intensities as models expect them: clipped at percentiles, standardised, or cut to a window. Arrays in, new float32 arrays out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def clip_percentiles(values: NDArray[Any], low: float, high: float, *, within: NDArray[np.bool_] | None = None) -> Floats:
    """Clip at the `low` and `high` percentile (0-100) of the values, or of those `within` a mask.

    Raises
    ------
    ValueError
        The mask is empty.
    """
    sample = values if within is None else values[within]
    if sample.size == 0:
        raise ValueError("no voxel to take percentiles of")
    floor, ceiling = np.percentile(sample, (low, high))
    clipped: Floats = np.clip(values, floor, ceiling).astype(np.float32)
    return clipped


def standardise(values: NDArray[Any], *, within: NDArray[np.bool_] | None = None) -> Floats:
    """(x - mean) / standard deviation, of all values or of those `within` a mask; an even image gives zeros."""
    sample = values if within is None else values[within]
    mean, deviation = float(sample.mean(dtype=np.float64)), float(sample.std(dtype=np.float64))
    return ((values - np.float32(mean)) / np.float32(deviation or 1.0)).astype(np.float32)


def window(values: NDArray[Any], *, centre: float, width: float) -> Floats:
    """Map `centre` - `width`/2 … `centre` + `width`/2 to 0 … 1, clipped.

    Raises
    ------
    ValueError
        The width is not above zero.
    """
    if width <= 0:
        raise ValueError(f"a window needs a width above zero, not {width:g}")
    mapped: Floats = np.clip((values.astype(np.float32) - np.float32(centre - width / 2)) / np.float32(width), 0, 1)
    return mapped
