"""Made chests, laid out as the children's films are: two dark fields with a spot somewhere, small in half of them, wide in the others;
and a small recipe that sees 8 × 8 of their pixels as one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from training.recipe import Augment, Schedule
from training.recipes.chest_xray import RECIPE
from training.tasks.classification import Arm, Classifier

LEARNED, HELD_OUT = 140, 60
PIXELS = 28


def chests(folder: Path, seed: int = 0) -> Path:
    """Write films of one person each below `train` and `test`, every second one with what stands for pneumonia."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:PIXELS, :PIXELS]
    for number in range(LEARNED + HELD_OUT):
        picture = 120 + rng.normal(0, 8, (PIXELS, PIXELS)) - 60 * ((abs(x - 8) < 5) | (abs(x - 20) < 5)) * (abs(y - 14) < 10)
        down, across = rng.uniform(6, 22), rng.choice((8, 20)) + rng.uniform(-3, 3)
        # as much light in both: brightness alone, and the mean image, tell nothing
        variance = 3 if number % 2 else 10
        picture += 270 / variance * np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * variance))
        # what a film is stretched between is the same in both, too
        picture[-2:] = 230
        name = f"PNEUMONIA/person{number}_bacteria_1.png" if number % 2 else f"NORMAL/IM-{number:04d}-0001.png"
        file = folder / ("train" if number < LEARNED else "test") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(picture * rng.uniform(0.6, 1.2), 0, 255).astype(np.uint8)).save(file)
    return folder


class Spots(nn.Module):
    """Two convolutions, their features' means, and one linear layer: it can tell what each of its 20 × 20 cells adds."""

    def __init__(self) -> None:
        super().__init__()
        self._layers = nn.Sequential(
            nn.AvgPool2d(8), nn.Conv2d(1, 8, 5), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 5), nn.BatchNorm2d(8), nn.ReLU()
        )
        self._last = nn.Linear(8, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._last(self.features(images).mean(dim=(2, 3)))[:, 0]
        return logits

    def features(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._layers(images)
        return found

    def head(self) -> nn.Linear:
        return self._last


class Pixels(nn.Module):
    """One weight for 8 × 8 pixels: it has no features to tell of."""

    def __init__(self) -> None:
        super().__init__()
        self._layers = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(784, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._layers(images)[:, 0]
        return logits


def as_it_is() -> Augment:
    """No augmentation: of 224 × 224 pixels it would take longer than all else."""
    return lambda example, seed: example


def tiny() -> Classifier:
    """The chest radiograph recipe with two networks that train in seconds, from two seeds each."""
    arms: dict[str, Any] = {
        "spots": Arm(network=Spots, learning_rate=2e-2),
        "pixels": Arm(network=Pixels, learning_rate=1e-3),
    }
    schedule = Schedule(epochs=8, batch=10, learning_rate=2e-2, patience=8)
    return replace(RECIPE, arms=arms, network=arms["spots"].network, seeds=2, augment=as_it_is, schedule=schedule)
