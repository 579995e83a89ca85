"""Noise on magnitude MR of the head: a residual network that learns from L1 alone, against the same with a discriminator's word."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.applications.mr_denoise.application import APPLICATION, MODEL
from inference.applications.mr_denoise.preparing import BESIDE, HALO, LEAST, MOST, WINDOW
from inference.findings import Findings
from inference.imaging.volume import Volume
from training import nonlocal_means
from training.adversarial import Adversarial
from training.data.cases import Labelled, as_laid_out
from training.data.heads import rician, sides
from training.evaluation.restoration import likeness
from training.recipe import Augment, DataTerms, Example, Schedule
from training.synopsis import FullRun
from training.tasks.restoration import Restorer, Rival

LEVELS = (0.03, 0.05, 0.09)
"""Noise of what is validated and tested, as a share of the head's median."""
BOUNDS = (LEAST, 0.04, 0.07, MOST)
"""Between which estimates of the noise each of them stands for others."""
TAUGHT = (0.02, 0.10)
"""Of what is learned from: anything between."""
MISJUDGED = (0.9, 1.25)
"""How the estimate of the noise may be off, as a factor."""
SLICES = 8
PATCH = (1 + 2 * BESIDE, 48, 48)
SCALE = 16.0
"""By which images are divided: tissue is 10 to 50 times the noise."""


class Residual(nn.Module):
    """DnCNN (Zhang and others 2017) over five slices at a time, without batch normalisation: says the noise, and takes it off.

    It begins with nearly none, so that what it gives is what it saw.
    """

    def __init__(self, width: int) -> None:
        from monai.networks.blocks.convolutions import Convolution

        super().__init__()
        flat = partial(Convolution, 3, kernel_size=(1, 3, 3), padding=(0, 1, 1), norm=None, act="RELU")
        self._body = nn.Sequential(
            Convolution(3, 1, width, kernel_size=(1 + 2 * BESIDE, 3, 3), padding=(0, 1, 1), norm=None, act="RELU"),
            *(flat(in_channels=width, out_channels=width) for _ in range(HALO - 2)),
            flat(in_channels=width, out_channels=1, conv_only=True),
        )
        # torch's own start lets the signal fade from layer to layer, and learning with it
        for parameter in self._body.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)
        nn.init.normal_(list(self._body.parameters())[-2], std=1e-3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # as large as what learns well: the noise a sixteenth, tissue one to three
        noise: torch.Tensor = SCALE * self._body(images / SCALE)
        return images[:, :, BESIDE:-BESIDE] - noise


def example(labelled: Labelled) -> Example:
    """A clean head in units of its median, and where it is; `noisy` makes of it what the network sees."""
    head = labelled.labels
    image = labelled.volume.voxels / np.median(labelled.volume.voxels[head > 0])
    return Example(image=image.astype(np.float32)[None], target=head[None])


def noisy() -> Augment:
    """Cut a piece of the head out, turn it over, and add noise; the target is the same piece without."""

    def augment(example: Example, seed: int) -> Example:
        rng = np.random.default_rng(seed)
        clean = _turned(_piece(example, rng), rng)
        sigma = rng.uniform(*TAUGHT)
        unit = np.float32(sigma * rng.uniform(*MISJUDGED))
        target: Any = clean[None, BESIDE:-BESIDE] / unit
        return Example(image=(rician(clean, sigma, rng) / unit)[None], target=target)

    return augment


def _piece(example: Example, rng: np.random.Generator) -> np.ndarray:
    image, head = example.image[0], example.target[0]
    for _ in range(20):
        # most of a volume may be air
        at = rng.integers(image.shape)
        if head[tuple(at)]:
            break
    first = [int(np.clip(place - side // 2, 0, max(0, whole - side))) for place, side, whole in zip(at, PATCH, image.shape, strict=True)]
    piece = image[tuple(slice(start, start + side) for start, side in zip(first, PATCH, strict=True))]
    return np.pad(piece, [(0, side - there) for side, there in zip(PATCH, piece.shape, strict=True)], mode="reflect")


def _turned(piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for axis in range(3):
        piece = np.flip(piece, axis) if rng.random() < 0.5 else piece
    return np.ascontiguousarray(piece.swapaxes(1, 2) if rng.random() < 0.5 else piece)


def as_it_came(volume: Volume) -> Any:
    """The noisy voxels."""
    return volume.voxels


def distance() -> Callable[[Any, Any], Any]:
    """L1."""
    return nn.functional.l1_loss


def score(findings: Findings, labelled: Any) -> Mapping[str, float]:
    """Of a `Degraded`: means over its slices."""
    return {name: float(values.mean()) for name, values in likeness(findings.derived[0].voxels, labelled).items()}


RECIPE = Restorer(
    name="restore",
    title="Noise reduction on magnitude MR of the head",
    application=APPLICATION,
    model=MODEL,
    window=WINDOW,
    channels=1,
    sides=as_laid_out(partial(sides, levels=LEVELS, slices=SLICES)),
    example=example,
    network=partial(Residual, 24),
    loss=distance,
    arms={"CNN": distance, "GAN": partial(Adversarial, 0.02, SCALE)},
    degradation="noise",
    levels={f"{100 * level:g} %": bounds for level, bounds in zip(LEVELS, pairwise(BOUNDS), strict=True)},
    unrestored=("as it came", as_it_came),
    rival=Rival(name=nonlocal_means.NAME, tuned=nonlocal_means.tuned),
    augment=noisy,
    score=score,
    watched="PSNR",
    schedule=Schedule(epochs=40, batch=8, learning_rate=2e-3, patience=40),
    data=DataTerms(
        name="few heads from several scanners and contrasts, with Rician noise of known strength added",
        licence="Apache-2.0",
        attribution="the heads that it was trained on stand in the run's record",
    ),
    draws=100,
    full_run=FullRun(
        wants="heads on MR: DIR/train, DIR/validation and DIR/test, each with NIfTI files or folders of one DICOM series",
        time="11 minutes on one thread: two trainings",
        figure="PSNR 36.15 dB (35.29 to 37.02) over the slices of two heads at three levels of noise; tuned non-local means 35.28 dB",
    ),
)
