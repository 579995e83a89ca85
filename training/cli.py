"""The verbs `hilum train`, `hilum evaluate`, `hilum export`; the command names them by string, nothing heavy comes with them."""

import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from inference.engines.extras import demand
from training.errors import OtherRun, UnfitSetting, UnknownRecipe
from training.runs import default_run, demand_installed

if TYPE_CHECKING:
    from training.data.cases import Fold, Split
    from training.planning import Asked
    from training.pretraining.beginning import Beginning
    from training.progress import Progress
    from training.ranks import Ranks
    from training.recipe import Outcome, Recipe
    from training.space import Settings

EXPLAIN_S = 240.0
"""Seconds for methods of explanation where nothing else is asked for."""


def train(
    recipe: str | None = None,
    *,
    listed: Annotated[bool, Parameter(name="--list", negative="")] = False,
    data: Path | None = None,
    out: Path | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    folds: int | None = None,
    fold: int | None = None,
    search: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["float32", "bf16"] = "float32",
    accumulate: int = 1,
    name: str | None = None,
    labels: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    target: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    spacing_mm: Annotated[tuple[float, float, float] | None, Parameter(negative="")] = None,
    window: Annotated[tuple[int, int, int] | None, Parameter(negative="")] = None,
    augmentation: float | None = None,
    modality: str | None = None,
    methods: Annotated[tuple[str, ...] | None, Parameter(consume_multiple=True, negative="")] = None,
    side: int = 64,
    minutes: float = 10.0,
    roles: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    optional: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    fusion: Literal["early", "late"] | None = None,
    horizon: float | None = None,
    pretrain: Literal["masked", "contrastive"] | None = None,
    unlabelled: Path | None = None,
    pretrain_epochs: int | None = None,
    begin: Annotated[Path | None, Parameter(name="--from")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Train a recipe's model, or go on with a training that was ended; several processes with torchrun.

    The run's folder holds the checkpoints (last.pt, best.pt: complete at every moment) and TensorBoard's files. Calling it again with the
    same settings goes on where it stopped. With two processes: `torchrun --nproc-per-node 2 --no-python hilum train RECIPE --data DIR`.

    Parameters
    ----------
    recipe
        Its name, "hippocampus".
    listed
        Train nothing: say of every recipe what it is for, which data it wants, how long it takes, how good it was, and what is sent.
    data
        The folder with the recipe's data. Recipe lung-nodule makes its own, and takes a folder besides; recipe classification takes one
        .npz file (MedMNIST), too; recipe lidc-rating one of outlines. Recipe prognosis learns from its table alone without it.
    out
        The run's folder (default var/training/RECIPE).
    epochs
        At most so many; fewer when validation gets no better. Default: the recipe's.
    batch
        Cases in one step, over all processes.
    learning_rate
        Of the first epoch; it falls to 0 along a cosine. Of recipes with several networks each has its own.
    seed
        Of the split, the first weights, the order and the augmentation.
    folds
        Cross-validate: train so many networks, each of which holds out another part of the patients, evaluate them, and say what they say
        together (RUN/folds.json). Each lies in RUN/fold-1 and so on. Which data do not name patients is said: cases are parted then.
        Recipes prognosis and lidc-rating are always judged so (default 5).
    fold
        With --folds: this one alone, from 1, so that several run at the same time; without it the same command then says what all say
        together.
    search
        Run so many trainings with other settings (learning rate, batch; of recipes for data of your own window and augmentation), each in
        RUN/trial-1 and so on, and name the best on the validation patients (RUN/search.json) with the command that trains it again. The
        first has the recipe's own settings; what is named by an option is not varied. Nobody who is held out is looked at.
    device
        What computes: auto is a GPU where there is one. A run may be gone on with on another device.
    precision
        bf16: convolutions and products in 16 bits, on the processor and on GPUs that have it; weights, loss and validation in 32.
    accumulate
        Have each batch go through the network in so many parts, for less memory. The same is learned, except by what looks over a batch
        (batch normalisation, the Dice of recipe segmentation, a discriminator): that sees a part. Where memory still does not suffice there
        are more, and it is said.
    name
        Of the application that a recipe for data of your own becomes (default: segmentation, own-classes, own-numbers,
        own-boxes).
    labels
        Recipe segmentation: the structures to learn (default all), the larger before the smaller that lies in it. Recipes classification
        and regression: the table (CSV) that says of each study, series, image or file which class it is of, which findings it shows, or a
        number; of a .npz file what its classes or findings are called, in the order of their numbers. Recipe prognosis: the table (CSV) of
        outcomes. Recipe detection: the boxes, as a table (CSV), a file of COCO (.json), or a folder of Pascal VOC's files.
    target
        Of a table, the columns that are learned (default: all that name nothing; of numbers all that have a unit, "Bone age (mo)"); of
        boxes, the classes.
    spacing_mm
        Recipe segmentation: of the images that the network sees, to the head, to the back and to the left (default: the median).
    window
        Recipe segmentation: voxels that the network sees at once, along the same axes (default: at most 64 each). Recipes of a table:
        voxels of the whole image as the network sees it; of single images the first is 1.
    augmentation
        Of recipes for data of your own, how strongly images are turned, shifted and changed in training: 0 to 2, 1 by default.
    modality
        Of images in files that do not say it themselves (NIfTI, PNG and the like), as DICOM names it: CT, MR, DX. Where dataset.json calls
        a channel so, it is known.
    methods
        Train no model of the recipe: compare methods of classification or segmentation by its data, the named ones or all, on one split
        (with --folds on each), and put them into one table (RUN/methods.json), which `hilum evaluate` shows on the card. What was run is
        not run again. Of classes and findings: size-logistic, radiomics-svm, k-means, gaussian-mixture, autoencoder, lenet, alexnet,
        vgg-16, resnet-18, resnet-50, densenet, vit; of structures: atlas, level-set, fcn, unet, attention-unet, segresnet, multi-scale.
    side
        With --methods: pixels along a side of the pictures that all of them see.
    minutes
        With --methods: no network learns longer.
    roles
        Recipe segmentation: of a layout with several images of a case (BraTS, BIDS, channels of nnU-Net), those that are learned together,
        the one that was drawn on first (default: all; of BIDS the only one that all have). A route then says which series fills each.
        Recipes classification and regression: several series of a case, the one that results lie on first: columns of the table, which name
        them by file, by SeriesInstanceUID or, beside a StudyInstanceUID, by their description; without such columns, beside a
        StudyInstanceUID, the descriptions themselves. Of BIDS, the images that are learned from, one or several.
    optional
        Those of --roles that may be missing: they are left out at random in training, and a study without them is served.
    fusion
        Recipes classification and regression: where several roles come together: early (the default), as channels of one network; late,
        behind a network each, whose features are averaged over the roles that are there.
    horizon
        Recipe prognosis: the time, in the table's unit, for which risks are foretold and compared with what was seen (default: the median
        time of the events).
    pretrain
        Learn first weights without labels before the training: masked, by drawing what was covered of the training images; contrastive,
        by knowing two views of one image for the same. They are kept in RUN/pretrained.pt; nobody who chooses or is held out is looked at.
    unlabelled
        With --pretrain: a folder of further images, whose labels nobody needs (DICOM series, NIfTI files, pictures).
    pretrain_epochs
        With --pretrain: so many epochs of it (default: as many as the training has at most).
    begin
        Begin with the weights of a file: the pretrained.pt of another run of this recipe, or its best.pt. Where they were learned on
        another split than this run's they may know who is held out: that is told, and stands on the card.
    as_json
        With --list: print the list as JSON; with --methods, and of recipes prognosis and lidc-rating, what was found.
    """
    demand_installed()
    from training import recipes

    if listed:
        from training.synopsis import lines

        found = recipes.synopses()
        print(json.dumps([asdict(each) for each in found], indent=2) if as_json else "\n".join(map(lines, found)))
        return 0
    if fold is not None and (folds is None or search is not None):
        raise UnfitSetting(f"--fold {fold} is one of the trainings of --folds, and goes with that")
    if recipe is None:
        raise UnknownRecipe(f"no recipe is named. There are {', '.join(recipes.names())}")
    from training.compute import Device, Precision
    from training.planning import Asked
    from training.ranks import ranks

    run = out or default_run(recipe)
    asked = Asked(
        name=name,
        labels=labels,
        spacing_mm=spacing_mm,
        window=window,
        target=target,
        augmentation=augmentation,
        modality=modality,
        roles=roles,
        optional=optional,
        fusion=fusion,
    )
    given = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate, "seed": seed}
    beginning = _beginning(pretrain, unlabelled, pretrain_epochs, begin, modality, alone=methods is None and search is None)
    if recipes.judged(recipe) is not None:
        _refuse_others(
            recipe, asked, {**given, "seed": None, "fold": fold, "search": search, "methods": methods, "pretrain": pretrain, "from": begin}
        )
        _judged(recipe, data, run, labels, horizon, folds, seed, as_json)
        return 0
    if horizon is not None:
        raise UnfitSetting(f'--horizon: recipe "{recipe}" foretells nothing of a time; recipe prognosis does')
    with ranks(Device(device), Precision(precision), accumulate) as here:
        if methods is not None:
            from training.methods.asked import compare_methods

            compare_methods(recipe, data, run, asked, given, here, methods, side, minutes, folds, fold, _told, as_json)
        elif search is not None:
            _searched(recipe, data, run, asked, given, here, search, folds)
        elif folds is None:
            _trained(recipe, data, run, asked, given, here, beginning=beginning)
        else:
            _cross_validated(recipe, data, run, asked, given, here, folds, fold, beginning)
    return 0


def _trained(
    name: str,
    data: Path | None,
    run: Path,
    asked: "Asked",
    given: Mapping[str, Any],
    here: "Ranks",
    fold: "Fold | None" = None,
    watched: "Callable[[Progress], Progress]" = lambda progress: progress,
    alike: "Split | None" = None,
    beginning: "Beginning | None" = None,
) -> tuple["Recipe", "Split", "Outcome"]:
    """Train one network, and say how it ended; the recipe that it was of, and its sides. `watched` is told beside who looks on.

    Raises
    ------
    OtherRun
        Its sides are not those of `alike`.
    """
    from training import recipes
    from training.progress import Silent, shown

    wanted = here.in_turn(lambda: recipes.begun(name, data, run, given["seed"] or 0, asked, _told if here.first else _untold, fold))
    schedule = replace(wanted.schedule, **{each: value for each, value in given.items() if value is not None})
    sides = wanted.sides(data, schedule.seed)
    if alike is not None and _cases(sides) != _cases(alike):
        raise OtherRun(
            f"{run} would have other cases than the first trial: {data} is not as it was then, and figures of other patients cannot be "
            "compared. Search anew, with another --out"
        )
    with shown(run / "tensorboard") if here.first else nullcontext(Silent()) as progress:
        if beginning is not None:
            from training.pretraining.beginning import begun

            wanted = begun(wanted, sides, run, beginning, schedule, here, progress, _told if here.first else _untold)
        outcome = wanted.fit(sides, run, schedule, here, watched(progress))
    if not here.first:
        return wanted, sides, outcome
    Console().print(
        f"{run}: {outcome.epochs} epochs, the best is epoch {outcome.best_epoch + 1}: validation {wanted.watched} {outcome.best:.4f}",
        highlight=False,
        soft_wrap=True,
    )
    return wanted, sides, outcome


def _judged(
    name: str,
    data: Path | None,
    run: Path,
    labels: tuple[str, ...],
    horizon: float | None,
    folds: int | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Learn, judge and tell a recipe that trains no network."""
    from training import recipes
    from training.progress import steps

    judged = recipes.judged(name)
    assert judged is not None, "asked before"
    with steps("judging") as step:
        found = judged.judge(data, run, labels, horizon, folds, seed, step)
    print(json.dumps(found, indent=2) if as_json else judged.lines(found), end="\n" if as_json else "")


def _beginning(
    pretrain: str | None, unlabelled: Path | None, epochs: int | None, begin: Path | None, modality: str | None, *, alone: bool
) -> "Beginning | None":
    """What the first weights are to be; None where they are drawn."""
    if pretrain is None and unlabelled is None and epochs is None and begin is None:
        return None
    from training.pretraining.beginning import Beginning
    from training.pretraining.pretexts import By

    if not alone:
        raise UnfitSetting("--pretrain and --from go with one training or with --folds, not with --search or --methods")
    by = None if pretrain is None else By(pretrain)
    return Beginning(by=by, unlabelled=unlabelled, epochs=epochs, file=begin, modality=modality).checked()


def _refuse_others(name: str, asked: "Asked", given: Mapping[str, Any]) -> None:
    """Refuse what a recipe without images or networks has no use for."""
    said = [key for key, value in given.items() if value is not None]
    said += [key for key, value in asdict(asked).items() if key != "labels" and value not in (None, ())]
    if said:
        named = " or ".join("--" + one.replace("_", "-") for one in said)
        raise UnfitSetting(f'recipe "{name}" trains no network, and takes no {named}')


def _searched(
    name: str, data: Path | None, run: Path, asked: "Asked", given: Mapping[str, Any], here: "Ranks", count: int, folds: int | None
) -> None:
    """Train with several settings, and say which were the best on the validation patients."""
    demand("hilum train --search", "optuna")
    from training import recipes
    from training.search import again, choices, folder_of, record, search
    from training.search import said as told
    from training.space import SearchTrial

    if count < 2:
        raise UnfitSetting(f"--search {count}: there are two trials at least, the recipe's own settings and others")
    if folds is not None or here.size > 1:
        other = "--folds" if folds is not None else "several processes"
        raise UnfitSetting(f"--search and {other} do not go together: search first, then train the chosen settings so")
    with _planned_or_removed(run / "trial-1"):
        wanted = recipes.begun(name, data, run / "trial-1", given["seed"] or 0, asked, _told)
        schedule = wanted.schedule
        sides = wanted.sides(data, schedule.seed if given["seed"] is None else given["seed"])
        chosen_from = choices(wanted, asked, given, len(sides.train) * wanted.draws)
    patients = len({case.patient for case in sides.validation})
    precision = here.compute.precision.value
    what = f"{name}; {data and data.resolve()}; cases {_cases(sides)}; {asked}; {given}; {precision}; {chosen_from}"

    def train(folder: Path, settings: "Settings", watched: "Callable[[Progress], Progress]") -> "Outcome":
        # the first is planned without a window, as the recipe plans by itself
        own = folder.name == "trial-1"
        varied, said = (asked, given) if own else settings.over(asked, given)
        with _planned_or_removed(folder):
            SearchTrial(trials=count, patients=patients).write(folder)
            return _trained(name, data, folder, varied, said, here, watched=watched, alike=sides)[2]

    epochs = schedule.epochs if given["epochs"] is None else given["epochs"]
    best = search(count, run, what, given["seed"] or 0, epochs, chosen_from, train)
    found = record(run, name, wanted.watched, best, again(name, data, asked, given, here.compute, best))
    for trial in found["trials"]:
        # those that nobody needed may have been deleted
        if (run / trial["run"]).is_dir():
            SearchTrial(trials=len(found["trials"]), patients=patients, chosen=trial["run"] == found["chosen"]).write(run / trial["run"])
    where = " ".join(shlex.quote(str(part)) for part in ([] if data is None else ["--data", data]) + ["--out", run / folder_of(best)])
    print(told(found, run, f"hilum evaluate {name} {where}"), end="")


@contextmanager
def _planned_or_removed(run: Path) -> Iterator[None]:
    """What is refused leaves nothing in a folder that was not there before: the plan would be held against whoever asks once more."""
    there = run.exists()
    try:
        yield
    except (OtherRun, UnfitSetting):
        if not there:
            shutil.rmtree(run, ignore_errors=True)
        raise


def _cases(sides: "Split") -> str:
    """Which cases stand on which side."""
    from training.data.cases import digest

    return digest(sides.train, sides.validation, sides.test)


def _cross_validated(
    name: str,
    data: Path | None,
    run: Path,
    asked: "Asked",
    given: Mapping[str, Any],
    here: "Ranks",
    count: int,
    only: int | None,
    beginning: "Beginning | None",
) -> None:
    """Train and evaluate every fold, and say what they say together, or `only` one of them; what was done before is not done again."""
    from training.evaluation.record import read
    from training.folds import folds, is_evaluated, keep_together
    from training.progress import steps

    evaluations = []
    for fold, folder in folds(count, run, only):
        wanted, sides, _ = _trained(name, data, folder, asked, given, here, fold, beginning=beginning)
        if not here.first:
            continue
        if not is_evaluated(folder):
            with steps(f"evaluating fold {fold.number} of {count}") as step:
                wanted.evaluate(sides, folder, step=step)
        evaluations.append(read(folder))
    if here.first and only is None:
        print(keep_together(wanted, evaluations, run), end="")


def evaluate(
    recipe: str,
    *,
    data: Path | None = None,
    out: Path | None = None,
    seed: int | None = None,
    repository: Path | None = None,
    disturbed: Annotated[bool, Parameter(negative="")] = False,
    explain: float = EXPLAIN_S,
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
    explain
        Of recipes that classify: seconds for methods that tell what moved an answer, tried on the network and on networks of random
        weights; which of them are offered stands on the card. 0: none are tried.
    as_json
        Print the figures, and those of each case, as JSON.
    """
    demand_installed()
    from training import recipes
    from training.card import tables
    from training.evaluation.perturb import PERTURBATIONS
    from training.progress import steps
    from training.recipe import EvaluationOptions

    wanted = recipes.load(recipe, out or default_run(recipe))
    if seed is None and repository is None:
        seed = wanted.seed_of(out or default_run(recipe))
    sides = wanted.sides(data, wanted.schedule.seed if seed is None else seed)
    run = out or (default_run(recipe) if repository is None else Path("var/evaluations") / recipe)
    options = EvaluationOptions(seed=seed, repository=repository, disturbed=PERTURBATIONS if disturbed else (), explain_s=explain)
    with steps("evaluating") as step:
        found = wanted.evaluate(sides, run, options, step=step)
    print(json.dumps(found, indent=2) if as_json else tables(wanted, found), end="")
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
    demand_installed()
    from training import recipes
    from training.export import export as exported

    run = out or default_run(recipe)
    model = exported(recipes.load(recipe, run), run, repository)
    Console().print(f"{repository / model.name}: version {model.version} is served", highlight=False, soft_wrap=True)
    return 0


def _told(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)


def _untold(line: str) -> None:
    """The first process speaks for all."""
