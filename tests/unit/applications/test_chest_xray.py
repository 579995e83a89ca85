"""chest-xray: how a radiograph becomes 28 × 28 pixels, what is refused, and what a model's numbers become in findings and report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.accept import check
from inference.applications.catalog import load
from inference.applications.chest_xray.application import analyse
from inference.applications.chest_xray.errors import NotARadiograph, NotFrontal
from inference.applications.chest_xray.preparing import prepare
from inference.applications.declared import check_outputs
from inference.applications.port import ModelRef, Tensors
from inference.engines.port import Call
from inference.imaging.subject import Image, Images, Takes
from inference.imaging.subjects import subjects
from node.results.encode import encode
from tests.results import images as dicom
from tests.results import made
from tests.results.reports import comments, groups, named, number, read, referenced, value

LOW, HIGH = 0.25, 0.75


class Says:
    """A model that answers with these probabilities, one after the other, and the band from 0.25 to 0.75."""

    def __init__(self, *probabilities: float) -> None:
        self._left = list(probabilities)

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        (image,) = tensors.values()
        assert image.shape == (1, 1, 28, 28)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
        return {"OUTPUT__0": np.array([[LOW, HIGH, self._left.pop(0)]], dtype=np.float32)}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def smooth(rows: int = 280, columns: int = 280) -> NDArray[np.uint16]:
    """A bright body on a dark ground, 12 bits, the same picture at every size."""
    y, x = ((np.arange(count) + 0.5) / count for count in (rows, columns))
    picture: NDArray[np.uint16] = (
        200 + 3000 * np.exp(-(((y[:, None] - 0.4) / 0.3) ** 2) - ((x - 0.6) / 0.2) ** 2) + 400 * y[:, None]
    ).astype(np.uint16)
    return picture


def received(folder: Path, pixels: NDArray[np.uint16], **attributes: Any) -> Images:
    """Sent as a DX instance, and assembled."""
    rows, columns = pixels.shape
    file = dicom.radiograph(folder, 1, 1, Rows=rows, Columns=columns, PixelData=pixels.tobytes(), **attributes)
    (assembled,) = subjects(Takes.IMAGES, "refuse", [file], "")
    assert isinstance(assembled.subject, Images)
    return assembled.subject


def prepared(folder: Path, pixels: NDArray[np.uint16], **attributes: Any) -> NDArray[np.float32]:
    return prepare(received(folder, pixels, **attributes).images[0])


def test_a_picture_of_28_pixels_is_only_stretched(tmp_path: Path) -> None:
    """What training is shown of PneumoniaMNIST is the picture itself, between its own percentiles."""
    picture = smooth(28, 28)
    low, high = np.percentile(picture, (1, 99))
    np.testing.assert_allclose(prepared(tmp_path, picture), np.clip((picture - low) / (high - low), 0, 1), atol=1e-5)


def test_a_detector_image_becomes_the_picture(tmp_path: Path) -> None:
    """Ten times as many pixels, fewer bits, a negative, a window that shows all: the same 28 × 28 within a hundredth."""
    expected = prepared(tmp_path, smooth(28, 28))
    large = smooth()
    np.testing.assert_allclose(prepared(tmp_path, large), expected, atol=0.01)
    np.testing.assert_allclose(prepared(tmp_path, (large // 16).astype(np.uint16), BitsStored=8, HighBit=7), expected, atol=0.01)
    negative = (4095 - large).astype(np.uint16)
    np.testing.assert_allclose(prepared(tmp_path, negative, PhotometricInterpretation="MONOCHROME1"), expected, atol=0.01)
    np.testing.assert_allclose(prepared(tmp_path, large, WindowCenter=2048, WindowWidth=4096), expected, atol=0.01)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_window_is_applied_first(photometric: str, tmp_path: Path) -> None:
    """As if the values beyond it had never been there, also of a negative, whose window is turned over with it."""
    pixels, window = smooth(), {"WindowCenter": 1000.5, "WindowWidth": 1001}
    cut = np.clip(pixels, 500, 1500).astype(np.uint16)
    if photometric == "MONOCHROME1":
        pixels, cut, window = 4095 - pixels, 4095 - cut, {"WindowCenter": 4095 - 999.5, "WindowWidth": 1001}
    windowed = prepared(tmp_path, pixels, PhotometricInterpretation=photometric, **window)
    np.testing.assert_allclose(windowed, prepared(tmp_path, cut, PhotometricInterpretation=photometric), atol=1e-3)
    assert np.abs(windowed - prepared(tmp_path, pixels, PhotometricInterpretation=photometric)).max() > 0.1


def test_the_middle_square_is_taken_in_mm(tmp_path: Path) -> None:
    """What lies beside the square does not matter; pixels twice as tall as wide give the picture that square ones give."""
    wide = np.zeros((280, 480), dtype=np.uint16)
    wide[:, 100:380] = smooth()
    np.testing.assert_allclose(prepared(tmp_path, wide), prepared(tmp_path, smooth()), atol=0.01)
    tall_pixels = prepared(tmp_path, smooth(140, 280), ImagerPixelSpacing=[0.4, 0.2])
    np.testing.assert_allclose(tall_pixels, prepared(tmp_path, smooth()), atol=0.02)


def test_the_catalog_has_it_and_every_answer_passes_both_gates(tmp_path: Path) -> None:
    """Absent below the band, present from its end on, undetermined within, without a certainty; the probability is told in each case."""
    application = load("chest-xray")
    subject = received(tmp_path, smooth(), ViewPosition="PA")
    assert check(application, subject) == ()
    for probability, answer, certainty in (
        (0.125, codes.ABSENT, 0.875),
        (LOW, codes.UNDETERMINED, None),
        (0.5, codes.UNDETERMINED, None),
        (HIGH, codes.PRESENT, HIGH),
        (0.875, codes.PRESENT, 0.875),
    ):
        findings = analyse(subject, Says(probability))
        check_outputs(application, findings, subject)
        (found,) = findings.evaluations
        assert (found.finding, found.value, found.certainty, found.finding_site) == (codes.PNEUMONIA, answer, certainty, codes.LUNGS)
        assert f"probability of pneumonia {100 * probability:.1f} %" in findings.remarks[-1]


def test_the_report_says_what_it_is_good_for(tmp_path: Path) -> None:
    """Each frontal view has its answer, which names its image; the lateral one is left out; grade and data stand in the comments."""
    folder = tmp_path / "views"
    shown = {"Rows": 280, "Columns": 280, "PixelData": smooth().tobytes()}
    files = [dicom.radiograph(folder, index, 1, ViewPosition=view, **shown) for index, view in enumerate(("PA", "LL", "AP"), start=1)]
    (assembled,) = subjects(Takes.IMAGES, "refuse", files, "")
    assert isinstance(assembled.subject, Images)
    findings = analyse(assembled.subject, Says(0.875, 0.125))
    objects = encode(dicom.radiographs(files, findings, application=load("chest-xray")))
    assert made.kinds(objects)[0] == "sr"
    (report,) = read(objects, "sr")
    answers = groups(report)
    assert [value(group, codes.PNEUMONIA) for group in answers] == [codes.PRESENT.value, codes.ABSENT.value]
    assert [number(group, "111012") for group in answers] == [(87.5, "%"), (87.5, "%")]
    told = [referenced(item)[0] for group in answers for item in named(group, "121112")]
    assert told == [assembled.subject.sources[index].sop_instance_uid for index in (0, 2)]
    said = " ".join(comments(report))
    for sentence in ("Demonstration grade", "not for diagnosis", "28 × 28 pixels", "never validated on DICOM", "whether, not where"):
        assert sentence in said
    assert "1 of 3 images are no frontal views" in said


def test_what_is_no_frontal_radiograph_is_refused(tmp_path: Path) -> None:
    """Lateral views alone, an even image, colour."""
    lateral = received(tmp_path, smooth(), ViewPosition="LL")
    with pytest.raises(NotFrontal, match="LL"):
        analyse(lateral, Says())
    with pytest.raises(NotARadiograph, match="even"):
        analyse(received(tmp_path, np.full((90, 80), 7, dtype=np.uint16)), Says())
    with pytest.raises(NotARadiograph, match="even"):
        analyse(received(tmp_path, smooth(), WindowCenter=60000, WindowWidth=10), Says())
    grey: Image = received(tmp_path, smooth()).images[0]
    with pytest.raises(NotARadiograph, match="colour"):
        prepare(replace(grey, pixels=np.zeros((40, 40, 3), dtype=np.uint8)))
