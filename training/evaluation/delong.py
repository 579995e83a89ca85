"""Areas under ROC curves of several scores of the same cases, with their covariance, and the test whether a contrast of them is 0.

DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44:837; from midranks as Sun and Xu (2014), IEEE Signal Processing Letters 21:1389,
in as many steps as sorting takes. It knows of the chance that chose the cases, not of another training's; and every case counts as one
patient.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training.evaluation.classification import Scores, Truth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Areas:
    """The AUC of each of K scores, (K,), and how they vary together from sample to sample of cases, (K, K)."""

    areas: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def p(self, contrast: Sequence[float]) -> float | None:
        """Two-sided, of the hypothesis that the areas weighed so, (K,), sum up to 0; None where nothing is known of how that varies."""
        weights = np.array(contrast, dtype=np.float64)
        deviation = math.sqrt(max(float(weights @ self.covariance @ weights), 0.0))
        # NaN too; and what rounding leaves of the variance of scores that rank the same
        if not deviation > 1e-9:
            return None
        return 2 * NormalDist().cdf(-abs(float(weights @ self.areas)) / deviation)


def areas(scores: Sequence[Scores], positive: Truth) -> Areas:
    """Of K scores (N,) each; with fewer than two cases of a class nothing is known of their covariance, and it is NaN."""
    # half a second, which commands that compare nothing are spared
    from scipy.stats import rankdata

    with_it, without = [], []
    for each in scores:
        ranks, many, few = rankdata(each), int(np.count_nonzero(positive)), int(np.count_nonzero(~positive))
        # the share of the other class that each case is on the right side of, a tie counting half
        with_it.append((ranks[positive] - rankdata(each[positive])) / few)
        without.append(1 - (ranks[~positive] - rankdata(each[~positive])) / many)
    first, second = np.array(with_it), np.array(without)
    return Areas(areas=first.mean(axis=1), covariance=_varying(first) + _varying(second))


def _varying(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance (K, K) of the means of K × N shares."""
    count = shares.shape[1]
    if count < 2:
        return np.full((len(shares), len(shares)), np.nan)
    found: NDArray[np.float64] = np.atleast_2d(np.cov(shares)) / count
    return found
