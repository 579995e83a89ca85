"""What the readers of LIDC-IDRI would rate a nodule, 1 to 5, from its outline alone: proportional odds of their ratings.

McCullagh P: Regression models for ordinal data. J R Stat Soc B 1980;42:109-142. The readers said how suspicious a nodule looked to them,
from 1 "highly unlikely for cancer" to 5 "highly suspicious for cancer". Nobody knows of most of those nodules what they were: a rating is
no probability of cancer. `hilum train lidc-rating` writes the numbers, and imports this file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.outline import FEATURES, outline_features
from inference.applications.lung_nodule.preparing import SPACING_MM
from inference.imaging.resample import Grid, Interpolation, resample

FORMAT = 1
LOWEST, HIGHEST = 1.0, 5.0
_SHIPPED = Path(__file__).with_name("lidc_rating.json")
"""Learned from the outlines of LIDC-IDRI (CC BY 3.0), whose attribution stands in it."""
_NEAR = 1e-3
_LIMITS = ("longest diameter", "height", "logarithm of the volume")

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """Expected of the readers' mean, which lies from `low` to `high` with the probability `level`."""

    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProportionalOdds:
    """A score of features, and where it passes from one level to the next.

    Attributes
    ----------
    middle, scale, weights
        (K,): a feature less its middle, by its scale, counts with its weight.
    cuts
        (levels - 1,), ascending: the score from which on more than half would be above the first level, the second, and so on.
    """

    middle: Floats
    scale: Floats
    weights: Floats
    cuts: Floats

    def scores(self, features: Floats) -> Floats:
        """(N,) of features (N, K): the higher, the more likely is a high level."""
        scores: Floats = (features - self.middle) / self.scale @ self.weights
        return scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rater(ProportionalOdds):
    """Proportional odds of five ratings over `FEATURES` (K,).

    Attributes
    ----------
    least, most
        (K,): between these lie 99 of 100 of the outlines that it learned from.
    within, level
        So far from the readers' mean, held out, was the expected rating at most, of that share of nodules.
    nodules, patients
        From how many it learned.
    """

    least: Floats
    most: Floats
    within: float
    level: float
    nodules: int
    patients: int

    def expected(self, features: Floats) -> Floats:
        """(N,), each from 1 to 5, of features (N, K)."""
        expected: Floats = LOWEST + (1 / (1 + np.exp(self.cuts - self.scores(features)[:, None]))).sum(axis=1)
        return expected

    def rate(self, mask: Mask, spacing_mm: tuple[float, float, float]) -> Rating | None:
        """Rate an outline (Z, Y, X) of the application's grid; None of one smaller or larger than 99 of 100 that it learned from."""
        features = outline_features(mask, spacing_mm)
        # stored to six figures
        beyond = np.maximum(self.least - features, features - self.most) > _NEAR * self.scale
        if beyond[[FEATURES.index(name) for name in _LIMITS]].any():
            return None
        value = float(self.expected(features[None])[0])
        low, high = max(value - self.within, LOWEST), min(value + self.within, HIGHEST)
        return Rating(value=value, low=low, high=high, level=self.level)

    def stored(self, attribution: str) -> dict[str, Any]:
        """As `read_rater` reads it."""
        rows = zip(FEATURES, self.middle, self.scale, self.weights, self.least, self.most, strict=True)
        return {
            "format": FORMAT,
            "attribution": attribution,
            "nodules": self.nodules,
            "patients": self.patients,
            "within": _figures(self.within),
            "level": self.level,
            "cuts": [_figures(cut) for cut in self.cuts],
            "features": [
                {
                    "name": name,
                    "middle": _figures(middle),
                    "scale": _figures(scale),
                    "weight": _figures(weight),
                    "least": _figures(least),
                    "most": _figures(most),
                }
                for name, middle, scale, weight, least, most in rows
            ],
        }


def read_rater(stored: Mapping[str, Any]) -> Rater:
    """The rater that was stored.

    Raises
    ------
    ValueError
        It is of another format, or of other features.
    """
    features = stored["features"]
    if stored["format"] != FORMAT or tuple(one["name"] for one in features) != FEATURES:
        raise ValueError(f"format {stored['format']} with {', '.join(one['name'] for one in features)}; format {FORMAT} is read")
    columns = {key: np.array([one[key] for one in features]) for key in ("middle", "scale", "weight", "least", "most")}
    return Rater(
        middle=columns["middle"],
        scale=columns["scale"],
        weights=columns["weight"],
        cuts=np.array(stored["cuts"]),
        least=columns["least"],
        most=columns["most"],
        within=stored["within"],
        level=stored["level"],
        nodules=stored["nodules"],
        patients=stored["patients"],
    )


@cache
def shipped_rater() -> Rater:
    """The one that comes with hilum."""
    return read_rater(json.loads(_SHIPPED.read_text(encoding="utf-8")))


def onto_grid(mask: Mask, spacing_mm: tuple[float, float, float], even_mm: float = SPACING_MM) -> tuple[Mask, tuple[float, float, float]]:
    """An outline (Z, Y, X) on an even grid, the one on which the application outlines, and its spacing; empty where it is too thin."""
    padded = np.pad(mask, 2)
    z, y, x = padded.shape
    grid = Grid(shape=(z, y, x), affine=np.diag([*spacing_mm, 1.0]))
    first, second, third = (max(1, round(side * step / even_mm)) for side, step in zip(grid.shape, spacing_mm, strict=True))
    target = grid.resized((first, second, third))
    return resample(padded, grid, target, by=Interpolation.LINEAR), target.spacing_mm


def _figures(value: float) -> float:
    """As many as matter: the same bytes of the same data."""
    return float(f"{value:.6g}")
