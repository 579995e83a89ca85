"""What `hilum train … --methods` does: it makes the places of a comparison of the options, has it run, and prints the table."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training import recipes
from training.data.cases import Fold
from training.errors import UnfitSetting
from training.evaluation.methods import lines
from training.folds import folds as folds_of
from training.methods.compared import MethodsAsked, Place, compared
from training.methods.learning import Pace
from training.planning import Asked
from training.progress import steps
from training.ranks import Ranks


def compare_methods(
    name: str,
    data: Path | None,
    run: Path,
    asked: Asked,
    given: Mapping[str, Any],
    here: Ranks,
    methods: tuple[str, ...],
    side: int,
    minutes: float,
    folds: int | None,
    only: int | None,
    tell: Callable[[str], None],
    as_json: bool,
) -> None:
    """Run methods on a recipe's data, and say how they compare."""

    if here.size > 1 or given["learning_rate"] is not None:
        other = "several processes" if here.size > 1 else "--learning-rate"
        raise UnfitSetting(f"--methods and {other} do not go together: each network has a rate of its own, and one process runs them all")
    seed = given["seed"] or 0
    settings = {"epochs": given["epochs"], "batch": given["batch"], "minutes": minutes, "seed": seed}
    pace = Pace(**{key: value for key, value in settings.items() if value is not None})

    def place(folder: Path, fold: Fold | None) -> Place:
        wanted = recipes.begun(name, data, folder, seed, asked, tell, fold)
        return wanted, wanted.sides(data, wanted.schedule.seed if given["seed"] is None else seed), folder

    places = [place(run, None)] if folds is None else [place(folder, fold) for fold, folder in folds_of(folds, run, only)]
    with steps("comparing") as step:
        found = compared(places, MethodsAsked(names=methods, side=side, pace=pace), here.compute, places[0][2] if only else run, step)
    print(json.dumps(found, indent=2) if as_json else lines(found), end="\n" if as_json else "")
