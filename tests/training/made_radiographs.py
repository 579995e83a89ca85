"""Made chests of 28 × 28: two dark fields with a spot somewhere, small in half of them, wide in the others; and a small recipe."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from training.recipe import Schedule
from training.recipes.chest_xray import RECIPE
from training.tasks.classification import Arm, Classifier

COUNTS = {"train": 100, "val": 40, "test": 60}


def chests(folder: Path, seed: int = 0) -> Path:
    """Write made.npz as MedMNIST lays it out."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:28, :28]
    arrays: dict[str, Any] = {}
    for side, count in COUNTS.items():
        labels = np.arange(count) % 2
        pictures = []
        for label in labels:
            picture = 120 + rng.normal(0, 8, (28, 28)) - 60 * ((abs(x - 8) < 5) | (abs(x - 20) < 5)) * (abs(y - 14) < 10)
            down, across = rng.uniform(6, 22), rng.choice((8, 20)) + rng.uniform(-3, 3)
            # as much light in both: brightness alone, and the mean image, tell nothing
            variance = 3 if label else 15
            picture += 270 / variance * np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * variance))
            pictures.append(np.clip(picture * rng.uniform(0.6, 1.2), 0, 255).astype(np.uint8))
        arrays |= {f"{side}_images": np.stack(pictures), f"{side}_labels": labels.astype(np.uint8)[:, None]}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "made.npz", **arrays)
    return folder


class Spots(nn.Module):
    """Two convolutions, their features' means, and one linear layer: it can tell what each of its 20 × 20 cells adds."""

    def __init__(self) -> None:
        super().__init__()
        self._layers = nn.Sequential(nn.Conv2d(1, 8, 5), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 5), nn.BatchNorm2d(8), nn.ReLU())
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
    """One weight a pixel: it has no features to tell of."""

    def __init__(self) -> None:
        super().__init__()
        self._layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._layers(images)[:, 0]
        return logits


def tiny() -> Classifier:
    """The chest radiograph recipe with two networks that train in seconds, from two seeds each."""
    arms = {
        "spots": Arm(network=Spots, learning_rate=2e-2),
        "pixels": Arm(network=Pixels, learning_rate=1e-3),
    }
    schedule = Schedule(epochs=8, batch=10, learning_rate=2e-2, patience=8)
    return replace(RECIPE, arms=arms, network=arms["spots"].network, seeds=2, schedule=schedule)
