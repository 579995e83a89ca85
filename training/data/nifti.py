"""Cases from two folders of NIfTI files, images/ and labels/, a pair by one name (the layout of the Medical Segmentation Decathlon)."""

import csv
import hashlib
import itertools
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from pydicom.uid import CTImageStorage, MRImageStorage

from inference.imaging.geometry import OFF_GRID_STEPS
from inference.imaging.volume import SliceSource, Volume
from inference.imaging.write_series import from_nifti
from training.data.cases import Case, Labelled
from training.errors import UnfitData

_LEAST_MM3 = 1e-9
"""Of a voxel."""
_MOST_LABEL = 255
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
    known = participants(folder / "participants.tsv")
    return tuple(
        Case(patient=case, name=case, load=partial(read_labelled, images / name, labels / name, modality, known.get(case, {})))
        for case, name in ((name.split(".nii")[0], name) for name in there)
    )


def participants(file: Path) -> dict[str, dict[str, str]]:
    """What a participants.tsv says of each participant_id, of the columns that an evaluation may group by; nothing where there is no file.

    Raises
    ------
    UnfitData
    """
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


def read_labelled(image: Path, label: Path, modality: str, attributes: Mapping[str, str] = MappingProxyType({})) -> Labelled:
    """An image and the labels of its voxels, both NIfTI files on one grid.

    Raises
    ------
    UnfitData
        A file cannot be read, holds no volume, or no finite numbers; the labels lie on another grid, or are no whole numbers from 0 to 255.
    """
    voxels, affine = read_nifti(image)
    labels, other = read_nifti(label)
    if labels.shape != voxels.shape or not _same_place(affine, other, voxels.shape):
        raise UnfitData(f"{label} is not on the grid of {image}")
    if labels.min() < 0 or labels.max() > _MOST_LABEL or not np.array_equal(labels, labels.astype(np.uint8)):
        raise UnfitData(f"{label} holds other values than whole ones from 0 to 255")
    return Labelled(volume=volume_of(voxels, affine, modality, image.name), labels=labels.astype(np.uint8), attributes=attributes)


def _same_place(affine: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether the corners of two grids of one shape lie on each other."""
    corners = np.array([(z, y, x, 1) for z, y, x in itertools.product(*((0, side - 1) for side in shape))])
    return float(np.abs(corners @ (np.linalg.inv(affine) @ other).T - corners).max()) <= OFF_GRID_STEPS


def read_nifti(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (Z, Y, X) and their affine to LPS mm, as `from_nifti`.

    Raises
    ------
    UnfitData
        The file cannot be read, holds no volume, or says of no axis where it runs; or a voxel is no finite number.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        voxels, affine = from_nifti(file)
        header = nibabel.load(file).header
    except (OSError, ValueError, EOFError, zlib.error, ImageFileError, np.linalg.LinAlgError) as broken:
        raise UnfitData(f"{file} cannot be read as a volume: {broken}") from broken
    if voxels.dtype.kind not in "iuf":
        raise UnfitData(f"{file} holds {voxels.dtype}, not one number a voxel")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < _LEAST_MM3:
        raise UnfitData(f"{file}: its header does not say where its axes run")
    # what nibabel assumes then is nobody's word: a side would be guessed
    if not (header["sform_code"] or header["qform_code"]):
        raise UnfitData(f"{file}: its header does not say where its axes run (sform and qform have no code): write it with its affine")
    if not np.isfinite(voxels).all():
        raise UnfitData(f"{file}: {np.count_nonzero(~np.isfinite(voxels))} voxels are no finite numbers: give them a value (0, or air)")
    return voxels, affine


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
