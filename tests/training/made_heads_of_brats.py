"""Made MR of four contrasts, laid out as BraTS and as BIDS: a shell of edema around a bright core, which no single contrast tells apart."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .made_raw_folder import write_nifti

SHAPE = (24, 32, 32)
CONTRASTS = ("flair", "t1", "t1ce", "t2")


def head(seed: int) -> tuple[dict[str, NDArray[np.int16]], NDArray[np.uint8]]:
    """Of each contrast its values (Z, Y, X), and the labels: 1 necrosis, 2 edema, 4 enhancing tumor, as BraTS numbered them until 2021."""
    rng = np.random.default_rng(seed)
    at = np.indices(SHAPE)
    centre = rng.uniform(9, np.array(SHAPE) - 9)
    away = np.linalg.norm(at - centre[:, None, None, None], axis=0)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[away < 8] = 2
    labels[away < 5] = 4
    labels[away < 2.5] = 1
    lit = {"flair": {2: 400, 4: 400, 1: 400}, "t1": {1: -150}, "t1ce": {4: 500, 1: -150}, "t2": {2: 300, 4: 300, 1: 450}}
    images = {}
    for contrast in CONTRASTS:
        values = rng.normal(300, 20, SHAPE)
        for value, change in lit[contrast].items():
            values[labels == value] += change
        images[contrast] = values.round().astype(np.int16)
    return images, labels


def brats_folder(folder: Path, count: int) -> Path:
    """A folder a case, named as in 2020."""
    for number in range(count):
        write_case(folder / f"BraTS20_Training_{number + 1:03d}", number)
    return folder


def write_case(place: Path, seed: int, contrasts: tuple[str, ...] = CONTRASTS) -> None:
    """One case of 2020; `contrasts` are those that it has."""
    place.mkdir(parents=True)
    images, labels = head(seed)
    for contrast in contrasts:
        write_nifti(place / f"{place.name}_{contrast}.nii.gz", images[contrast])
    write_nifti(place / f"{place.name}_seg.nii.gz", labels)


def write_later_case(place: Path, seed: int) -> None:
    """One case as BraTS names and numbers it since 2023."""
    place.mkdir(parents=True)
    images, labels = head(seed)
    for contrast, name in {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2w"}.items():
        write_nifti(place / f"{place.name}-{name}.nii.gz", images[contrast])
    write_nifti(place / f"{place.name}-seg.nii.gz", np.where(labels == 4, 3, labels).astype(np.uint8))


def bids_folder(folder: Path, visits: Mapping[str, tuple[str, ...]], said: str = "participant_id\tsex\tage\n") -> Path:
    """`visits` are the sessions of each subject, ("",) where there are none: T1w and FLAIR of each, and a mask of its core on the FLAIR."""
    folder.mkdir(parents=True)
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "made", "BIDSVersion": "1.9.0"}))
    (folder / "participants.tsv").write_text(said)
    seed = 0
    for subject, sessions in visits.items():
        for session in sessions:
            name = f"{subject}_{session}" if session else subject
            place = Path(subject, session, "anat") if session else Path(subject, "anat")
            drawn = folder / "derivatives" / "drawn" / place
            for made in (folder / place, drawn):
                made.mkdir(parents=True)
            images, labels = head(seed)
            write_nifti(folder / place / f"{name}_T1w.nii.gz", images["t1"])
            write_nifti(folder / place / f"{name}_FLAIR.nii.gz", images["flair"])
            write_nifti(drawn / f"{name}_label-lesion_mask.nii.gz", (labels > 0).astype(np.uint8))
            seed += 1
    return folder
