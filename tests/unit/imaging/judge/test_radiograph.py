"""Frontal radiographs of the chest are told from other ones, from negatives and from turned ones; real images all."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.catalog import load
from inference.findings import Evaluation, Findings
from inference.imaging.header import read_instance
from inference.imaging.judge.doubt import declines
from inference.imaging.judge.errors import ImagesForProcessing, OtherAnatomy
from inference.imaging.judge.expects import BodyPart, Expects, View
from inference.imaging.judge.judging import Judge
from inference.imaging.judge.radiograph import chest_doubts
from inference.imaging.single_images import images_from
from inference.imaging.subject import Image, Images
from inference.imaging.volume import SliceSource
from node.routing.decisions import seen
from node.routing.gate import not_applicable
from tests.lab import needs

CHEST = Expects(part=BodyPart.CHEST, view=View.FRONTAL_CHEST)


def image_of(pixels: NDArray[np.generic]) -> Image:
    return Image(
        pixels=pixels,
        source=SliceSource(sop_instance_uid="1.2", sop_class_uid="1.3"),
        series_instance_uid="1.4",
        inverted=False,
        spacing_mm=None,
        calibrated=False,
        view="",
        laterality="",
    )


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, False),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, False),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1", "PresentationIntentType": "FOR PRESENTATION"}, True),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1"}, True),
        ({}, True),
    ],
)
def test_what_a_detector_gave_is_no_film(said: dict[str, str], taken: bool) -> None:
    """Digital X-ray comes twice from many rooms: as it was measured, for processing, and as people look at it. By headers and when read."""
    header = Dataset()
    for keyword, value in {"Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA", "SOPInstanceUID": "1.2", **said}.items():
        setattr(header, keyword, value)
    images = Images(images=(image_of(np.arange(64.0).reshape(8, 8)),), modality="DX", study_instance_uid="1.3", series_instance_uid="1.4")
    told = {"Modality": "DX", "PatientAge": "004Y", "StudyInstanceUID": "1.3", "SeriesInstanceUID": "1.4", **said}
    kept = {keyword: (value,) for keyword, value in told.items()}
    gate = not_applicable(load("chest-xray"), seen("1.4", [(said.get("SOPClassUID", ""), kept)]))
    if taken:
        assert (Judge(CHEST, images, (header,)).before(), gate) == ((), "")
    else:
        assert gate == "the images are for processing, not for presentation (PresentationIntentType)"
        with pytest.raises(ImagesForProcessing, match="for processing, not for presentation"):
            Judge(CHEST, images, (header,)).before()


@pytest.fixture(scope="module")
def children() -> list[NDArray[np.uint8]]:
    """Fifty chests of the published set's test side, none of whom the model was learned from."""
    with zipfile.ZipFile(needs.data("labelled/chest_xray_kermany/test_subset.zip")) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpeg"))[::4]
        return [np.asarray(Picture.open(io.BytesIO(archive.read(name))).convert("L")) for name in names]


def test_chests_of_children_and_adults_are_taken(children: list[NDArray[np.uint8]], real: Callable[[str], list[Path]]) -> None:
    """None of fifty children and of ten adults is declined, nor when left and right are exchanged."""
    adults = [np.asarray(Picture.open(path).convert("L")) for path in real("labelled/chest_xray_nih") if path.suffix == ".png"]
    assert len(children) == 50
    assert len(adults) == 10
    for pixels in (*children, *adults):
        assert not declines(chest_doubts(image_of(pixels)))
        assert not declines(chest_doubts(image_of(pixels[:, ::-1])))


@pytest.mark.parametrize(
    ("change", "least"),
    [
        ("negative", 50),
        ("upside down", 40),
        ("on its side", 48),
        ("lower half", 35),
        ("upper half", 30),
        ("left half", 45),
        ("on black", 25),
    ],
)
def test_negatives_turned_chests_and_parts_of_them_are_not_taken(children: list[NDArray[np.uint8]], change: str, least: int) -> None:
    """What is bright is dark, feet up, lying, cut off: of 50 one at most is taken without a word, and most are declined."""
    changed = {
        "negative": [255 - pixels for pixels in children],
        "upside down": [pixels[::-1] for pixels in children],
        "on its side": [pixels.T[:, ::-1] for pixels in children],
        "lower half": [pixels[len(pixels) // 2 :] for pixels in children],
        "upper half": [pixels[: len(pixels) // 2] for pixels in children],
        "left half": [pixels[:, len(pixels) // 2 :] for pixels in children],
        "on black": [np.concatenate([0 * pixels[: len(pixels) // 2], pixels[len(pixels) // 2 :]]) for pixels in children],
    }
    doubts = [chest_doubts(image_of(pixels)) for pixels in changed[change]]
    assert sum(not each for each in doubts) <= 1
    assert sum(declines(each) for each in doubts) >= least


@pytest.mark.parametrize(
    ("file", "taken"),
    [
        ("dicom/xr/RG1_J2KI", True),
        ("dicom/xr/gdcm-CR-MONO1-10-chest.dcm", True),
        ("dicom/xr/RG2_JLSL", False),
        ("dicom/xr/RG3_JLSL", False),
        ("dicom/mg/GH133.dcm", False),
        ("dicom/mg/OutOfBoundsOverlay.dcm", False),
    ],
)
def test_real_radiographs(real: Callable[[str], list[Path]], file: str, taken: bool) -> None:
    """Two chests, one of them stored as MONOCHROME1, are taken; hip, shin and breasts are not, though headers may say nothing."""
    images, _, _ = images_from([read_instance(real(file)[0])], "")
    assert declines(chest_doubts(images.images[0])) is not taken


def test_an_answer_about_another_part_is_left_out(children: list[NDArray[np.uint8]]) -> None:
    """Of a chest and its negative the answer about the chest stands, and the reader is told, by the number that pages call the image by; of
    the negative alone it is declined."""
    chest, negative = image_of(children[0]), replace(image_of(255 - children[0]), number="12")
    both = Images(images=(chest, negative), modality="DX", study_instance_uid="1", series_instance_uid="1.4")
    said = Findings(evaluations=tuple(Evaluation(finding=codes.PNEUMONIA, value=codes.ABSENT, images=(index,)) for index in range(2)))
    judged = Judge(CHEST, both, ()).after(said)
    assert [each.images for each in judged.evaluations] == [(0,)]
    assert [caution.sentence[:21] for caution in judged.cautions] == ["Image 12 was left out"]
    with pytest.raises(OtherAnatomy, match="no image of series"):
        Judge(CHEST, replace(both, images=(negative,)), ()).after(replace(said, evaluations=said.evaluations[:1]))
