"""Classical methods of classification, without a network: what is measured of a picture, and what learns from such measurements.

First-order features are those of pyradiomics that need no mask; texture is Haralick's from co-occurrences (1973), by scikit-image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.methods.shown import Pictures

Features = NDArray[np.float64]

_LEVELS, _DISTANCES = 32, (1, 2, 4)
_ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
_PERCENTILES = (1, 99)
_TINY = 1e-12


def radiomics(pictures: Pictures) -> Features:
    """First-order and texture features (N, F) of pictures (N, C, S, S), the mean over their channels."""
    return np.array([np.mean([_described(plane) for plane in picture], axis=0) for picture in pictures])


def _described(plane: NDArray[np.float32]) -> Features:
    from skimage.feature import graycomatrix, graycoprops

    low, high = (float(each) for each in np.percentile(plane, _PERCENTILES))
    levels = np.clip((plane - low) / max(high - low, _TINY) * _LEVELS, 0, _LEVELS - 1).astype(np.uint8)
    shares = np.bincount(levels.ravel(), minlength=_LEVELS) / levels.size
    values = plane.astype(np.float64).ravel()
    middle, spread = values.mean(), max(values.std(), _TINY)
    away = (values - middle) / spread
    first = [
        middle,
        spread,
        (away**3).mean(),
        (away**4).mean(),
        *np.percentile(values, (5, 10, 25, 50, 75, 90, 95)),
        np.abs(values - middle).mean(),
        np.sqrt((values**2).mean()),
        -float((shares * np.log2(shares + _TINY)).sum()),
        float((shares**2).sum()),
    ]
    matrix = graycomatrix(levels, _DISTANCES, _ANGLES, levels=_LEVELS, symmetric=True, normed=True)
    texture = [graycoprops(matrix, each) for each in _PROPERTIES]
    # the same whichever way the picture lies: over the directions the mean, and how far they differ
    return np.concatenate([first, *[each.mean(axis=1) for each in texture], *[np.ptp(each, axis=1) for each in texture]])


def sizes(pictures: Pictures) -> Features:
    """How large what is darkest and what is brightest is, by Otsu's threshold (N, 4): shares of the picture, and of its largest part."""
    from scipy.ndimage import label
    from skimage.filters import threshold_otsu

    found = []
    for picture in pictures:
        plane = picture.mean(axis=0)
        bright = plane > threshold_otsu(plane) if np.ptp(plane) > 0 else np.zeros(plane.shape, dtype=np.bool_)
        row = []
        for each in (bright, ~bright):
            parts, count = label(each)
            row += [each.mean(), np.bincount(parts.ravel(), minlength=count + 1)[1:].max(initial=0) / each.size]
        found.append(row)
    return np.array(found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standard:
    """Features brought to mean 0 and deviation 1 by those of training."""

    middle: Features
    spread: Features

    @classmethod
    def of(cls, features: Features) -> "Standard":
        spread = features.std(axis=0)
        return cls(middle=features.mean(axis=0), spread=np.where(spread > 1e-9, spread, 1.0))

    def __call__(self, features: Features) -> Features:
        # what lies far beyond all of training would decide alone
        found: Features = np.clip((features - self.middle) / self.spread, -10, 10)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VectorMachine:
    """A support vector machine of a radial kernel: the training features, the weight of each with its sign, and the kernel's width."""

    features: Features
    weights: Features
    gamma: float

    def __call__(self, features: Features) -> Features:
        """The decision values (N,)."""
        found: Features = _kernel(features, self.features, self.gamma) @ self.weights
        return found


def vector_machine(features: Features, positive: NDArray[np.bool_], penalty: float, gamma: float) -> VectorMachine:
    """Fit it (Cortes and Vapnik 1995), the offset penalised with the weights (Mangasarian and Musicant 1999), which leaves bounds alone to
    hold; the penalty of a class is the larger, the rarer it is."""
    from scipy.optimize import minimize

    sign = np.where(positive, 1.0, -1.0)
    share = positive.mean()
    most = penalty * np.where(positive, 0.5 / max(share, _TINY), 0.5 / max(1 - share, _TINY))
    matrix = _kernel(features, features, gamma) * sign[:, None] * sign

    def loss(weights: Features) -> tuple[float, Features]:
        pulled = matrix @ weights
        return 0.5 * float(weights @ pulled) - float(weights.sum()), pulled - 1

    best = minimize(loss, np.zeros(len(sign)), jac=True, method="L-BFGS-B", bounds=[(0.0, each) for each in most], options={"maxiter": 500})
    return VectorMachine(features=features, weights=best.x * sign, gamma=gamma)


def _kernel(one: Features, other: Features, gamma: float) -> Features:
    """Radial, and 1 more for the offset."""
    apart = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    found: Features = np.exp(-gamma * np.maximum(apart, 0)) + 1
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """A mixture of Gaussians with diagonal covariances: shares (G,), means and variances (G, F)."""

    shares: Features
    means: Features
    variances: Features

    def logs(self, features: Features) -> Features:
        """The logarithm of each part's share in the density at each row, (N, G)."""
        away = (features[:, None] - self.means) ** 2 / self.variances
        found: Features = np.log(self.shares) - 0.5 * (away + np.log(2 * np.pi * self.variances)).sum(axis=2)
        return found

    def __call__(self, features: Features) -> Features:
        """The logarithm of the density at each row, (N,)."""
        found: Features = np.logaddexp.reduce(self.logs(features), axis=1)
        return found


def mixture(features: Features, parts: int, seed: int, rounds: int = 100) -> Mixture:
    """Fit it by expectation and maximisation (Dempster and others 1977) from the clusters of k-means."""
    _, of = clusters(features, parts, seed)
    belong = np.eye(parts)[of]
    floor = 1e-2 * np.maximum(features.var(axis=0), _TINY)
    found, before = None, -np.inf
    for _ in range(rounds):
        weight = belong.sum(axis=0) + _TINY
        means = belong.T @ features / weight[:, None]
        variances = belong.T @ features**2 / weight[:, None] - means**2
        found = Mixture(shares=weight / weight.sum(), means=means, variances=np.maximum(variances, floor))
        logs = found.logs(features)
        whole = np.logaddexp.reduce(logs, axis=1)
        belong = np.exp(logs - whole[:, None])
        if whole.mean() - before < 1e-6:
            break
        before = float(whole.mean())
    assert found is not None, "at least one round"
    return found


def clusters(features: Features, parts: int, seed: int) -> tuple[Features, NDArray[np.intp]]:
    """k-means (Lloyd 1982; begun as Arthur and Vassilvitskii 2007): middles (G, F), and which is nearest to each row, (N,)."""
    from scipy.cluster.vq import kmeans2

    middles, of = kmeans2(features, parts, iter=50, minit="++", seed=seed, missing="warn")
    return np.asarray(middles, dtype=np.float64), np.asarray(of, dtype=np.intp)
