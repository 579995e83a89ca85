"""Hippocampus parts on MR crops: a 3D U-Net on the Medical Segmentation Decathlon's Task04."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from inference.applications.hippocampus.application import APPLICATION, MODEL, PARTS
from inference.applications.hippocampus.preparing import WINDOW, prepare
from inference.findings import Findings
from training.augment import segmentation
from training.data.cases import ByPatient, Labelled
from training.data.nifti import pairs
from training.evaluation.segmentation import Masks, dice
from training.recipe import DataTerms, Example, Schedule
from training.synopsis import FullRun
from training.tasks.segmentation import Segmenter

CHANNELS, STRIDES = (8, 16, 32, 64, 128), (1, 2, 2, 2)
"""The first step keeps the sides: the structure is a few voxels thick."""


def example(labelled: Labelled) -> Example:
    """By the code that serves."""
    prepared = prepare(labelled.volume)
    return Example(image=prepared.image[None], target=prepared.onto(labelled.labels)[None])


def network(channels: tuple[int, ...] = CHANNELS, strides: tuple[int, ...] = STRIDES) -> Any:
    """A U-Net with residual units."""
    from monai.networks.nets.unet import UNet

    return UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=len(PARTS) + 1,
        channels=channels,
        strides=strides,
        num_res_units=1,
        norm="INSTANCE",
    )


def loss() -> Callable[[Any, Any], Any]:
    """Dice and cross-entropy together: the one knows small structures, the other gives steady gradients."""
    from monai.losses.dice import DiceCELoss

    made: Callable[[Any, Any], Any] = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
    return made


def structures(findings: Findings, labelled: Labelled) -> Mapping[str, Masks]:
    """The whole structure, and its parts."""
    masks = {segment.label: segment.mask for segment in findings.segments}
    whole = Masks(found=np.logical_or.reduce(list(masks.values())), true=labelled.labels > 0)
    return {
        "hippocampus": whole,
        **{label: Masks(found=masks[label], true=labelled.labels == value) for value, (label, _) in PARTS.items()},
    }


def score(findings: Findings, labelled: Labelled) -> Mapping[str, float]:
    """Dice of the whole structure, and of its parts."""
    return {f"Dice {name}": dice(masks.found, masks.true) for name, masks in structures(findings, labelled).items()}


RECIPE = Segmenter(
    name="hippocampus",
    title="Anterior and posterior hippocampus on T1 MR crops",
    application=APPLICATION,
    model=MODEL,
    window=WINDOW,
    channels=len(PARTS) + 1,
    sides=ByPatient(partial(pairs, modality="MR")),
    example=example,
    network=network,
    loss=loss,
    augment=partial(segmentation, mirrored=(2,)),
    score=score,
    structures=structures,
    watched="Dice hippocampus",
    schedule=Schedule(epochs=12, batch=2, learning_rate=3e-3, patience=5),
    data=DataTerms(
        name="Medical Segmentation Decathlon, Task04 Hippocampus (mono-modal MR crops)",
        licence="CC-BY-SA-4.0",
        attribution="Medical Segmentation Decathlon (Antonelli and others 2022), Task04 from Vanderbilt University Medical Center",
    ),
    full_run=FullRun(
        wants="Task04 of the Medical Segmentation Decathlon, or crops like it: DIR/images/NAME.nii.gz and DIR/labels/NAME.nii.gz",
        time="about 6 minutes on two cores with nothing beside it",
        figure="Dice 0.887 (0.880 to 0.894) on 52 held-out crops; mean shape 0.695",
    ),
)
