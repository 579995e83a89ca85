"""The structured report, walked by hand: what it says, what it refers to, and that nobody takes it for verified."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from inference import codes
from inference.codes import Code
from inference.findings import Evaluation, Findings, Measurement
from node.domain.profile import Kind, Profile
from node.results.encode import encode
from tests.results import made
from tests.results.reports import SITE, groups, named, read, walk

PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
CALCIUM_SCORE = Code("450360000", "SCT", "Coronary artery calcium score")
NO_UNIT = Code("1", "UCUM", "no units")


def test_a_volume_refers_to_its_segment(tmp_path: Path) -> None:
    """TID 1411: volume in UCUM cm3, the segment by instance and number, the same tracking UID, the segmentation in the evidence."""
    files = made.series(tmp_path)
    objects = encode(made.encoding(files, made.one_segment(made.AXIAL)))
    assert made.kinds(objects) == ["seg", "sr", "sc"]
    (seg,), (report,) = read(objects, "seg"), read(objects, "sr")
    (group,) = groups(report)
    (volume,) = named(group, codes.VOLUME)
    measured = volume.MeasuredValueSequence[0]
    # 72 + 2·2 … counted by hand below; a voxel is 1.5 × 2.0 × 2.5 = 7.5 mm³
    voxels = 4 * 5 * 6 + 2 * 2 + 1
    assert measured.FloatingPointValue == pytest.approx(voxels * 7.5 / 1000)
    assert str(measured.NumericValue) == "0.938"
    unit = measured.MeasurementUnitsCodeSequence[0]
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("cm3", "UCUM")
    (segment,) = named(group, "121191")
    referenced = segment.ReferencedSOPSequence[0]
    assert (referenced.ReferencedSOPInstanceUID, referenced.ReferencedSegmentNumber) == (seg.SOPInstanceUID, 1)
    assert seg.SegmentSequence[0].TrackingUID == named(group, "112040")[0].UID
    assert named(group, "112039")[0].TextValue == seg.SegmentSequence[0].TrackingID
    assert pydicom.dcmread(files[0]).SeriesInstanceUID == named(group, "121232")[0].UID
    assert evidence(report) == {pydicom.dcmread(path).SOPInstanceUID for path in files} | {seg.SOPInstanceUID}


def evidence(report: Dataset) -> set[str]:
    """Instances of the Current Requested Procedure Evidence Sequence."""
    return {
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def test_a_mean_attenuation_says_that_it_is_a_mean(tmp_path: Path) -> None:
    """Attenuation coefficient (112031, DCM) with derivation (373098007, SCT, Mean), in Hounsfield units; more digits than DS holds."""
    value = -781.1234567890123456
    mean = Measurement(name=codes.ATTENUATION_COEFFICIENT, value=value, unit=codes.HOUNSFIELD_UNIT, segment="brain", derivation=codes.MEAN)
    findings = replace(made.one_segment(made.AXIAL), measurements=(mean,))
    (report,) = read(encode(made.encoding(made.series(tmp_path), findings)), "sr")
    (number,) = named(report, "112031")
    measured = number.MeasuredValueSequence[0]
    assert measured.FloatingPointValue == value
    # what people are shown: no false precision
    assert str(measured.NumericValue) == "-781"
    assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "[hnsf'U]"
    (derivation,) = number.ContentSequence
    assert derivation.ConceptNameCodeSequence[0].CodeValue == "121401"
    assert derivation.ConceptCodeSequence[0].CodeValue == "373098007"


def test_nothing_found_is_said_and_has_no_segmentation(tmp_path: Path) -> None:
    """No voxel: no segmentation; the report says a volume of 0 and Absent, in TID 1501 groups that can be tracked."""
    empty = made.segment("lesion", np.zeros(made.SHAPE, dtype=bool), type=made.LESION)
    findings = Findings(segments=(empty,), evaluations=(Evaluation(finding=PNEUMOTHORAX, value=codes.ABSENT, finding_site=codes.CHEST),))
    files = made.series(tmp_path)
    objects = encode(made.encoding(files, findings))
    assert made.kinds(objects) == ["sr", "sc"]
    (report,) = read(objects, "sr")
    lesion, pneumothorax = groups(report)
    assert named(lesion, "121071")[0].ConceptCodeSequence[0].CodeValue == made.LESION.value
    assert float(named(lesion, codes.VOLUME)[0].MeasuredValueSequence[0].NumericValue) == 0
    assert named(pneumothorax, PNEUMOTHORAX)[0].ConceptCodeSequence[0].CodeValue == "272519000"
    assert named(pneumothorax, SITE)[0].ConceptCodeSequence[0].CodeValue == "51185008"
    assert all(named(group, "112040") for group in (lesion, pneumothorax))
    assert not named(report, "121191")
    assert evidence(report) == {pydicom.dcmread(path).SOPInstanceUID for path in files}
    library = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in walk(report) if item.ValueType == "IMAGE"}
    assert library == evidence(report)


def test_what_has_a_mask_and_what_has_none_are_two_reports(tmp_path: Path) -> None:
    """One kind of group an instance, one instance a series."""
    score = Measurement(name=CALCIUM_SCORE, value=12.0, unit=NO_UNIT)
    findings = made.one_segment(made.AXIAL)
    findings = replace(findings, measurements=(*findings.measurements, score))
    objects = encode(made.encoding(made.series(tmp_path), findings))
    assert made.kinds(objects) == ["seg", "sr", "sr", "sc"]
    about_segments, about_series = read(objects, "sr")
    assert named(about_segments, "121191")
    assert not named(about_segments, CALCIUM_SCORE)
    assert not named(about_series, "121191")
    assert float(named(about_series, CALCIUM_SCORE)[0].MeasuredValueSequence[0].NumericValue) == 12
    assert len({one.series_instance_uid for one in objects}) == 4


def test_findings_of_nothing_at_all_make_a_page(tmp_path: Path) -> None:
    """An application that says nothing in codes has no report; the reader still sees that it ran."""
    objects = encode(made.encoding(made.series(tmp_path), Findings(remarks=("Too noisy to say.",))))
    assert made.kinds(objects) == ["sc"]


def test_a_report_is_preliminary_unverified_and_about_a_device(tmp_path: Path) -> None:
    """Flags, title, language, template, observer (a device with its UID) and procedure."""
    (report,) = read(encode(made.encoding(made.series(tmp_path), made.one_segment(made.AXIAL))), "sr")
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    # of CID 7000: no disease over a healthy head; and not the one that OHIF opens as an empty viewport
    title = report.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning) == ("18748-4", "LN", "Diagnostic Imaging Report")
    assert named(report, "121049")[0].ConceptCodeSequence[0].CodeValue == "en"
    assert named(report, "121005")[0].ConceptCodeSequence[0].CodeValue == "121007"
    device = report.ContributingEquipmentSequence[0].DeviceUID
    assert device == named(report, "121012")[0].UID
    assert named(report, "121058")[0].ConceptCodeSequence[0].CodeValue == "25045-6"


def test_a_revision_names_the_report_that_it_replaces(tmp_path: Path) -> None:
    """PredecessorDocumentsSequence by study, series and instance; and the UIDs are others than without a predecessor."""
    files = made.series(tmp_path)
    (before,) = read(encode(made.encoding(files, made.one_segment(made.AXIAL))), "sr")
    (after,) = read(encode(made.encoding(files, made.one_segment(made.AXIAL), predecessors=(made.PREDECESSOR,))), "sr")
    (study,) = after.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (item,) = series.ReferencedSOPSequence
    found = (study.StudyInstanceUID, series.SeriesInstanceUID, item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID)
    assert found == ("1.2.3", "1.2.3.9", "1.2.3.9.1", "1.2.840.10008.5.1.4.1.1.88.34")
    assert "PredecessorDocumentsSequence" not in before
    assert after.SOPInstanceUID != before.SOPInstanceUID


STRUCTURE = ["121071", "363698007", "272741003", "111000", "111012", "112039", "112040", "121191", "125007", "121106", "111030", "55111-9"]
"""What the reports name their own items by, under DCM, SCT and LN."""


@pytest.mark.slow
@pytest.mark.parametrize("value", [*STRUCTURE, "123456789012345678"])
def test_a_local_code_is_not_taken_for_another_schemes_of_the_same_value(tmp_path: Path, value: str) -> None:
    """A hospital's own codes may have any value: no report that holds one as a name is refused. One of 18 characters stands in Long Code
    Value (PS3.3 8.1), in the narrative too."""
    own = Code(value, "99LOCAL", "Own")
    found = Findings(
        measurements=(Measurement(name=own, value=3.0, unit=codes.MILLIMETRE),),
        evaluations=(Evaluation(finding=own, value=codes.PRESENT, probability=0.5),),
    )
    profile = Profile(name="reading", kinds=frozenset({Kind.SR, Kind.NARRATIVE}))
    objects = encode(made.encoding(made.series(tmp_path), found, profiles=(profile,)))
    (report,) = read(objects, "sr")
    assert {item.ValueType for item in named(report, own)} == {"NUM", "CODE"}
    assert made.kinds(objects).count(Kind.NARRATIVE) == 1
