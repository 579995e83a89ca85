"""Volumes, and the same image as MONAI would have it: a NIfTI-like MetaTensor with axes (x, y, z) and an affine to RAS mm."""

import copy
from typing import Any

import numpy as np

from inference.imaging.subject import Image, Images
from inference.imaging.volume import SliceSource, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume(voxels: Any, spacing_mm: tuple[float, float, float], *, tilt: float = 0.0, modality: str = "CT") -> Volume:
    """Axial slices from the feet up, rows to the back, columns to the left; `tilt` turns the whole about the patient's long axis (rad)."""
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    # columns: the step from slice to slice, from row to row, from column to column
    affine[:3, :3] = turn @ np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) @ np.diag(spacing_mm)
    affine[:3, 3] = (-31.5, 17.25, -80.0)
    return Volume(
        voxels=voxels,
        affine=affine,
        sources=tuple(SliceSource(sop_instance_uid=f"1.2.{n}", sop_class_uid="1.2") for n in range(voxels.shape[0])),
        modality=modality,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        frame_of_reference_uid="1.2.3.5",
    )


def blobs(shape: tuple[int, int, int], seed: int = 0) -> Any:
    """A smooth image with bright and dark places, about -300 to 600, whole numbers as CT has."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, 2.5)
    return np.rint(smooth / smooth.std() * 150 + 100).astype(np.int16)


def meta_tensor(given: Volume) -> Any:
    """The image as `LoadImaged` and `EnsureChannelFirstd` give it."""
    import torch
    from monai.data import MetaTensor

    swap = np.eye(4)[[2, 1, 0, 3]]
    affine = LPS_TO_RAS @ given.affine @ swap
    values = given.voxels.transpose(2, 1, 0).astype(np.float32)
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(values))[None], affine=torch.from_numpy(affine))


def pictures(*pixels: Any, modality: str) -> Images:
    """A series of single images."""
    source = SliceSource(sop_instance_uid="1.2.3", sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1")
    said: dict[str, Any] = {"source": source, "inverted": False, "spacing_mm": None, "calibrated": False, "view": "", "laterality": ""}
    each = tuple(Image(pixels=one, series_instance_uid="1.2", **said) for one in pixels)
    return Images(images=each, modality=modality, study_instance_uid="1", series_instance_uid="1.2")


def as_slices(array: Any) -> Any:
    """An array (x, y, z) of MONAI's, on its image's own grid, as (slice, row, column)."""
    return np.asarray(array).transpose(2, 1, 0)


def monai_blocks(config: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Preprocessing, inferer and postprocessing of a bundle's configuration as MONAI builds them, but for what reads and writes files."""
    from monai.bundle import ConfigParser

    config = copy.deepcopy(config)
    for block in ("preprocessing", "postprocessing"):
        transforms = config[block]["transforms"]
        listed = config[transforms.strip("$@ ")] if isinstance(transforms, str) else transforms
        config[block]["transforms"] = [each for each in listed if each["_target_"].split(".")[-1] not in _FILES]
    config["device"] = "cpu"
    parser = ConfigParser(config)
    before, called, after = (parser.get_parsed_content(block) for block in ("preprocessing", "inferer", "postprocessing"))
    return before, called, after


_FILES = ("LoadImaged", "EnsureChannelFirstd", "SaveImaged")
