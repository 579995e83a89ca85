"""Parts cut out of images that are larger than the network's window; and what intensity alone tells, which a network has to beat."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import ModelRef, Tensors
from inference.engines.port import Call
from training.recipe import Augment, Baseline, Case, Example, Recipe

LABELLED_SHARE = 2 / 3
"""Of the parts, those that are cut around a labelled voxel: most of an image is background."""

_BINS = 128
_GREY_BOUNDS = (0.1, 99.9)


def cut(example: Example, window: Sequence[int], seed: int) -> Example:
    """A window of an example, the same for the same seed; evenly filled up with zeros, as serving does, where the image is smaller."""
    rng = np.random.default_rng(seed)
    target = example.target[0]
    at = np.array([rng.integers(side) for side in target.shape])
    if rng.random() < LABELLED_SHARE:
        labels = np.flatnonzero(np.bincount(target.ravel(), minlength=2)[1:]) + 1
        if labels.size:
            places = np.flatnonzero(target == rng.choice(labels))
            at = np.array(np.unravel_index(int(rng.choice(places)), target.shape))
    image = np.zeros((example.image.shape[0], *window), dtype=np.float32)
    labelled = np.zeros((1, *window), dtype=np.uint8)
    here, there = [], []
    for place, side, length in zip(at.tolist(), window, target.shape, strict=True):
        # the voxel lies anywhere in the window: structures are not learned to be in its middle
        start = int(np.clip(place - rng.integers(side), 0, max(length - side, 0)))
        before = max(side - length, 0) // 2
        count = min(side, length)
        here.append(slice(before, before + count))
        there.append(slice(start, start + count))
    image[(slice(None), *here)] = example.image[(slice(None), *there)]
    labelled[(slice(None), *here)] = example.target[(slice(None), *there)]
    return Example(image=image, target=labelled)


def cutting(window: Sequence[int], then: Callable[[], Augment]) -> Callable[[], Augment]:
    """An augmentation that cuts a window out first."""

    def made() -> Augment:
        augment = then()
        return lambda example, seed: augment(cut(example, window, seed), seed)

    return made


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
