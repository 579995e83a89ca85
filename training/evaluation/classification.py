"""Figures of a two-class classifier: ranking, decisions at a threshold, calibration, and the band in which it had better not decide.

Scores are logits or probabilities, one a case; `positive` says what each case really is. Thresholds, calibration and band are chosen on
validation cases and applied to others; nothing here knows which are which.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap."""
BINS = 10

Scores: TypeAlias = NDArray[np.float64]
Truth: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How many cases were called what; a share of no cases is NaN."""

    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int

    @property
    def sensitivity(self) -> float:
        return _share(self.true_positive, self.false_negative)

    @property
    def specificity(self) -> float:
        return _share(self.true_negative, self.false_positive)

    @property
    def accuracy(self) -> float:
        return _share(self.true_positive + self.true_negative, self.false_positive + self.false_negative)

    @property
    def f1(self) -> float:
        return _share(2 * self.true_positive, self.false_positive + self.false_negative)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """From a logit to a probability: sigmoid(slope × logit + offset) (Platt 1999)."""

    slope: float
    offset: float

    def __call__(self, logits: Scores) -> Scores:
        probabilities: Scores = _sigmoid(self.slope * logits + self.offset)
        return probabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Probabilities from `low` on and below `high` are undetermined; below is absent, from `high` on present."""

    low: float
    high: float


def auc(scores: Scores, positive: Truth) -> float:
    """The area under the ROC curve: how often a positive case scores above a negative one, a tie counting half; NaN without either."""
    many, few = int(np.count_nonzero(positive)), int(np.count_nonzero(~positive))
    if not many or not few:
        return float("nan")
    if np.isnan(scores).any():
        return float("nan")
    negative = np.sort(scores[~positive])
    below, not_above = (int(negative.searchsorted(scores[positive], side).sum()) for side in ("left", "right"))
    return (below + not_above) / 2 / (many * few)


def interval(figure: Callable[[Scores, Truth], float], scores: Scores, positive: Truth, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a figure by bootstrap over cases; draws of one class alone do not count."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(scores), size=(RESAMPLES, len(scores)))
    low, high = np.nanpercentile([figure(scores[each], positive[each]) for each in drawn], INTERVAL)
    return float(low), float(high)


def confusion(scores: Scores, positive: Truth, threshold: float) -> Confusion:
    """Decisions at a threshold: scores from it on are called positive."""
    called = scores >= threshold
    return Confusion(
        true_positive=int(np.count_nonzero(called & positive)),
        false_negative=int(np.count_nonzero(~called & positive)),
        true_negative=int(np.count_nonzero(~called & ~positive)),
        false_positive=int(np.count_nonzero(called & ~positive)),
    )


def best_threshold(scores: Scores, positive: Truth) -> float:
    """Where sensitivity + specificity is largest (Youden), in the middle between two scores; the lowest such place."""
    found = np.unique(scores)
    places = np.concatenate([found[:1], (found[1:] + found[:-1]) / 2])
    sensitivity = 1 - np.searchsorted(np.sort(scores[positive]), places) / max(int(np.count_nonzero(positive)), 1)
    specificity = np.searchsorted(np.sort(scores[~positive]), places) / max(int(np.count_nonzero(~positive)), 1)
    return float(places[np.argmax(sensitivity + specificity)])


def calibrated(logits: Scores, positive: Truth) -> Calibration:
    """Platt's calibration, by Newton's method; its targets are drawn in from 0 and 1, so that separable cases do not end at certainty."""
    many, few = np.count_nonzero(positive), np.count_nonzero(~positive)
    wanted = np.where(positive, (many + 1) / (many + 2), 1 / (few + 2))
    terms = np.stack([logits, np.ones_like(logits)], axis=1)
    weights = np.zeros(2)
    for _ in range(100):
        found = _sigmoid(terms @ weights)
        gradient = terms.T @ (found - wanted)
        # a whisper on the diagonal: even logits leave it singular
        curvature = (terms * (found * (1 - found))[:, None]).T @ terms + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # far from the minimum a whole step overshoots
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    return Calibration(slope=float(weights[0]), offset=float(weights[1]))


def calibration_error(probabilities: Scores, positive: Truth) -> float:
    """The expected calibration error: how far the share of positives is from the mean probability, over ten equal bins, by their cases."""
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    error = 0.0
    for each in range(BINS):
        inside = bins == each
        if inside.any():
            error += abs(float(positive[inside].mean()) - float(probabilities[inside].mean())) * float(inside.mean())
    return error


def band(probabilities: Scores, positive: Truth, *, missed: float, alarmed: float) -> Band:
    """The band outside of which few decisions are wrong.

    Parameters
    ----------
    missed
        Share of the positive cases that may lie below the band.
    alarmed
        Share of the negative cases that may lie above it.
    """
    low = np.sort(probabilities[positive])[int(missed * np.count_nonzero(positive))]
    above = np.sort(probabilities[~positive])[::-1][int(alarmed * np.count_nonzero(~positive))]
    high = np.nextafter(above, 2.0)
    # where both would hold at once, the band lies between them all the same: it costs answers, and no wrong one
    return Band(low=float(min(low, high)), high=float(max(low, high)))


def _sigmoid(values: Scores) -> Scores:
    found: Scores = 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    return found


def _share(of: int, rest: int) -> float:
    return of / (of + rest) if of + rest else float("nan")
