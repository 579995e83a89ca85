"""Noise on magnitude MR of the head: a small U-Net that learns from L1 and SSIM, against the same with a discriminator's word."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.applications.mr_denoise.application import APPLICATION, MODEL
from inference.applications.mr_denoise.preparing import BESIDE, WINDOW
from inference.findings import Findings
from training.adversarial import Adversarial
from training.data.heads import rician, sides
from training.recipe import Augment, DataTerms, Example, Labelled, Schedule
from training.restoration import Restorer, likeness
from training.similarity import Faithful

LEVELS = (0.03, 0.05, 0.09)
"""Noise of what is validated and tested, as a share of the head's median."""
TAUGHT = (0.02, 0.10)
"""Of what is learned from: anything between."""
MISJUDGED = (0.9, 1.25)
"""How the estimate of the noise may be off, as a factor."""
SLICES = 8
PATCH = (1 + 2 * BESIDE, 64, 64)
SCALE = 16.0
"""By which images are divided: tissue is 10 to 50 times the noise."""
LIKE = 1.0
"""The weight of what SSIM lacks of 1, beside L1 in deviations of the noise."""


class _Block(nn.Module):
    """Two convolutions within each slice, whose sum with what came goes on; it begins with nearly what came."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._first, self._second = (nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1)) for _ in range(2))
        _begin(self._first, 1.0)
        _begin(self._second, 0.1)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self._second(nn.functional.relu(self._first(seen)))
        return seen + added


class Residual(nn.Module):
    """A small U-Net of residual blocks without normalisation, as DRUNet (Zhang and others 2021): says the noise, and takes it off.

    It sees five slices for each that it gives, and goes to a half and a quarter of the resolution within slices: `HALO` pixels around.
    It begins with nearly no noise, so that what it gives is what it saw.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = (1, 2, 2)
        self._head = nn.Conv3d(1, width, (1 + 2 * BESIDE, 3, 3), padding=(0, 1, 1))
        self._down = nn.ModuleList(nn.Conv3d(wide, 2 * wide, half, stride=half) for wide in (width, 2 * width))
        self._up = nn.ModuleList(nn.ConvTranspose3d(2 * wide, wide, half, stride=half) for wide in (width, 2 * width))
        self._before = nn.ModuleList(_Block(wide) for wide in (width, 2 * width))
        self._after = nn.ModuleList(_Block(wide) for wide in (width, 2 * width))
        self._bottom = _Block(4 * width)
        self._tail = nn.Conv3d(width, 1, 1)
        _begin(self._tail, 1e-2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # as large as what learns well: the noise a sixteenth, tissue one to three
        return images[:, :, BESIDE:-BESIDE] - SCALE * self._noise(images / SCALE)

    def _noise(self, scaled: torch.Tensor) -> torch.Tensor:
        whole = self._before[0](self._head(scaled))
        half = self._before[1](self._down[0](whole))
        quarter = self._bottom(self._down[1](half))
        half = self._after[1](self._up[1](quarter) + half)
        noise: torch.Tensor = self._tail(self._after[0](self._up[0](half) + whole))
        return noise


def _begin(convolution: nn.Conv3d, share: float) -> None:
    # torch's own start lets the signal fade from layer to layer, and learning with it
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    assert convolution.bias is not None, "it has one"
    nn.init.zeros_(convolution.bias)
    with torch.no_grad():
        convolution.weight.mul_(share)


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


def distance() -> Callable[[Any, Any], Any]:
    """L1, and what SSIM lacks of 1."""
    return Faithful(LIKE)


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
    cases=lambda folder: (*(split := sides(folder, LEVELS, SLICES)).train, *split.validation, *split.test),
    sides=partial(sides, levels=LEVELS, slices=SLICES),
    example=example,
    network=partial(Residual, 24),
    loss=distance,
    arms={"CNN": distance, "GAN": lambda: Adversarial(distance(), 0.02, SCALE)},
    augment=noisy,
    score=score,
    watched="PSNR",
    schedule=Schedule(epochs=6, batch=4, learning_rate=1e-3, patience=6),
    data=DataTerms(
        name="few heads from several scanners and contrasts, with Rician noise of known strength added",
        licence="Apache-2.0",
        attribution="the heads that it was trained on stand in the run's record",
    ),
    draws=500,
)
