"""Weighting check: compares how bright and dark tissue lie in a marked brain with T1 weighted images, by a small learned model.

What a coil makes of brightness is fitted and taken out first. Then: how bright is the brain by its depth, and by its distance from what is
darkest and brightest near by? On T1 water is dark, and brightness rises from it into white matter; on FLAIR it rises and falls, on T2 it
falls. Learned by `python -m training.t1_likeness` from heads that are drawn from maps of labels.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.imaging.judge.coarse import Coarse, Mask, Values
from inference.imaging.judge.doubt import Bounds, Doubt, declines
from inference.translatable import say

FILE = Path(__file__).with_name("t1_likeness.json")
LIKE_T1 = Bounds(usual=(-0.6, None), possible=(-2.5, None))
"""Log odds of T1: 0.2 and more in right heads that are made of four, but for one with added noise (-2.8); -1.1 and less in those that are
drawn otherwise, -4.8 and less in T2, proton density, CT and negatives. What noise does to it a median takes away: nothing is declined
that looks like T1 behind one."""
MEDIAN_VOXELS = 3
MYELINATED_YEARS = 2
"""Before, white matter is not yet brighter than grey matter on T1 (Barkovich and others, Radiology 166:173, 1988)."""
DEPTHS_MM = (0.0, 4.0, 7.0, 11.0, 16.0, 23.0, np.inf)
DISTANCES_MM = (0.0, 3.5, 6.5, 10.0, np.inf)
EXTREMES = {"dark": 12.0, "bright": 88.0}
"""Percentiles beyond which a voxel is dark or bright for its surroundings."""
SURROUNDINGS_MM = 10.0
"""Standard deviation of the weights by which surroundings are averaged: a gyrus and its sulci."""
LEAST = 50
"""Voxels without which there is no mean."""
_SCALE_MM = 60.0
_FEW = 200
_FARTHEST = 4.0
"""Deviations beyond which a sign counts no more: what was never drawn is not to be extrapolated."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class T1Likeness:
    """The learned model: a logistic regression.

    Attributes
    ----------
    names
        Of the signs, in the order of `signs_of`.
    mean, deviation, weight
        Of each sign (n,), as they were while it was learned.
    """

    names: tuple[str, ...]
    mean: Floats
    deviation: Floats
    weight: Floats
    bias: float

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> "T1Likeness":
        """From what `held` gives."""
        signs = held["signs"]
        mean, deviation, weight = (
            np.array([sign[key] for sign in signs.values()], dtype=np.float32) for key in ("mean", "deviation", "weight")
        )
        return cls(names=tuple(signs), mean=mean, deviation=deviation, weight=weight, bias=float(held["bias"]))

    def held(self) -> dict[str, Any]:
        """As it is kept in a file: every sign by its name."""
        rows = zip(self.names, self.mean, self.deviation, self.weight, strict=True)
        signs = {name: dict(zip(("mean", "deviation", "weight"), map(_short, row), strict=True)) for name, *row in rows}
        return {"bias": _short(self.bias), "signs": signs}

    def log_odds(self, signs: Mapping[str, float]) -> float:
        """Above 0 the brain is nearer to T1 than to another weighting."""
        values = np.array([signs[name] for name in self.names], dtype=np.float32)
        return float(standardised(values, self.mean, self.deviation) @ self.weight + self.bias)


def _short(number: float) -> float:
    return float(f"{number:.5g}")


