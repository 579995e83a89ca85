"""Two visits of one patient with multiple sclerosis (FLAIR, Ljubljana, CC BY) as two DICOM studies, and how they lie to each other.

The published transforms are affine: each visit to a common space halfway. Their rigid part is what a rigid registration can find; what is
left over (scales of up to 0.8 %) is how far the best rigid motion is from them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.imaging.write_series import from_nifti, write_series

FOLDER = "labelled/ms_longitudinal_p12"
PATIENT = {"PatientID": "MS-12", "PatientBirthDate": "19700101", "PatientSex": "F"}
DAYS = ("20220301", "20230305")
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Visits:
    """The folders of the earlier and the later study, and the published motion from the one to the other in mm (LPS)."""

    folders: tuple[Path, Path]
    motion: Matrix
    tissue: Matrix
    """(N, 4) points of the earlier study that are not air."""

    def error_mm(self, matrix: Matrix) -> NDArray[np.float64]:
        """How far `matrix` takes each point of the tissue from where the published motion takes it."""
        away: NDArray[np.float64] = np.linalg.norm((self.tissue @ matrix.T - self.tissue @ self.motion.T)[:, :3], axis=1)
        return away

    def best_rigid(self) -> Matrix:
        """The rigid motion nearest to the published one, in the least squares over the tissue (Kabsch)."""
        before, after = self.tissue[:, :3], (self.tissue @ self.motion.T)[:, :3]
        left, _, right = np.linalg.svd((before - before.mean(0)).T @ (after - after.mean(0)))
        rotation = right.T @ np.diag([1.0, 1.0, np.sign(np.linalg.det(right.T @ left.T))]) @ left.T
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = rotation, after.mean(0) - rotation @ before.mean(0)
        return matrix


def visits(real: Callable[[str], list[Path]], folder: Path, *, moved: Matrix | None = None, **extra: Any) -> Visits:
    """Write both visits below `folder`; `moved` is a rigid motion that the earlier one is carried off by, exactly: its voxels stay."""
    files = {path.name: path for path in real(FOLDER)}
    moved = np.eye(4) if moved is None else moved
    folders, tissue = [], np.empty((0, 4))
    for number, day in enumerate(DAYS, start=1):
        voxels, affine = from_nifti(files[f"study{number}_FLAIR.nii.gz"])
        if number == 1:
            affine = moved @ affine
            bright = np.argwhere(voxels > 150)[::200]
            tissue = np.c_[bright, np.ones(len(bright))] @ affine.T
        header: Mapping[str, Any] = {
            "StudyDate": day,
            "SeriesDate": day,
            "AcquisitionDate": day,
            "ContentDate": day,
            "BodyPartExamined": "HEAD",
            "ProtocolName": "FLAIR 3D",
            "StudyDescription": f"MR head, visit {number}",
            **PATIENT,
            **extra,
        }
        place = folder / f"visit{number}"
        write_series(voxels, affine, place, modality="MR", patient_id=PATIENT["PatientID"], series_description="FLAIR", extra=header)
        folders.append(place)
    earlier, later = (transform_of(files[f"study{number}_FLAIR_to_common_space.txt"]) for number in (1, 2))
    motion = later @ np.linalg.inv(earlier)
    return Visits(folders=(folders[0], folders[1]), motion=motion @ np.linalg.inv(moved), tissue=tissue)


def transform_of(path: Path) -> Matrix:
    """An ITK transform file: a matrix and a translation about a centre, from the common space to the visit's (LPS)."""
    values = {
        key: np.array(text.split(), dtype=float)
        for key, _, text in (line.partition(": ") for line in path.read_text().splitlines())
        if "arameters" in key
    }
    matrix, centre = np.eye(4), values["FixedParameters"]
    matrix[:3, :3] = values["Parameters"][:9].reshape(3, 3)
    matrix[:3, 3] = values["Parameters"][9:] + centre - matrix[:3, :3] @ centre
    return matrix
