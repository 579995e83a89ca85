"""Recipes that give an image back better than it came: networks that differ in what they are told to reach; the best one is served."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.split import Split
from training.fit import Outcome, fit
from training.progress import Progress
from training.ranks import Ranks
from training.recipe import Labelled, Recipe, Schedule
from training.trials import Named

SHOWN = 0.02
"""A slice counts where the head is at least this share of it."""
BRIGHTEST = 99.5
"""The percentile of the clean head that counts as its range."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Degraded(Labelled):
    """A volume that was made worse on purpose, its labels 1 in what counts, and the volume that it was made from.

    Attributes
    ----------
    clean
        (Z, Y, X) in the units of `volume`.
    """

    clean: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restorer(Recipe):
    """A recipe whose held-out cases are `Degraded`, and whose training cases are clean: `augment` degrades them anew each time.

    Attributes
    ----------
    sides
        The split of a folder's data.
    arms
        What each training of a run is told to reach, as a loss, by name; networks and steps are alike.
    """

    sides: Callable[[Path], Split]
    arms: Mapping[str, Callable[[], Callable[[Any, Any], Any]]]

    def arm(self, name: str) -> Recipe:
        """The recipe of one training."""
        return replace(self, loss=self.arms[name])


def fit_arms(recipe: Restorer, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
    """Train all arms, each in a folder of its own, or go on where the run was ended; how the best by validation ended."""
    outcomes = [fit(recipe.arm(name), sides, run / name, schedule, ranks, Named(name, progress)) for name in recipe.arms]
    return max(outcomes, key=lambda outcome: outcome.best)


def likeness(restored: NDArray[Any], degraded: Degraded) -> dict[str, NDArray[np.float64]]:
    """PSNR (dB) and SSIM of every slice that shows enough of the head, (N,) each; both count within the head alone."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    head, clean = degraded.labels > 0, degraded.clean
    full = float(np.percentile(clean[head], BRIGHTEST))
    found: dict[str, list[float]] = {"PSNR": [], "SSIM": []}
    for true, made, inside in zip(clean, restored.astype(np.float32), head, strict=True):
        if inside.mean() < SHOWN:
            continue
        found["PSNR"].append(float(peak_signal_noise_ratio(true[inside], made[inside], data_range=full)))
        # the window of its authors (Wang and others 2004)
        like = structural_similarity(true, made, data_range=full, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True)
        found["SSIM"].append(float(like[1][inside].mean()))
    return {name: np.array(values) for name, values in found.items()}
