"""Made raw folders of nnU-Net: CT with a bright ball, which is label 1, among rods just as bright; written by nibabel, axes as asked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from .studies import AFFINE, thorax

SAID: Mapping[str, Any] = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".nii.gz"}


def raw_folder(folder: Path, count: int, axes: str = "RAS", **said: Any) -> Path:
    """dataset.json, imagesTr/ and labelsTr/ of `count` cases; stored with the axes that nibabel calls `axes`."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_dataset(folder, **{"numTraining": count, **said})
    for number in range(count):
        voxels, ball = thorax(number)
        write_nifti(folder / "imagesTr" / f"ball_{number:03d}_0000.nii.gz", voxels, axes)
        write_nifti(folder / "labelsTr" / f"ball_{number:03d}.nii.gz", ball.astype(np.uint8), axes)
    return folder


def write_dataset(folder: Path, **said: Any) -> None:
    """dataset.json, with other words than those of `SAID` where they are given; None takes one out."""
    words = {name: value for name, value in {**SAID, **said}.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(words), encoding="utf-8")


def write_nifti(path: Path, voxels: np.ndarray, axes: str = "RAS") -> None:
    """Voxels (Z, Y, X) that lie as `studies.AFFINE` says, stored along `axes`."""
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
    # array axes x, y, z: the columns of the affine that belong to them
    image = nibabel.Nifti1Image(np.ascontiguousarray(voxels.transpose(2, 1, 0)), to_ras[:, [2, 1, 0, 3]])
    turned = nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(axes))
    nibabel.save(image.as_reoriented(turned), path)
