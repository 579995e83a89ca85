"""Cases from two folders of NIfTI files, images/ and labels/, a pair by one name (the layout of the Medical Segmentation Decathlon)."""

import csv
import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from pydicom.uid import CTImageStorage, MRImageStorage

from inference.imaging.volume import SliceSource, Volume
from inference.imaging.write_series import from_nifti
from training.data.cases import Case, Labelled
from training.errors import UnfitData

_UNKNOWN = "n/a"
"""In participants.tsv."""
_COLUMNS = frozenset({"sex", "age", "handedness", "group", "site", "manufacturer", "scanner", "field_strength"})
"""Of participants.tsv, what an evaluation may group by. Others (a name, a day of birth) would stand on a page that the console shows."""


def pairs(folder: Path, *, modality: str) -> tuple[Case, ...]:
    """One case for each name in both folders, sorted; images without labels are left out. Of whom it is, a name does not tell.

    Where a participants.tsv lies beside the two (as in BIDS: participant_id, sex, age and so on), its columns of `_COLUMNS` are what
    is known of a case.

    Raises
    ------
    UnfitData
        There are none.
    """
    images, labels = folder / "images", folder / "labels"
    there = sorted(path.name for path in labels.glob("*.nii*") if (images / path.name).is_file())
    if not there:
        raise UnfitData(f"{folder} has no images/NAME.nii.gz with labels/NAME.nii.gz")
    known = _participants(folder / "participants.tsv")
    return tuple(
        Case(patient=case, name=case, load=partial(_load, images / name, labels / name, modality, known.get(case, {})))
        for case, name in ((name.split(".nii")[0], name) for name in there)
    )


def _participants(file: Path) -> dict[str, dict[str, str]]:
    if not file.is_file():
        return {}
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t", strict=True))
        return {
            row["participant_id"]: {name: value for name, value in row.items() if name in _COLUMNS and value and value != _UNKNOWN}
            for row in rows
        }
    except (OSError, ValueError, KeyError, csv.Error) as broken:
        raise UnfitData(f"{file} is no table with a column participant_id: {broken!r}") from broken


def _load(image: Path, label: Path, modality: str, attributes: Mapping[str, str]) -> Labelled:
    voxels, affine = from_nifti(image)
    labels, other = from_nifti(label)
    if labels.shape != voxels.shape or not np.allclose(affine, other, atol=1e-3):
        raise UnfitData(f"{label} is not on the grid of {image}")
    if not np.array_equal(labels, labels.astype(np.uint8)):
        raise UnfitData(f"{label} holds other values than whole ones from 0 to 255")
    return Labelled(volume=volume_of(voxels, affine, modality, image.name), labels=labels.astype(np.uint8), attributes=attributes)


def volume_of(voxels: np.ndarray, affine: np.ndarray, modality: str, name: str) -> Volume:
    """Voxels (Z, Y, X) as a volume that no scanner made: its UIDs are derived from `name`, its images are called MR ones, or CT."""
    images = str(CTImageStorage if modality == "CT" else MRImageStorage)
    uid = f"2.25.{int.from_bytes(hashlib.sha256(name.encode()).digest()[:15])}"
    return Volume(
        voxels=voxels,
        affine=affine,
        sources=tuple(SliceSource(sop_instance_uid=f"{uid}.{z + 1}", sop_class_uid=images) for z in range(voxels.shape[0])),
        modality=modality,
        study_instance_uid=f"{uid}.0.1",
        series_instance_uid=f"{uid}.0.2",
        frame_of_reference_uid=f"{uid}.0.3",
    )
