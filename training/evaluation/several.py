"""Tests of several methods on the same cases: paired differences over patients or over folds, and what so many tests at once leave of p.

Of one side of cases the paired bootstrap over patients; of several trainings, whose training cases overlap, the corrected resampled t-test
(Nadeau and Bengio 2003, Machine Learning 52:239): the variance of the folds' differences counts 1/k + n_test/n_train times, not 1/k.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED

LEAST_PATIENTS = 6
"""Resamples of fewer say nothing of others."""

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A mean difference, its 95 % interval, and the two-sided p of no difference; None where nothing is known of how it varies."""

    mean: float
    interval: tuple[float, float] | None
    p: float | None


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """The p values times as many hypotheses as are left, step by step from the least (Holm 1979); below the limit by it, the chance that
    any of all is called different without being so is below the limit. None is no hypothesis."""
    known = sorted((p, at) for at, p in enumerate(ps) if p is not None)
    found: list[float | None] = [None] * len(ps)
    least = 0.0
    for place, (p, at) in enumerate(known):
        least = max(least, min(1.0, (len(known) - place) * p))
        found[at] = least
    return found


def over_folds(differences: Sequence[float], test_share: float) -> Paired:
    """The corrected resampled t-test of one difference a fold; `test_share` is held-out over training cases, n_test/n_train."""
    from scipy.stats import t

    values = np.array(differences, dtype=np.float64)
    values = values[np.isfinite(values)]
    count, mean = len(values), float(values.mean()) if len(values) else math.nan
    if count < 2:
        return Paired(mean=mean, interval=None, p=None)
    spread = math.sqrt((1 / count + test_share) * float(values.var(ddof=1)))
    # what rounding leaves of the variance of equal differences
    if not spread > 1e-12:
        return Paired(mean=mean, interval=(mean, mean), p=None)
    reach = float(t.ppf(0.975, count - 1)) * spread
    return Paired(mean=mean, interval=(mean - reach, mean + reach), p=float(2 * t.sf(abs(mean) / spread, count - 1)))


def over_cases(difference: Callable[[Places], float], patients: Sequence[str]) -> Paired:
    """The paired bootstrap over patients: `difference` is that of two figures of the cases at these places, drawn with what is theirs."""
    names, places = np.unique(np.array(patients), return_inverse=True)
    of = [np.flatnonzero(places == place) for place in range(len(names))]
    drawn = np.random.default_rng(SEED).integers(len(of), size=(RESAMPLES, len(of)))
    found = np.array([difference(np.concatenate([of[place] for place in draw])) for draw in drawn])
    known, mean = found[np.isfinite(found)], difference(np.arange(len(places)))
    if not len(known) or len(names) < LEAST_PATIENTS:
        return Paired(mean=mean, interval=None, p=None)
    low, high = np.percentile(known, INTERVAL)
    # both tails; never 0, which so many resamples cannot show
    tail = min(float((known <= 0).mean()), float((known >= 0).mean()))
    p = min(1.0, max(2 * tail, 1 / len(known))) if known.any() else None
    return Paired(mean=mean, interval=(float(low), float(high)), p=p)
