"""Labelled cases, and which of them train, which choose the checkpoint, which are held out.

A split that nobody laid out goes by patient, by a hash of the name and the seed.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.imaging.subject import Images, VolumeSet
from inference.imaging.volume import Volume
from training.data.boxed import MarkedBox
from training.errors import UnfitData, UnfitSetting

HELD_OUT = 0.2
VALIDATING = 0.1
"""Shares of all patients."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """A volume as serving would assemble it, or several of one place, and the truth about it.

    Attributes
    ----------
    labels
        (Z, Y, X) uint8 on the volume's grid.
    attributes
        What is known of the case beside its images (sex, age in years, site), by name: the evaluation makes groups of it.
    role, others
        Where several volumes are looked at together: the role of `volume`, and the others by theirs, on its grid. "" where one is.
    """

    volume: Volume
    labels: NDArray[np.uint8]
    attributes: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    others: Mapping[str, Volume] = field(default_factory=dict)

    @property
    def subject(self) -> Volume | VolumeSet:
        """What serving gives to the application."""
        return VolumeSet(volumes={self.role: self.volume, **self.others}) if self.role else self.volume


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImage:
    """One image as serving would assemble it, and whether the finding is there."""

    images: Images
    positive: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledSubject:
    """A volume, several in roles, or one single image, as serving would assemble it, and of each of the recipe's classes or findings
    whether it is so, or of each of its quantities the number; where boxes are drawn, what they are, and which classes have any."""

    subject: Volume | VolumeSet | Images
    labels: tuple[float, ...]
    boxes: tuple[MarkedBox, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


class OwnSide(StrEnum):
    """Where data that bring their own split along put a case, those that nothing may be learned of first."""

    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One labelled volume of a patient, not read yet. Cases of one patient never stand on two sides of a split.

    Where the data do not name patients, every case counts as one (`DataTerms.split` says so). Of each `stratum` every side gets its share.
    `labels` is what a table says of it, for each channel; () where its truth lies in what is read. `part` is which fold of those that the
    data bring along holds it out, from 1; 0: none does, or they bring none. `side` is where data that bring one split along put it; None:
    they bring none. `ids` are PatientIDs with their issuers that headers or a table give its patient, where `patient` stands for several
    who count as one, or for nobody.
    """

    patient: str
    name: str
    load: Callable[[], Any]
    stratum: str = ""
    labels: tuple[float, ...] = ()
    part: int = 0
    side: OwnSide | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Three sides; no patient stands on two."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]


