"""Baselines of segmentation, which a network has to beat: the mean shape of the training labels, or what intensity alone tells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import Infer, ModelRef, Tensors
from inference.engines.port import Call
from training.data.cases import Case
from training.recipe import Recipe

_BINS = 128
_GREY_BOUNDS = (0.1, 99.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a network has to beat, by its name for the card: an `Infer` in the model's place, made of the training cases."""

    name: str
    make: Callable[[Recipe, Sequence[Case]], Infer]


@dataclass(frozen=True, slots=True)
class MeanShape:
    """An `Infer` that always answers with the same scores (C, Z, Y, X), without a look at the image."""

    scores: NDArray[np.float32]

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        return {"OUTPUT__0": self.scores[None]}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def mean_shape(recipe: Recipe, cases: Sequence[Case]) -> MeanShape:
    """The baseline of a recipe: where most cases have a label, as many voxels as they have on average, each with its commonest label."""
    counts = np.zeros((recipe.channels, *recipe.window), dtype=np.int64)
    for case in cases:
        target = recipe.example(case.load()).target[0]
        for channel in range(recipe.channels):
            counts[channel] += target == channel
    labelled = counts[1:].sum(axis=0)
    # cut at one half, a shape that lies somewhere else in every case would be empty: a straw man
    size = round(labelled.sum() / len(cases))
    least = np.sort(labelled, axis=None)[-max(size, 1)]
    labels = np.where(labelled >= max(least, 1), counts[1:].argmax(axis=0) + 1, 0)
    return MeanShape((labels == np.arange(recipe.channels).reshape(-1, *(1,) * labels.ndim)).astype(np.float32))


MEAN_SHAPE = Baseline(name="mean shape", make=mean_shape)


@dataclass(frozen=True, slots=True)
class Bands:
    """An `Infer` that knows intensities alone: of each structure, the bins of values that it is said to be in, and how surely.

    Attributes
    ----------
    edges
        Of the bins, (N - 1,); values beyond belong to the outer bins.
    scores
        (C, N).
    """

    edges: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        (image,) = tensors.values()
        answer = self.scores[:, np.searchsorted(self.edges, image[:, 0])]
        return {"OUTPUT__0": np.ascontiguousarray(answer.swapaxes(0, 1))}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def bands(recipe: Recipe, cases: Sequence[Case]) -> Bands:
    """For each structure the set of intensities that gives the best Dice on the training cases."""
    shown = (recipe.example(case.load()) for case in cases)
    counts = np.zeros((recipe.channels, _BINS), dtype=np.int64)
    edges: NDArray[np.float32] | None = None
    for example in shown:
        if edges is None:
            low, high = np.percentile(example.image, _GREY_BOUNDS)
            edges = np.linspace(float(low), float(high), _BINS - 1, dtype=np.float32)
        bins = np.searchsorted(edges, example.image[0])
        for channel in range(recipe.channels):
            counts[channel] += np.bincount(bins[example.target[0] == channel], minlength=_BINS)
    assert edges is not None, "a split has training cases"
    total = counts.sum(axis=0)
    scores = np.zeros(counts.shape, dtype=np.float32)
    scores[0] = 1
    for channel in range(1, recipe.channels):
        share = counts[channel] / np.maximum(total, 1)
        purest = np.argsort(-share, kind="stable")
        right, said = np.cumsum(counts[channel][purest]), np.cumsum(total[purest])
        best = int(np.argmax(2 * right / np.maximum(said + counts[channel].sum(), 1)))
        chosen = purest[: best + 1]
        scores[channel, chosen] = 1 + share[chosen]
    return Bands(edges, scores)


INTENSITY = Baseline(name="intensity alone", make=bands)
