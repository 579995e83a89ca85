"""The lung nodule recipe over a few small made CTs, with a narrower network and a short schedule."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from inference.imaging.resample import Shape
from training.data.cases import Case, Split
from training.data.thoraxes import sides
from training.recipe import Schedule
from training.recipes.lung_nodule import RECIPE, network
from training.tasks.detection import Detector

SHAPE: Shape = (56, 80, 104)
MADE = {"train": 10, "validation": 2, "test": 4}


def made(data: Path | None, seed: int) -> Split:
    """Small ones: each is kept, and made once however often it is asked for."""
    split = sides(data, MADE, SHAPE)
    return Split(train=_kept(split.train), validation=_kept(split.validation), test=_kept(split.test))


def _kept(cases: Sequence[Case]) -> tuple[Case, ...]:
    return tuple(replace(case, load=cache(case.load)) for case in cases)


def tiny() -> Detector:
    """One and a half minutes of a processor."""
    return replace(
        RECIPE,
        sides=made,
        network=partial(network, (16, 32), (2,)),
        schedule=Schedule(epochs=6, batch=8, learning_rate=5e-3, patience=6),
        draws=60,
    )
