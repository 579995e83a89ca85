"""The validators validate: each finds nothing in an object that another program made well, and something in one that was spoilt."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.lab import validators
from tests.lab.needs import data


@pytest.fixture
def liver() -> Path:
    """A segmentation of the liver on three CT slices, written by dcmqi."""
    return data("dicom", "ct_liver3_SEG", "liver.dcm")


def test_dciodvfy_passes_a_good_segmentation_and_finds_a_missing_attribute(liver: Path, tmp_path: Path) -> None:
    """SegmentationType is Type 1 (PS3.3 C.8.20.2): without it the object is wrong."""
    assert validators.dciodvfy(liver) == []
    spoilt = pydicom.dcmread(liver)
    del spoilt.SegmentationType
    spoilt.save_as(tmp_path / "spoilt.dcm")
    assert any("SegmentationType" in fault for fault in validators.dciodvfy(tmp_path / "spoilt.dcm"))


def test_dcentvfy_finds_two_names_of_one_patient(liver: Path, tmp_path: Path) -> None:
    """Attributes of the patient must agree across the files of a study."""
    slices = sorted(data("dicom", "ct_liver3_SEG", "ct-3slice").glob("*.dcm"))
    assert validators.dcentvfy(slices) == []
    other = pydicom.dcmread(slices[0])
    other.PatientName = "Other^Name"
    other.save_as(tmp_path / "other.dcm")
    assert any("PatientName" in fault for fault in validators.dcentvfy([*slices[1:], tmp_path / "other.dcm"]))


def test_dcmqi_puts_the_mask_where_the_slices_are(liver: Path) -> None:
    """The centroid that dcmqi gives agrees with frames and positions read by hand from the object's own attributes."""
    (segment,) = validators.segimage2itkimage(liver)
    seg = pydicom.dcmread(liver)
    frames = seg.pixel_array.astype(bool)
    assert segment.mask.sum() == frames.sum()
    positions = [frame.PlanePositionSequence[0].ImagePositionPatient for frame in seg.PerFrameFunctionalGroupsSequence]
    spacing = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    # axial: columns run along x, rows along y
    points = [
        (float(position[0]) + column * float(spacing[1]), float(position[1]) + row * float(spacing[0]), float(position[2]))
        for frame, position in zip(frames, positions, strict=True)
        for row, column in np.argwhere(frame)
    ]
    assert segment.centroid_mm == pytest.approx(np.mean(points, axis=0), abs=0.01)
    assert segment.points_mm().mean(axis=0) == pytest.approx(segment.centroid_mm)


def test_report_validators_refuse_what_is_no_report(liver: Path) -> None:
    """A validator that checked nothing must not look like one that found nothing."""
    assert validators.dsrdump(liver)[0] != []
    assert validators.pixelmed(liver) != []
