"""Structures of a user's own, from a folder that somebody outlined; what depends on the data is found once, and kept in the run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications.bundle.manifest import FILE, BundleManifest, application_of, prepared, to_text
from inference.applications.port import MeasurementOutput, ModelRef, SegmentOutput
from inference.errors import HilumError
from inference.findings import Findings
from inference.imaging.resample import Grid, Interpolation, resample
from training.augment import cutting, lacking, segmentation
from training.baselines import INTENSITY
from training.data.cases import ByPatient, Case, Fold, Labelled, digest, named, split
from training.data.coded import PRIVATE
from training.data.outlined import Roles, outlined
from training.errors import BrokenRun, OtherRun, UnfitData, UnfitSetting
from training.evaluation.segmentation import Masks, dice
from training.planning import STRIDE, Asked, Facts, Plan, application_name, facts, planned, read, strength, told, write
from training.recipe import DataTerms, Example, Schedule
from training.space import Space
from training.synopsis import FullRun, Synopsis, objects
from training.tasks.segmentation import Segmenter

NAME = "segmentation"
MEAN = "Dice, mean of all"
CHANNELS, STRIDES = (16, 32, 64, 128), (2, 2, 2)
FULL_RUN = FullRun(
    wants="DICOM series with DICOM SEG of them, in one folder nested in any way; or a raw folder of nnU-Net (dataset.json, imagesTr, "
    "labelsTr), a BIDS folder with masks in its derivatives, a folder of BraTS, LIDC-IDRI with its XML files; some ten patients at the "
    "very least",
    time="by the data: hours of a processor",
    figure="by the data: beside intensity alone, on the patients that it held out",
)
SYNOPSIS = Synopsis(
    recipe=NAME,
    task=Segmenter.task,
    title="Structures of your own, from studies that somebody outlined",
    application="",
    grade="research",
    weights=False,
    run=FULL_RUN,
    objects=objects((SegmentOutput, MeasurementOutput)),
)
_PARTS_AN_EPOCH = 96
_MOST_DRAWS = 12
_TOLD = 5


def begun(data: Path | None, run: Path, seed: int, asked: Asked, tell: Callable[[str], None], fold: Fold | None) -> Segmenter:
    """The recipe for a folder: planned from its training patients, after every case was read once; or the one that the run holds.

    Raises
    ------
    OtherRun
        The run was planned with other options, or for other training cases.
    UnfitData
        Cases cannot be read; all of them are named.
    UnfitSetting, UnclearLabels, MisplacedLabels
    """
    if asked.fusion is not None:
        raise UnfitSetting(f'--fusion {asked.fusion}: recipe "{NAME}" sees its roles as channels of one network: leave it out')
    folder, plan = named(data), read(run)
    if plan is None:
        plan, cases = _planned(folder, seed, asked, tell, fold)
        write(plan, run)
        tell(told(plan))
        # the headers of a large folder take minutes: they are not read twice
        return replace(recipe_of(plan), sides=ByPatient(lambda folder: cases, fold))
    if plan.asked != asked:
        raise OtherRun(f"{run} was planned with {plan.asked}; asked for is {asked}")
    cases = _cases(folder, plan)
    if (plan.seed, plan.training) != (seed, digest(split(cases, seed, fold).train)):
        raise OtherRun(f"{run} was planned for the training cases of seed {plan.seed}; those of seed {seed} in {folder} are others")
    return replace(recipe_of(plan), sides=ByPatient(lambda folder: cases, fold))


def of_run(run: Path) -> Segmenter:
    """The recipe that a run was begun with.

    Raises
    ------
    BrokenRun
    """
    plan = read(run)
    if plan is None:
        raise BrokenRun(f"{run} holds no plan: nothing was trained there")
    return recipe_of(plan)


def recipe_of(plan: Plan) -> Segmenter:
    """A plan as a recipe."""
    manifest = plan.manifest
    names = [structure.label for structure in manifest.structures]
    return Segmenter(
        name=NAME,
        title=manifest.title,
        application=application_of(manifest),
        model=manifest.model,
        window=plan.window,
        channels=manifest.channels,
        sides=ByPatient(partial(_cases, plan=plan)),
        example=partial(example, manifest),
        network=partial(network, manifest.channels, len(manifest.roles) or 1),
        loss=loss,
        augment=lacking(
            [manifest.roles.index(role) for role in manifest.optional],
            cutting(plan.window, partial(segmentation, strength=strength(plan.asked))),
        ),
        space=Space(window=(0.5, 1.0, 1.5), augmented=True),
        score=partial(score, names),
        structures=partial(structures, names),
        watched=MEAN if len(names) > 1 else f"Dice {names[0]}",
        schedule=Schedule(epochs=60, batch=2, learning_rate=2e-3, patience=12),
        data=DataTerms(
            name=f"{plan.series} series of {plan.patients} patients, {plan.layout} of one's own",
            licence="not stated",
            attribution="not stated",
            split=plan.split,
        ),
        baseline=INTENSITY,
        full_run=FULL_RUN,
        cut_by=STRIDE,
        images=len(manifest.roles) or 1,
        draws=min(max(round(_PARTS_AN_EPOCH / plan.series), 1), _MOST_DRAWS),
        beside=partial(_beside, manifest),
    )


def example(manifest: BundleManifest, case: Labelled) -> Example:
    """A whole case by the code that serves; its labels by the nearest voxel."""
    image = prepared(manifest, case.subject)
    target = resample(case.labels, Grid.of(case.volume), image.grid, by=Interpolation.NEAREST)
    return Example(image=image.values if manifest.roles else image.values[None], target=target[None])


def network(channels: int, images: int = 1) -> Any:
    """A U-Net with residual units, of one image or of several together."""
    from monai.networks.nets.unet import UNet

    return UNet(
        spatial_dims=3, in_channels=images, out_channels=channels, channels=CHANNELS, strides=STRIDES, num_res_units=1, norm="INSTANCE"
    )


def loss() -> Callable[[Any, Any], Any]:
    """Dice over the batch, as parts without a structure have none of their own, and cross-entropy."""
    from monai.losses.dice import DiceCELoss

    made: Callable[[Any, Any], Any] = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    return made


def structures(names: Sequence[str], findings: Findings, case: Labelled) -> Mapping[str, Masks]:
    """Every structure; one that was not found is empty."""
    masks = {segment.label: segment.mask for segment in findings.segments}
    nothing = np.zeros(case.labels.shape, dtype=np.bool_)
    return {name: Masks(found=masks.get(name, nothing), true=case.labels == value) for value, name in enumerate(names, start=1)}


def score(names: Sequence[str], findings: Findings, case: Labelled) -> Mapping[str, float]:
    """Dice of every structure, and their mean where there are several."""
    each = {f"Dice {name}": dice(masks.found, masks.true) for name, masks in structures(names, findings, case).items()}
    known = [figure for figure in each.values() if not np.isnan(figure)]
    return {**({MEAN: float(np.mean(known)) if known else float("nan")} if len(names) > 1 else {}), **each}


def _cases(folder: Path, plan: Plan) -> tuple[Case, ...]:
    """The cases that a run was planned with."""
    names = [structure.label for structure in plan.manifest.structures]
    return outlined(folder, names, plan.asked.modality, over=bool(plan.asked.labels), roles=_roles(plan.asked)).cases


def _roles(asked: Asked) -> Roles:
    return Roles(names=asked.roles, optional=asked.optional)


def _planned(data: Path, seed: int, asked: Asked, tell: Callable[[str], None], fold: Fold | None) -> tuple[Plan, tuple[Case, ...]]:
    if asked.target:
        raise UnfitSetting('recipe "segmentation" learns what was drawn, and takes no --target')
    if asked.name:
        # before minutes of reading
        application_name(asked.name)
    found = outlined(data, asked.labels, asked.modality, over=bool(asked.labels), roles=_roles(asked))
    for reason in _shortened(found.left_out):
        tell(f"left out: {reason}")
    uncoded = [one.label for one in found.structures if one.type.scheme == PRIVATE]
    if uncoded:
        tell(
            f"no code is known for {', '.join(uncoded)}: served under codes of hilum's own ({PRIVATE}), which no other system understands. "
            'Name a label by its code where there is one, "SCT:10200004:Liver"'
        )
    training = split(found.cases, seed, fold).train
    read_once = _all_read(found.cases)
    plan = planned(
        [read_once[name] for name in sorted(case.name for case in training)],
        found.structures,
        found.modality,
        asked,
        series=len(found.cases),
        patients=len({case.patient for case in found.cases}),
        seed=seed,
        training=digest(training),
        layout=found.layout,
        split=found.split,
        roles=found.roles,
    )
    return plan, found.cases


def _all_read(cases: Sequence[Case]) -> dict[str, Facts]:
    """Every case is read before the first step: what is wrong is said now, and all of it."""
    seen, wrong = {}, []
    for case in cases:
        try:
            seen[case.name] = facts(case.load())
        except HilumError as unfit:
            wrong.append(f"series {case.name}: {unfit} [{unfit.code}]")
    if wrong:
        raise UnfitData(f"{len(wrong)} of {len(cases)} series cannot be learned from: " + "; ".join(_shortened(wrong)))
    return seen


def _shortened(reasons: Sequence[str]) -> list[str]:
    return [*reasons[:_TOLD], *([f"and {len(reasons) - _TOLD} more"] if len(reasons) > _TOLD else [])]


def _beside(manifest: BundleManifest, model: ModelRef) -> Mapping[str, bytes]:
    return {FILE: to_text(replace(manifest, model=model, version=f"{manifest.version}+model.{model.version}"))}
