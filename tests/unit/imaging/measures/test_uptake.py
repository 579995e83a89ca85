"""SUV by body weight: by hand from headers of real PET, refused where a field lacks, and a peak that a finer sampling gives, too."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from inference.imaging.measures.body_weight import suv_factor
from inference.imaging.measures.uptake import LargestUptake, PeakUptake
from inference.imaging.measures.values import Mean, ShareAbove
from tests.unit.applications.bundle.images import volume
from tests.unit.imaging.measures.segments import refusal, results, segment

FACTOR = 70_000 / (370e6 * 2 ** (-3600 / 6588))
"""70 kg, 370 MBq an hour before a scan, half-life 6588 s."""


def pet(**changes: Any) -> Dataset:
    """The header of a PET image with all that an SUV needs; None takes an attribute away."""
    given = Dataset()
    given.RadionuclideTotalDose, given.RadionuclideHalfLife, given.RadiopharmaceuticalStartTime = "370000000", "6588", "093000.00"
    made = Dataset()
    made.Units, made.CorrectedImage, made.DecayCorrection, made.PatientWeight = "BQML", ["DECY", "ATTN"], "START", "70"
    made.SeriesDate, made.SeriesTime, made.AcquisitionDate, made.AcquisitionTime = "20250304", "103000", "20250304", "103512.5"
    made.RadiopharmaceuticalInformationSequence = [given]
    for keyword, value in changes.items():
        holder = (
            given if keyword in ("RadionuclideTotalDose", "RadionuclideHalfLife") or keyword.startswith("Radiopharmaceutical") else made
        )
        if value is None:
            delattr(holder, keyword)
        else:
            setattr(holder, keyword, value)
    return made


@pytest.mark.parametrize(
    ("name", "weight_kg", "dose_bq", "half_life_s", "decayed_s"),
    [
        ("1.dcm", 69.7344, 178340011.59668, 6586.2, (15 * 3600 + 23 * 60 + 16.921) - (14 * 3600 + 17 * 60)),
        ("2.dcm", 82.174, 173529998.7793, 6586.2, 59.109 - 59),
        ("GH184.dcm", 90, 474592928, 6588, (11 * 3600 + 36) - (9 * 3600 + 32 * 60)),
    ],
)
def test_real_headers_give_the_factor_of_the_arithmetic(
    real: Callable[[str], list[Path]], name: str, weight_kg: float, dose_bq: float, half_life_s: float, decayed_s: float
) -> None:
    """Weight, dose, half-life and times as they were read off the headers by eye; decay as an exponential with its constant."""
    (path,) = [path for path in real("dicom/xa_nm_pt_mr_misc") if path.name == name]
    factor = suv_factor([pydicom.dcmread(path, stop_before_pixels=True)])
    assert factor == pytest.approx(weight_kg * 1000 / (dose_bq * math.exp(-math.log(2) / half_life_s * decayed_s)), rel=1e-9)


def test_real_proportional_counts_are_refused(real: Callable[[str], list[Path]]) -> None:
    """PROPCPS of a scanner: nobody knows the proportion."""
    (path,) = [path for path in real("dicom/xa_nm_pt_mr_misc") if path.name == "GH610.dcm"]
    assert "PROPCPS" in str(suv_factor([pydicom.dcmread(path, stop_before_pixels=True)]))


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({}, FACTOR),
        ({"DecayCorrection": "ADMIN", "SeriesTime": "120000"}, 70_000 / 370e6),
        ({"Units": "GML"}, 1.0),
        ({"Units": "GML", "SUVType": "BW"}, 1.0),
        (
            {
                "RadiopharmaceuticalStartDateTime": "20250303223000.0+0100",
                "RadiopharmaceuticalStartTime": "223000",
                "RadionuclideHalfLife": "43200",
            },
            140_000 / 370e6,
        ),
        ({"RadiopharmaceuticalStartDateTime": "20250304083000+0000", "TimezoneOffsetFromUTC": "+0100"}, FACTOR),
        (
            {
                "RadiopharmaceuticalStartDateTime": "20250304150000+0530",
                "RadiopharmaceuticalStartTime": None,
                "TimezoneOffsetFromUTC": "+0000",
            },
            FACTOR,
        ),
    ],
)
def test_the_factor_of_made_headers(changes: dict[str, Any], factor: float) -> None:
    """Corrected to the injection nothing has decayed; g/ml by body weight is what it is; the day before, twelve hours are one half-life.
    A time in another zone is brought into that of the series."""
    assert suv_factor([pet(**changes), pet(**changes)]) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"PatientWeight": None}, "PatientWeight is absent"),
        ({"PatientWeight": "0"}, "PatientWeight is 0, which it cannot be"),
        ({"RadionuclideTotalDose": "370"}, "RadionuclideTotalDose is 370, which it cannot be"),
        ({"RadionuclideHalfLife": None}, "RadionuclideHalfLife is absent"),
        ({"RadiopharmaceuticalStartTime": None}, "RadiopharmaceuticalStartTime is absent"),
        ({"RadiopharmaceuticalStartTime": "113000"}, "the injection was not within 24 hours before the scan"),
        (
            {"RadiopharmaceuticalStartDateTime": "20250304083000+0000"},
            "RadiopharmaceuticalStartTime and RadiopharmaceuticalStartDateTime do not agree",
        ),
        ({"SeriesTime": "110000"}, "SeriesTime is later than AcquisitionTime: when the scan began is not known"),
        ({"AcquisitionTime": None}, "AcquisitionTime is absent"),
        ({"CorrectedImage": ["DECY"]}, "CorrectedImage lacks ATTN"),
        ({"DecayCorrection": None}, "DecayCorrection is absent"),
        ({"Units": ""}, "Units is absent"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection is «NONE», neither START nor ADMIN"),
        ({"Units": "CNTS"}, "the values of this PET are counts (CNTS), and the vendor's own factor for them is not read here"),
        ({"Units": "PROPCPS"}, "the values of this PET are in «PROPCPS», which no SUV can be made of"),
        ({"Units": "GML", "SUVType": "LBM"}, "SUVType is «LBM», not body weight"),
    ],
)
def test_what_lacks_a_field_has_no_suv(changes: dict[str, Any], told: str) -> None:
    """Each with the reason, and no number."""
    image = volume(np.full((6, 12, 12), 1000, np.float32), (4.0, 4.0, 4.0), modality="PT")
    one = segment("a", np.ones((6, 12, 12), np.bool_))
    assert refusal(LargestUptake(segments=("a",)), image, one, headers=[pet(**changes)]).endswith(f"because {told}.")


@pytest.mark.parametrize(
    ("acquired", "since_s", "told"),
    [
        ("103000", 120, True),
        ("104000", 600 + 120, True),
        # from the beginning of the frame
        ("104000", 600, True),
        # planned at 10:30, scanned and corrected to 10:40
        ("104000", 120, False),
    ],
)
def test_the_time_that_values_are_corrected_to_is_that_of_the_series(acquired: str, since_s: float, told: bool) -> None:
    """By DecayFactor of a frame of four minutes, whose middle is two minutes after its beginning; ten minutes are 7 % of an SUV."""
    one = pet(AcquisitionTime=acquired, ActualFrameDuration="240000", DecayFactor=f"{2 ** (since_s / 6588):.6g}")
    factor = suv_factor([one, pet(AcquisitionTime=acquired, ActualFrameDuration="240000", DecayFactor="1.5")])
    assert factor == (pytest.approx(FACTOR) if told else "by DecayFactor, the values are corrected to another time than SeriesTime")


def test_images_that_differ_and_images_without_headers_have_no_suv() -> None:
    """A weight that changes between two slices is nobody's."""
    assert str(suv_factor([pet(), pet(PatientWeight="71")])) == "the images do not agree on PatientWeight"
    assert str(suv_factor([])) == "the images do not agree on Units"


