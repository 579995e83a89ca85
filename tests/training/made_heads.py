"""Made heads: a skull of lumpy tissue in air, each its own, as NIfTI in train, validation and test; and a small recipe over them."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from inference.applications.mr_denoise.preparing import LEAST, MOST
from training.adversarial import Adversarial
from training.data.cases import as_laid_out
from training.data.heads import sides
from training.recipe import Schedule
from training.recipes.restore import RECIPE, SCALE, Residual, distance
from training.tasks.restoration import Restorer

SHAPE = (56, 60, 12)
"""(X, Y, Z) voxels of 3 × 3 × 5 mm."""
LEVEL, SLICES = 0.08, 8


def heads(folder: Path) -> Path:
    """Write two heads to learn from, one to choose by and one to test by."""
    for number, name in enumerate(("train/one", "train/two", "validation/three", "test/four")):
        rng = np.random.default_rng(number)
        x, y, z = np.meshgrid(*(np.linspace(-1.15, 1.15, side) for side in SHAPE), indexing="ij")
        body = x**2 + y**2 + 0.3 * z**2 <= 1
        lumps = ndimage.gaussian_filter(rng.normal(size=SHAPE), 3)
        # flat tissues with edges between them, as in a head
        tissue = 600 + 120 * np.digitize(lumps / lumps.std(), (-0.8, 0.5))
        file = folder / f"{name}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(np.where(body, tissue, 0).astype(np.int16), np.diag([3.0, 3.0, 5.0, 1.0])), file)
    return folder


def tiny() -> Restorer:
    """The recipe with a narrower network and a few steps."""
    return replace(
        RECIPE,
        sides=as_laid_out(partial(sides, levels=(LEVEL,), slices=SLICES)),
        levels={f"{100 * LEVEL:g} %": (LEAST, MOST)},
        network=partial(Residual, 12),
        arms={"CNN": distance, "GAN": partial(Adversarial, 0.02, SCALE, 4)},
        schedule=Schedule(epochs=2, batch=4, learning_rate=1e-3, patience=2),
        draws=480,
    )
