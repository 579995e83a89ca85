"""Numbers of a user's own, from images and a table; what depends on the data is found once, and kept in the run."""

from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from inference.applications.bundle.manifest import application_of
from inference.applications.port import MeasurementOutput
from training.augment import lacking, radiograph
from training.data.cases import LabelledSubject
from training.planning import strength
from training.recipe import Example, Schedule
from training.recipes.classification import images_of, late, may_be_missing, network, seen
from training.synopsis import FullRun, Synopsis, objects
from training.tabled.beginning import SPACE, TabledKind, terms_of
from training.tabled.labels import read_numbers
from training.tabled.plan import TabledPlan, beside
from training.tasks.regression import INTERVALS, SKILL, Estimator

NAME = "regression"
FULL_RUN = FullRun(
    wants="DICOM studies in one folder nested in any way, or files (PNG, JPEG, NIfTI), and a table (CSV) that says a number of "
    "each, its unit in the column's name; twenty patients at the very least",
    time="by the data: minutes to hours of a processor",
    figure="by the data: beside the training patients' median and a ridge regression over brightness and texture, on the patients that "
    "it held out",
)
SYNOPSIS = Synopsis(
    recipe=NAME,
    task=Estimator.task,
    title="Numbers of your own, from a table of studies",
    application="",
    grade="research",
    weights=False,
    run=FULL_RUN,
    objects=objects((MeasurementOutput,)),
)


def of_run(run: Path) -> Estimator:
    """The recipe that a run was begun with; evaluated, its numbers have the intervals that the held-out patients gave.

    Raises
    ------
    BrokenRun
    """
    return KIND.of_run(run, INTERVALS, lambda _, recipe, found: recipe.within(found["within"]))


def recipe_of(plan: TabledPlan) -> Estimator:
    """A plan as a recipe."""
    manifest = plan.manifest
    return Estimator(
        name=NAME,
        title=manifest.title,
        application=application_of(manifest),
        model=manifest.model,
        window=plan.window,
        channels=manifest.channels,
        sides=KIND.sides(plan),
        example=partial(example, plan),
        network=partial(network, len(plan.window), manifest.channels, images_of(plan), late(plan)),
        images=images_of(plan),
        loss=nn.SmoothL1Loss,
        augment=lacking(may_be_missing(plan), partial(radiograph, scaled=0, strength=strength(plan.asked))),
        space=SPACE,
        watched=SKILL,
        schedule=Schedule(epochs=40, batch=16, learning_rate=1e-3, patience=10),
        data=terms_of(plan),
        full_run=FULL_RUN,
        manifest=manifest,
        scales=plan.scales,
        by_patient=plan.by_patient,
        beside=partial(beside, manifest),
    )


def example(plan: TabledPlan, case: LabelledSubject) -> Example:
    """By the code that serves; the target are numbers less the median, over the mean distance from it."""
    middle, spread = np.array(plan.scales).T
    target = (np.array(case.labels, dtype=np.float64) - middle) / spread
    return Example(image=seen(plan.manifest, case), target=target.astype(np.float32))


KIND = TabledKind(recipe=NAME, application="own-numbers", read_table=read_numbers, recipe_of=recipe_of)
begun = KIND.begun
