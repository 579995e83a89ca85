"""Classification images from folders, one a class: who is a patient, what is decoded, and what each folder is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.imaging.write_series import write_series
from training.data.folders import classes, pixels
from training.errors import UnfitData

from .studies import AFFINE


def picture(path: Path, mode: str = "L") -> np.ndarray:
    made = np.random.default_rng(0).integers(0, 256, (5, 7, 3) if mode == "RGB" else (5, 7), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(made).save(path)
    return made


def test_pictures_and_their_patients(tmp_path: Path) -> None:
    """Classes by name; a folder below a class is a patient, also in two classes; a file right below it is one by itself."""
    made = picture(tmp_path / "ill" / "anna" / "1.png")
    picture(tmp_path / "well" / "anna" / "2.png")
    picture(tmp_path / "well" / "3.png")
    (tmp_path / "well" / "list.csv").write_text("of what is here")
    found = classes(tmp_path)
    assert found.names == ("ill", "well")
    assert [(each.label, each.patient) for each in found.pictures] == [(0, "anna"), (1, "3.png"), (1, "anna")]
    assert np.array_equal(pixels(found.pictures[0]), made)


def test_dicom_images_are_read_as_serving_reads_them(tmp_path: Path) -> None:
    """Modality values after the rescale, patients by ID and issuer, however deep the files lie."""
    voxels = np.arange(2 * 6 * 6, dtype=np.int16).reshape(2, 6, 6) - 500
    for name, patient in (("ill", "1"), ("well", "2")):
        issuer = {"IssuerOfPatientID": "A"}
        write_series(voxels, AFFINE, tmp_path / name / "x" / "y", modality="CT", patient_id=patient, extra=issuer)
    found = classes(tmp_path)
    assert [(each.label, each.patient) for each in found.pictures] == [(0, "1\\A"), (0, "1\\A"), (1, "2\\A"), (1, "2\\A")]
    assert np.array_equal(pixels(found.pictures[1]), voxels[1])


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    """One class, none, one without images, a picture in colour, or one cut short: each is told."""
    with pytest.raises(UnfitData, match="has 0 folders"):
        classes(tmp_path / "absent")
    picture(tmp_path / "ill" / "1.png", "RGB")
    with pytest.raises(UnfitData, match="has 1 folders"):
        classes(tmp_path)
    (tmp_path / "well").mkdir()
    with pytest.raises(UnfitData, match="no image in well"):
        classes(tmp_path)
    picture(tmp_path / "well" / "2.png")
    (tmp_path / "well" / "3.png").write_bytes((tmp_path / "well" / "2.png").read_bytes()[:40])
    found = classes(tmp_path)
    for each, told in zip(found.pictures[::2], ("mode RGB", "cannot be read"), strict=True):
        with pytest.raises(UnfitData, match=told):
            pixels(each)
