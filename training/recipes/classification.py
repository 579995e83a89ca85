"""Classes or findings of a user's own, from DICOM studies and a table; what depends on the data is found once, and kept in the run."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.applications.bundle.manifest import BundleManifest, application_of, prepared
from inference.applications.port import EvaluationOutput
from inference.imaging.subject import Images
from training.augment import radiograph
from training.data.cases import ByPatient, Case, Fold, LabelledSubject, digest, named, split
from training.errors import BrokenRun, OtherRun, UnfitSetting
from training.planning import Asked, application_name
from training.recipe import DataTerms, Example, Schedule
from training.synopsis import FullRun, Synopsis, objects
from training.tabled.hygiene import clean
from training.tabled.labels import LabelTable, read_labels
from training.tabled.plan import DEFAULT, TabledPlan, planned, read, told, write
from training.tabled.studies import case_of, tabled
from training.tasks.answers import CALIBRATION, WATCHED, Answerer, beside

NAME = "classification"
PLANES = (16, 32, 64, 128)
FULL_RUN = FullRun(
    wants="DICOM studies in one folder nested in any way, and a table (CSV) that names each with its class or findings; ten patients of "
    "each at the very least",
    time="by the data: minutes to hours of a processor",
    figure="by the data: beside a logistic model over brightness and texture, on the patients that it held out",
)
SYNOPSIS = Synopsis(
    recipe=NAME,
    task=Answerer.task,
    title="Classes or findings of your own, from a table of studies",
    application="",
    grade="research",
    weights=False,
    run=FULL_RUN,
    objects=objects((EvaluationOutput,)),
)


def begun(data: Path | None, run: Path, seed: int, asked: Asked, tell: Callable[[str], None], fold: Fold | None) -> Answerer:
    """The recipe for a folder and its table: looked at, planned from its training patients; or the one that the run holds.

    Raises
    ------
    OtherRun
        The run was planned with other options, another table, or for other training cases.
    UnfitData, UnfitSetting
    """
    folder = named(data)
    if len(asked.labels) != 1:
        raise UnfitSetting('recipe "classification" learns what a table says: name it, `--labels FILE.csv`')
    application_name(asked.name or DEFAULT)
    if asked.spacing_mm:
        raise UnfitSetting("a network that classifies sees the whole image, whatever its spacing: it takes --window and no --spacing-mm")
    asked = replace(asked, labels=(str(Path(asked.labels[0]).resolve()),))
    plan = read(run)
    if plan is None:
        table = _table(asked)
        found = tabled(folder, table)
        kept = clean(table, found, tell)
        cases = tuple(case_of(one.case, group) for one, group in zip(kept.seen, kept.groups, strict=True))
        training = split(cases, seed, fold).train
        names = {case.name for case in training}
        seen = [one for one in kept.seen if one.case.name in names]
        plan = planned(found, table, kept, seen, asked, seed=seed, digest=digest(training))
        write(plan, run)
        tell(told(plan))
        return replace(recipe_of(plan), sides=ByPatient(lambda folder: cases, fold))
    if plan.asked != asked:
        raise OtherRun(f"{run} was planned with {plan.asked}; asked for is {asked}")
    cases = _cases(folder, plan)
    if (plan.seed, plan.training) != (seed, digest(split(cases, seed, fold).train)):
        raise OtherRun(f"{run} was planned for the training cases of seed {plan.seed}; those of seed {seed} in {folder} are others")
    return replace(recipe_of(plan), sides=ByPatient(lambda folder: cases, fold))


def of_run(run: Path) -> Answerer:
    """The recipe that a run was begun with; evaluated, its findings have the limits that the evaluation chose.

    Raises
    ------
    BrokenRun
    """
    plan = read(run)
    if plan is None:
        raise BrokenRun(f"{run} holds no plan: nothing was trained there")
    recipe, path = recipe_of(plan), run / CALIBRATION
    if not path.is_file():
        return recipe
    try:
        limits = {one["channel"]: one for one in json.loads(path.read_text(encoding="utf-8"))["answers"]}
        return recipe.decided([replace(one, **limits[one.channel]) for one in plan.manifest.answers])
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise BrokenRun(f"{path} holds no limits: {broken!r}") from broken


def recipe_of(plan: TabledPlan) -> Answerer:
    """A plan as a recipe."""
    manifest = plan.manifest
    return Answerer(
        name=NAME,
        title=manifest.title,
        application=application_of(manifest),
        model=manifest.model,
        window=plan.window,
        channels=manifest.channels,
        sides=ByPatient(partial(_cases, plan=plan)),
        example=partial(example, manifest),
        network=partial(network, len(plan.window), manifest.channels),
        loss=partial(loss, plan.weights, plan.exclusive),
        augment=radiograph,
        watched=WATCHED,
        schedule=Schedule(epochs=40, batch=16, learning_rate=1e-3, patience=10),
        data=DataTerms(
            name=f"{len(plan.groups)} cases of {len(set(plan.groups.values()))} patients, DICOM studies and a table of one's own",
            licence="not stated",
            attribution="not stated",
            split="by patient: nobody is on two sides, nor are near-doubles"
            if plan.by_patient
            else "by case, as not all name a patient; near-doubles are on one side",
        ),
        full_run=FULL_RUN,
        manifest=manifest,
        exclusive=plan.exclusive,
        names=plan.names,
        weights=plan.weights,
        beside=partial(beside, manifest),
    )


def example(manifest: BundleManifest, case: LabelledSubject) -> Example:
    """By the code that serves: (1, Y, X) of a single image, (1, Z, Y, X) of a volume; the target is one number a class or finding."""
    target = np.array(case.labels, dtype=np.uint8)
    if isinstance(case.subject, Images):
        return Example(image=prepared(manifest, case.subject.images[0]).values, target=target)
    return Example(image=prepared(manifest, case.subject).values[None], target=target)


def network(axes: int, channels: int) -> Any:
    """A residual network of four stages, normalised in groups of channels: a batch may be of any size."""
    from monai.networks.nets.resnet import ResNet

    return ResNet(
        block="basic",
        layers=[1, 1, 1, 1],
        block_inplanes=list(PLANES),
        spatial_dims=axes,
        n_input_channels=1,
        num_classes=channels,
        conv1_t_stride=2 if axes == 2 else 1,
        norm=("group", {"num_groups": 8}),
    )


def loss(weights: tuple[float, ...], exclusive: bool) -> Callable[[Any, Any], Any]:
    """Cross-entropy of classes, or of each finding, weighed."""
    counted = torch.tensor(weights)

    def weighed(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        wanted, each = targets.float(), counted.to(logits.device)
        if exclusive:
            # weighed by class, over the cases: a part of a batch then has its share of the whole
            rows = nn.functional.cross_entropy(logits, wanted.argmax(dim=1), reduction="none")
            found: torch.Tensor = (rows * each[wanted.argmax(dim=1)]).mean()
            return found
        return nn.functional.binary_cross_entropy_with_logits(logits, wanted, pos_weight=each)

    return weighed


def _table(asked: Asked) -> LabelTable:
    return read_labels(Path(asked.labels[0]), asked.target)


def _cases(folder: Path, plan: TabledPlan) -> tuple[Case, ...]:
    table = _table(plan.asked)
    if table.sha256 != plan.table:
        raise OtherRun(f"{plan.asked.labels[0]} is not the table any more that the run was planned with: give another --out")
    found = {case.name: case for case in tabled(folder, table).cases}
    absent = [name for name in plan.groups if name not in found]
    if absent:
        raise OtherRun(f"{len(absent)} cases that the run was planned with are not in {folder}: {absent[0]}")
    return tuple(case_of(found[name], group) for name, group in plan.groups.items())
