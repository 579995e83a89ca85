"""Volumes that lie in a folder by name, each a NIfTI file or a folder with the files of one DICOM series."""

from pathlib import Path

from inference.imaging.regrid import straightened
from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti
from training.data.nifti import volume_of
from training.errors import UnfitData


def volumes(folder: Path) -> dict[str, Path]:
    """NAME.nii.gz and folders NAME, by name; none where the folder is not there."""
    return {path.name.split(".nii")[0]: path for path in sorted(folder.glob("*")) if path.is_dir() or ".nii" in path.name}


def read(path: Path, modality: str) -> Volume:
    """As serving would assemble it; a NIfTI file, which does not tell, is said to be of `modality`."""
    if path.is_dir():
        (assembled,) = subjects(Takes.VOLUME, "refuse", sorted(file for file in path.rglob("*") if file.is_file()))
        assert isinstance(assembled.subject, Volume), "which was asked for"
        return on_one_grid(assembled.subject)
    voxels, affine = from_nifti(path)
    return volume_of(voxels, affine, modality, path.name)


def on_one_grid(volume: Volume) -> Volume:
    """The volume, whose grid is straight and even.

    Raises
    ------
    UnfitData
        It is tilted, or its slices lie in unequal steps: serving straightens such a volume for its model, and labels lie on the acquired
        slices.
    """
    if straightened(volume) is not None:
        raise UnfitData(
            f"series {volume.series_instance_uid} has a tilted gantry ({volume.tilt_degrees:.1f} degrees) or unequal distances between its "
            "slices: leave it out, or reformat images and labels onto a straight, even grid"
        )
    return volume
