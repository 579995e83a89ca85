"""Cox's proportional hazards (1972) with Efron's ties (1977), and a ridge, elastic-net (Simon and others 2011) or no penalty.

Times and events (N,), features (N, F). The likelihood and its gradient are functions of the linear predictor alone, which is what makes as
many columns as a genome has as easy as two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]

_TINY = 1e-300
_ENOUGH = {"maxiter": 1000, "maxfun": 5000, "ftol": 1e-9, "gtol": 1e-5}
"""When a penalised likelihood, per event, is as low as it gets."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Followed:
    """Who was followed how long, as the partial likelihood looks at them: longest first.

    Attributes
    ----------
    order
        (N,) places by falling time.
    events
        (N,) in that order.
    last
        (N,) the last place of everybody's own time: all up to it were at risk then.
    at, ties
        (E,) of every event the last place of its time, and which share of those who had it then are taken away (Efron): 0, 1/d, 2/d ….
    """

    order: NDArray[np.intp]
    events: NDArray[np.bool_]
    last: NDArray[np.intp]
    at: NDArray[np.intp]
    ties: Floats


def followed(times: Floats, events: NDArray[np.bool_]) -> Followed:
    """Put patients in order once, for as many models as are tried."""
    order = np.argsort(-times, kind="stable")
    until, happened = times[order], events[order]
    last = np.searchsorted(-until, -until, side="right") - 1
    at = last[happened]
    # places only grow: those of one time stand together
    _, first, of, counts = np.unique(at, return_index=True, return_inverse=True, return_counts=True)
    ties = (np.arange(len(at)) - first[of]) / counts[of]
    return Followed(order=order, events=happened, last=last, at=at, ties=ties)


def log_likelihood(scores: Floats, of: Followed) -> tuple[float, Floats]:
    """Efron's partial log-likelihood of linear predictors (N,), and its gradient by them (N,)."""
    ranked = scores[of.order]
    _, total, awaited = _at_risk(ranked, of)
    value = float(ranked[of.events].sum() - (np.log(total) + ranked.max()).sum())
    found = np.empty(len(scores))
    found[of.order] = of.events - awaited
    return value, found


def _at_risk(ranked: Floats, of: Followed) -> tuple[Floats, Floats, Floats]:
    """Of predictors by falling time: everybody's hazard (N,), the largest 1; the sum of those at risk at each event (E,), without the share
    of ties; and how many events everybody was to have had (N,)."""
    weights = np.exp(ranked - ranked.max())
    had = np.where(of.events, weights, 0.0)
    tied = np.bincount(of.last, had, len(had))[of.at]
    total = np.maximum(np.cumsum(weights)[of.at] - of.ties * tied, _TINY)
    # whoever was at risk at an event takes part in its sum: events at places not before their own
    share = np.bincount(of.at, 1 / total, len(had))
    reached = np.cumsum(share[::-1])[::-1]
    taken = np.bincount(of.at, of.ties / total, len(had))
    return weights, total, weights * reached - had * taken[of.last]


def baseline(scores: Floats, times: Floats, events: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Breslow's cumulative hazard of who has the predictor 0: the times of events, ascending, and how much has come together by each."""
    moments = np.unique(times[events])
    weights = np.exp(scores)
    hazard = [float((events & (times == moment)).sum() / weights[times >= moment].sum()) for moment in moments]
    return moments, np.cumsum(hazard)


def survival(scores: Floats, curve: tuple[Floats, Floats], horizon: float) -> Floats:
    """Probability (N,) to be without the event at a time, by a baseline."""
    moments, hazard = curve
    by = int(np.searchsorted(moments, horizon, side="right"))
    found: Floats = np.exp(-np.exp(scores) * (hazard[by - 1] if by else 0.0))
    return found


def penalised(features: Floats, of: Followed, strength: float, share: float, start: Floats | None = None) -> Floats:
    """Coefficients (F,) that make −log-likelihood/events + strength · ((1 − share)/2 · Σβ² + share · Σ|β|) least; features standardised.

    A coefficient is the difference of two that are not negative, which makes the bound where it is 0 one that L-BFGS-B holds exactly. A
    ridge has no such bound.
    """
    if share == 0:
        return _ridge(features, of, strength)
    count, size = features.shape[1], max(int(of.events.sum()), 1)

    def loss(both: Floats) -> tuple[float, Floats]:
        own = both[:count] - both[count:]
        value, gradient = log_likelihood(features @ own, of)
        slope = -(features.T @ gradient) / size + strength * (1 - share) * own
        penalty = strength * ((1 - share) / 2 * float(own @ own) + share * float(both.sum()))
        return -value / size + penalty, np.concatenate([slope, -slope]) + strength * share

    begin = np.zeros(2 * count) if start is None else np.concatenate([np.maximum(start, 0), np.maximum(-start, 0)])
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * (2 * count), options=_ENOUGH)
    coefficients: Floats = found.x[:count] - found.x[count:]
    return coefficients


