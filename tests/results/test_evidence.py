"""What a report rests on: every series and instance that was used, what it replaces, and whose it is."""

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from inference import codes
from inference.codes import Code
from inference.findings import Box, Evaluation, Findings, Location, Measurement
from node.domain.profile import Form, Kind
from node.results.encode import encode
from node.results.port import Predecessor
from tests.lab import validators
from tests.results import images, made
from tests.results.reports import SITE, SOURCE, comments, groups, listed, named, number, read, referenced, reports, value, walk

PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
ABSENT = Evaluation(finding=PNEUMOTHORAX, value=codes.ABSENT, finding_site=codes.CHEST)
BOX = Location(label="lesion 1", finding=made.LESION, shape=Box(top=2, left=3, bottom=6, right=8), image=4, certainty=0.5)
EVERY_KIND = replace(
    made.one_segment(made.AXIAL),
    locations=(BOX,),
    evaluations=(ABSENT,),
    remarks=("Slices are 2.5 mm apart.", "Contrast medium: volumes may be too large."),
)


def predecessor(number: int, kind: Kind, form: str = "") -> Predecessor:
    """A report of an earlier job."""
    return replace(made.PREDECESSOR, series_instance_uid=f"1.2.3.{number}", sop_instance_uid=f"1.2.3.{number}.1", kind=kind, form=form)


def test_a_volume_and_its_certainty_stand_in_the_group_of_the_segment(tmp_path: Path) -> None:
    """Result case 19: TID 1411: the segment by instance and number, tracked as there, in the evidence; its volume and certainty."""
    found = made.one_segment(made.AXIAL)
    found = replace(found, segments=(replace(found.segments[0], certainty=0.98, finding_site=codes.HEAD),))
    objects = encode(made.encoding(made.series(tmp_path), found))
    (seg,), (report,) = read(objects, "seg"), read(objects, "sr")
    (group,) = groups(report)
    assert group.ContentTemplateSequence[0].TemplateIdentifier == "1411"
    (segment,) = named(group, "121191")
    assert segment.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == seg.SOPInstanceUID
    assert segment.ReferencedSOPSequence[0].ReferencedSegmentNumber == 1
    assert seg.SegmentSequence[0].TrackingUID == named(group, "112040")[0].UID
    assert (number(group, codes.VOLUME), number(group, "111012")) == ((0.938, "cm3"), (98.0, "%"))
    assert value(group, SITE) == codes.HEAD.value
    assert str(seg.SOPInstanceUID) in listed(report)[str(seg.StudyInstanceUID)][str(seg.SeriesInstanceUID)]


def test_every_report_lists_the_images_and_says_the_remarks(tmp_path: Path) -> None:
    """The image library of all three: one series, each image once, its modality, date and grid; and the quality gate, word by word."""
    files = made.series(tmp_path)
    objects = encode(made.encoding(files, EVERY_KIND))
    assert made.kinds(objects) == ["seg", "sr", "sr", "detections", "sc"]
    for report in (*read(objects, "sr"), *read(objects, "detections")):
        (group,) = named(report, "126200")
        assert {referenced(item) for item in group.ContentSequence if item.ValueType == "IMAGE"} == {
            (str(pydicom.dcmread(path).SOPInstanceUID), None) for path in files
        }
        assert (value(group, "121139"), named(group, "111060")[0].Date) == ("CT", "20240102")
        # columns are 1.5 mm apart, rows 2.0, slices 2.5
        assert [number(group, code)[0] for code in ("110910", "110911", "111026", "111066", "112226")] == [13, 11, 1.5, 2.0, 2.5]
        assert comments(report) == list(EVERY_KIND.remarks)


