"""Agatston scores of bodies whose score is arithmetic, and as scikit-image's regions give it; refused of images it is not defined on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from scipy import ndimage
from skimage.measure import label, regionprops

from inference import codes
from inference.imaging.measures.calcium import CORONARY_ARTERY, Agatston, agatston
from tests.unit.applications.bundle.images import volume
from tests.unit.imaging.measures.segments import refusal, results, segment

MEASURE = Agatston(segments=("a",))
EVERYWHERE = segment("a", np.ones((8, 40, 40), np.bool_), type=CORONARY_ARTERY)


def header(**changes: Any) -> Dataset:
    """A native CT at 120 kV in slices of 3 mm; None takes an attribute away."""
    made = Dataset()
    for keyword, value in {"KVP": "120", "SliceThickness": "3.0", **changes}.items():
        if value is not None:
            setattr(made, keyword, value)
    return made


def test_a_phantom_has_the_score_of_the_arithmetic() -> None:
    """Pixels of 0.25 mm². On one slice 20 of 150 HU (× 1), 16 of 250 (× 2), 12 of up to 350 (× 3), 8 of 400 (× 4): 45 mm²; on the next 4 of
    130 (1 mm²); not: 3 pixels (0.75 mm²), 129 HU, and what lies beyond the segment.
    Twice as many slices of half the thickness score the same."""
    voxels = np.zeros((8, 40, 40), np.int16)
    voxels[2, 2:6, 2:7] = 150
    voxels[2, 10:14, 2:6] = 250
    voxels[2, 20:23, 2:6] = 320
    voxels[2, 21, 3] = 350
    voxels[2, 30:34, 2:4] = 400
    voxels[3, 2:4, 2:4] = 130
    voxels[4, 2, 2:5] = 900
    voxels[5, 2:9, 2:9] = 129
    voxels[6, 2:9, 30:35] = 900
    mask = np.ones(voxels.shape, np.bool_)
    mask[:, :, 28:] = False
    expected = (20 * 1 + 16 * 2 + 12 * 3 + 8 * 4) * 0.25 + 1
    image = volume(voxels, (3.0, 0.5, 0.5))
    (coronary,) = results(MEASURE, image, replace(EVERYWHERE, mask=mask), headers=[header()])
    assert coronary.value == pytest.approx(expected)
    assert (coronary.name.value, coronary.unit.value) == ("450360000", "1")
    assert coronary.method is not None
    assert coronary.method.value == "112055"
    thin = volume(voxels.repeat(2, axis=0), (1.5, 0.5, 0.5))
    twice = segment("a", mask.repeat(2, axis=0), type=codes.LUNG)
    (other,) = results(MEASURE, thin, twice, headers=[header(SliceThickness="1.5")])
    assert other.value == pytest.approx(expected)
    assert (other.name.value, other.name.scheme) == ("112058", "DCM")


def test_thin_slices_score_as_the_thick_ones_that_they_make() -> None:
    """Three slices of 1 mm, of which noise alone reaches 130 HU, are averaged: nothing is left of it, and a plaque of 200 HU stays."""
    noise = np.random.default_rng(3).standard_normal((24, 40, 40)) * 60
    noise[6:12, 10:20, 10:20] += 250
    thin = volume(noise.astype(np.int16), (1.0, 0.5, 0.5))
    mask = np.ones(noise.shape, np.bool_)
    thick = volume(noise.astype(np.int16).reshape(8, 3, 40, 40).mean(axis=1).astype(np.float32), (3.0, 0.5, 0.5))
    (found,) = results(MEASURE, thin, replace(EVERYWHERE, mask=mask), headers=[header(SliceThickness="1")])
    (expected,) = results(MEASURE, thick, EVERYWHERE, headers=[header()])
    assert found.value == pytest.approx(expected.value, rel=1e-6)
    assert agatston(thin, mask) > 1.1 * found.value


@pytest.mark.parametrize(("thick", "apart"), [("2", 2.0), ("1", 1.5), ("1.7", 1.7)])
def test_slices_that_make_none_of_the_protocol_have_no_score(thick: str, apart: float) -> None:
    """Two of 2 mm are too thick and one is too thin; between slices of 1 mm every 1.5 mm something is left out."""
    image = volume(np.zeros((8, 40, 40), np.int16), (apart, 0.5, 0.5))
    told = refusal(MEASURE, image, EVERYWHERE, headers=[header(SliceThickness=thick)])
    assert f"slices of {thick} mm, {apart:g} mm apart, cannot be put together to such of 2.5 to 3 mm" in told


def test_the_scores_of_several_coronary_arteries_have_a_sum() -> None:
    """Of the sum goes risk; aortic calcium is not in it."""
    voxels = np.zeros((8, 40, 40), np.int16)
    voxels[2, 2:6, 2:6] = voxels[4, 20:24, 2:6] = voxels[6, 30:34, 30:34] = 150
    image = volume(voxels, (3.0, 0.5, 0.5))
    masks = [np.zeros(voxels.shape, np.bool_) for _ in range(3)]
    for mask, plane in zip(masks, (2, 4, 6), strict=True):
        mask[plane] = True
    vessels = [segment(name, mask, type=CORONARY_ARTERY) for name, mask in zip(("lad", "rca"), masks, strict=False)]
    aorta = segment("aorta", masks[2])
    said = results(Agatston(segments=("lad", "rca", "aorta")), image, *vessels, aorta, headers=[header()])
    assert [(one.segment, one.value, one.parts) for one in said] == [
        ("lad", 4.0, ()),
        ("rca", 4.0, ()),
        ("aorta", 4.0, ()),
        (None, 8.0, ("lad", "rca")),
    ]
    assert said[-1].name.value == "450360000"
    assert said[-1].total == CORONARY_ARTERY


def test_a_plaque_in_two_vessels_counts_once_in_the_sum() -> None:
    """The left main is also in what is marked as the whole left system: its 4 mm² are in the score of all once."""
    voxels = np.zeros((8, 40, 40), np.int16)
    voxels[2, 2:6, 2:6] = voxels[4, 20:24, 2:6] = 150
    whole = np.ones(voxels.shape, np.bool_)
    main = np.zeros(voxels.shape, np.bool_)
    main[2] = True
    vessels = [segment(name, mask, type=CORONARY_ARTERY) for name, mask in (("lm", main), ("left", whole))]
    said = results(Agatston(segments=("lm", "left")), volume(voxels, (3.0, 0.5, 0.5)), *vessels, headers=[header()])
    assert [(one.segment, one.value, one.parts) for one in said] == [("lm", 4.0, ()), ("left", 8.0, ()), (None, 8.0, ("lm", "left"))]


def test_a_plaque_that_two_vessels_share_a_thick_slice_of_counts_once_in_the_sum() -> None:
    """One vessel ends on a slice of 1.5 mm, the other goes on from the next: both slices are averaged, and each marks half of them."""
    voxels = np.zeros((8, 40, 40), np.int16)
    voxels[2:4, 2:6, 2:6] = 150
    masks = {name: np.zeros(voxels.shape, np.bool_) for name in ("lm", "left")}
    masks["lm"][:3], masks["left"][3:] = True, True
    vessels = [segment(name, mask, type=CORONARY_ARTERY) for name, mask in masks.items()]
    said = results(Agatston(segments=("lm", "left")), volume(voxels, (1.5, 0.5, 0.5)), *vessels, headers=[header(SliceThickness="1.5")])
    assert [(one.segment, one.value) for one in said] == [("lm", 4.0), ("left", 4.0), (None, 4.0)]


def test_padding_is_no_calcium() -> None:
    """Beyond the round field of view some scanners fill in numbers that are bright."""
    voxels = np.zeros((8, 40, 40), np.int16)
    voxels[2, 2:6, 2:6], voxels[:, 30:] = 150, 3000
    image = volume(voxels, (3.0, 0.5, 0.5))
    said = {"PixelPaddingValue": 4024, "RescaleSlope": "1", "RescaleIntercept": "-1024"}
    headers = [header(SOPInstanceUID=one.sop_instance_uid, **said) for one in image.sources]
    (found,) = results(MEASURE, image, EVERYWHERE, headers=headers)
    assert found.value == 4.0


@pytest.mark.parametrize("filled", [3000, -2000])
def test_padding_of_a_thin_slice_is_in_no_mean(filled: int) -> None:
    """Of three slices that are averaged one is padding: the other two make the plaque of 150 HU, neither brighter nor darker."""
    voxels = np.zeros((8, 40, 40), np.int16)
    voxels[0:3, 2:6, 2:6] = 150
    voxels[1] = filled
    image = volume(voxels, (1.0, 0.5, 0.5))
    said = {"SliceThickness": "1", "PixelPaddingValue": filled, "PixelRepresentation": 1, "RescaleSlope": "1", "RescaleIntercept": "0"}
    headers = [header(SOPInstanceUID=one.sop_instance_uid, **said) for one in image.sources]
    (found,) = results(MEASURE, image, EVERYWHERE, headers=headers)
    assert found.value == pytest.approx(4.0)


def test_noise_has_the_score_of_scikit_images_regions() -> None:
    """Spots of every size that touch at corners, too."""
    noise = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((8, 40, 40)), (0, 0.8, 0.8))
    voxels = (noise / noise.std() * 180).astype(np.int16)
    expected = 0.0
    for plane in voxels:
        for spot in regionprops(label(plane >= 130, connectivity=2), intensity_image=plane):
            area = spot.num_pixels * 0.6 * 0.5
            if area >= 1:
                expected += area * min(4, max(1, int(spot.intensity_max) // 100)) * 2.5 / 3
    (found,) = results(MEASURE, volume(voxels, (2.5, 0.6, 0.5)), EVERYWHERE, headers=[header(SliceThickness="2.5")])
    assert expected > 100
    assert found.value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ContrastBolusAgent": "ULTRAVIST 370"}, "contrast medium was given"),
        ({"SliceThickness": "5"}, "slices are 5 mm thick and 3 mm apart, not 3 mm or less"),
        ({"SliceThickness": None}, "SliceThickness is absent"),
        ({"KVP": "100"}, "the tube voltage is 100 kV, not 120 kV"),
        ({"KVP": None}, "KVP is absent"),
        (
            {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "VMI"], "SeriesDescription": "70 keV"},
            "these images are computed for one energy, 70 keV: their HU are not those of a tube voltage",
        ),
        (
            {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MAT_REMOVED"]},
            "a material was computed out of these images: their HU are not those that were measured",
        ),
        ({"RescaleType": "MGML"}, "the values of these images are MGML, not HU"),
    ],
)
def test_other_images_have_no_score(changes: dict[str, Any], told: str) -> None:
    """Each with its reason; a word that no contrast medium was given is none."""
    image = volume(np.zeros((8, 40, 40), np.int16), (3.0, 0.5, 0.5))
    one = [header(), header(**changes)]
    assert refusal(MEASURE, image, EVERYWHERE, headers=one) == f"Not measured: the Agatston score, because {told}."
    assert results(MEASURE, image, EVERYWHERE, headers=[header(ContrastBolusAgent="NONE")])[0].value == 0


def test_a_stack_that_is_not_axial_or_no_ct_has_no_score() -> None:
    """Coronal, too far apart, and MR."""
    image = volume(np.zeros((8, 40, 40), np.int16), (3.0, 0.5, 0.5))
    coronal = replace(image, affine=image.affine[[0, 2, 1, 3]])
    assert "the slices are not axial" in refusal(MEASURE, coronal, EVERYWHERE, headers=[header()])
    apart = volume(image.voxels, (4.0, 0.5, 0.5))
    assert "3 mm thick and 4 mm apart" in refusal(MEASURE, apart, EVERYWHERE, headers=[header()])
    assert "these images are no CT" in refusal(MEASURE, replace(image, modality="MR"), EVERYWHERE, headers=[header()])
    assert "KVP is absent" in refusal(MEASURE, image, EVERYWHERE)
