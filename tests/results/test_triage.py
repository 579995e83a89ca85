"""Reports about images as a whole: triage, values of a study, frames and spans of time of a loop."""

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from inference import codes
from inference.applications.port import EvaluationOutput
from inference.codes import Code
from inference.findings import Evaluation, Findings, Measurement, Span
from node.results.encode import encode
from tests.lab import adapters, validators
from tests.results import images, made
from tests.results.reports import SIDE, SITE, SOURCE, comments, groups, named, number, read, referenced, reports, value

PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
CALCIUM_SCORE = Code("450360000", "SCT", "Coronary artery calcium score")
EJECTION_FRACTION = Code("70822001", "SCT", "Cardiac ejection fraction")
NO_UNIT, PERCENT = Code("1", "UCUM", "no units"), Code("%", "UCUM", "Percent")

TRIAGE = made.application(triage_only=True, outputs=(EvaluationOutput(finding=PNEUMOTHORAX),))
PRESENT = Evaluation(finding=PNEUMOTHORAX, value=codes.PRESENT, finding_site=codes.LUNG, laterality=codes.RIGHT, probability=0.61)


def test_triage_says_whether_and_not_where(tmp_path: Path) -> None:
    """Result case 20: TID 1501 with finding, site, side, Present and certainty; no coordinates, no segmentation, no reference to a place
    on an image."""
    objects = encode(made.encoding(made.series(tmp_path), Findings(evaluations=(PRESENT,)), application=TRIAGE))
    assert made.kinds(objects) == ["sr", "sc"]
    (report,) = read(objects, "sr")
    (group,) = groups(report)
    assert group.ContentTemplateSequence[0].TemplateIdentifier == "1501"
    assert (value(group, "121071"), value(group, PNEUMOTHORAX)) == (PNEUMOTHORAX.value, "52101004")
    assert (value(group, SITE), value(group, SIDE)) == (codes.LUNG.value, codes.RIGHT.value)
    assert number(group, "111012") == (61.0, "%")
    assert {item.ValueType for item in named(report, "125007")[0].ContentSequence} == {"TEXT", "UIDREF", "CODE", "NUM"}
    assert report.ConceptNameCodeSequence[0].CodeValue != "126000"


def test_an_evaluation_of_some_images_names_them(tmp_path: Path) -> None:
    """Those of its slices that it rests on, in their order, once each; an evaluation of all images names none of its own."""
    files = made.series(tmp_path)
    some = replace(PRESENT, images=(6, 2, 2))
    (report,) = read(reports(made.encoding(files, Findings(evaluations=(some, PRESENT)))), "sr")
    first, second = groups(report)
    of_z = {float(header.ImagePositionPatient[2]): str(header.SOPInstanceUID) for header in map(pydicom.dcmread, files)}
    assert [referenced(item) for item in named(first, "121112")] == [(of_z[45.0], None), (of_z[55.0], None)]
    assert named(second, "121112") == []
    assert named(first, "112040")[0].UID != named(second, "112040")[0].UID


def test_frames_of_an_enhanced_image_are_named_in_one_reference(tmp_path: Path) -> None:
    """One instance, its frames counted from 1: slices 2 and 6 of a source that runs backwards are frames 7 and 3."""
    (report,) = read(reports(made.encoding(made.enhanced(tmp_path), Findings(evaluations=(replace(PRESENT, images=(2, 6)),)))), "sr")
    (image,) = named(groups(report)[0], "121112")
    assert referenced(image) == ("1.2.3.4.5", [3, 7])


def test_values_of_the_study_stand_in_one_group(tmp_path: Path) -> None:
    """A calcium score and a mean attenuation with its derivation."""
    mean = Measurement(name=codes.ATTENUATION_COEFFICIENT, value=-12.5, unit=codes.HOUNSFIELD_UNIT, derivation=codes.MEAN)
    score = Measurement(name=CALCIUM_SCORE, value=112.0, unit=NO_UNIT)
    (report,) = read(reports(made.encoding(made.series(tmp_path), Findings(measurements=(score, mean)))), "sr")
    (group,) = groups(report)
    assert (number(group, CALCIUM_SCORE), number(group, "112031")) == ((112.0, "1"), (-12.5, "[hnsf'U]"))
    assert value(named(group, "112031")[0], "121401") == "373098007"


def test_a_span_of_a_loop_is_its_frames_and_its_time(tmp_path: Path) -> None:
    """Frames from 1 in the reference, seconds in the comment, nothing of a place in the patient; each span is a group of its own."""
    loop = images.loop(tmp_path)
    fraction = Measurement(name=EJECTION_FRACTION, value=57.5, unit=PERCENT, span=Span(first=3, last=6))
    again = replace(fraction, value=55.0, span=Span(first=8, last=11))
    findings = Findings(measurements=(fraction, again), evaluations=(replace(PRESENT, span=Span(first=0, last=1)),))
    (report,) = read(reports(images.cine(loop, findings)), "sr")
    evaluation, first, second = groups(report)
    uid = str(pydicom.dcmread(loop).SOPInstanceUID)
    assert [referenced(named(group, "121112")[0]) for group in (evaluation, first, second)] == [
        (uid, [1, 2]),
        (uid, [4, 5, 6, 7]),
        (uid, [9, 10, 11, 12]),
    ]
    assert (number(first, EJECTION_FRACTION), number(second, EJECTION_FRACTION)) == ((57.5, "%"), (55.0, "%"))
    assert comments(report) == [
        "Frames 1 to 2 are 0 s to 0.04 s from the first.",
        "Frames 4 to 7 are 0.12 s to 0.24 s from the first.",
        "Frames 9 to 12 are 0.32 s to 0.44 s from the first.",
    ]
    # the library lists the loop, all of it, without a frame of reference or a spacing
    (listed,) = [item for item in named(report, SOURCE) if item.ValueType == "IMAGE"]
    assert referenced(listed) == (uid, None)
    assert [*named(report, "112227"), *named(report, "111026")] == []
    assert value(report, "121139") == "US"


@pytest.mark.peers
@pytest.mark.slow
def test_validators_find_nothing_in_reports_of_images(tmp_path: Path) -> None:
    """Result case 20: dciodvfy, DCMTK and PixelMed; DCMTK reads Present; the viewer's adapter finds nothing to draw. A loop too."""
    fraction = Measurement(name=EJECTION_FRACTION, value=57.5, unit=PERCENT, span=Span(first=3, last=6))
    files = made.series(tmp_path / "source")
    triage = made.encoding(files, Findings(evaluations=(replace(PRESENT, images=(1, 2)),)), application=TRIAGE)
    loop = images.cine(images.loop(tmp_path), Findings(measurements=(fraction,)))
    paths = made.save([*reports(triage), *reports(loop)], tmp_path / "results")
    assert [fault for path in paths for fault in validators.faults_of(path, report=True)] == []
    assert '(36118008,SCT,"Pneumothorax")=(52101004,SCT,"Present")' in validators.dsrdump(paths[0])[1]
    assert adapters.measurements_of(paths[0], files) == []