def test_long_series_are_listed_where_nobody_reads_the_list(tmp_path: Path) -> None:
    """65 slices: the report that is read names their series and has them all in its evidence, the one that is drawn lists them too."""
    files = made.series(tmp_path, shape=(65, 13, 11))
    (text,), (drawn,) = (
        read(reports(made.encoding(files, Findings(evaluations=(ABSENT,), locations=(BOX,)))), kind) for kind in ("sr", "detections")
    )
    assert [len([item for item in walk(named(one, "111028")[0]) if item.ValueType == "IMAGE"]) for one in (text, drawn)] == [0, 65]
    for report in (text, drawn):
        assert value(named(report, "126200")[0], "121139") == "CT"
        assert [len(of_series) for study in listed(report).values() for of_series in study.values()] == [65]


def test_result_case_25_holds_for_every_report(tmp_path: Path) -> None:
    """Result case 25: equipment item with DeviceUID, content qualification, PRELIMINARY and UNVERIFIED, language, a device that observes,
    a procedure, every reference in the evidence, and a tracking UID in every group."""
    objects = encode(made.encoding(made.series(tmp_path), EVERY_KIND, application=made.application(qualification="PRODUCT")))
    for report in (*read(objects, "sr"), *read(objects, "detections")):
        equipment = report.ContributingEquipmentSequence[0]
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert all(equipment[each].value for each in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceUID"))
        assert report.ContentQualification == "PRODUCT"
        assert (report.PreliminaryFlag, report.VerificationFlag, report.CompletionFlag) == ("PRELIMINARY", "UNVERIFIED", "COMPLETE")
        assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
        assert (value(report, "121049"), value(report, "121005")) == ("en", "121007")
        assert equipment.DeviceUID == named(report, "121012")[0].UID
        assert value(report, "121058") == "25045-6"
        known = {uid for study in listed(report).values() for series in study.values() for uid in series}
        assert {referenced(item)[0] for item in walk(report) if "ReferencedSOPSequence" in item} <= known
        assert all(len(named(group, "112040")) == len(named(group, "112039")) == 1 for group in groups(report))
        templates = {group.ContentTemplateSequence[0].TemplateIdentifier for group in groups(report)}
        assert len(templates) == 1
        algorithms = [[value(group, "111000"), named(group, "111001")[0].TextValue] for group in groups(report)]
        assert all(each == ["123110", "mr-brain"] for each in algorithms)


def _pair(folder: Path, findings: Findings = EVERY_KIND) -> tuple[dict[str, str], list[Dataset]]:
    current = images.volume(folder / "current", images.STUDY)
    prior = images.volume(folder / "prior", images.PRIOR_STUDY, StudyDate="20220102")
    series = {name: str(pydicom.dcmread(files[0]).SeriesInstanceUID) for name, files in (("current", current), ("prior", prior))}
    return series, read(reports(images.pair(current, prior, findings)), "sr")


def test_the_prior_is_evidence_of_another_study(tmp_path: Path) -> None:
    """The current study under the requested procedure, the prior under other evidence (PS3.3 C.17.2); both in the image library."""
    series, (report,) = _pair(tmp_path)
    current, other = listed(report), listed(report, "PertinentOtherEvidenceSequence")
    assert {study: list(of_study) for study, of_study in current.items()} == {images.STUDY: [series["current"]]}
    assert {study: list(of_study) for study, of_study in other.items()} == {images.PRIOR_STUDY: [series["prior"]]}
    assert [len(of_series) for of_study in (*current.values(), *other.values()) for of_series in of_study.values()] == [9, 9]
    now, before = named(report, "126200")
    assert (named(now, "111060")[0].Date, named(before, "111060")[0].Date) == ("20240102", "20220102")
    assert report.StudyInstanceUID == images.STUDY


def test_a_prior_of_the_same_study_is_evidence_of_that_study(tmp_path: Path) -> None:
    """Two series of one study: one item with both, and no other evidence."""
    current = images.volume(tmp_path / "current", images.STUDY)
    prior = images.volume(tmp_path / "prior", images.STUDY, SeriesNumber=5)
    for path in prior:
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2.3.7", f"1.2.3.7.{dataset.InstanceNumber}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(path)
    (report,) = read(reports(images.pair(current, prior, Findings(evaluations=(ABSENT,)))), "sr")
    assert {study: len(of_study) for study, of_study in listed(report).items()} == {images.STUDY: 2}
    assert "PertinentOtherEvidenceSequence" not in report


def test_views_of_several_series_are_all_listed(tmp_path: Path) -> None:
    """Each film under its own series, in evidence and library."""
    films = [images.radiograph(tmp_path, 1, series, BodyPartExamined="CHEST") for series in (1, 2, 3)]
    (report,) = read(reports(images.radiographs(films, Findings(evaluations=(ABSENT,)))), "sr")
    assert [len(of_series) for of_series in listed(report)[images.STUDY].values()] == [1, 1, 1]
    assert [value(group, "123014") for group in named(report, "126200")] == ["816094009"] * 3


def test_frames_that_were_not_used_are_not_listed(tmp_path: Path) -> None:
    """Of a multi-frame image whose frames were split, the library names the frames of this part."""
    encoding = made.encoding(made.enhanced(tmp_path), Findings(evaluations=(ABSENT,)), part="echo 2")
    volume = encoding.volume
    half = replace(volume, voxels=volume.voxels[:4], sources=volume.sources[:4])
    (report,) = read(reports(replace(encoding, subject=half)), "sr")
    (image,) = [item for item in named(report, SOURCE) if item.ValueType == "IMAGE"]
    assert referenced(image) == ("1.2.3.4.5", [6, 7, 8, 9])
    assert comments(report) == ["Analysed of the series: echo 2."]


def test_each_report_names_those_of_its_kind_that_it_replaces(tmp_path: Path) -> None:
    """Measurements replace measurements, detections detections; no report is named by two of another kind."""
    before = (predecessor(1, Kind.SR, Form.BINARY), predecessor(2, Kind.DETECTIONS), predecessor(3, Kind.NARRATIVE, "en"))
    objects = encode(made.encoding(made.series(tmp_path), replace(EVERY_KIND, evaluations=()), predecessors=before))
    named_by = {
        kind: [list(listed(one, "PredecessorDocumentsSequence")["1.2.3"]) for one in read(objects, kind)] for kind in ("sr", "detections")
    }
    assert named_by == {"sr": [["1.2.3.1"]], "detections": [["1.2.3.2"]]}


def test_nothing_found_any_more_replaces_what_was_found(tmp_path: Path) -> None:
    """A revision without locations and masks: its one report names the detections and the measurements of before, in every form that a sink
    may have got them in, else nobody would."""
    forms = (Form.BINARY, Form.NO_MASKS, Form.LABELMAP)
    before = (*(predecessor(number, Kind.SR, form) for number, form in enumerate(forms, 3)), predecessor(2, Kind.DETECTIONS))
    (report,) = read(reports(made.encoding(made.series(tmp_path), Findings(evaluations=(ABSENT,)), predecessors=before)), "sr")
    assert sorted(listed(report, "PredecessorDocumentsSequence")["1.2.3"]) == ["1.2.3.2", "1.2.3.3", "1.2.3.4", "1.2.3.5"]


@pytest.mark.peers
@pytest.mark.slow
def test_validators_find_nothing_in_any_report(tmp_path: Path) -> None:
    """Result case 19, 25, a pair and three kinds of report of one job."""
    score = Measurement(name=Code("450360000", "SCT", "Coronary artery calcium score"), value=1.5, unit=Code("1", "UCUM", "no units"))
    findings = replace(EVERY_KIND, measurements=(*EVERY_KIND.measurements, score))
    objects = encode(made.encoding(made.series(tmp_path / "source"), findings, predecessors=(predecessor(1, Kind.SR),)))
    paths = made.save([one for one in objects if one.kind in ("sr", "detections")], tmp_path / "results")
    current = images.volume(tmp_path / "current", images.STUDY)
    prior = images.volume(tmp_path / "prior", images.PRIOR_STUDY)
    paths += made.save(reports(images.pair(current, prior, Findings(evaluations=(ABSENT,)))), tmp_path / "pair")
    assert [fault for path in paths for fault in validators.faults_of(path, report=True)] == []
