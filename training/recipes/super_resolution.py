"""Thin slices of thick ones on T1 MR of the head: a small network over back-projection and the acquired slices around."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.applications.mr_super_resolution.application import APPLICATION, MODEL
from inference.applications.mr_super_resolution.preparing import CHANNELS, WINDOW, Image, along, laid, profile, shown, unit_of
from inference.findings import Findings
from training import back_projection
from training.data.cases import Labelled, as_laid_out
from training.data.heads import rician
from training.data.thick_slices import sides
from training.evaluation.restoration import psnr
from training.recipe import Augment, DataTerms, Example, Schedule
from training.synopsis import FullRun
from training.tasks.restoration import Restorer, Rival

LEVELS = (3, 4, 5, 6)
"""mm between slices of what is validated and tested; and learned from."""
THICKNESSES = (0.78, 1.05)
"""Of what is learned from, as a share of the distance between slices."""
NOISES = (0.0, 0.03)
"""The same, as a share of the median of tissue."""
BRIGHTNESSES = (0.7, 1.4)
PATCH = (8, 32, 32)
MARGIN = 22
"""Fine slices beyond the patch that thick slices are made of: three of 6 mm, and what the last one's profile reaches."""


class BetweenSlices(nn.Module):
    """Convolutions within each made slice over the acquired ones around it; says what back-projection lacks, and adds it."""

    def __init__(self, width: int, layers: int = 5) -> None:
        super().__init__()
        sides = [CHANNELS, *[width] * (layers - 1), 1]
        convolved = [nn.Conv3d(first, second, (1, 3, 3), padding=(0, 1, 1)) for first, second in pairwise(sides)]
        for parameter in (each for layer in convolved for each in layer.parameters()):
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)
        # it begins with what back-projection says
        nn.init.normal_(convolved[-1].weight, std=1e-4)
        between = [each for layer in convolved[:-1] for each in (layer, nn.ReLU())]
        self._lacks = nn.Sequential(*between, convolved[-1])

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = seen[:, :1] + self._lacks(seen)
        return made


def example(labelled: Labelled) -> Example:
    """A piece of a head as it was acquired; `thick` makes of it what the network sees."""
    image = labelled.volume.voxels.astype(np.float32)
    return Example(image=image[None], target=labelled.labels[None])


def thick() -> Augment:
    """Turn a piece over, any axis becoming that of the slices, make thick slices of it with noise, and lay them onto the finer grid."""

    def augment(example: Example, seed: int) -> Example:
        rng = np.random.default_rng(seed)
        clean = _patch(_turned(example.image[0], rng), rng)
        steps = int(rng.choice(LEVELS))
        thickness = steps * rng.uniform(*THICKNESSES)
        # the first of the slices that are kept lies anywhere between two acquired ones
        at = np.arange(rng.integers(steps), len(clean), steps, dtype=np.float64)
        acquired = along(profile(len(clean), at, thickness), clean)
        noisy = rician(acquired, rng.uniform(*NOISES) * float(np.median(clean)), rng)
        unit = np.float32(unit_of(noisy) * rng.uniform(*BRIGHTNESSES))
        begun: Image = along(laid(len(at), steps, thickness), noisy) / unit
        before = MARGIN - int(at[0])
        target: Any = clean[None, MARGIN : MARGIN + PATCH[0]] / unit
        seen = shown(begun[before : before + PATCH[0]], noisy / unit, steps, thickness, before)
        return Example(image=seen, target=target)

    return augment


def _turned(piece: Image, rng: np.random.Generator) -> Image:
    turned = np.moveaxis(piece, int(rng.integers(3)), 0)
    for axis in range(3):
        turned = np.flip(turned, axis) if rng.random() < 0.5 else turned
    return turned.swapaxes(1, 2) if rng.random() < 0.5 else turned


def _patch(piece: Image, rng: np.random.Generator) -> Image:
    """(`MARGIN` + patch + `MARGIN`, …), mirrored where the piece is too small; the margins beyond the last slice hold for both ends."""
    sides = (PATCH[0] + 2 * MARGIN, *PATCH[1:])
    first = [int(rng.integers(max(1, there - side + 1))) for side, there in zip(sides, piece.shape, strict=True)]
    cut = piece[tuple(slice(start, start + side) for start, side in zip(first, sides, strict=True))]
    lacking = [side - there for side, there in zip(sides, cut.shape, strict=True)]
    before = [int(rng.integers(lack + 1)) for lack in lacking]
    margins = [(start, lack - start) for start, lack in zip(before, lacking, strict=True)]
    return np.ascontiguousarray(np.pad(cut, margins, mode="symmetric"))


def distance() -> Callable[[Any, Any], Any]:
    """L1."""
    return nn.functional.l1_loss


def score(findings: Findings, labelled: Any) -> Mapping[str, float]:
    """Of a `Degraded`: the mean over its slices."""
    return {"PSNR": float(psnr(findings.derived[0].voxels, labelled).mean())}


RECIPE = Restorer(
    name="super-resolution",
    title="Thin slices of thick ones on T1 MR of the head",
    application=APPLICATION,
    model=MODEL,
    window=WINDOW,
    channels=1,
    images=CHANNELS,
    sides=as_laid_out(partial(sides, levels=LEVELS)),
    example=example,
    network=partial(BetweenSlices, 24),
    loss=distance,
    arms={"CNN": distance},
    degradation="slices",
    levels={f"{level} mm": (level - 0.5, level + 0.5) for level in LEVELS},
    unrestored=("linear interpolation", back_projection.interpolated),
    rival=Rival(name=back_projection.NAME, tuned=back_projection.tuned),
    augment=thick,
    score=score,
    watched="PSNR",
    schedule=Schedule(epochs=3, batch=8, learning_rate=2e-3, patience=3),
    averaged=0.995,
    data=DataTerms(
        name="T1 MR of heads and of parts of heads at about 1 mm, with thick slices made of them",
        licence="CC-BY-SA-4.0",
        attribution="the images that it was trained on stand in the run's record",
    ),
    draws=10,
    full_run=FullRun(
        wants="T1 MR of heads, or of parts of them, with voxels of about 1 mm: DIR/train, DIR/validation and DIR/test, each with NIfTI "
        "files or folders of one DICOM series",
        time="6 minutes on one thread",
        figure="not measured on held-out images yet",
    ),
)
