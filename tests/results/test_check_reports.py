"""The check of reports catches: one thing is spoilt in one report, and it is named; of coordinates, a pixel is enough."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.port import LocationOutput
from inference.codes import Code
from inference.findings import Box, Evaluation, Findings, Location, Measurement, PointInSpace, Quality
from node.results.check import check
from node.results.port import Encoded, Encoding, ReferencesDiffer, ResultMalformed, ValuesDiffer
from node.results.sources import read_sources
from tests.results import images, made
from tests.results.reports import SIDE, SITE, groups, named, reports

Spoil = Callable[[Dataset], None]
PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
SQUARE = made.axes((2.0, 0, 0), (0, 2.0, 0), (0, 0, 2.5))
NODULE = Code("27925004", "SCT", "Nodule")
LENGTH = Code("410668003", "SCT", "Length")
TEXTURE = Code("C41144", "NCIt", "Texture")
GROUND_GLASS = Code("RID50153", "RADLEX", "non-solid pulmonary nodule")

FOUND = Findings(
    segments=(made.segment("empty", np.zeros(made.SHAPE, dtype=bool), finding_site=codes.HEAD),),
    locations=(
        Location(
            label="lesion 1",
            finding=made.LESION,
            shape=Box(top=2, left=3, bottom=6.5, right=8),
            image=4,
            finding_site=codes.LUNG,
            laterality=codes.LEFT,
            certainty=0.873,
            qualities=(Quality(name=TEXTURE, value=GROUND_GLASS),),
        ),
        Location(label="point", finding=made.LESION, shape=PointInSpace(x=-12.5, y=-24.25, z=50.0), image=4),
    ),
    measurements=(
        Measurement(name=LENGTH, value=12.5, unit=codes.MILLIMETRE, location="lesion 1"),
        Measurement(name=LENGTH, value=120.0, unit=codes.MILLIMETRE),
    ),
    evaluations=(Evaluation(finding=PNEUMOTHORAX, value=codes.PRESENT, finding_site=codes.LUNG, probability=0.5, images=(2,)),),
    remarks=("Slices are 2.5 mm apart.",),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Encoding, list[Encoded]]:
    """A report of the series and one of detections, as they should be; with a prior, which is evidence of another study."""
    folder = tmp_path_factory.mktemp("series")
    current, prior = (images.volume(folder / study, study, affine=SQUARE) for study in (images.STUDY, images.PRIOR_STUDY))
    nodule = LocationOutput(finding=NODULE, searched=codes.LUNGS)
    encoding = images.pair(current, prior, FOUND, application=made.application(outputs=(nodule,)), predecessors=(made.PREDECESSOR,))
    return encoding, reports(encoding)


def within(group: Dataset, name: str | Code) -> Dataset:
    """The first content item of this name in a group."""
    return named(group, name)[0]


def shift_by_half_a_pixel(report: Dataset) -> None:
    region = within(groups(report)[0], "111030")
    region.GraphicData = [value + 0.5 for value in region.GraphicData]


def swap_rows_and_columns(report: Dataset) -> None:
    for group in groups(report)[:2]:
        region = within(group, "111030")
        pairs = list(zip(region.GraphicData[::2], region.GraphicData[1::2], strict=True))
        region.GraphicData = [value for x, y in pairs for value in (y, x)]


def leave_the_box_open(report: Dataset) -> None:
    region = within(groups(report)[1], "111030")
    region.GraphicData = region.GraphicData[:-2]


def another_slice(report: Dataset) -> None:
    image = within(groups(report)[0], "111030").ContentSequence[0].ReferencedSOPSequence[0]
    library = named(report, "126200")[0]
    image.ReferencedSOPInstanceUID = library.ContentSequence[-1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID


def number_a_single_frame(report: Dataset) -> None:
    within(groups(report)[0], "111030").ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber = 1


def another_frame_of_reference(report: Dataset) -> None:
    within(groups(report)[2], "111030").ReferencedFrameOfReferenceUID = "1.2.3"


def move_the_point(report: Dataset) -> None:
    region = within(groups(report)[2], "111030")
    region.GraphicData = [-12.5, -24.25, 51.0]


def other_side(report: Dataset) -> None:
    within(groups(report)[1], SIDE).ConceptCodeSequence[0].CodeValue = codes.RIGHT.value


def another_answer(report: Dataset) -> None:
    within(groups(report)[0], TEXTURE).ConceptCodeSequence[0].CodeValue = "RID50151"


def forget_an_answer(report: Dataset) -> None:
    group = groups(report)[1]
    group.ContentSequence = [item for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != TEXTURE.value]


def track_the_second_group_apart(report: Dataset) -> None:
    within(groups(report)[1], "112040").UID = "1.2.3"


def certainty_as_a_fraction(report: Dataset) -> None:
    measured = within(groups(report)[1], "111012").MeasuredValueSequence[0]
    measured.NumericValue = "0.873"
    if "FloatingPointValue" in measured:
        measured.FloatingPointValue = 0.873


def lose_the_numbers(report: Dataset) -> None:
    measurements = named(report, "126010")[0]
    del measurements.ContentSequence[1]


def title_that_shows_nothing(report: Dataset) -> None:
    report.ConceptNameCodeSequence[0].CodeValue = "126001"


def title_of_coordinates(report: Dataset) -> None:
    report.ConceptNameCodeSequence[0].CodeValue = "126000"


def present_for_absent(report: Dataset) -> None:
    within(groups(report)[1], NODULE).ConceptCodeSequence[0].CodeValue = "52101004"


def another_search_area(report: Dataset) -> None:
    within(groups(report)[1], SITE).ConceptCodeSequence[0].CodeValue = codes.BRAIN.value


def volume_of_nothing(report: Dataset) -> None:
    measured = within(groups(report)[0], codes.VOLUME).MeasuredValueSequence[0]
    measured.NumericValue = "1"
    if "FloatingPointValue" in measured:
        measured.FloatingPointValue = 1.0


def evaluation_of_another_image(report: Dataset) -> None:
    image = within(groups(report)[2], "121112").ReferencedSOPSequence[0]
    image.ReferencedSOPInstanceUID = named(report, "126200")[0].ContentSequence[-1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID


def forget_a_group(report: Dataset) -> None:
    del named(report, "126010")[0].ContentSequence[-1]


def forget_a_remark(report: Dataset) -> None:
    del report.ContentSequence[-1].ContentSequence[0]


def forget_an_image(report: Dataset) -> None:
    del named(report, "126200")[1].ContentSequence[-1]


def prior_as_current_evidence(report: Dataset) -> None:
    report.CurrentRequestedProcedureEvidenceSequence.extend(report.PertinentOtherEvidenceSequence)
    del report.PertinentOtherEvidenceSequence


def forget_the_prior(report: Dataset) -> None:
    del report.PertinentOtherEvidenceSequence


def forget_what_it_replaces(report: Dataset) -> None:
    del report.PredecessorDocumentsSequence


def a_person_observed(report: Dataset) -> None:
    within(report, "121005").ConceptCodeSequence[0].CodeValue = "121006"


def no_language(report: Dataset) -> None:
    report.ContentSequence = [item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != "121049"]


@pytest.mark.parametrize(
    ("kind", "spoil", "error"),
    [
        ("detections", shift_by_half_a_pixel, ValuesDiffer),
        ("detections", swap_rows_and_columns, ValuesDiffer),
        ("detections", leave_the_box_open, ValuesDiffer),
        ("detections", another_slice, ReferencesDiffer),
        ("detections", number_a_single_frame, ReferencesDiffer),
        ("detections", another_frame_of_reference, ReferencesDiffer),
        ("detections", move_the_point, ValuesDiffer),
        ("detections", other_side, ValuesDiffer),
        ("detections", another_answer, ValuesDiffer),
        ("detections", forget_an_answer, ValuesDiffer),
        ("detections", track_the_second_group_apart, ValuesDiffer),
        ("detections", certainty_as_a_fraction, ValuesDiffer),
        ("detections", lose_the_numbers, ValuesDiffer),
        ("detections", title_that_shows_nothing, ResultMalformed),
        ("detections", forget_a_remark, ValuesDiffer),
        ("detections", forget_the_prior, ReferencesDiffer),
        ("sr", title_of_coordinates, ResultMalformed),
        ("sr", present_for_absent, ValuesDiffer),
        ("sr", another_search_area, ValuesDiffer),
        ("sr", volume_of_nothing, ValuesDiffer),
        ("sr", evaluation_of_another_image, ValuesDiffer),
        ("sr", forget_a_group, ValuesDiffer),
        ("sr", forget_a_remark, ValuesDiffer),
        ("sr", forget_an_image, ReferencesDiffer),
        ("sr", prior_as_current_evidence, ReferencesDiffer),
        ("sr", forget_the_prior, ReferencesDiffer),
        ("sr", forget_what_it_replaces, ReferencesDiffer),
        ("sr", a_person_observed, ValuesDiffer),
        ("sr", no_language, ResultMalformed),
    ],
)
def test_a_spoilt_report_may_not_leave(good: tuple[Encoding, list[Encoded]], kind: str, spoil: Spoil, error: type[Exception]) -> None:
    """One thing is wrong in one report: the check says which kind of thing."""
    encoding, objects = good
    with pytest.raises(error):
        check(list(_spoilt(objects, kind, spoil)), encoding, read_sources(encoding))


def _spoilt(objects: list[Encoded], kind: str, spoil: Spoil) -> Iterator[Encoded]:
    for one in objects:
        if one.kind != kind:
            yield one
            continue
        dataset = pydicom.dcmread(BytesIO(one.data))
        spoil(dataset)
        file = BytesIO()
        dataset.save_as(file)
        assert file.getvalue() != one.data, "nothing was spoilt"
        yield replace(one, data=file.getvalue())


def test_good_reports_pass(good: tuple[Encoding, list[Encoded]]) -> None:
    """The same check lets through what is right."""
    encoding, objects = good
    assert made.kinds(objects) == ["sr", "detections"]
    check(objects, encoding, read_sources(encoding))
