"""What explain says of declared measurements is what the analysis then does with the images: the same files, by their headers and read."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydicom import dcmread

from inference import codes
from inference.applications.port import Accepts, Application
from inference.findings import Findings, Segment
from inference.imaging.measures.calcium import Agatston
from inference.imaging.measures.composition import FatArea
from inference.imaging.measures.lengths import AxialDiameter, LongestDiameter
from inference.imaging.measures.measure import Measure
from inference.imaging.measures.measuring import measured
from inference.imaging.measures.points import AxialDiameterEnds, Centroid, DiameterEnds
from inference.imaging.measures.sides import Asymmetry
from inference.imaging.measures.uptake import LargestUptake
from inference.imaging.measures.values import Mean, ShareBelow
from inference.imaging.subject import Takes, volume_of
from inference.imaging.subjects import subjects
from inference.imaging.write_series import write_series
from node.dicom.header import read_header
from node.routing.decisions import SeriesView, class_of, seen
from node.routing.measures import ForeseenMeasure, foreseen

ONE = ("a",)
MEASURES: tuple[Measure, ...] = (
    Mean(segments=ONE),
    ShareBelow(segments=ONE, limit=-950.0),
    AxialDiameter(segments=ONE),
    LongestDiameter(segments=ONE),
    LargestUptake(segments=ONE),
    Agatston(segments=ONE),
    Centroid(segments=ONE),
    DiameterEnds(segments=ONE),
    AxialDiameterEnds(segments=ONE),
)
AXIAL, CORONAL = np.diag([3.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]], np.diag([1.0, 3.0, 1.0, 1.0])[[1, 0, 2, 3]]
NATIVE = {"KVP": "120", "SliceThickness": "3"}


def came(folder: Path, modality: Literal["CT", "MR"], affine: Any = AXIAL, **extra: Any) -> list[Path]:
    """A series of 12 slices with a bright block in it."""
    voxels = np.zeros((12, 20, 20), np.int16)
    voxels[4:8, 5:12, 5:12] = 400
    return write_series(voxels, affine, folder, modality=modality, extra=extra)


def application(modality: str, measures: tuple[Measure, ...] = MEASURES) -> Application:
    return Application(
        name="a",
        version="1",
        title="A",
        accepts=Accepts(modality=(modality,), min_slices=3),
        models=(),
        outputs=(),
        analyse=lambda *_: Findings(),
        measures=measures,
    )


def view_of(files: list[Path]) -> SeriesView:
    headers = [read_header(path)[1] for path in files]
    return seen("1", [(class_of(header), header) for header in headers])


def by_reading(files: list[Path], measure: Measure) -> str:
    """Why it is not made of a segment in the middle; "" where it is."""
    (made,) = subjects(Takes.VOLUME, "refuse", files)
    volume = volume_of(made.subject)
    assert volume is not None
    mask = np.zeros(volume.voxels.shape, np.bool_)
    mask[4:8, 5:12, 5:12] = True
    segment = Segment(label="a", mask=mask, category=codes.TISSUE, type=codes.LUNG, rgb=(1, 2, 3))
    remarks = measured((measure,), made.subject, made.headers, Findings(segments=(segment,))).remarks
    return str(remarks[0]) if remarks else ""


@pytest.mark.parametrize(
    ("modality", "affine", "extra", "refused"),
    [
        ("CT", AXIAL, NATIVE, {"SUVmax"}),
        ("CT", CORONAL, NATIVE, {"SUVmax", "the axial diameter", "the ends of the axial diameter", "the Agatston score"}),
        ("CT", AXIAL, {**NATIVE, "KVP": "100"}, {"SUVmax", "the Agatston score"}),
        ("CT", AXIAL, {**NATIVE, "KVP": None}, {"SUVmax", "the Agatston score"}),
        ("CT", AXIAL, {**NATIVE, "SliceThickness": "5"}, {"SUVmax", "the Agatston score"}),
        ("CT", AXIAL, {**NATIVE, "ContrastBolusAgent": "Iomeprol"}, {"SUVmax", "the Agatston score"}),
        ("CT", AXIAL, {**NATIVE, "RescaleType": "US"}, {"SUVmax", "the Agatston score", "the mean value", "below"}),
        ("MR", AXIAL, {}, {"SUVmax", "the Agatston score", "below"}),
    ],
)
def test_what_is_foreseen_is_what_the_analysis_does(
    modality: Literal["CT", "MR"], affine: Any, extra: dict[str, Any], refused: set[str], tmp_path: Path
) -> None:
    """Measure by measure, with the same reason; and which are refused stands here besides."""
    files = came(tmp_path, modality, affine, **extra)
    found = foreseen(application(modality), view_of(files))
    assert len(found) == len(MEASURES)
    for measure, one in zip(MEASURES, found, strict=True):
        told = by_reading(files, measure)
        assert one.words == str(measure.words)
        assert (one.made, one.reason) == ((True, "") if not told else (False, told.partition(", because ")[2].removesuffix(".")))
        assert (one.made is False) == any(words in one.words for words in refused), one


def test_what_stands_in_no_header_that_is_kept_is_left_open(tmp_path: Path) -> None:
    """The unit of an ADC map is told by its values; of a PET in Bq/ml the dose stands in a sequence, and in g/ml nothing is asked of it."""
    adc = foreseen(application("MR"), view_of(came(tmp_path / "adc", "MR", ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"])))
    assert {one.words: one.made for one in adc}["the mean value"] is None
    assert {one.words: one.made for one in adc}["the axial diameter"] is True
    files = came(
        tmp_path / "pet", "MR", Modality="PT", Units="BQML", CorrectedImage=["ATTN", "DECY"], DecayCorrection="START", PatientWeight="70"
    )
    largest = LargestUptake(segments=ONE)
    (open_,) = foreseen(application("PT", (largest,)), view_of(files))
    assert open_ == ForeseenMeasure(words="SUVmax", made=None, reason="the dose, and when it was given, tells it when the images are read")
    for keyword, value, reason in [
        ("PatientWeight", "", "PatientWeight is absent"),
        ("Units", "CNTS", "counts"),
        ("DecayCorrection", "NONE", "neither START nor ADMIN"),
    ]:
        for path in files:
            (dataset := dcmread(path))[keyword].value = value
            (other := tmp_path / keyword).mkdir(exist_ok=True)
            dataset.save_as(other / path.name)
        (one,) = foreseen(application("PT", (largest,)), view_of(sorted(other.iterdir())))
        assert (one.made, reason in one.reason) == (False, True), one
    for path in files:
        (dataset := dcmread(path)).Units = "GML"
        dataset.save_as(path)
    assert foreseen(application("PT", (largest,)), view_of(files))[0].made is True


@pytest.mark.parametrize(
    ("affine", "extra", "reason"),
    [
        (AXIAL, NATIVE, ""),
        (CORONAL, NATIVE, "the slices are not axial"),
        (AXIAL, {"RescaleType": "US"}, "the values of these images are US, not HU"),
    ],
)
def test_headers_tell_whether_fat_can_be_told_at_a_vertebra(affine: Any, extra: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """Slices and units; whether the vertebra is there is found out in the images."""
    measure = FatArea(segments=ONE, vertebra="bone", level="L3")
    (found,) = foreseen(application("CT", (measure,)), view_of(came(tmp_path, "CT", affine, **extra)))
    assert (found.words, found.made, found.reason) == ("the area of fat at L3", not reason, reason)


def test_an_application_that_declares_nothing_foresees_nothing(tmp_path: Path) -> None:
    """Nor does one that compares two sides doubt by headers: what it needs lies in the segments."""
    view = view_of(came(tmp_path, "CT", **NATIVE))
    assert foreseen(application("CT", ()), view) == ()
    (sides,) = foreseen(application("CT", (Asymmetry(segments=("left", "right")),)), view)
    assert (sides.made, sides.reason) == (True, "")
    assert foreseen(replace(application("CT"), measures=MEASURES), seen("1", [])) == ()
