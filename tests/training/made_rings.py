"""Made MR of two series: a ball in each head, and in every second one a ring around it, bright on FLAIR and faint on T1."""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid

NAMES = ("T1", "FLAIR")
SHAPES = {"T1": (12, 32, 32), "FLAIR": (10, 24, 24)}
AFFINES = {
    "T1": np.array([[0, 0, 2, -32], [0, 2, 0, -32], [4, 0, 0, -24], [0, 0, 0, 1]], dtype=np.float64),
    "FLAIR": np.array([[0, 0, 2.5, -31], [0, 2.5, 0, -31], [4.5, 0, 0, -23], [0, 0, 0, 1]], dtype=np.float64),
}
_LIT = {"T1": -60, "FLAIR": 350}


def head(number: int, name: str) -> NDArray[np.int16]:
    """The voxels (Z, Y, X) of one series; odd numbers have a ring."""
    rng = np.random.default_rng((number, NAMES.index(name)))
    voxels = rng.normal(300, 20, SHAPES[name])
    # of both series in one place
    middle = np.random.default_rng(number).uniform((14, 22, 22), (30, 40, 40))
    steps = AFFINES[name][[2, 1, 0], [0, 1, 2]].reshape(3, 1, 1, 1)
    away = np.linalg.norm(np.indices(SHAPES[name]) * steps - middle.reshape(3, 1, 1, 1), axis=0)
    voxels[away < 9] += 250
    if number % 2:
        voxels[(away >= 9) & (away < 13)] += _LIT[name]
    return voxels.round().astype(np.int16)


def study_of(number: int) -> str:
    return derive_uid("rings", str(number))


def series_of(number: int, name: str) -> str:
    return derive_uid("rings", str(number), name)


def write_study(folder: Path, number: int, names: Sequence[str] = NAMES) -> list[Path]:
    """The files of a study with these series."""
    return [
        path
        for at, name in enumerate(names, start=1)
        for path in write_series(
            head(number, name),
            AFFINES[name],
            folder / f"{number}-{name}",
            modality="MR",
            patient_name=f"Study^{number}",
            patient_id=f"P-{number}",
            study_uid=study_of(number),
            series_uid=series_of(number, name),
            series_description=name,
            extra={"SeriesNumber": at, "FrameOfReferenceUID": derive_uid("rings", str(number), "frame"), "StudyDate": "20260310"},
        )
    ]


def write_rings(folder: Path, count: int, without_flair: Collection[int] = ()) -> Path:
    """So many studies in `folder`/studies, and their table, which has a column a role; some lack the FLAIR."""
    with (folder / "labels.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(("StudyInstanceUID", *NAMES, "Finding"))
        for number in range(count):
            lacking = number in without_flair
            write_study(folder / "studies", number, NAMES[:1] if lacking else NAMES)
            table.writerow((study_of(number), "T1", "" if lacking else "FLAIR", ("normal", "ring")[number % 2]))
    return folder / "labels.csv"
