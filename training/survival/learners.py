"""What learns to put patients in order: Cox under a penalty, and boosted trees; how much of either, patients say that it did not see.

A learner takes columns, times, events and who is learned from, and gives everybody a linear predictor of the hazard.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.survival.cox import Floats, followed, partial_gain, penalised, spanned, strengths
from training.survival.design import Term, matrix, terms
from training.tabled.outcomes import OutcomeColumn

Mask: TypeAlias = NDArray[np.bool_]

INNER = 5
STRENGTHS = 8
_SHARES = (0.0, 0.5)
"""Of the penalty on absolute values: ridge, and elastic net."""
_ROUNDS = tuple(range(0, 301, 15))
_TREES: Mapping[str, Any] = {
    "objective": "survival:cox",
    "eta": 0.05,
    "max_depth": 2,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "lambda": 1.0,
    "nthread": 1,
    "verbosity": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HazardScores:
    """Linear predictors of everybody (N,), those who were learned from and those who were not; and what made them, in words.

    `coefficients` are those of a linear model over standardised features, by name.
    """

    scores: Floats
    says: str
    coefficients: Mapping[str, float] | None = None


Learner: TypeAlias = Callable[[Sequence[OutcomeColumn], Floats, Mask, Mask, int], HazardScores]
"""From columns, times, events, who is learned from, and a seed."""


def parts(events: Mask, count: int, seed: int) -> NDArray[np.intp]:
    """Which of `count` parts everybody is of (N,): each has its share of those who had the event."""
    found = np.empty(len(events), dtype=np.intp)
    draw = np.random.default_rng(seed)
    begin = 0
    for had in (True, False):
        own = draw.permutation(np.flatnonzero(events == had))
        found[own] = (np.arange(len(own)) + begin) % count
        begin += len(own)
    return found


def cox(columns: Sequence[OutcomeColumn], times: Floats, events: Mask, learned: Mask, seed: int) -> HazardScores:
    """Cox under the penalty, of ridge and elastic net of eight strengths each, by which parts of those who are learned from foretold the
    others best."""
    own = _Own.of(times, events, learned, seed)
    best: tuple[float, float, int] | None = None
    for share in _SHARES:
        paths = [_path(columns, times, events, inside, share) for inside in own.inside]
        for at in range(len(paths[0])):
            gain = partial_gain([path[at][own.places] for path in paths], own.held, own.times, own.events)
            if best is None or gain > best[0] + 1e-9:
                best = (gain, share, at)
    assert best is not None, "there is a penalty"
    _, share, at = best
    of, features, along = _fitted(columns, times, events, learned, share, at)
    coefficients = along[-1]
    used = int((np.abs(coefficients) > 1e-8).sum())
    return HazardScores(
        scores=features @ coefficients,
        says=f"{'elastic net' if share else 'ridge'}, {used} of {len(of)} features",
        coefficients={term.name: float(value) for term, value in zip(of, coefficients, strict=True)},
    )


def boosted(columns: Sequence[OutcomeColumn], times: Floats, events: Mask, learned: Mask, seed: int) -> HazardScores:
    """Trees of two questions under Cox's loss (xgboost), as many as parts of those who are learned from foretold the others best with."""
    own = _Own.of(times, events, learned, seed)
    paths = [_boosting(columns, times, events, inside, seed) for inside in own.inside]
    gains = [partial_gain([path[at][own.places] for path in paths], own.held, own.times, own.events) for at in range(len(_ROUNDS))]
    at = int(np.argmax(gains))
    return HazardScores(scores=_boosting(columns, times, events, learned, seed)[at], says=f"{_ROUNDS[at]} trees")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Own:
    """Those who are learned from, by themselves; and of each part of them who is learned from (N,), and who of them is held (own,)."""

    places: NDArray[np.intp]
    times: Floats
    events: Mask
    inside: Sequence[Mask]
    held: Sequence[Mask]

    @classmethod
    def of(cls, times: Floats, events: Mask, learned: Mask, seed: int) -> "_Own":
        places = np.flatnonzero(learned)
        part = parts(events[places], INNER, seed)
        inside = []
        for number in range(INNER):
            mask = learned.copy()
            mask[places[part == number]] = False
            inside.append(mask)
        held = [part == number for number in range(INNER)]
        return cls(places=places, times=times[places], events=events[places], inside=inside, held=held)


def _fitted(
    columns: Sequence[OutcomeColumn], times: Floats, events: Mask, learned: Mask, share: float, until: int | None = None
) -> tuple[Sequence[Term], Floats, list[Floats]]:
    """Features, those of everybody (N, F), and coefficients along the strengths, each begun where the stronger penalty ended."""
    of = terms(columns, learned)
    features = matrix(columns, of)
    if not of:
        return (), features, [np.zeros(0)] * STRENGTHS
    known, seen = followed(times[learned], events[learned]), features[learned]
    tried = strengths(seen, known, share, STRENGTHS)[: None if until is None else until + 1]
    axes = None
    if share == 0 and seen.shape[1] > seen.shape[0]:
        seen, axes = spanned(seen)
    made: list[Floats] = []
    for strength in tried:
        made.append(penalised(seen, known, float(strength), share, made[-1] if made else None))
    return of, features, made if axes is None else [each @ axes for each in made]


def _path(columns: Sequence[OutcomeColumn], times: Floats, events: Mask, learned: Mask, share: float) -> list[Floats]:
    """The predictors of everybody along the strengths."""
    _, features, made = _fitted(columns, times, events, learned, share)
    return [features @ coefficients for coefficients in made]


def _boosting(columns: Sequence[OutcomeColumn], times: Floats, events: Mask, learned: Mask, seed: int) -> list[Floats]:
    """The predictors of everybody after each of `_ROUNDS`."""
    import xgboost

    of = terms(columns, learned)
    if not of:
        return [np.zeros(len(times))] * len(_ROUNDS)
    features = matrix(columns, of)
    # a time of 0 has no sign to be censored by
    marked = np.maximum(times, 1e-9 * max(float(times.max()), 1e-9))
    label = np.where(events, marked, -marked)
    known = xgboost.DMatrix(features[learned], label=label[learned], nthread=1)
    grown = xgboost.train({**_TREES, "seed": seed}, known, _ROUNDS[-1], verbose_eval=False)
    everybody = xgboost.DMatrix(features, nthread=1)

    def after(rounds: int) -> Floats:
        return np.asarray(grown.predict(everybody, output_margin=True, iteration_range=(0, rounds)), dtype=np.float64)

    # 0 rounds would mean all of them
    return [np.zeros(len(times)), *map(after, _ROUNDS[1:])]