def hot() -> tuple[Any, Any]:
    """Noise with a hot spot at the corner of a segment, 5 × 3 × 4 mm voxels, and the segment."""
    noise = np.random.default_rng(3).random((14, 24, 20)) * 3000
    noise[5:7, 9:12, 8:11] += 20_000
    mask = np.zeros(noise.shape, np.bool_)
    mask[4:9, 8:16, 7:14] = True
    return noise.astype(np.float32), mask


def test_the_largest_and_the_peak_value() -> None:
    """The peak as it is by its definition: the mean over points 0.25 mm apart of a ball of 1 cm³, around each voxel of the segment."""
    voxels, mask = hot()
    spacing = np.array([5.0, 3.0, 4.0])
    image = volume(voxels, (5.0, 3.0, 4.0), modality="PT")
    (largest,) = results(LargestUptake(segments=("a",)), image, segment("a", mask), headers=[pet()])
    assert largest.value == pytest.approx(voxels[mask].max() * FACTOR, rel=1e-6)
    assert (largest.name.value, largest.unit.value) == ("126401", "g/ml{SUVbw}")
    radius = (750 / math.pi) ** (1 / 3)
    line = np.arange(-26, 26) * 0.25 + 0.125
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    ball = points[np.linalg.norm(points, axis=1) <= radius] / spacing
    means = [voxels[tuple(np.rint(ball + at).astype(int).T)].mean() for at in np.argwhere(mask)]
    (peak,) = results(PeakUptake(segments=("a",)), image, segment("a", mask), headers=[pet()])
    assert peak.value == pytest.approx(max(means) * FACTOR, rel=0.01)
    assert peak.value < 0.8 * largest.value
    (mean,) = results(Mean(segments=("a",)), image, segment("a", mask), headers=[pet()])
    (share,) = results(ShareAbove(segments=("a",), limit=2.5), image, segment("a", mask), headers=[pet()])
    assert mean.value == pytest.approx(np.mean(voxels[mask], dtype=np.float64) * FACTOR)
    assert share.value == pytest.approx(100 * np.mean(voxels[mask] * FACTOR > 2.5))
    assert share.name.meaning == "Share of volume above SUVbw 2.5 g/mL"


