"""Volumes that lie in a folder by name, each a NIfTI file or a folder with the files of one DICOM series."""

from pathlib import Path

from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti
from training.data.nifti import volume_of


def volumes(folder: Path) -> dict[str, Path]:
    """NAME.nii.gz and folders NAME, by name; none where the folder is not there."""
    return {path.name.split(".nii")[0]: path for path in sorted(folder.glob("*")) if path.is_dir() or ".nii" in path.name}


def read(path: Path, modality: str) -> Volume:
    """As serving would assemble it; a NIfTI file, which does not tell, is said to be of `modality`."""
    if path.is_dir():
        (assembled,) = subjects(Takes.VOLUME, "refuse", sorted(file for file in path.rglob("*") if file.is_file()))
        assert isinstance(assembled.subject, Volume), "which was asked for"
        return assembled.subject
    voxels, affine = from_nifti(path)
    return volume_of(voxels, affine, modality, path.name)
