"""What a network has to beat: the mean shape of the training labels, in the middle of every window, without a look at the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import ModelRef, Tensors
from inference.engines.port import Call
from training.recipe import Baseline, Case, Recipe


@dataclass(frozen=True, slots=True)
class MeanShape:
    """An `Infer` that always answers with the same scores (C, Z, Y, X)."""

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
