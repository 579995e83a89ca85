"""The verbs `hilum train`, `hilum evaluate`, `hilum export`; the command names them by string, nothing heavy comes with them."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console

from training.errors import WorkshopNotInstalled

if TYPE_CHECKING:
    from training.data.split import Split
    from training.recipe import Recipe, Schedule

_MAKING = ("lung-nodule",)
"""Recipes that make data of their own."""
_NEEDED = ("torch", "monai", "nibabel", "tensorboard", "jinja2")


def train(
    recipe: str,
    *,
    data: Path | None = None,
    out: Path | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    name: str | None = None,
    labels: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    spacing_mm: Annotated[tuple[float, float, float] | None, Parameter(negative="")] = None,
    window: Annotated[tuple[int, int, int] | None, Parameter(negative="")] = None,
) -> int:
    """Train a recipe's model, or go on with a training that was ended; several processes with torchrun.

    The run's folder holds the checkpoints (last.pt, best.pt: complete at every moment) and TensorBoard's files. Calling it again with the
    same settings goes on where it stopped. With two processes: `torchrun --nproc-per-node 2 --no-python hilum train RECIPE --data DIR`.

    Parameters
    ----------
    recipe
        Its name, "hippocampus".
    data
        The folder with the recipe's data. Recipe lung-nodule makes its own, and takes a folder besides.
    out
        The run's folder (default var/training/RECIPE).
    epochs
        At most so many; fewer when validation gets no better. Default: the recipe's.
    batch
        Cases in one step, over all processes.
    seed
        Of the split, the first weights, the order and the augmentation.
    name
        Recipe segmentation: of the application that it becomes (default segmentation).
    labels
        Recipe segmentation: the structures to learn (default all), the larger before the smaller that lies in it.
    spacing_mm
        Recipe segmentation: of the images that the network sees, to the head, to the back and to the left (default: the median).
    window
        Recipe segmentation: voxels that the network sees at once, along the same axes (default: at most 64 each).
    """
    _installed()
    from training import recipes
    from training.classification import Classifier
    from training.fit import fit
    from training.planning import Asked
    from training.progress import Silent, shown
    from training.ranks import ranks
    from training.restoration import Restorer, fit_arms
    from training.trials import fit_all

    run = out or _default(recipe)
    asked = Asked(name=name, labels=labels, spacing_mm=spacing_mm, window=window)
    _refuse_no_data(recipe, data)
    with ranks() as here:
        wanted = here.in_turn(lambda: recipes.begun(recipe, data, run, seed or 0, asked, _told if here.first else _untold))
        schedule = _schedule(wanted, epochs, batch, seed)
        sides = _sides(wanted, data, schedule.seed)
        if not here.first:
            if isinstance(wanted, Classifier):
                fit_all(wanted, sides, run, schedule, here, Silent())
            elif isinstance(wanted, Restorer):
                fit_arms(wanted, sides, run, schedule, here, Silent())
            else:
                fit(wanted, sides, run, schedule, here, Silent())
            return 0
        with shown(run / "tensorboard") as progress:
            if isinstance(wanted, Classifier):
                outcome = fit_all(wanted, sides, run, schedule, here, progress)
            elif isinstance(wanted, Restorer):
                outcome = fit_arms(wanted, sides, run, schedule, here, progress)
            else:
                outcome = fit(wanted, sides, run, schedule, here, progress)
    Console().print(
        f"{run}: {outcome.epochs} epochs, the best is epoch {outcome.best_epoch + 1}: validation {wanted.watched} {outcome.best:.4f}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def evaluate(
    recipe: str,
    *,
    data: Path | None = None,
    out: Path | None = None,
    seed: int | None = None,
    repository: Path | None = None,
    disturbed: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Score a trained model on the cases that were held out, by the code that serves; the figures are kept beside it.

    The run's folder gets evaluation.json (all figures, also of each case and of subgroups) and card.html (the same as a page with plots and
    pictures). Ended before it is through, it goes on where it was when it is called again.

    Parameters
    ----------
    recipe
        Its name.
    data
        The folder that it was trained on, where there was one.
    out
        The run's folder.
    seed
        Of the split, of a model from --repository. A run's own network is scored on the cases that the run held out, and on no others.
    repository
        Score the model that this model repository serves, not the run's own. Without --out, evaluation and card then go to
        var/evaluations/RECIPE.
    disturbed
        Also under noise, blur and missing slices, eleven times in all: this takes twelve times as long.
    as_json
        Print the figures, and those of each case, as JSON.
    """
    _installed()
    from training import recipes
    from training.arms_table import arms_table
    from training.card import table
    from training.classification import Classifier
    from training.detected_table import detected_table
    from training.detection import Detector
    from training.errors import UnfitSetting
    from training.evaluate import evaluate as evaluated
    from training.evaluate_detection import evaluate_detection
    from training.evaluate_restoration import evaluate_restoration
    from training.evaluate_trials import evaluate_trials
    from training.evaluation.perturb import PERTURBATIONS
    from training.progress import steps
    from training.restoration import Restorer
    from training.restored_table import restored_table

    _refuse_no_data(recipe, data)
    wanted = recipes.load(recipe, out or _default(recipe))
    if seed is None and repository is None:
        seed = _seed_of(wanted, out or _default(recipe))
    sides = _sides(wanted, data, seed)
    run = out or (_default(recipe) if repository is None else Path("var/evaluations") / recipe)
    if isinstance(wanted, Classifier | Detector | Restorer) and (repository is not None or disturbed):
        raise UnfitSetting(f'recipe "{recipe}" is scored on the networks of its run, and takes no --repository and no --disturbed')
    if isinstance(wanted, Detector):
        with steps("evaluating") as step:
            found = evaluate_detection(wanted, sides, run, step=step)
        print(json.dumps(found, indent=2) if as_json else f"{table(found)}\n{detected_table(found)}", end="")
        return 0
    if isinstance(wanted, Restorer):
        with steps("evaluating") as step:
            found = evaluate_restoration(wanted, sides, run, step=step)
        print(json.dumps(found, indent=2) if as_json else f"{table(found)}\n{restored_table(found)}", end="")
        return 0
    if isinstance(wanted, Classifier):
        found = evaluate_trials(wanted, sides, run, _schedule(wanted, None, None, seed))
        print(json.dumps(found, indent=2) if as_json else f"{table(found)}\n{arms_table(found)}", end="")
        return 0
    with steps("evaluating") as step:
        found = evaluated(wanted, sides, run, repository=repository, disturbed=PERTURBATIONS if disturbed else (), step=step)
    print(json.dumps(found, indent=2) if as_json else table(found), end="")
    return 0


