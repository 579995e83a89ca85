"""Recipes of a classifier with two classes: several networks from several seeds in one run; the best by validation is served."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference.codes import Code
from inference.imaging.subject import Images
from training.class_activation import Attending, attended
from training.data.split import Split
from training.evaluation.classification import Band, Calibration, auc
from training.recipe import Case, Recipe

BATCH = 128
"""Images in one call where nothing is learned."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImage:
    """One image as serving would assemble it, and whether the finding is there."""

    images: Images
    positive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the networks of a run; it gives one logit an image, (N,). Each learns at the rate that suits it, all in as many steps."""

    network: Callable[[], Any]
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier(Recipe):
    """A recipe whose cases are images with a class.

    Attributes
    ----------
    sides
        The split of a folder's data that those who made them published.
    arms
        By name; the others are compared with the first.
    seeds
        How many trainings of each arm, from the schedule's seed on.
    finding
        What the application is asked for.
    missed, alarmed
        Of the validation cases: the share of positives that may be called absent, and of negatives that may be called present. What lies
        between is undetermined.
    """

    sides: Callable[[Path], Split]
    arms: Mapping[str, Arm]
    seeds: int
    finding: Code
    missed: float
    alarmed: float


class Answering(nn.Module):
    """The network as it is served: (N, 3) with the band's two ends and the calibrated probability of each image.

    The band lies in the file with the weights that it was chosen for; no copy of it elsewhere can be another's. A network with features
    to tell of gives besides (N, cells down, cells across) what each of its cells adds to the log odds of that probability.
    """

    def __init__(self, network: Any, calibration: Calibration, band: Band) -> None:
        super().__init__()
        self._network = network
        self._slope, self._offset = calibration.slope, calibration.offset
        self._band: torch.Tensor
        self.register_buffer("_band", torch.tensor([[band.low, band.high]], dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if not isinstance(self._network, Attending):
            return self._told(images, self._network(images))
        logits, parts = attended(self._network, images)
        return self._told(images, logits), self._slope * parts

    def _told(self, images: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        probability = torch.sigmoid(self._slope * logits + self._offset)
        return torch.cat([self._band.expand(images.shape[0], 2), probability[:, None]], dim=1)


def logits(recipe: Recipe, network: Any, cases: Sequence[Case]) -> NDArray[np.float64]:
    """The network's answers (N,) to the examples that serving would show it, a batch at a time: no engine, no findings."""
    network.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(cases), BATCH):
            images = np.stack([recipe.example(case.load()).image for case in cases[start : start + BATCH]])
            found.append(network(torch.from_numpy(images)).numpy())
    return np.concatenate(found).astype(np.float64)


def truth(cases: Sequence[Case]) -> NDArray[np.bool_]:
    """Whether each case is positive, (N,)."""
    labelled: list[Any] = [case.load() for case in cases]
    return np.array([each.positive for each in labelled], dtype=bool)


def validation(recipe: Classifier, network: Any, cases: Sequence[Case]) -> float:
    """The AUC over all validation cases at once: no figure of one case says it."""
    return auc(logits(recipe, network, cases), truth(cases))
