"""`python -m bench.chest_films DATA OUT`: recipe chest-xray with its trainings side by side, and five folds of its training side by person.

DATA is the children's chest radiographs of Kermany and others (2018), as the recipe takes them. OUT then holds the run that
`hilum evaluate` and `hilum export` take (OUT/run), and OUT/chest-films.json: what the evaluation found on the set's own test side, and the
AUC of the training side's films, each by the training that held out its person. Trainings are kept, and gone on with where they were ended.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.rows import say
from training.checkpoint import save_json
from training.compute import Device, Precision, chosen
from training.data.cases import Fold, Split, split
from training.data.radiographs import films, of_sides
from training.evaluation.bootstrap import over_patients
from training.evaluation.classification import Scores, Truth, auc
from training.evaluation.record import EVALUATION
from training.fit import fit, trained
from training.progress import Silent
from training.ranks import Ranks
from training.recipe import Schedule
from training.recipes.chest_xray import RECIPE
from training.tasks.classification import Classifier, Trial, logits, trials, truth

FOLDS = 5
RUN, TOGETHER = "run", "chest-films.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Where the films are, where what is trained goes, how long it learns, and by how many films and networks.

    Attributes
    ----------
    every
        Of the films that train or choose, every one of so many; those that are held out are all asked.
    alone
        The recipe's first network from its first seed, and no other.
    """

    data: Path
    out: Path
    device: Device
    epochs: int
    fold_epochs: int
    every: int
    alone: bool

    @property
    def recipe(self) -> Classifier:
        recipe = replace(RECIPE, schedule=replace(RECIPE.schedule, epochs=self.epochs))
        return replace(recipe, arms=dict(list(RECIPE.arms.items())[:1]), seeds=1) if self.alone else recipe

    @property
    def fold_schedule(self) -> Schedule:
        return replace(self.recipe.schedule, epochs=self.fold_epochs)

    def sides(self) -> Split:
        whole = RECIPE.sides(self.data, 0)
        return Split(train=whole.train[:: self.every], validation=whole.validation[:: self.every], test=whole.test)

    def fold(self, number: int) -> Split:
        """The training side, a fifth of its persons held out, a tenth to validate."""
        return split(of_sides(films(self.data))[1][:: self.every], 0, Fold(number=number, count=FOLDS))

    def trials(self) -> list[Trial]:
        return list(trials(self.recipe, self.out / RUN, self.recipe.schedule))

    def ranks(self) -> Ranks:
        return Ranks(compute=chosen(self.device, Precision.FLOAT32, 1))


def train_trial(asked: Asked, index: int) -> str:
    """One training of the recipe's run, as `hilum train` has it one after the other."""
    trial = asked.trials()[index]
    outcome = fit(trial.recipe, asked.sides(), trial.folder, trial.schedule, asked.ranks(), Silent())
    return f"{trial.name}: validation AUC {outcome.best:.4f}, epoch {outcome.best_epoch + 1} of {outcome.epochs}"


def train_fold(asked: Asked, number: int) -> str:
    """The recipe's first network, on four fifths of the training side's persons; what it says of the fifth is kept."""
    sides, folder = asked.fold(number), asked.out / f"fold-{number}"
    outcome = fit(asked.recipe, sides, folder, asked.fold_schedule, asked.ranks(), Silent())
    network, _ = trained(asked.recipe, folder)
    said = logits(asked.recipe, network.to(asked.ranks().compute.device), sides.test)
    held = {"patients": [case.patient for case in sides.test], "films": [case.name for case in sides.test]}
    save_json(folder / "said.json", {**held, "logits": said.tolist(), "positive": truth(sides.test).tolist()})
    return f"fold {number}: validation AUC {outcome.best:.4f}"


def of_folds(said: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The AUC of each fold with its interval over persons, and their mean: scores of different networks are not ranked together."""
    found = []
    for each in said:
        scores, positive = np.array(each["logits"]), np.array(each["positive"])
        low, high = over_patients(partial(_area, scores, positive), each["patients"])
        counts = {"films": len(scores), "persons": len(set(each["patients"]))}
        # those whose pneumonia a bacterium causes, and those of a virus, each against the normal ones
        causes = {
            cause: auc(scores[keep], positive[keep])
            for cause in ("bacteria", "virus")
            if (keep := ~positive | np.array([f"_{cause}_" in name for name in each["films"]])).any()
        }
        found.append({"AUC": auc(scores, positive), "interval": [low, high], **counts, **causes})
    return {"folds": found, "mean AUC": float(np.mean([each["AUC"] for each in found]))}


def _area(scores: Scores, positive: Truth, drawn: NDArray[np.intp]) -> float:
    return auc(scores[drawn], positive[drawn])


def run(asked: Asked, processes: int, folds: bool) -> None:
    """Train what is not trained, evaluate, and put the figures together as they come."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        trained_ones = [pool.submit(train_trial, asked, index) for index in range(len(asked.trials()))]
        folded = [pool.submit(train_fold, asked, number) for number in range(1, FOLDS + 1)] if folds else []
        _said(trained_ones)
        asked.recipe.evaluate(asked.sides(), asked.out / RUN)
        say(_together(asked))
        _said(folded)
    _together(asked)


def _together(asked: Asked) -> str:
    """Write the figures that there are; the table of the evaluation."""
    evaluation = json.loads((asked.out / RUN / EVALUATION).read_text(encoding="utf-8"))
    said = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(asked.out.glob("fold-*/said.json"))]
    save_json(asked.out / TOGETHER, {"evaluation": evaluation, **(of_folds(said) if said else {})})
    return asked.recipe.table(evaluation)


def _said(futures: Sequence["Future[str]"]) -> None:
    for future in futures:
        say(future.result())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.chest_films")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", type=Device, choices=list(Device), default=Device.AUTO)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=RECIPE.schedule.epochs)
    parser.add_argument("--fold-epochs", type=int, default=5)
    parser.add_argument("--every", type=int, default=1, help="learn from every one of so many films")
    parser.add_argument("--alone", action="store_true", help="the first network from the first seed, and no other")
    parser.add_argument("--no-folds", action="store_true")
    given = parser.parse_args()
    asked = Asked(
        data=given.data,
        out=given.out,
        device=given.device,
        epochs=given.epochs,
        fold_epochs=given.fold_epochs,
        every=given.every,
        alone=given.alone,
    )
    run(asked, given.processes, not given.no_folds)


if __name__ == "__main__":
    main()
