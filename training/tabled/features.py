"""What is known of an image without a network: coarse brightness and texture; and two models over it, logistic and ridge, classical
baselines."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from scipy.optimize import minimize
from scipy.special import expit, softmax

from inference.applications.bundle.steps import covered

_SIDE, _DEEP = 32, 8
_COARSE = 4
_BOUNDS = (1, 99)
_RIDGE = 1.0
_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Of a ridge regression, over standardised features."""
_LEAST_LETTERS = 4
_LETTER = (5, 0.12)
"""Least height in pixels, greatest as a share of the rows."""
_BRIGHT = 0.95

Floats = NDArray[np.float32]


def described(values: Floats) -> NDArray[np.float64]:
    """Features of an image (Z, Y, X), none of which depends on its unit: mean brightness in a coarse grid, percentiles, and energy of the
    differences between neighbours at three scales along each axis."""
    deep = min(len(values), _DEEP)
    low, high = np.percentile(values, _BOUNDS)
    even = np.clip((values - low) / (high - low if high > low else 1), 0, 1)
    small = covered(even, (deep, _SIDE, _SIDE))
    found = [covered(small, (min(deep, 2), _COARSE, _COARSE)).ravel(), np.percentile(small, (5, 25, 50, 75, 95)), [small.std()]]
    for scale in (1, 2, 4):
        coarser = covered(small, (deep, _SIDE // scale, _SIDE // scale))
        found.append([float(np.abs(np.diff(coarser, axis=axis)).mean()) for axis in range(3) if coarser.shape[axis] > 1])
    # what is finer than the small image is told by the image itself
    found.append([float(np.abs(np.diff(even, axis=axis)).mean()) for axis in (1, 2)])
    return np.concatenate([np.asarray(each, dtype=np.float64) for each in found])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Logistic:
    """A logistic model over features with a ridge penalty: `weights` (F + 1, K), the last row what is added."""

    middle: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    exclusive: bool

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probabilities (N, K) for features (N, F)."""
        return _probable(_terms(features, self.middle, self.spread) @ self.weights, self.exclusive)


def logistic(features: NDArray[np.float64], labels: NDArray[np.bool_], exclusive: bool) -> Logistic:
    """Fit it to features (N, F) and labels (N, K): softmax where exactly one is so, else each by itself."""
    middle, spread = _standard(features)
    terms = _terms(features, middle, spread)
    shape = (terms.shape[1], labels.shape[1])
    wanted = labels.astype(np.float64)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape)
        scores = terms @ weights
        found = _probable(scores, exclusive)
        if exclusive:
            worth = -float(np.log(np.maximum(found[labels], 1e-300)).sum())
        else:
            worth = float(np.logaddexp(0, scores).sum() - (scores * wanted).sum())
        penalty = weights.copy()
        penalty[-1] = 0
        return worth + _RIDGE / 2 * float((penalty**2).sum()), (terms.T @ (found - wanted) + _RIDGE * penalty).ravel()

    best = minimize(loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return Logistic(middle=middle, spread=spread, weights=best.x.reshape(shape), exclusive=exclusive)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ridge:
    """A linear model over features with a ridge penalty: `weights` (F + 1, K), the last row what is added."""

    middle: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """The numbers (N, K) for features (N, F)."""
        found: NDArray[np.float64] = _terms(features, self.middle, self.spread) @ self.weights
        return found


def ridge(features: NDArray[np.float64], numbers: NDArray[np.float64]) -> Ridge:
    """Fit it to features (N, F) and numbers (N, K); of several penalties the one with the least leave-one-out error, which the hat matrix
    tells (Golub, Heath and Wahba 1979)."""
    middle, spread = _standard(features)
    terms = _terms(features, middle, spread)
    penalised = np.ones(terms.shape[1])
    penalised[-1] = 0
    fitted = []
    for penalty in _PENALTIES:
        solved = np.linalg.solve(terms.T @ terms + penalty * np.diag(penalised) + 1e-9 * np.eye(len(penalised)), terms.T)
        left_out = (numbers - terms @ (solved @ numbers)) / np.maximum(1 - np.einsum("nf,fn->n", terms, solved), 1e-6)[:, None]
        fitted.append((float((left_out**2).mean(axis=0).sum()), solved @ numbers))
    return Ridge(middle=middle, spread=spread, weights=min(fitted, key=lambda one: one[0])[1])


def shows_text(values: Floats) -> bool:
    """Whether a single image (1, Y, X) shows a line of letters: bright parts of one height that stand in a row, near each other."""
    picture = values[0]
    low, high = float(picture.min()), float(picture.max())
    if not high > low:
        return False
    parts, _ = label(picture >= low + _BRIGHT * (high - low))
    tallest = max(_LETTER[0], _LETTER[1] * picture.shape[0])
    boxes = sorted(
        (across.start, down.start, down.stop, across.stop)
        for down, across in find_objects(parts)
        if _LETTER[0] <= down.stop - down.start <= tallest and across.stop - across.start <= 1.5 * tallest
    )
    for at, (_, top, bottom, right) in enumerate(boxes):
        tall, end, run = bottom - top, right, 1
        for left, above, below, beyond in boxes[at + 1 :]:
            if left - end > 2 * tall:
                break
            alike = abs((above + below) - (top + bottom)) <= tall and 0.5 * tall <= below - above <= 2 * tall
            if alike and left >= end:
                run, end = run + 1, beyond
        if run >= _LEAST_LETTERS:
            return True
    return False


def _standard(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spread = features.std(axis=0)
    return features.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)


def _terms(features: NDArray[np.float64], middle: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([(features - middle) / spread, np.ones((len(features), 1))], axis=1)


def _probable(scores: NDArray[np.float64], exclusive: bool) -> NDArray[np.float64]:
    found: NDArray[np.float64] = softmax(scores, axis=1) if exclusive else expit(scores)
    return found
