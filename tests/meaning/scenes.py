"""What is sent for one cell of either half of the matrix, and which results are right for it: sets of slices, each with its sum."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom import Dataset, dcmread

from inference.imaging.write_series import write_series
from tests.meaning.table import Cell, End, How, row_of

_AFFINE = np.array([[0.0, 0, 1, -8], [0, 1, 0, -8], [2, 0, 0, 0], [0, 0, 0, 1]])
"""Voxels of 1 mm x 1 mm x 2 mm."""
SLICES = 6
PEERS = {How.SAME: "CT1", How.OTHER: "PACS", How.ABSENT: "WHO"}
WHO = {"own": "CT1", "other": "PACS", "stranger": "WHO", "correct": "MASTER", "archive": "CT1B"}


@cache
def _slices() -> tuple[Dataset, ...]:
    """Six slices, of which the n-th (from 0) has 2^n voxels above zero: any sum says which slices are in it."""
    voxels = np.full((SLICES, 16, 16), -1000, np.int16)
    for number in range(SLICES):
        voxels[number].flat[100 : 100 + 2**number] = 60
    with TemporaryDirectory() as folder:
        return tuple(dcmread(path) for path in write_series(voxels, _AFFINE, Path(folder), modality="CT"))


def sum_cm3(numbers: Sequence[int]) -> float:
    """What the application says of these slices: by hand, two cubic millimetres a voxel."""
    return float(sum(1 << number for number in numbers)) * 2.0 / 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """One instance on its way: by whom, whose, which slice, and in which wave (0, or 1 when the first results stand)."""

    calling: str
    dataset: Dataset
    number: int
    wave: int
    turn: int
    """Within a wave: 0 for the first slices, then the halves of what is added."""

    @property
    def uid(self) -> str:
        return str(self.dataset.SOPInstanceUID)


@dataclass(slots=True)
class Scene:
    """One cell: what is sent, and the slices of every result that is right, each once."""

    name: str
    sent: list[Sent] = field(default_factory=list)
    results: list[tuple[int, ...]] = field(default_factory=list)
    remarked: tuple[int, ...] | None = None
    """The slices of the result that has a remark."""
    held: set[int] = field(default_factory=set)
    parked: set[int] = field(default_factory=set)
    """Slices of which it is said that they have no result: parked, or held."""


def _slice(number: int, key: str, **changes: str) -> Dataset:
    """A slice of the cell `key`: every identifier is the cell's own."""
    dataset = deepcopy(_slices()[number])
    base = f"1.2.826.0.1.3680043.8.498.14.{key}"
    said = {
        "SOPInstanceUID": f"{base}.9.{number}",
        "StudyInstanceUID": f"{base}.1",
        "SeriesInstanceUID": f"{base}.2",
        "FrameOfReferenceUID": f"{base}.3",
        "PatientID": f"A-{key}",
        "AccessionNumber": f"N-{key}",
        "PatientName": "Doe^Jane",
    }
    for keyword, value in {**said, **changes}.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def addition(cell: Cell, key: str) -> Scene:
    """Two slices, then two halves of two slices each."""
    base = f"1.2.826.0.1.3680043.8.498.14.{key}"
    others = {
        "patient": ("PatientID", f"B-{key}"),
        "study": ("StudyInstanceUID", f"{base}.4"),
        "series": ("SeriesInstanceUID", f"{base}.5"),
        "accession": ("AccessionNumber", f"M-{key}"),
        "frame": ("FrameOfReferenceUID", f"{base}.6"),
    }
    scene = Scene(name=f"{key}: {cell}")
    scene.sent = [Sent("CT1", _slice(number, key), number, 0, 0) for number in (0, 1)]
    for turn, (group, numbers) in enumerate(zip(cell.groups, ((2, 3), (4, 5)), strict=True), start=1):
        changes = {
            keyword: "" if group[thing] is How.ABSENT else other
            for thing, (keyword, other) in others.items()
            if group[thing] is not How.SAME
        }
        scene.sent += [Sent(PEERS[group["peer"]], _slice(number, key, **changes), number, int(cell.late), turn) for number in numbers]
    _right(scene, cell)
    return scene


def _right(scene: Scene, cell: Cell) -> None:
    """The hand's ends as sets of slices."""
    first, second = cell.groups
    ends = {(2, 3): row_of(first).end, (4, 5): row_of(second).end}
    if ends[2, 3] is End.OWN and cell.halves_share_a_series:
        beside = row_of(cell.second_beside_first).end
        ends[4, 5] = End.OWN if beside is End.JOINS else beside
    one_series = not cell.halves_share_a_series
    together, apart = [0, 1], list[int]()
    bad = {True: End.JOINS, False: End.JOINS}
    for numbers, end in ends.items():
        if end is End.HELD:
            scene.held |= set(numbers)
        elif end is End.APART:
            scene.parked |= set(numbers)
        else:
            joins = end is not End.OWN and (one_series or ends[2, 3] is not End.OWN)
            (together if joins else apart).extend(numbers)
            if end in (End.NONE, End.REMARK) and bad[joins] is not End.NONE:
                bad[joins] = end
    if cell.late:
        scene.results.append((0, 1))
    for numbers_, end in ((tuple(together), bad[True]), (tuple(apart), bad[False])):
        if end is End.NONE:
            scene.parked |= set(numbers_)
        elif numbers_ and numbers_ not in scene.results:
            scene.results.append(numbers_)
        if end is End.REMARK:
            scene.remarked = numbers_


def rewrite(who: str, what: str, end: End, key: str) -> Scene:
    """Four slices, all of them once more when the first result stands. Only additions have results beside it: their slices are named, so a
    revision of the same slices has the same numbers."""
    numbers = range(4)
    scene = Scene(name=f"{key}: {who} sends {what} again")
    scene.sent = [Sent("CT1", _slice(number, key), number, 0, 0) for number in numbers]
    for number in numbers:
        other = _slice(number, key)
        if what == "name":
            other.PatientName = "Roe^Jane"
        elif what == "patient" or (what == "half" and number > 1):
            other.PatientID = f"B-{key}"
        elif what == "pixels":
            other.PixelData = _slices()[number + 1].PixelData
        scene.sent.append(Sent(WHO[who], other, number, 1, 1))
    whole = tuple(numbers)
    scene.results = [whole, whole] if end is End.CORRECTION else [whole]
    scene.held = set(numbers[2:] if what == "half" else numbers) if end is End.HELD else set()
    scene.parked = set(numbers) if end in (End.NONE, End.CONFLICT) else set()
    return scene
