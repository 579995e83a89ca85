"""The same instance again with other bytes: an update of its header, or other pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    MPEG4HP41,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from inference.imaging.compare import same_image
from inference.imaging.errors import NotDicom, UnsupportedSyntax

from .conftest import enhanced, one_instance, save

VALUES = np.random.default_rng(4).integers(0, 4096, (64, 80)).astype("u2")


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Twelve-bit noise, uncompressed."""
    return save(one_instance(VALUES, BitsStored=12, PatientName="Wrong^Name"), tmp_path / "original.dcm")


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_corrected_demographics_in_another_syntax_are_the_same_image(original: Path, syntax: UID, tmp_path: Path) -> None:
    """Another name, another packing: the pixels decode to the same values at the same place."""
    again = one_instance(
        VALUES, BitsStored=12, PatientName="Right^Name", syntax=ExplicitVRLittleEndian if syntax.is_encapsulated else syntax
    )
    if syntax.is_encapsulated:
        again.compress(syntax, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        again.PixelData = VALUES.byteswap().tobytes()
    path = save(again, tmp_path / "again.dcm")
    assert same_image(original, path)
    assert same_image(path, original)


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImagePositionPatient": [0, 0, 2]},
        {"PixelSpacing": [1, 1.5]},
        {"RescaleSlope": 2, "RescaleIntercept": 0},
        {"FrameOfReferenceUID": "1.2.99"},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PixelRepresentation": 1},
    ],
)
def test_another_place_or_meaning_is_another_image(original: Path, attributes: dict[str, Any], tmp_path: Path) -> None:
    """The bytes of the pixels are equal, what they say is not."""
    assert not same_image(original, save(one_instance(VALUES, BitsStored=12, **attributes), tmp_path / "b.dcm"))


def test_one_other_voxel_is_another_image(original: Path, tmp_path: Path) -> None:
    """In the last frame of many too, and in a compressed copy."""
    values = VALUES.copy()
    values[-1, -1] ^= 1
    other = one_instance(values, BitsStored=12)
    assert not same_image(original, save(other, tmp_path / "b.dcm"))
    other.compress(RLELossless, generate_instance_uid=False)
    assert not same_image(original, save(other, tmp_path / "c.dcm"))
    frames = np.stack([VALUES, VALUES])
    first = save(enhanced(frames, np.eye(2, 3)), tmp_path / "e1.dcm")
    frames[1, 0, 0] += 1
    assert not same_image(first, save(enhanced(frames, np.eye(2, 3)), tmp_path / "e2.dcm"))


def test_colour_compares_as_colour(tmp_path: Path) -> None:
    """Plane by plane or pixel by pixel, compressed or not: the same RGB."""
    rgb = np.random.default_rng(0).integers(0, 256, (8, 10, 3)).astype("u1")
    by_pixel = one_instance(rgb[..., 0], SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    by_pixel.PixelData = rgb.tobytes()
    first = save(by_pixel, tmp_path / "a.dcm")
    by_plane = one_instance(rgb[..., 0], SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=1)
    by_plane.PixelData = rgb.transpose(2, 0, 1).tobytes()
    assert same_image(first, save(by_plane, tmp_path / "b.dcm"))
    by_pixel.compress(RLELossless, generate_instance_uid=False)
    assert same_image(first, save(by_pixel, tmp_path / "c.dcm"))


def test_reports_have_no_pixels_that_could_differ(original: Path, tmp_path: Path) -> None:
    """Two without pixel data agree; one with and one without do not."""
    report = save(one_instance(VALUES, PixelData=None, Modality="SR"), tmp_path / "sr.dcm")
    assert same_image(report, report)
    assert not same_image(report, original)
    assert not same_image(original, report)


def test_a_video_is_compared_without_decoding_it(tmp_path: Path) -> None:
    """Equal streams are equal; unequal ones cannot be told apart here, and that is said."""
    video = one_instance(VALUES, BitsStored=12)
    video.compress(RLELossless, generate_instance_uid=False)
    video.file_meta.TransferSyntaxUID = MPEG4HP41
    first = save(video, tmp_path / "a.dcm")
    video.PatientName = "Right^Name"
    assert same_image(first, save(video, tmp_path / "b.dcm"))
    video.PixelData = video.PixelData[:-10] + b"\0" * 2 + video.PixelData[-8:]
    with pytest.raises(UnsupportedSyntax):
        same_image(first, save(video, tmp_path / "c.dcm"))


def test_what_is_no_dicom_is_said(original: Path, tmp_path: Path) -> None:
    """The error of the broken one of the two."""
    (tmp_path / "x").write_bytes(b"no")
    with pytest.raises(NotDicom):
        same_image(original, tmp_path / "x")
