"""Intervals by bootstrap over patients, seeded: cases of one patient are no news of each other."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 0
INTERVAL = (2.5, 97.5)
"""Percentiles: a 95 % interval."""


def interval(values: NDArray[np.float64], patients: Sequence[str]) -> tuple[float, float]:
    """The 95 % interval of the mean over patients' cases; values that are NaN count nowhere, and NaN where there is no other."""
    low, high = np.percentile(means(values, patients), INTERVAL)
    return float(low), float(high)


def over_patients(figure: Callable[[NDArray[np.intp]], float], patients: Sequence[str]) -> tuple[float, float]:
    """The 95 % interval of a figure of cases together, given as places in `patients`; draws without the figure (NaN) do not count."""
    names, places = np.unique(np.array(patients), return_inverse=True)
    of = [np.flatnonzero(places == place) for place in range(len(names))]
    drawn = np.random.default_rng(SEED).integers(len(of), size=(RESAMPLES, len(of)))
    found = [figure(np.concatenate([of[place] for place in draw])) for draw in drawn]
    if not np.isfinite(found).any():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(found, INTERVAL)
    return float(low), float(high)


def times_drawn(patients: Sequence[str]) -> NDArray[np.float64]:
    """How often each case (N,) is in each resample: (RESAMPLES, N), the same draws as of every figure of these patients."""
    names, places = np.unique(np.array(patients), return_inverse=True)
    drawn = np.random.default_rng(SEED).integers(len(names), size=(RESAMPLES, len(names)))
    counts = np.stack([np.bincount(draw, minlength=len(names)) for draw in drawn])
    times: NDArray[np.float64] = counts[:, places].astype(np.float64)
    return times


def means(values: NDArray[np.float64], patients: Sequence[str]) -> NDArray[np.float64]:
    """The mean of each resample, in the order in which they are drawn."""
    names, places = np.unique(np.array(patients), return_inverse=True)
    known = np.isfinite(values)
    sums = np.bincount(places, np.where(known, values, 0), len(names))
    counts = np.bincount(places, known, len(names))
    # patients without a value can only make resamples empty
    sums, counts = sums[counts > 0], counts[counts > 0]
    if not len(counts):
        return np.full(RESAMPLES, np.nan)
    drawn = np.random.default_rng(SEED).integers(len(counts), size=(RESAMPLES, len(counts)))
    drawn_means: NDArray[np.float64] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return drawn_means
