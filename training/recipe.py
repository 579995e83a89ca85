"""Recipe: everything by which one kind of data becomes one model, as values; and what a task does with such values.

A task is a kind of recipe: one file of `training/tasks` says how its recipes are fitted, judged and exported. A recipe says nothing twice
that serving says: it names the application whose `analyse` gives the findings that are scored, and makes its examples by that
application's own preparing code.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import Application, ModelRef
from inference.engines.port import Call
from training.data.cases import Case, Labelled, Sides, Split
from training.errors import UnfitSetting
from training.evaluation.figures import Kind
from training.evaluation.perturb import Perturbation
from training.progress import Progress, Step, silent
from training.space import OF_ANY_RECIPE, Space
from training.synopsis import FullRun, Synopsis, synopsis

if TYPE_CHECKING:
    from training.ranks import Ranks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """What the network is shown: `image` (C, Z, Y, X) float32 as serving would call it, `target` (1, Z, Y, X) of labels, or (K,)."""

    image: NDArray[np.float32]
    target: NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast; `patience` is the number of epochs without a better validation after which training ends."""

    epochs: int
    batch: int
    learning_rate: float
    patience: int
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a training ended: epochs that were run in all, the best one (from 0) and its validation."""

    epochs: int
    best_epoch: int
    best: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """How an evaluation is asked for, beside recipe, cases and run.

    Attributes
    ----------
    seed
        The seed that the run was begun with; None: the recipe's.
    repository
        Whose served model is scored; None: the run's best network.
    disturbed
        How the images are disturbed, beside being taken as they are.
    explain_s
        For how many seconds, about, a classifier's methods of explanation are tried; 0: none are.
    """

    seed: int | None = None
    repository: Path | None = None
    disturbed: Sequence[Perturbation] = ()
    explain_s: float = 0.0

    def refuse_other_models(self, recipe: "Recipe") -> None:
        """For tasks that score the networks of their run, on images as they are.

        Raises
        ------
        UnfitSetting
        """
        if self.repository is not None or self.disturbed:
            raise UnfitSetting(f'recipe "{recipe.name}" is scored on the networks of its run, and takes no --repository and no --disturbed')


AS_IT_IS = EvaluationOptions()
"""The run's best network, on the images as they are."""


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


def nothing_beside(model: ModelRef) -> Mapping[str, bytes]:
    """A model alone: its application is code."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(ABC):
    """One model, from data to card; every subclass is a task.

    Attributes
    ----------
    task
        What people call the task.
    window
        Sides of the network's input without batch and channel.
    sides
        The split of a folder's data; nothing large is read.
    example
        What the network is shown of a case; by the application's preparing code.
    network, loss
        Make a torch module, and a function of its output and a batch of targets.
    augment
        Makes the augmentation.
    watched
        The figure that chooses a checkpoint and ends training; larger is better.
    averaged
        The share that the moving average of the weights keeps of itself at each step (`averaging`); that average is validated and served.
        0: none, the weights themselves are.
    draws
        How often an epoch shows each case; more than once where `augment` cuts another part out of it every time.
    beside
        What makes the model an application by itself: its application.json.
    cut_by
        Memory that does not suffice for one image is answered by a smaller window of it in training, with sides that are multiples of this;
        0: the recipe's images are not cut.
    images
        How many of one place the network sees together: the channels of its input.
    full_run
        What is said of it where recipes are listed.
    begins
        What the first weights are, where they are not drawn; part of what a run is.
    space
        What a search may vary of it; None where a run trains several networks, which tell their epochs one after the other.
    """

    task: ClassVar[str]

    name: str
    title: str
    application: Application
    model: ModelRef
    window: tuple[int, ...]
    channels: int
    sides: Sides
    example: Callable[[Labelled], Example]
    network: Callable[[], Any]
    loss: Callable[[], Callable[[Any, Any], Any]]
    augment: Callable[[], Augment]
    watched: str
    schedule: Schedule
    data: DataTerms
    full_run: FullRun
    averaged: float = 0.0
    draws: int = 1
    cut_by: int = 0
    images: int = 1
    begins: str = ""
    space: Space | None = OF_ANY_RECIPE
    beside: Beside = nothing_beside

    @abstractmethod
    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: "Ranks", progress: Progress) -> Outcome:
        """Train, or go on with the training that the folder `run` holds.

        Raises
        ------
        OtherRun
            `run` holds a run of something else.
        UnfitData
            No validation case could choose a checkpoint.
        """

    @abstractmethod
    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        """The watched figure over validation cases, of a network that is being trained; by the application's own code."""

    @abstractmethod
    def seed_of(self, run: Path) -> int | None:
        """The seed that a run was begun with; None where nothing was trained.

        Raises
        ------
        BrokenRun
        """

    @abstractmethod
    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, *, step: Step = silent) -> dict[str, Any]:
        """Pack the best network into the run's own repository as `export` enters it, and score it on the held-out cases as it is served.

        evaluation.json and card.html are kept in `run`.

        Returns
        -------
        dict
            What evaluation.json holds: `evaluation.record.record` says what that is.

        Raises
        ------
        BrokenRun
            Nothing was trained yet.
        OtherRun
            The run held out other cases.
        UnfitSetting
            The task takes none of these options.
        """

    def synopsis(self) -> Synopsis:
        """The recipe where recipes are listed."""
        return synopsis(self.name, self.task, self.title, self.application, self.full_run)

    def kinds(self) -> Mapping[str, Kind]:
        """Unit, direction and digits of the task's own figures, by name; `evaluation.figures` knows those of structures."""
        return {}

    def pooled(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        """Figures of all cases together that no single case has, from the rows of an evaluation, or of all folds: `mean` and `interval`."""
        return {}

    def call(self, evaluation: Mapping[str, Any]) -> Call | None:
        """How the entry of the model that was evaluated says that it is to be called; None: the application knows by itself."""
        return None

    def table(self, evaluation: Mapping[str, Any]) -> str:
        """What the model card says behind the figures, as Markdown; "" where figures say all."""
        return ""
