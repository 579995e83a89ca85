"""Made data: crops with a bright body of two parts that lies somewhere else in each, as NIfTI pairs; and a small recipe over them."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import nibabel
import numpy as np
import pytest
import torch

from training import recipes
from training.recipe import Example, Recipe, Schedule
from training.recipes.hippocampus import RECIPE, network
from training.tasks.segmentation import Segmenter


def crops(folder: Path, count: int = 16, seed: int = 0) -> Path:
    """Write images/ and labels/ of `count` patients: two half ellipsoids, one brighter than the other, in noise; whole numbers."""
    rng = np.random.default_rng(seed)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        shape = rng.integers((32, 40, 30), (40, 56, 40))
        x, y, z = np.mgrid[tuple(slice(0, int(side)) for side in shape)]
        centre = shape / 2 + rng.uniform(-1, 1, 3) * (8, 10, 8)
        body = ((x - centre[0]) / 6) ** 2 + ((y - centre[1]) / 9) ** 2 + ((z - centre[2]) / 6) ** 2 <= 1
        # NIfTI's y runs to the front: label 1 is the front part, as in the Decathlon
        labels = np.where(body, np.where(y > centre[1], 1, 2), 0).astype(np.uint8)
        image = rng.normal(300, 40, tuple(shape)) + np.choose(labels, (0, 350, 250))
        affine = np.diag([1.0, 1.0, 1.0, 1.0])
        for name, array in (("images", np.rint(image).clip(0).astype(np.int16)), ("labels", labels)):
            nibabel.save(nibabel.Nifti1Image(array, affine), folder / name / f"made_{number:03d}.nii.gz")
    return folder


def as_recipe(monkeypatch: pytest.MonkeyPatch, name: str, recipe: Recipe) -> None:
    """`recipe` is what training/recipes/NAME.py has, as if that file were there."""
    module = ModuleType(f"training.recipes.{name}")
    monkeypatch.setattr(module, "RECIPE", recipe, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    known = {*recipes.names(), name}
    monkeypatch.setattr(recipes, "names", lambda: tuple(sorted(known)))


def tiny() -> Segmenter:
    """The hippocampus recipe with a narrower network and a shorter schedule."""
    return replace(
        RECIPE,
        network=partial(network, (8, 16, 32), (2, 2)),
        schedule=Schedule(epochs=6, batch=1, learning_rate=5e-3, patience=6),
    )


def smallest() -> Segmenter:
    """A recipe whose epochs take a moment: one convolution, no augmentation but noise; for the frame, not for its figures."""
    return replace(
        RECIPE,
        network=lambda: torch.nn.Conv3d(1, 3, 1),
        loss=lambda: lambda answer, target: torch.nn.functional.cross_entropy(answer, target[:, 0].long()),
        augment=lambda: noisy,
        score=lambda findings, labelled: scored(findings.measurements[0].value),
        watched="volume",
        schedule=Schedule(epochs=3, batch=2, learning_rate=1e-2, patience=3),
    )


def noisy(example: Example, seed: int) -> Example:
    noise = np.random.default_rng(seed).normal(0, 0.1, example.image.shape).astype(np.float32)
    return Example(image=example.image + noise, target=example.target)


def scored(value: float) -> Mapping[str, float]:
    return {"volume": value}