def standardised(values: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Signs (..., n) in deviations from their mean."""
    return np.asarray(np.clip((values - mean) / deviation, -_FARTHEST, _FARTHEST), dtype=np.float32)


@cache
def learned() -> T1Likeness:
    """The model that comes with hilum."""
    return T1Likeness.of(json.loads(FILE.read_text(encoding="utf-8")))


def weighting_doubts(coarse: Coarse, marked: Mask, years: int | None) -> list[Doubt]:
    """What speaks against T1 in a marked brain (Z, Y, X, as coarse); nothing of small children, whose brains look otherwise."""
    if years is not None and years < MYELINATED_YEARS:
        return []
    likeness = likeness_of(coarse, marked)
    if likeness is None:
        return []
    doubts = LIKE_T1.doubt(likeness, say("water, grey and white matter in it are not dark and bright as on T1"))
    if declines(doubts) and _like_t1_without_noise(coarse, marked):
        doubts = [replace(doubt, impossible=False) for doubt in doubts]
    return doubts


def likeness_of(coarse: Coarse, marked: Mask) -> float | None:
    """The log odds of T1 in a marked brain (Z, Y, X, as coarse); None of one that is even, or next to nothing."""
    signs = signs_of(coarse.values, marked, coarse.spacing_mm)
    return None if signs is None else learned().log_odds(signs)


def _like_t1_without_noise(coarse: Coarse, marked: Mask) -> bool:
    from scipy import ndimage

    least, _ = LIKE_T1.usual
    likeness = likeness_of(replace(coarse, values=ndimage.median_filter(coarse.values, MEDIAN_VOXELS)), marked)
    return likeness is not None and least is not None and likeness >= least


def signs_of(values: Values, marked: Mask, spacing_mm: tuple[float, float, float]) -> dict[str, float] | None:
    """The signs of a coarse brain, by name; None of one that is even, or next to nothing."""
    from scipy import ndimage

    if np.count_nonzero(marked) < _FEW:
        return None
    kept = tuple(slice(int(places.min()), int(places.max()) + 1) for places in np.nonzero(marked))
    inside = np.pad(marked[kept], 1)
    level = np.zeros(inside.shape, dtype=np.float32)
    level[inside] = _without_gain(values[kept], marked[kept], spacing_mm)
    low, high = (float(bound) for bound in np.percentile(level[inside], (0.5, 99.5)))
    if not high > low:
        return None
    level[inside] = (np.clip(level[inside], low, high) - low) / (high - low)
    weights = [SURROUNDINGS_MM / mm for mm in spacing_mm]
    share, mean, square = (ndimage.gaussian_filter(each, weights, truncate=2.5) for each in (inside.astype(np.float32), level, level**2))
    mean, square = (each[inside] / share[inside] for each in (mean, square))
    spread = np.sqrt(np.maximum(square - mean**2, 1e-12))
    stands_out = np.zeros(inside.shape, dtype=np.float32)
    # where nothing differs, noise does not stand out either
    stands_out[inside] = (level[inside] - mean) / np.maximum(spread, 0.3 * float(np.median(spread)))
    depth_mm = np.asarray(ndimage.distance_transform_edt(inside, sampling=spacing_mm), dtype=np.float32)
    signs = dict(_by_depth(stands_out[inside], depth_mm[inside]))
    for name, percentile in EXTREMES.items():
        signs |= _from_extremes(name, percentile, stands_out, inside, depth_mm, spacing_mm)
    away = stands_out[inside] - float(stands_out[inside].mean())
    middle = float(np.median(away))
    return signs | {
        "third moment": float(np.mean(away**3)),
        "fourth moment": float(np.mean(away**4)),
        "brightest": float(away.max()) - middle,
        "darkest": middle - float(away.min()),
        "contrast": float(np.median(spread / np.maximum(mean, 1e-3))),
        "share of the lowest value": float(np.mean(level[inside] <= 0)),
    }


def _without_gain(values: Values, marked: Mask, spacing_mm: tuple[float, float, float]) -> Floats:
    """The marked values divided by what is smooth in them: a second-degree polynomial in the logarithm, fitted to every fifth one."""
    raw = values[marked].astype(np.float32)
    typical = float(np.median(raw))
    if not typical > 0:
        return raw
    places = np.argwhere(marked).astype(np.float32) * np.array(spacing_mm, dtype=np.float32)
    z, y, x = ((places - places.mean(axis=0)) / _SCALE_MM).T
    terms = np.stack([np.ones_like(z), z, y, x, z * z, y * y, x * x, z * y, z * x, y * x], axis=1)
    logarithm = np.log(np.clip(raw, 0.2 * typical, 5 * typical))
    factors = np.linalg.lstsq(terms[::5], logarithm[::5], rcond=None)[0]
    return np.asarray(raw / np.exp(np.clip(terms[:, 1:] @ factors[1:], -2, 2)), dtype=np.float32)


def _by_depth(stands_out: Floats, depth_mm: Floats) -> Iterator[tuple[str, float]]:
    for least, most in pairwise(DEPTHS_MM):
        shell = stands_out[(depth_mm > least) & (depth_mm <= most)]
        mean, spread, third = 0.0, 0.0, 0.0
        if shell.size > LEAST:
            mean, spread = float(shell.mean()), float(shell.std())
            third = float(np.mean((shell - mean) ** 3))
        yield f"mean from {least:g} mm deep", mean
        yield f"spread from {least:g} mm deep", spread
        yield f"third moment from {least:g} mm deep", third


def _from_extremes(
    name: str, percentile: float, stands_out: Floats, inside: Mask, depth_mm: Floats, spacing_mm: tuple[float, float, float]
) -> Iterator[tuple[str, float]]:
    """How bright the brain is by its distance from what is extreme, and how deep that lies."""
    from scipy import ndimage

    bound = float(np.percentile(stands_out[inside], percentile))
    extreme = inside & ((stands_out <= bound) if percentile < 50 else (stands_out >= bound))
    away_mm = np.asarray(ndimage.distance_transform_edt(~extreme, sampling=spacing_mm), dtype=np.float32)
    # the outermost voxels are mixed with what lies around the brain
    inner = inside & (depth_mm > 3.5)
    for least, most in pairwise(DISTANCES_MM):
        ring = stands_out[inner & (away_mm > least) & (away_mm <= most)]
        yield f"mean from {least:g} mm off {name}", float(ring.mean()) if ring.size > LEAST else 0.0
    yield f"depth of {name}", float(depth_mm[extreme].mean() / depth_mm[inside].mean()) if extreme.any() else 0.0