def export(recipe: str, *, repository: Path, out: Path | None = None) -> int:
    """Enter an evaluated model into the model repository as its next version, with its card; it is served from now on.

    Parameters
    ----------
    recipe
        Its name.
    repository
        The folder of the model repository (`models: {repository: …}` of hilum.yaml).
    out
        The run's folder.
    """
    _installed()
    from training import recipes
    from training.export import export as exported

    run = out or _default(recipe)
    model = exported(recipes.load(recipe, run), run, repository)
    Console().print(f"{repository / model.name}: version {model.version} is served", highlight=False, soft_wrap=True)
    return 0


def _told(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)


def _untold(line: str) -> None:
    """The first process speaks for all."""


def _installed() -> None:
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise WorkshopNotInstalled(f"not installed: {', '.join(absent)}")


def _schedule(recipe: "Recipe", epochs: int | None, batch: int | None, seed: int | None) -> "Schedule":
    given = {"epochs": epochs, "batch": batch, "seed": seed}
    return replace(recipe.schedule, **{name: value for name, value in given.items() if value is not None})


def _seed_of(recipe: "Recipe", run: Path) -> int | None:
    from training import fit, trials
    from training.classification import Classifier

    return trials.seed_of(recipe, run) if isinstance(recipe, Classifier) else fit.seed_of(run)


def _sides(recipe: "Recipe", data: Path | None, seed: int | None) -> "Split":
    from training.classification import Classifier
    from training.data.split import split
    from training.detection import Detector
    from training.restoration import Restorer

    if isinstance(recipe, Detector):
        return recipe.sides(data)
    assert data is not None, "refused before"
    if isinstance(recipe, Classifier | Restorer):
        return recipe.sides(data)
    return split(recipe.cases(data), recipe.schedule.seed if seed is None else seed)


def _refuse_no_data(recipe: str, data: Path | None) -> None:
    from training.errors import UnfitSetting

    if data is None and recipe not in _MAKING:
        raise UnfitSetting(f'recipe "{recipe}" makes no data of its own: name a folder with --data')


def _default(recipe: str) -> Path:
    return Path("var/training") / recipe
