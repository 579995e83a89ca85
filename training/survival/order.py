"""How well scores put patients in order: Harrell's C (1982), its interval, and the difference of two by the same patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED
from training.survival.cox import Floats

_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Pairs whose order is known, within each fold: `patients` of a fold (n,), and of them who is known to come before whom (n, n)."""

    patients: NDArray[np.intp]
    before: NDArray[np.bool_]


def pairs(times: Floats, events: NDArray[np.bool_], folds: NDArray[np.intp]) -> list[Pairs]:
    """Of each fold: one had the event, and the other was followed longer, or as long without it. Two events at one time are no pair, and of
    two folds nobody is compared: scores of two models have no scale in common."""
    made = []
    for fold in np.unique(folds):
        own = np.flatnonzero(folds == fold)
        until, had = times[own], events[own]
        before = had[:, None] & ((until[:, None] < until) | ((until[:, None] == until) & ~had))
        made.append(Pairs(patients=own, before=before))
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Concordance:
    """C: the share of pairs in which the higher score had the event first, equal scores counting half; and its 95 % interval.

    `draws` are those of the bootstrap, the same patients for all scores: differences of two are paired.
    """

    value: float
    interval: tuple[float, float]
    count: int
    draws: tuple[float, ...]


def concordance(scores: Floats, among: Sequence[Pairs]) -> Concordance:
    """Of scores (N,), the higher the sooner; the bootstrap draws patients within their folds."""
    draw = np.random.default_rng(SEED)
    right, known = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    value, count = 0.0, 0
    for fold in among:
        own = scores[fold.patients]
        agreed = np.where(fold.before, (own[:, None] > own) + 0.5 * (own[:, None] == own), 0.0).astype(np.float32)
        before = fold.before.astype(np.float32)
        value, count = value + float(agreed.sum(dtype=np.float64)), count + int(fold.before.sum())
        for begin in range(0, RESAMPLES, _AT_ONCE):
            drawn = draw.multinomial(len(own), np.full(len(own), 1 / len(own)), size=_AT_ONCE).astype(np.float32)
            right[begin : begin + _AT_ONCE] += ((drawn @ agreed) * drawn).sum(axis=1)
            known[begin : begin + _AT_ONCE] += ((drawn @ before) * drawn).sum(axis=1)
    if not count:
        return Concordance(value=float("nan"), interval=(float("nan"), float("nan")), count=0, draws=())
    draws = right[known > 0] / known[known > 0]
    return Concordance(value=value / count, interval=_ends(draws), count=count, draws=tuple(map(float, draws)))


def ahead(one: Concordance, other: Concordance) -> tuple[float, tuple[float, float]]:
    """How far one is ahead of another by the same patients, with its 95 % interval."""
    return one.value - other.value, _ends(np.array(one.draws) - np.array(other.draws))


def _ends(draws: Floats) -> tuple[float, float]:
    low, high = np.percentile(draws, INTERVAL) if len(draws) else (float("nan"), float("nan"))
    return float(low), float(high)
