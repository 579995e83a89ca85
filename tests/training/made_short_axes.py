"""Made slices of beating ventricles as the Sunnybrook packing lays them out; and the recipe over them with a network of few channels."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.cases import ByPatient, Case
from training.data.made_cines import made_cines
from training.networks.periodic import BeatPhases
from training.recipe import Schedule
from training.recipes.cardiac_phase import RECIPE as PHASES
from training.recipes.left_ventricle import RECIPE, network
from training.tasks.key_phases import KeyPhases
from training.tasks.phases import PhaseSegmenter

SLICES, SIDE = 7, 180


def short_axis_slices(folder: Path, count: int = 6, seed: int = 0) -> Path:
    """images/ and labels/ of `count` patients: a bright disc in a dark ring amid noise, smaller towards the apex and at end-systole.

    Of the slice nearest to the apex the cavity is closed at end-systole: it is not drawn, and not there.
    """
    rng = np.random.default_rng(seed)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    for patient in range(count):
        row, column = SIDE / 2 + rng.uniform(-6, 6, 2)
        ratio = rng.uniform(0.5, 0.85)
        for slice_ in range(SLICES):
            for frame, share in ((0, 1.0), (8, ratio)):
                radius = share * 20 * np.sqrt(1 - (slice_ / SLICES) ** 2)
                if frame and slice_ == SLICES - 1:
                    continue
                far = np.hypot(y - row, x - column)
                image = np.where(far <= radius, 200.0, np.where(far <= radius + 8, 50.0, 110.0)) + rng.normal(0, 12, far.shape)
                # the right ventricle, as bright
                image[np.hypot(y - row, x - column + 48) <= 14] += 90
                file = f"SC-N-{patient + 1:02}_{slice_ * 20 + frame + 1:04}.png"
                Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / file)
                Image.fromarray((far <= radius).astype(np.uint8) * 255).save(folder / "labels" / file)
    return folder


def tiny() -> PhaseSegmenter:
    """The recipe with fewer channels and a shorter schedule, too short for an average of its weights."""
    return replace(
        RECIPE,
        network=partial(network, (8, 16, 32)),
        schedule=Schedule(epochs=2, batch=8, learning_rate=1e-2, patience=2),
        draws=24,
        averaged=0.0,
    )


def one_cine_each(folder: Path) -> tuple[Case, ...]:
    """Fewer cines than recipe cardiac-phase makes of a patient."""
    return tuple(case for case in made_cines(folder) if case.name.endswith(" 1"))


def tiny_phases() -> KeyPhases:
    """Recipe cardiac-phase with fewer channels and a few steps, on one cine of each patient."""
    return replace(
        PHASES,
        network=partial(BeatPhases, 64, (8, 16, 16, 16), 12),
        sides=ByPatient(one_cine_each),
        schedule=Schedule(epochs=1, batch=8, learning_rate=1e-2, patience=1),
        draws=48,
        averaged=0.0,
    )
