"""Proportional odds of ordered levels, by penalised maximum likelihood; McCullagh P, J R Stat Soc B 1980;42:109-142.

The odds of a level above k are those of a score less the cut k; the score is a weighted sum of features, the same for all cuts.
"""

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.rating import Floats, ProportionalOdds

PENALTY = 3.0
"""Half of it times the squares of the weights is taken off the likelihood; weights are of features in standard deviations."""
_NEVER = 1e-12


def proportional_odds(features: Floats, levels: NDArray[np.intp], count: int) -> ProportionalOdds:
    """Fit levels (N,), from 0 to `count` - 1, by features (N, K); with two levels this is logistic regression."""
    from scipy.optimize import minimize

    middle, deviation = features.mean(axis=0), features.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    scaled = (features - middle) / scale
    rows, cuts = np.arange(len(levels)), count - 1

    def lost(parameters: Floats) -> tuple[float, Floats]:
        gaps, weights = np.exp(parameters[1:cuts]), parameters[cuts:]
        limits = np.concatenate([parameters[:1], parameters[0] + np.cumsum(gaps)])
        above = 1 / (1 + np.exp(np.clip(limits - (scaled @ weights)[:, None], -500, 500)))
        padded = np.pad(above, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
        upper, lower = padded[rows, levels], padded[rows, levels + 1]
        share = np.maximum(upper - lower, _NEVER)
        by_limit = np.zeros((len(levels), count + 1))
        by_limit[rows, levels] += upper * (1 - upper) / share
        by_limit[rows, levels + 1] -= lower * (1 - lower) / share
        of_limits = by_limit[:, 1:-1].sum(axis=0)
        slope = np.concatenate(
            [
                [of_limits.sum()],
                np.cumsum(of_limits[::-1])[::-1][1:] * gaps,
                scaled.T @ (upper + lower - 1) + PENALTY * weights,
            ]
        )
        return float(-np.log(share).sum() + PENALTY / 2 * weights @ weights), slope

    first = np.concatenate([[-count / 2], np.zeros(cuts - 1 + scaled.shape[1])])
    found = minimize(lost, first, jac=True, method="L-BFGS-B").x
    limits = np.concatenate([found[:1], found[0] + np.cumsum(np.exp(found[1:cuts]))])
    return ProportionalOdds(middle=middle, scale=scale, weights=found[cuts:], cuts=limits)
