"""Statistics of values: equal to SimpleITK's, by the slices' own distances, in the unit of the images, or refused with the reason."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from inference.findings import Findings, in_phase
from inference.imaging.measures.measuring import measured
from inference.imaging.measures.values import Deviation, Mean, ShareAbove, ShareBelow
from inference.imaging.subject import Phases, Timing
from inference.imaging.volume import Volume
from tests.unit.applications.bundle.images import blobs, volume
from tests.unit.imaging.measures.segments import refusal, results, segment

SPACING = (2.5, 0.7, 0.9)


def header(**values: object) -> Dataset:
    """The header of an image."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


ADC = header(ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"])


def adc(*, units: str = "", slope: float = 1.0, intercept: float = 0.0, **more: object) -> Dataset:
    """The header of an ADC map with a mapping to real world values in `units`."""
    made = header(ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], **more)
    if units:
        code = header(CodeValue=units, CodingSchemeDesignator="UCUM", CodeMeaning=units)
        mapping = header(MeasurementUnitsCodeSequence=[code], RealWorldValueSlope=slope, RealWorldValueIntercept=intercept)
        made.RealWorldValueMappingSequence = [mapping]
    return made


def organ() -> tuple[Volume, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """An image of blobs, and an ellipsoid in it that meets no border."""
    image = volume(blobs((14, 40, 36)), SPACING)
    z, y, x = np.ogrid[:14, :40, :36]
    return image, ((z - 6) / 5) ** 2 + ((y - 18) / 14) ** 2 + ((x - 20) / 9) ** 2 <= 1


def test_mean_and_deviation_are_those_of_simpleitk() -> None:
    """Its label statistics divide the variance by one less than the number of voxels."""
    image, mask = organ()
    statistics = sitk.LabelStatisticsImageFilter()
    statistics.Execute(sitk.GetImageFromArray(image.voxels.astype(np.float64)), sitk.GetImageFromArray(mask.astype(np.uint8)))
    count = statistics.GetCount(1)
    (mean,) = results(Mean(segments=("organ",)), image, segment("organ", mask))
    (deviation,) = results(Deviation(segments=("organ",)), image, segment("organ", mask))
    assert (mean.name.value, mean.unit.value, mean.segment) == ("112031", "[hnsf'U]", "organ")
    assert mean.value == pytest.approx(statistics.GetMean(1), rel=1e-12)
    assert deviation.value == pytest.approx(statistics.GetSigma(1) * np.sqrt((count - 1) / count), rel=1e-9)
    assert mean.derivation is not None
    assert deviation.derivation is not None
    assert (mean.derivation.meaning, deviation.derivation.meaning) == ("Mean", "Standard Deviation")


@pytest.mark.parametrize("limit", [60.0, 100.5, 300.0])
def test_shares_are_those_of_simpleitks_threshold(limit: float) -> None:
    """Strictly below and strictly above: what equals the threshold is in neither."""
    image, mask = organ()
    inside = sitk.GetImageFromArray(mask.astype(np.uint8))
    values = sitk.GetImageFromArray(image.voxels.astype(np.float64))
    count = sitk.GetArrayViewFromImage(inside).sum()
    (below,) = results(ShareBelow(segments=("organ",), limit=limit), image, segment("organ", mask))
    (above,) = results(ShareAbove(segments=("organ",), limit=limit), image, segment("organ", mask))
    assert below.value == pytest.approx(100 * sitk.GetArrayFromImage((values < limit) & inside).sum() / count, rel=1e-12)
    assert above.value == pytest.approx(100 * sitk.GetArrayFromImage((values > limit) & inside).sum() / count, rel=1e-12)
    assert (below.unit.value, below.name.meaning) == ("%", f"Share of volume below {limit:g} HU")
    assert above.name.meaning == f"Share of volume above {limit:g} HU"


@pytest.mark.parametrize(
    ("described", "told"),
    [
        ("Thorax 1.0 Br40 70keV", ""),
        ("MonoE 40 keV", "these images are computed for one energy, 40 keV: their HU are not those of a tube voltage"),
        ("Monoenergetic", "these images are computed for one energy, which is not said: their HU are not those of a tube voltage"),
        ("GSI Monochromatic", "these images are computed for one energy, which is not said: their HU are not those of a tube voltage"),
        ("Carotis PURELumen Bv48", "a material was computed out of these images: their HU are not those that were measured"),
        ("Abdomen VNC", "a material was computed out of these images: their HU are not those that were measured"),
    ],
)
def test_no_threshold_is_one_on_values_of_another_energy(described: str, told: str) -> None:
    """-950 HU in a lung, 130 HU of a plaque: what they divide lies elsewhere at 40 keV, and where iodine was computed out."""
    image, mask = organ()
    given = [header(Modality="CT", ImageType=["DERIVED", "PRIMARY", "AXIAL"], SeriesDescription=described)]
    measure = ShareBelow(segments=("organ",), limit=100.0)
    if told:
        assert refusal(measure, image, segment("organ", mask), headers=given).endswith(f"because {told}.")
    else:
        assert results(measure, image, segment("organ", mask), headers=given)


def test_slices_that_lie_farther_apart_count_for_more() -> None:
    """Slices at 0, 2 and 8 mm of one voxel each, of 0, 100 and 200 HU, stand for 2, 4 and 6 mm: by hand."""
    image = volume(np.repeat(np.array([0, 100, 200], np.int16), 4).reshape(3, 2, 2), (4.0, 1.0, 1.0))
    image = replace(image, steps=(0.0, 0.5, 2.0))
    whole = segment("all", np.ones((3, 2, 2), np.bool_))
    (mean,) = results(Mean(segments=("all",)), image, whole)
    (share,) = results(ShareAbove(segments=("all",), limit=50.0), image, whole)
    (deviation,) = results(Deviation(segments=("all",)), image, whole)
    assert mean.value == pytest.approx((0 * 2 + 100 * 4 + 200 * 6) / 12)
    assert share.value == pytest.approx(100 * 10 / 12)
    assert deviation.value**2 == pytest.approx(sum(w * (v - 400 / 3) ** 2 for v, w in ((0, 2), (100, 4), (200, 6))) / 12)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_an_adc_is_in_square_micrometres_a_second_however_it_is_stored(scale: float) -> None:
    """800 and 500 × 10⁻⁶ mm²/s, stored as such, in 10⁻³ mm²/s or in mm²/s; a share below a threshold is said to be by rule."""
    voxels = np.full((4, 20, 20), 800 * scale, np.float32)
    voxels[:, 5:10] = 500 * scale
    image = volume(voxels, SPACING, modality="MR")
    whole = segment("brain", np.ones(voxels.shape, np.bool_))
    (mean,) = results(Mean(segments=("brain",)), image, whole, headers=[ADC])
    (share,) = results(ShareBelow(segments=("brain",), limit=620), image, whole, headers=[ADC])
    assert (mean.name.value, mean.unit.value) == ("113041", "um2/s")
    assert mean.value == pytest.approx(725, rel=1e-5)
    assert share.value == pytest.approx(25)
    assert (share.name.value, share.name.meaning) == ("LT620-UM2/S", "Share of volume below 620 µm²/s, by rule")


@pytest.mark.parametrize(
    ("stored", "stated"),
    [
        (80.0, {"units": "10*-5.mm2/s"}),
        (80.0, {"units": "mm2/s", "slope": 1e-5}),
        (0.8, {"units": "10*-3.mm2/s"}),
        (800.0, {"units": "um2/s"}),
        (80.0, {"RescaleType": "1E-5 mm^2/s"}),
        (800.0, {"RescaleType": "US"}),
        # a rescale that is rounded to seven digits, with a zero of its own
        (
            800.0,
            {"units": "mm2/s", "slope": 3.787545788e-7, "intercept": -1.25e-3, "RescaleSlope": "0.3787546", "RescaleIntercept": "-1250"},
        ),
    ],
)
def test_an_adc_is_in_the_unit_that_its_header_states(stored: float, stated: dict[str, Any]) -> None:
    """By the mapping to real world values, whose slope may be another than the rescale's, or by RescaleType; all are 800 × 10⁻⁶ mm²/s."""
    image = volume(np.full((4, 20, 20), stored, np.float32), SPACING, modality="MR")
    whole = segment("brain", np.ones((4, 20, 20), np.bool_))
    (mean,) = results(Mean(segments=("brain",)), image, whole, headers=[adc(**stated)])
    assert mean.value == pytest.approx(800, rel=1e-6)


def test_slices_with_slopes_of_their_own_are_in_one_unit() -> None:
    """A mapping to mm²/s beside each slice's rescale: the quotients of both differ in their last digits."""
    image = volume(np.full((3, 20, 20), 800, np.float32), SPACING, modality="MR")
    whole = segment("brain", np.ones((3, 20, 20), np.bool_))
    headers = [adc(units="mm2/s", slope=slope * 1e-6, RescaleSlope=str(slope), RescaleIntercept="0") for slope in (0.3, 0.7, 1.1)]
    (mean,) = results(Mean(segments=("brain",)), image, whole, headers=headers)
    assert mean.value == pytest.approx(800, rel=1e-6)
    headers[1].RealWorldValueMappingSequence[0].RealWorldValueSlope = 0.7e-3
    assert "do not agree on the unit" in refusal(Mean(segments=("brain",)), image, whole, headers=headers)


@pytest.mark.parametrize(
    ("stored", "stated", "told"),
    [
        (800.0, {"units": "s/mm2"}, "the values of this ADC map cannot be brought from «s/mm2», as its header states them, to µm²/s"),
        (
            800.0,
            {"RescaleType": "ADC*10"},
            "the values of this ADC map cannot be brought from «ADC*10», as its header states them, to µm²/s",
        ),
        (
            80.0,
            {"RescaleType": "10E-6 mm2/s"},
            "the values of this ADC map cannot be brought from «10E-6 mm2/s», as its header states them, to µm²/s",
        ),
        (800.0, {"units": "10*-3.mm2/s"}, "the values of this ADC map are none in «10*-3.mm2/s», as its header says"),
        (80.0, {}, "the unit of this ADC map is not stated and cannot be told from its values"),
        (
            800.0,
            {"units": "um2/s", "intercept": -100.0},
            "the values of this ADC map cannot be brought from «um2/s», as its header states them, to µm²/s",
        ),
    ],
)
def test_an_adc_of_a_unit_that_cannot_be_is_not_measured(stored: float, stated: dict[str, Any], told: str) -> None:
    """An inverse unit, a word, an unclear power, a wrong unit, 10⁻⁵ mm²/s that nobody states, a mapping with another zero."""
    image = volume(np.full((4, 20, 20), stored, np.float32), SPACING, modality="MR")
    whole = segment("brain", np.ones((4, 20, 20), np.bool_))
    assert refusal(Mean(segments=("brain",)), image, whole, headers=[adc(**stated)]) == f"Not measured: the mean value, because {told}."


@pytest.mark.parametrize(("more", "mean"), [({}, 40 - 3024 / 4), ({"PixelPaddingValue": 63536, "PixelRepresentation": 1}, 160 / 3)])
def test_padding_is_in_no_mean(more: dict[str, Any], mean: float) -> None:
    """A quarter of the voxels holds -2000 before the rescale, -3024 after it; the header's value is read as the pixels are, with a sign.
    A range leaves out what lies in it, and a segment of padding alone is not measured."""
    voxels = np.array([-3024, 10, 50, 100], np.int16).reshape(1, 2, 2).repeat(3, axis=0)
    image = volume(voxels, SPACING)
    headers = [header(SOPInstanceUID=one.sop_instance_uid, RescaleSlope="1", RescaleIntercept="-1024", **more) for one in image.sources]
    (found,) = results(Mean(segments=("all",)), image, segment("all", np.ones((3, 2, 2), np.bool_)), headers=headers)
    assert found.value == pytest.approx(mean)
    for one in headers if more else ():
        one.PixelPaddingValue, one.PixelPaddingRangeLimit = 0, 1034
    (ranged,) = results(ShareBelow(segments=("all",), limit=60.0), image, segment("all", voxels != 0), headers=headers)
    assert ranged.value == pytest.approx(200 / 3 if more else 75)
    if more:
        told = refusal(Deviation(segments=("ten",)), image, segment("ten", voxels == 10), headers=headers)
        assert told == "Not measured: the standard deviation of the values, because all voxels of a segment are padding."


def test_padding_does_not_tell_the_unit_of_an_adc() -> None:
    """Most of the image is filled up with 1, which is the median of what is above 0: 10⁻³ mm²/s would make metres of a diffusion of 800."""
    voxels = np.ones((4, 40, 40), np.float32)
    voxels[:, 10:25, 10:25] = 800
    image = volume(voxels, SPACING, modality="MR")
    headers = [adc(SOPInstanceUID=one.sop_instance_uid, PixelPaddingValue=1, RescaleSlope="1") for one in image.sources]
    (mean,) = results(Mean(segments=("brain",)), image, segment("brain", voxels > 1), headers=headers)
    assert mean.unit.value == "um2/s"
    assert mean.value == pytest.approx(800)


def test_an_adc_of_no_known_scale_is_not_measured() -> None:
    """A median of 20 is no ADC in any of the three units; an empty map says nothing."""
    for value in (20.0, 0.0):
        image = volume(np.full((4, 20, 20), value, np.float32), SPACING, modality="MR")
        told = refusal(Mean(segments=("a",)), image, segment("a", np.ones((4, 20, 20), np.bool_)), headers=[ADC])
        assert told == "Not measured: the mean value, because the unit of this ADC map is not stated and cannot be told from its values."


def test_the_signal_of_mr_has_a_mean_and_no_threshold() -> None:
    """Arbitrary units; with one image among them that says ADC it is still no ADC map."""
    image = volume(np.full((4, 20, 20), 300, np.int16), SPACING, modality="MR")
    one = segment("a", np.ones((4, 20, 20), np.bool_))
    (mean,) = results(Mean(segments=("a",)), image, one, headers=[ADC, header(ImageType=["ORIGINAL", "PRIMARY"])])
    assert (mean.name.value, mean.unit.value, mean.value) == ("110852", "[arb'U]", 300)
    assert "no unit that a threshold could be in" in refusal(ShareBelow(segments=("a",), limit=3), image, one)


def test_a_ct_in_other_units_and_other_modalities_are_not_measured() -> None:
    """Effective atomic numbers of a spectral CT are no HU, and nobody here knows what an ultrasound's values are."""
    one = segment("a", np.ones((4, 20, 20), np.bool_))
    spectral = volume(np.full((4, 20, 20), 7, np.int16), SPACING)
    assert "are Z_EFF, not HU" in refusal(Mean(segments=("a",)), spectral, one, headers=[header(RescaleType="Z_EFF"), header()])
    assert "because it is not known here what the values of US images are" in refusal(
        Mean(segments=("a",)), replace(spectral, modality="US"), one
    )


def test_what_cannot_be_measured_for_one_reason_is_told_in_one_sentence() -> None:
    """And what is not there is not measured, nor told."""
    one = segment("a", np.ones((4, 20, 20), np.bool_))
    empty = segment("b", np.zeros((4, 20, 20), np.bool_))
    image = replace(volume(np.full((4, 20, 20), 7, np.int16), SPACING), modality="US")
    measures = (Mean(segments=("a", "b")), Deviation(segments=("a",)), ShareBelow(segments=("a",), limit=-950))
    said = measured(measures, image, (), Findings(segments=(one, empty)))
    (told,) = said.remarks
    assert told.startswith("Not measured: the mean value, the standard deviation of the values and the share of the volume below -950, bec")
    assert measured(measures, image, (), Findings(segments=(empty,))).remarks == ()
    assert [each.segment for each in results(measures[0], replace(image, modality="CT"), one, empty)] == ["a"]


def test_each_phase_is_measured_on_its_own_images() -> None:
    """Two phases of 10 and 90 HU, with a segment in each."""
    phases = tuple(volume(np.full((3, 4, 5), value, np.int16), SPACING) for value in (10, 90))
    subject = Phases(volumes=phases, timing=Timing(clock=None, attribute="", unit="", values=(0.0, 1.0)))
    masks = [segment(in_phase("heart", phase), np.ones((3, 4, 5), np.bool_), phase=phase) for phase in range(2)]
    assert [(one.segment, one.value) for one in results(Mean(segments=("heart",)), subject, *masks)] == [
        ("heart, phase 1", 10),
        ("heart, phase 2", 90),
    ]
