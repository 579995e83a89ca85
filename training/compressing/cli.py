"""The verb `hilum compress`: a thinner network of a run's, taught by it, judged against it, and offered or not."""

import json
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from training.errors import BrokenRun, OtherRun, UnfitSetting
from training.runs import default_run, demand_installed

if TYPE_CHECKING:
    from training.compressing.pace import CallTimes
    from training.recipe import Recipe

THINNER = "thinner"
"""The run of the thinner network, in the folder of the run that it was made from."""
COSTLY = 0.1
"""Of the places of the largest image: layers of smaller ones hold most weights and cost little time."""
_SLOWER = 1 / 3
"""Of the recipe's learning rate: what is left has learned already."""


def compress(
    recipe: str,
    *,
    data: Path | None = None,
    out: Path | None = None,
    keep: float = 0.5,
    all_layers: Annotated[bool, Parameter(negative="")] = False,
    teach: bool = True,
    epochs: int | None = None,
    learning_rate: float | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Make a thinner network of a trained one, fine-tune it, and say whether it may take its place.

    The channels whose filters have the least L1 norm are taken out, coupled ones together; what is left is trained on, as the recipe
    trains, on the same patients, and is a run of its own in RUN/thinner: ended early it goes on when it is called again. Both networks are
    then scored on the held-out cases, and computed by turns on the engine that serves. It is offered where the upper end of the 95 %
    interval of the paired loss is at most 0.005 and it is at least 1.5 times as fast; `hilum export` takes RUN/thinner with --out, and
    refuses one that is not offered.

    Parameters
    ----------
    recipe
        Its name.
    data
        The folder that it was trained on.
    out
        The folder of the run whose network is made thinner (default var/training/RECIPE).
    keep
        The share of channels that stay.
    all_layers
        Make all layers thinner, not only those of the largest images, which cost most of the time.
    teach
        Have the network learn what the larger one says, too, beside the labels (distillation).
    epochs
        At most so many of fine-tuning (default: as many as the recipe's).
    learning_rate
        Of the first epoch (default: a third of the recipe's).
    device
        What computes the fine-tuning: auto is a GPU where there is one.
    as_json
        Print what was found as JSON.
    """
    demand_installed()
    from training import recipes
    from training.checkpoint import save_json
    from training.compressing.offered import COMPRESSED, judged, told
    from training.compute import Device, Precision
    from training.evaluation.record import read
    from training.fit import refuse_other_sides, trained
    from training.folds import is_evaluated
    from training.progress import shown, steps
    from training.ranks import ranks

    if not 0 < keep < 1:
        raise UnfitSetting(f"--keep {keep:g}: more than 0 and less than 1 of the channels stay")
    run = out or default_run(recipe)
    wanted = recipes.load(recipe, run)
    _refuse_others(wanted)
    network, state = trained(wanted, run)
    if not is_evaluated(run):
        raise BrokenRun(f"{run} was not evaluated since it was trained: `hilum evaluate` it first; the thinner network is compared with it")
    before = read(run)
    sides = wanted.sides(data, wanted.seed_of(run) or 0)
    refuse_other_sides(state, sides, run)
    thin = run / THINNER
    tuned, how = _thinner(wanted, network, thin, run, keep, all_layers, teach)
    rate = wanted.schedule.learning_rate * _SLOWER if learning_rate is None else learning_rate
    count = wanted.schedule.epochs if epochs is None else epochs
    schedule = replace(wanted.schedule, epochs=count, patience=count, learning_rate=rate, seed=wanted.seed_of(run) or 0)
    with ranks(Device(device), Precision("float32"), 1) as here, shown(thin / "tensorboard") as progress:
        tuned.fit(sides, thin, schedule, here, progress)
    if not is_evaluated(thin):
        with steps("evaluating the thinner network") as step:
            recipes.load(recipe, thin).evaluate(sides, thin, step=step)
    small, _ = trained(recipes.load(recipe, thin), thin)
    found = judged(before, read(thin), _pace(wanted, network, small), how, (_count(network), _count(small)))
    save_json(thin / COMPRESSED, found)
    print(json.dumps(found, indent=2) if as_json else told(found), end="\n" if as_json else "")
    if found["offered"] and not as_json:
        Console(stderr=True).print(f"hilum export {recipe} --out {thin} --repository DIR serves it", highlight=False, soft_wrap=True)
    return 0


def _thinner(recipe: "Recipe", network: Any, thin: Path, run: Path, keep: float, all_layers: bool, teach: bool) -> tuple["Recipe", str]:
    """The recipe whose network begins as what is left of a trained one, and how it came about, for people."""
    from training.compressing.taught import taught, taught_loss
    from training.compressing.thinned import digest_of, thinned
    from training.compressing.widths import narrower
    from training.planning import PLAN
    from training.recipes import FOLD
    from training.tasks.segmentation import Segmenter

    state, widths = thinned(network, (1, recipe.images, *recipe.window), keep, 0.0 if all_layers else COSTLY)
    thin.mkdir(parents=True, exist_ok=True)
    for name in (PLAN, FOLD):
        if (run / name).is_file():
            shutil.copyfile(run / name, thin / name)
    if not widths.begin(thin):
        raise OtherRun(f"{thin} holds a network of other widths: remove it, or ask for the share of channels that it was made with")

    def begun() -> Any:
        made = narrower(recipe.network, widths)
        made.load_state_dict(state)
        return taught(made, network) if teach else made

    where = "all layers" if all_layers else "the layers of the largest images"
    how = f"{keep:g} of the channels of {where} kept by the L1 norm of their filters, fine-tuned"
    how += " and taught by the larger one" if teach else ""
    tuned = replace(recipe, network=begun, begins=f"{how} {digest_of(network)}")
    if teach:
        exclusive = isinstance(recipe, Segmenter) or bool(getattr(recipe, "exclusive", False))
        tuned = replace(tuned, loss=partial(taught_loss, recipe.loss, recipe.channels, exclusive=exclusive))
    return tuned, how


def _refuse_others(recipe: "Recipe") -> None:
    """Networks that give boxes, or several networks of one run, are not made thinner.

    Raises
    ------
    UnfitSetting
    """
    from training.tasks.answers import Answerer
    from training.tasks.segmentation import Segmenter

    if not isinstance(recipe, Segmenter | Answerer):
        raise UnfitSetting(
            f'recipe "{recipe.name}" is of {recipe.task} with networks of its own, which are not made thinner: recipes of structures and '
            "of classes or findings from a table are"
        )


def _pace(recipe: "Recipe", network: Any, small: Any) -> "CallTimes":
    """How fast both are in ONNX, which OpenVINO computes."""
    from training.compressing.pace import pace
    from training.export import packed, packed_ref
    from training.tasks.segmentation import Segmenter

    answer = (recipe.channels, *(recipe.window if isinstance(recipe, Segmenter) else ()))
    with tempfile.TemporaryDirectory(prefix="hilum-pace-") as folder:
        first, second = (packed(recipe, one, Path(folder) / name, answer, to="onnx") for one, name in ((network, "1"), (small, "2")))
        return pace(first, second, packed_ref(recipe), (1, recipe.images, *recipe.window))


def _count(network: Any) -> int:
    return sum(values.numel() for values in network.parameters())
