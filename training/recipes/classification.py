"""Classes or findings of a user's own, from images and a table; what depends on the data is found once, and kept in the run."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference.applications.bundle.manifest import BundleManifest, application_of, prepared
from inference.applications.bundle.views import in_roles
from inference.applications.port import EvaluationOutput
from inference.imaging.subject import Images, VolumeSet
from training.augment import lacking, radiograph
from training.data.cases import LabelledSubject
from training.networks.late_fusion import LateFusion
from training.planning import GROUPS, LATE, strength
from training.recipe import Example, Schedule
from training.synopsis import FullRun, Synopsis, objects
from training.tabled.beginning import SPACE, TabledKind, terms_of
from training.tabled.labels import read_labels
from training.tabled.plan import TabledPlan, beside
from training.tabled.studies import views_of
from training.tasks.answers import CALIBRATION, WATCHED, Answerer

NAME = "classification"
PLANES = (16, 32, 64, 128)
FULL_RUN = FullRun(
    wants="DICOM studies in one folder nested in any way, or files (PNG, JPEG, NIfTI), and a table (CSV) that names each with "
    "its class or findings; or one .npz file as of MedMNIST; ten patients of each at the very least",
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


def of_run(run: Path) -> Answerer:
    """The recipe that a run was begun with; evaluated, its findings have the limits that the evaluation chose.

    Raises
    ------
    BrokenRun
    """

    def decided(plan: TabledPlan, recipe: Answerer, found: Any) -> Answerer:
        limits = {one["channel"]: one for one in found["answers"]}
        return recipe.decided(
            [replace(one, **limits[one.channel]) for one in plan.manifest.answers], found.get("explained", ()), found.get("batch", 1)
        )

    return KIND.of_run(run, CALIBRATION, decided)


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
        sides=KIND.sides(plan),
        example=partial(example, manifest),
        network=partial(network, len(plan.window), manifest.channels, images_of(plan), late(plan), plan.asked.norm),
        loss=partial(loss, plan.weights, plan.exclusive),
        augment=lacking(may_be_missing(plan), partial(radiograph, strength=strength(plan.asked))),
        space=SPACE,
        watched=WATCHED,
        schedule=Schedule(epochs=40, batch=16, learning_rate=1e-3, patience=10),
        data=terms_of(plan),
        full_run=FULL_RUN,
        manifest=manifest,
        exclusive=plan.exclusive,
        names=plan.names,
        weights=plan.weights,
        beside=partial(beside, manifest),
        pooling="" if late(plan) else "avgpool",
        images=images_of(plan),
    )


def images_of(plan: TabledPlan) -> int:
    """How many images the network of a plan sees of a case."""
    return len(plan.manifest.roles) or 1


def late(plan: TabledPlan) -> bool:
    """Whether each of several images has an encoder of its own."""
    return plan.asked.fusion == LATE


def may_be_missing(plan: TabledPlan) -> list[int]:
    """The channels of roles that may be missing."""
    return [plan.manifest.roles.index(role) for role in plan.manifest.optional]


def example(manifest: BundleManifest, case: LabelledSubject) -> Example:
    """By the code that serves; the target is one number a class or finding, 1 or 0."""
    return Example(image=seen(manifest, case), target=np.array(case.labels, dtype=np.uint8))


def seen(manifest: BundleManifest, case: LabelledSubject) -> NDArray[np.float32]:
    """What the network sees: (1, Y, X) of a single image, (1, Z, Y, X) of a volume, (C, …) of several in roles."""
    if isinstance(case.subject, Images):
        if not manifest.roles:
            return prepared(manifest, case.subject.images[0]).values
        values = prepared(manifest, in_roles(views_of(manifest.roles, manifest.optional, case.subject), case.subject)).values
        return values.reshape(-1, *values.shape[-2:])
    values = prepared(manifest, case.subject).values
    return values if isinstance(case.subject, VolumeSet) else values[None]


def network(axes: int, channels: int, images: int = 1, late: bool = False, norm: str | None = None) -> Any:
    """A residual network of four stages; a batch may be of any size. Several images are its channels, or each has such a network."""
    from training.networks.residual import over_groups

    if late:
        made: Any = LateFusion([_residual(axes, 1, None, norm) for _ in range(images)], PLANES[-1], channels)
    else:
        made = _residual(axes, images, channels, norm)
    return over_groups(made) if norm == GROUPS else made


def _residual(axes: int, images: int, channels: int | None, norm: str | None) -> Any:
    """Its last features, pooled, where nobody says how many channels it has."""
    from training.networks.residual import ResidualNetwork, SeparateBlock

    return ResidualNetwork(
        block=SeparateBlock if norm == GROUPS else "basic",
        layers=[1, 1, 1, 1],
        block_inplanes=list(PLANES),
        spatial_dims=axes,
        n_input_channels=images,
        num_classes=channels or 1,
        conv1_t_stride=2 if axes == 2 else 1,
        norm=("group", {"num_groups": 8}),
        feed_forward=channels is not None,
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


KIND = TabledKind(recipe=NAME, application="own-classes", read_table=read_labels, recipe_of=recipe_of, arrays=True)
begun = KIND.begun
