"""Lumps of tissue in voxels of 1 mm, of which thick slices are made, and recipe super-resolution in its small form."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from training.data.cases import as_laid_out
from training.data.thick_slices import sides
from training.recipes.super_resolution import RECIPE, BetweenSlices
from training.tasks.restoration import Restorer

SHAPE = (30, 34, 32)
"""(X, Y, Z) voxels of 1 mm."""


def lumps(folder: Path) -> Path:
    """Write two to learn from, one to choose by, one to test by."""
    for number, name in enumerate(("train/one", "train/two", "validation/three", "test/four")):
        tissue = ndimage.gaussian_filter(np.random.default_rng(number).normal(size=SHAPE), 1.5)
        file = folder / f"{name}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image((600 + 150 * tissue / tissue.std()).astype(np.int16), np.eye(4)), file)
    return folder


def tiny() -> Restorer:
    """The recipe at two levels, with a narrower network and an epoch."""
    return replace(
        RECIPE,
        sides=as_laid_out(partial(sides, levels=(3, 5))),
        network=partial(BetweenSlices, 4, 2),
        levels={level: RECIPE.levels[level] for level in ("3 mm", "5 mm")},
        schedule=replace(RECIPE.schedule, epochs=1, batch=2),
        draws=1,
    )
