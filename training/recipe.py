"""What a recipe is: everything by which one kind of data becomes one model, as values. How it is trained stands in `fit`.

A recipe says nothing twice that serving says: it names the application whose `analyse` gives the findings that are scored, and makes its
examples by that application's own preparing code.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import Application, Infer, ModelRef
from inference.findings import Findings
from inference.imaging.volume import Volume
from training.evaluation.masks import Masks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """A volume as serving would assemble it, and the truth about it.

    Attributes
    ----------
    labels
        (Z, Y, X) uint8 on the volume's grid.
    attributes
        What is known of the case beside its images (sex, age in years, site), by name: the evaluation makes groups of it.
    """

    volume: Volume
    labels: NDArray[np.uint8]
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One labelled volume of a patient, not read yet. Cases of one patient never stand on two sides of a split.

    Where the data do not name patients, every case counts as one (`DataTerms.split` says so).
    """

    patient: str
    name: str
    load: Callable[[], Labelled]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """What the network is shown: `image` (C, Z, Y, X) float32 as serving would call it, `target` (1, Z, Y, X) with whole labels."""

    image: NDArray[np.float32]
    target: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast; `patience` is the number of epochs without a better validation after which training ends."""

    epochs: int
    batch: int
    learning_rate: float
    patience: int
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTerms:
    """Where the data come from, for the model card and the entry: weights inherit what they ask for.

    Attributes
    ----------
    split
        By what cases were put on one side or another, as far as it is known; "by patient" only where the data name patients.
    """

    name: str
    licence: str
    attribution: str
    split: str = "by case; whether two are of one person, the data do not tell"


Augment: TypeAlias = Callable[[Example, int], Example]
"""Another example from one, the same for the same seed."""

Beside: TypeAlias = Callable[[ModelRef], Mapping[str, bytes]]
"""Further files of a version's folder in the model repository, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a network has to beat, by its name for the card: an `Infer` in the model's place, made of the training cases."""

    name: str
    make: Callable[["Recipe", Sequence[Case]], Infer]


def nothing_beside(model: ModelRef) -> Mapping[str, bytes]:
    """A model alone: its application is code."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One model, from data to card.

    Attributes
    ----------
    cases
        All cases of a folder, by name; nothing large is read.
    example
        What the network is shown of a case; by the application's preparing code.
    network, loss
        Make a torch module, and a function of its output and a batch of targets.
    augment
        Makes the augmentation.
    score
        Figures of one case: the application's findings against the truth; larger is better. `watched` is the one that chooses a
        checkpoint and ends training; NaN where a case cannot tell.
    window
        Sides of the network's input without batch and channel.
    baseline
        None: the mean shape of the training labels, where every example is one window.
    averaged
        The share that the moving average of the weights keeps of itself at each step (`averaging`); that average is validated and served.
        0: none, the weights themselves are.
    draws
        How often an epoch shows each case; more than once where `augment` cuts another part out of it every time.
    beside
        What makes the model an application by itself: its application.json.
    structures
        The structures of one case by name, found and true, for distances between surfaces, volumes and pictures; None where the findings
        are no masks.
    """

    name: str
    title: str
    application: Application
    model: ModelRef
    window: tuple[int, ...]
    channels: int
    cases: Callable[[Path], tuple[Case, ...]]
    example: Callable[[Labelled], Example]
    network: Callable[[], Any]
    loss: Callable[[], Callable[[Any, Any], Any]]
    augment: Callable[[], Augment]
    score: Callable[[Findings, Labelled], Mapping[str, float]]
    watched: str
    schedule: Schedule
    data: DataTerms
    baseline: Baseline | None = None
    averaged: float = 0.0
    draws: int = 1
    beside: Beside = nothing_beside
    structures: Callable[[Findings, Labelled], Mapping[str, Masks]] | None = None
