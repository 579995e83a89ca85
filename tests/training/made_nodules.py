"""The lung nodule recipe over a few small made CTs, with a narrower network and a short schedule."""

from dataclasses import replace
from functools import partial

from inference.imaging.resample import Shape
from training.data.thoraxes import sides
from training.detection import Detector
from training.recipe import Schedule
from training.recipes.lung_nodule import RECIPE, network

SHAPE: Shape = (56, 80, 104)
MADE = {"train": 10, "validation": 2, "test": 4}


def tiny() -> Detector:
    """One and a half minutes of a processor."""
    return replace(
        RECIPE,
        sides=partial(sides, made=MADE, shape=SHAPE),
        network=partial(network, (16, 32), (2,)),
        schedule=Schedule(epochs=6, batch=8, learning_rate=5e-3, patience=6),
        draws=60,
    )
