"""Which cases train, which choose the checkpoint, which are held out: by patient, by a hash of the name and the seed."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.errors import UnfitData
from training.recipe import Case

HELD_OUT = 0.2
VALIDATING = 0.1
"""Shares of all patients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Three sides; no patient stands on two."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]


def digest(*sides: Sequence[Case]) -> str:
    """Which cases stand on which side, in what order, as 16 hexadecimal digits."""
    return hashlib.sha256(repr([[case.name for case in side] for side in sides]).encode()).hexdigest()[:16]


def split(cases: Sequence[Case], seed: int) -> Split:
    """Put every patient on one side; each side has at least one.

    Raises
    ------
    UnfitData
        There are fewer than three patients.
    """
    patients = sorted({case.patient for case in cases}, key=lambda patient: hashlib.sha256(f"{seed} {patient}".encode()).digest())
    if len(patients) < 3:
        raise UnfitData(f"{len(patients)} patients cannot be split into training, validation and test")
    test = max(1, round(len(patients) * HELD_OUT))
    validation = max(1, round(len(patients) * VALIDATING))

    def of(chosen: Iterable[str]) -> tuple[Case, ...]:
        wanted = frozenset(chosen)
        return tuple(case for case in cases if case.patient in wanted)

    return Split(test=of(patients[:test]), validation=of(patients[test : test + validation]), train=of(patients[test + validation :]))
