"""All trainings of a classifier's run: every arm from every seed, each resumable in a folder of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.classification import Classifier
from training.data.split import Split
from training.fit import Outcome, fit, trained
from training.progress import Progress
from training.ranks import Ranks
from training.recipe import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training: the recipe with the arm's network, its schedule, and its folder in the run's."""

    arm: str
    recipe: Classifier
    schedule: Schedule
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.arm} {self.schedule.seed}"

    def trained(self) -> tuple[Any, dict[str, Any]]:
        """Its best network and checkpoint.

        Raises
        ------
        BrokenRun
        """
        return trained(self.recipe, self.folder)


def trials(recipe: Classifier, run: Path, schedule: Schedule) -> Iterator[Trial]:
    """All of them: the first seed of every arm, then the second, so that a run that was ended early has something of each."""
    for seed in range(schedule.seed, schedule.seed + recipe.seeds):
        for name, arm in recipe.arms.items():
            yield Trial(
                arm=name,
                recipe=replace(recipe, network=arm.network),
                schedule=replace(schedule, seed=seed, learning_rate=arm.learning_rate),
                folder=run / name / f"seed-{seed}",
            )


def seed_of(recipe: Classifier, run: Path) -> int | None:
    """The seed that a run was begun with, by the folders of its trials; None where nothing was trained."""
    seeds = [int(folder.name.removeprefix("seed-")) for arm in recipe.arms for folder in (run / arm).glob("seed-*")]
    return min(seeds, default=None)


def fit_all(recipe: Classifier, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
    """Train them one after the other, or go on where the run was ended; how the best by validation ended."""
    outcomes = [
        fit(trial.recipe, sides, trial.folder, trial.schedule, ranks, Named(trial.name, progress))
        for trial in trials(recipe, run, schedule)
    ]
    return max(outcomes, key=lambda outcome: outcome.best)


@dataclass(frozen=True, slots=True)
class Named:
    """A progress in which figures are told apart by the trial's name."""

    name: str
    progress: Progress

    def begun(self, epoch: int, epochs: int, batches: int) -> None:
        self.progress.begun(epoch, epochs, batches)

    def batch(self) -> None:
        self.progress.batch()

    def epoch(self, epoch: int, figures: Mapping[str, float], best: bool) -> None:
        self.progress.epoch(epoch, {f"{self.name} {name}": value for name, value in figures.items()}, best)
