"""Boxes of a user's own on single images, from images and a table, COCO's file or Pascal VOC's; what depends on the data is found once."""

from functools import partial
from pathlib import Path

import numpy as np

from inference.applications.bundle.manifest import application_of
from inference.applications.port import LocationOutput
from training.augment import boxed
from training.data.cases import LabelledSubject
from training.networks.centred import CentreNetwork, taught
from training.planning import strength
from training.recipe import Example, Schedule
from training.recipes.classification import seen
from training.synopsis import FullRun, Synopsis, objects
from training.tabled.beginning import SPACE, TabledKind, terms_of
from training.tabled.boxes import read_boxes
from training.tabled.plan import TabledPlan, beside
from training.tasks.boxes import PRECISION, TOLD, BoxDetector, image_with_boxes

NAME = "detection"
FULL_RUN = FullRun(
    wants="single images (DX, CR, MG, US, OP and the like) as DICOM in one folder nested in any way, or as files (PNG, JPEG), and their "
    "boxes: a table (CSV), a file of COCO, or a folder of Pascal VOC's; ten patients with each class at the very least",
    time="by the data: minutes to hours of a processor",
    figure="by the data: beside blobs that were tuned on the training patients, on the patients that it held out",
)
SYNOPSIS = Synopsis(
    recipe=NAME,
    task=BoxDetector.task,
    title="Boxes of your own on single images",
    application="",
    grade="research",
    weights=False,
    run=FULL_RUN,
    objects=objects((LocationOutput,)),
)


def of_run(run: Path) -> BoxDetector:
    """The recipe that a run was begun with; evaluated, it tells boxes from the probability on that the evaluation chose.

    Raises
    ------
    BrokenRun
    """
    return KIND.of_run(run, TOLD, lambda _, recipe, found: recipe.telling(float(found["told"])))


def recipe_of(plan: TabledPlan) -> BoxDetector:
    """A plan as a recipe."""
    manifest = plan.manifest
    classes = len(plan.names)
    assert manifest.image_detector is not None, "a plan of boxes has one"
    return BoxDetector(
        name=NAME,
        title=manifest.title,
        application=application_of(manifest),
        model=manifest.model,
        window=plan.window,
        channels=manifest.channels,
        sides=KIND.sides(plan),
        example=partial(example, plan),
        network=partial(CentreNetwork, classes),
        loss=partial(taught, classes, manifest.image_detector.stride),
        augment=partial(boxed, strength=strength(plan.asked)),
        space=SPACE,
        watched=PRECISION,
        schedule=Schedule(epochs=40, batch=8, learning_rate=2e-3, patience=12),
        data=terms_of(plan),
        full_run=FULL_RUN,
        manifest=manifest,
        beside=partial(beside, manifest),
    )


def example(plan: TabledPlan, case: LabelledSubject) -> Example:
    """By the code that serves; the target are boxes (M, 5) as `augment.boxed` has them, M being the most that any image has."""
    image = seen(plan.manifest, case)
    rows, columns = image_with_boxes(case).pixels.shape[:2]
    down, across = image.shape[1] / rows, image.shape[2] / columns
    target = np.full((plan.most_boxes, 5), -1, dtype=np.float32)
    for at, one in enumerate(case.boxes):
        target[at] = (one.channel, one.box.top * down, one.box.left * across, one.box.bottom * down, one.box.right * across)
    return Example(image=image, target=target)


KIND = TabledKind(recipe=NAME, application="own-boxes", read_table=read_boxes, recipe_of=recipe_of)
begun = KIND.begun