def digest(*sides: Sequence[Case]) -> str:
    """Which cases stand on which side, in what order, as 16 hexadecimal digits."""
    return hashlib.sha256(repr([[case.name for case in side] for side in sides]).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Which part of all patients is held out, of `count` parts that hold out each patient once; `number` from 1."""

    number: int
    count: int


def split(cases: Sequence[Case], seed: int, fold: Fold | None = None) -> Split:
    """Put every patient on one side; each side has at least one. Of folds that the data bring along, the first is held out by itself; sides
    that they bring along are kept.

    Raises
    ------
    UnfitData
        There are fewer than three patients, or than folds; or the data bring another number of folds along, or one split.
    """
    if any(case.side for case in cases):
        if fold is not None:
            raise UnfitData("the data bring one split along, and are not parted into folds: leave --folds out")
        return Split(**{side.value: tuple(case for case in cases if case.side is side) for side in OwnSide})
    patients = _in_turn(cases, seed)
    if any(case.part for case in cases):
        return _as_parted(cases, patients, fold)
    if len(patients) < 3:
        raise UnfitData(f"{len(patients)} patients cannot be split into training, validation and test")
    validation = max(1, round(len(patients) * VALIDATING))
    if fold is None:
        test = max(1, round(len(patients) * HELD_OUT))
    elif len(patients) < fold.count:
        raise UnfitData(f"{len(patients)} patients cannot be parted into {fold.count} folds")
    else:
        # stratum after stratum, so that each is parted evenly
        stratum = {case.patient: case.stratum for case in cases}
        held_out = sorted(patients, key=lambda patient: stratum[patient])[fold.number - 1 :: fold.count]
        patients, test = held_out + [patient for patient in patients if patient not in held_out], len(held_out)
        if test + validation >= len(patients):
            raise UnfitData(f"{fold.count} folds of {len(patients)} patients leave none to train on: more folds, or more patients")

    return _sides(cases, patients[:test], patients[test : test + validation], patients[test + validation :])


def _as_parted(cases: Sequence[Case], patients: Sequence[str], fold: Fold | None) -> Split:
    """The sides of a fold that the data bring along; of those that it does not hold out, every tenth patient chooses."""
    count, number = max(case.part for case in cases), 1 if fold is None else fold.number
    if fold is not None and fold.count != count:
        raise UnfitData(f"the data bring {count} folds along, and are not parted into {fold.count} others: --folds {count}, or none")
    test = frozenset(case.patient for case in cases if case.part == number)
    rest = [patient for patient in patients if patient not in test]
    validation = max(1, round(len(rest) * VALIDATING))
    if not test or len(rest) < 2:
        raise UnfitData(
            f"fold {number} that the data bring along holds out {len(test)} of {len(patients)} patients: nothing can be trained so"
        )
    return _sides(cases, test, rest[:validation], rest[validation:])


def _sides(cases: Sequence[Case], test: Iterable[str], validation: Iterable[str], train: Iterable[str]) -> Split:
    def of(chosen: Iterable[str]) -> tuple[Case, ...]:
        wanted = frozenset(chosen)
        return tuple(case for case in cases if case.patient in wanted)

    return Split(test=of(test), validation=of(validation), train=of(train))


def _in_turn(cases: Sequence[Case], seed: int) -> list[str]:
    """The patients by a hash of name and seed, those of every stratum spread evenly over all: each stretch then has its share of each."""
    strata: dict[str, set[str]] = {}
    # who has cases of several strata counts with the rarest: sorted by how many have it, the first is the one that is kept
    counted: dict[str, set[str]] = {}
    for case in cases:
        counted.setdefault(case.stratum, set()).add(case.patient)
    placed: set[str] = set()
    for stratum in sorted(counted, key=lambda one: (len(counted[one]), one)):
        strata[stratum] = counted[stratum] - placed
        placed |= counted[stratum]

    def drawn(patient: str) -> bytes:
        return hashlib.sha256(f"{seed} {patient}".encode()).digest()

    turns = [
        ((place + 0.5) / len(patients), drawn(patient), patient)
        for patients in strata.values()
        for place, patient in enumerate(sorted(patients, key=drawn))
    ]
    return [patient for _, _, patient in sorted(turns)]


Sides: TypeAlias = Callable[[Path | None, int], Split]
"""The split of a folder's data for a seed; None is no folder."""


@dataclass(frozen=True, slots=True)
class ByPatient:
    """The sides of a folder's cases, split by patient and seed; these alone can be folded.

    Raises UnfitSetting where no folder is named; so with `as_laid_out`.
    """

    cases: Callable[[Path], tuple[Case, ...]]
    fold: Fold | None = None

    def __call__(self, folder: Path | None, seed: int) -> Split:
        return split(self.cases(named(folder)), seed, self.fold)


def as_laid_out(sides: Callable[[Path], Split]) -> Sides:
    """The sides that a folder's data have by themselves; no seed changes them."""
    return partial(_as_laid_out, sides)


def named(folder: Path | None) -> Path:
    """The folder, which has to be named.

    Raises
    ------
    UnfitSetting
    """
    if folder is None:
        raise UnfitSetting("the recipe makes no data of its own: name a folder with --data")
    return folder


def _as_laid_out(sides: Callable[[Path], Split], folder: Path | None, seed: int) -> Split:
    return sides(named(folder))