def _ridge(features: Floats, of: Followed, strength: float) -> Floats:
    size = max(int(of.events.sum()), 1)

    def loss(own: Floats) -> tuple[float, Floats]:
        value, gradient = log_likelihood(features @ own, of)
        return -value / size + strength / 2 * float(own @ own), -(features.T @ gradient) / size + strength * own

    found = minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B", options=_ENOUGH)
    coefficients: Floats = found.x
    return coefficients


def spanned(features: Floats) -> tuple[Floats, Floats]:
    """Features (N, F) of fewer patients than columns in the patients' own axes (N, N), in which the coefficients of a ridge lie; and the
    axes (N, F), which lead coefficients back."""
    left, values, axes = np.linalg.svd(features, full_matrices=False)
    return left * values, axes


def strengths(features: Floats, of: Followed, share: float, count: int) -> Floats:
    """Penalties to try, the strongest first, under which (almost) nothing is learned, down to one that hardly holds."""
    _, gradient = log_likelihood(np.zeros(len(features)), of)
    most = float(np.abs(features.T @ gradient).max()) / max(int(of.events.sum()), 1)
    found: Floats = max(most, 1e-6) * np.geomspace(1 / max(share, 0.01), 0.01, count)
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaximumLikelihood:
    """Without a penalty: coefficients (F,), and their covariance (F, F) by the observed information."""

    coefficients: Floats
    covariance: Floats


def maximum_likelihood(features: Floats, times: Floats, events: NDArray[np.bool_], rounds: int = 50) -> MaximumLikelihood | None:
    """By Newton's method; None where the likelihood has no highest point: a column parts those who had the event from all others."""
    of = followed(times, events)
    ranked = features[of.order]
    coefficients = np.zeros(features.shape[1])
    value = log_likelihood(features @ coefficients, of)[0]
    for _ in range(rounds):
        _, gradient = log_likelihood(features @ coefficients, of)
        curvature = _information(ranked, coefficients, of)
        try:
            step = np.linalg.solve(curvature, features.T @ gradient)
        except np.linalg.LinAlgError:
            return None
        length = 1.0
        while length > 1e-6:
            tried = log_likelihood(features @ (coefficients + length * step), of)[0]
            if np.isfinite(tried) and tried >= value - 1e-12:
                break
            length /= 2
        coefficients = coefficients + length * step
        if not np.isfinite(coefficients).all() or np.abs(coefficients * features.std(axis=0)).max() > 20:
            return None
        if np.abs(step * features.std(axis=0)).max() < 1e-8:
            covariance = np.asarray(np.linalg.inv(_information(ranked, coefficients, of)), dtype=np.float64)
            return MaximumLikelihood(coefficients=coefficients, covariance=covariance)
        value = log_likelihood(features @ coefficients, of)[0]
    return None


def _information(ranked: Floats, coefficients: Floats, of: Followed) -> Floats:
    """Minus the second derivatives of the log-likelihood; `ranked` are the features by falling time."""
    weights, total, awaited = _at_risk(ranked @ coefficients, of)
    mean = _means(ranked, weights, total, of)
    found: Floats = (ranked.T * awaited) @ ranked - mean.T @ mean
    return found


def _means(ranked: Floats, weights: Floats, total: Floats, of: Followed) -> Floats:
    """Of features by falling time, their means (E, F) among those at risk at each event, by hazard."""
    weighted = ranked * weights[:, None]
    tied = np.zeros_like(weighted)
    np.add.at(tied, of.last[of.events], weighted[of.events])
    found: Floats = (np.cumsum(weighted, axis=0)[of.at] - of.ties[:, None] * tied[of.at]) / total[:, None]
    return found


def proportional(feature: Floats, times: Floats, events: NDArray[np.bool_]) -> float:
    """Grambsch and Therneau's test (1994) of one column by itself, over ranked event times: the p-value that its hazard ratio is the
    same at all times; NaN where nothing can be fitted."""
    from scipy.stats import chi2, rankdata

    fitted = maximum_likelihood(feature[:, None], times, events)
    if fitted is None:
        return float("nan")
    of = followed(times, events)
    ranked = feature[of.order]
    weights = np.exp(ranked * fitted.coefficients[0])
    at_risk = np.cumsum(weights)[of.at]
    residuals = ranked[of.events] - np.cumsum(weights * ranked)[of.at] / at_risk
    ranks = rankdata(times[of.order][of.events])
    away = ranks - ranks.mean()
    spread = float((away**2).sum()) / len(ranks) / float(fitted.covariance[0, 0])
    return float(chi2.sf(float(away @ residuals) ** 2 / spread, 1)) if spread > 0 else float("nan")


def partial_gain(scores: Sequence[Floats], held: Sequence[NDArray[np.bool_]], times: Floats, events: NDArray[np.bool_]) -> float:
    """Cross-validated partial log-likelihood (Verweij and van Houwelingen 1993): what the held-out add to it, of predictors of everybody by
    models each of which did not see those in `held`."""
    gain = 0.0
    for predicted, out in zip(scores, held, strict=True):
        gain += log_likelihood(predicted, followed(times, events))[0]
        gain -= log_likelihood(predicted[~out], followed(times[~out], events[~out]))[0]
    return gain