def test_a_sphere_that_leaves_the_images_is_no_peak() -> None:
    """A segment on the first slice alone; around the second, 7.5 mm from the border, there is a sphere of 6.2 mm. A CT has no uptake."""
    voxels, mask = hot()
    mask[:] = False
    mask[1, 10, 10] = True
    (second,) = results(PeakUptake(segments=("a",)), volume(voxels, (5.0, 3.0, 4.0), modality="PT"), segment("a", mask), headers=[pet()])
    assert voxels[:3].min() * FACTOR < second.value < voxels[:3].max() * FACTOR
    mask[:] = False
    mask[0, 10:12, 10:12] = True
    one = segment("a", mask)
    told = refusal(PeakUptake(segments=("a",)), volume(voxels, (5.0, 3.0, 4.0), modality="PT"), one, headers=[pet()])
    assert "no sphere of 1 cm³" in told
    assert "these images are no PET" in refusal(PeakUptake(segments=("a",)), volume(voxels, (5.0, 3.0, 4.0)), one)


def test_padding_is_no_uptake() -> None:
    """What the scanner fills the frame with is the largest number of the image: it is neither SUVmax nor in a sphere of SUVpeak."""
    voxels, mask = hot()
    image = volume(voxels, (5.0, 3.0, 4.0), modality="PT")
    measures = (LargestUptake(segments=("a",)), PeakUptake(segments=("a",)))
    clean = [results(one, image, segment("a", mask), headers=[pet()])[0].value for one in measures]
    voxels[4:9, 8:16, 13] = 32767
    padded = volume(voxels, (5.0, 3.0, 4.0), modality="PT")
    headers = [pet(SOPInstanceUID=one.sop_instance_uid, PixelPaddingValue=32767, RescaleSlope="1") for one in padded.sources]
    largest, peak = (results(one, padded, segment("a", mask), headers=headers)[0] for one in measures)
    assert largest.value == pytest.approx(clean[0])
    assert 0 < peak.value <= clean[1] * (1 + 1e-6)
    assert (largest.at_least, peak.at_least) == (False, True), "beside the padding a sphere may have held more"
    mask[:, :, :13] = False
    for one in measures:
        told = refusal(one, padded, segment("a", mask), headers=headers)
        assert "all voxels of a segment are padding" in told or "no sphere of 1 cm³" in told
