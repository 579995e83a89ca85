"""Nothing found is a result: what was looked for, that it is absent, and where."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from inference import codes
from inference.applications.port import EvaluationOutput, LocationOutput, Output, SegmentOutput
from inference.codes import Code
from inference.findings import Evaluation, Findings, Location, Measurement, Point, Segment
from node.results.check import check
from node.results.encode import encode
from node.results.measurements.make import make as about_images
from node.results.narrative.english import English
from node.results.narrative.sentences import found_in_short
from node.results.page.capture import page_of
from node.results.page.table import entries
from node.results.port import Encoding, ValuesDiffer
from node.results.sources import read_sources
from tests.lab import adapters, validators
from tests.results import images, made
from tests.results.reports import SIDE, SITE, SOURCE, comments, groups, making, named, number, read, reports, value

NODULE = Code("27925004", "SCT", "Nodule")
CALCIFICATION = Code("18115005", "SCT", "Pathologic calcification")
HEAD, CHEST = "69536005", "816094009"
EMPTY = made.segment("lesion", np.zeros(made.SHAPE, dtype=bool), type=made.LESION)


def told(folder: Path, findings: Findings, outputs: Sequence[Output] = (), **extra: Any) -> list[pydicom.Dataset]:
    """The one report about the series, which shows a head unless `extra` says otherwise."""
    files = made.series(folder, **extra)
    return read(reports(made.encoding(files, findings, application=made.application(outputs=tuple(outputs)))), "sr")


def test_nothing_of_a_declared_location_is_absent_in_what_was_imaged(tmp_path: Path) -> None:
    """Result case 11: no location and no evaluation: the report says Absent of each finding that the application may locate, where the
    images say they were taken, and in how many it was looked for."""
    outputs = (LocationOutput(finding=NODULE), LocationOutput(finding=CALCIFICATION))
    (report,) = told(tmp_path, Findings(), outputs)
    nodule, calcification = groups(report)
    assert [value(nodule, NODULE), value(calcification, CALCIFICATION)] == ["272519000", "272519000"]
    for group, finding in ((nodule, NODULE), (calcification, CALCIFICATION)):
        assert (value(group, "121071"), value(group, SITE)) == (finding.value, HEAD)
        assert not [item for item in group.ContentSequence if item.ValueType in ("NUM", "SCOORD", "IMAGE")]
    assert comments(report) == ["Looked for and not found in 9 images: Nodule, Pathologic calcification."]
    assert len([item for item in named(report, SOURCE) if item.ValueType == "IMAGE"]) == 9


def test_what_was_found_is_not_absent(tmp_path: Path) -> None:
    """One of two declared findings was located: the other alone is absent; declared twice, it is absent once."""
    outputs = (LocationOutput(finding=NODULE), LocationOutput(finding=CALCIFICATION), LocationOutput(finding=CALCIFICATION))
    found = Location(label="nodule 1", finding=NODULE, shape=Point(row=3.5, column=4.5), image=2)
    (report,) = told(tmp_path, Findings(locations=(found,)), outputs)
    (group,) = groups(report)
    assert value(group, "121071") == CALCIFICATION.value


def test_what_the_application_evaluates_itself_is_not_said_twice(tmp_path: Path) -> None:
    """An application that could not tell says Undetermined: nobody may call that absent."""
    outputs = (LocationOutput(finding=NODULE), EvaluationOutput(finding=NODULE), SegmentOutput(label="lesion", type=made.LESION))
    unsure = (
        Evaluation(finding=NODULE, value=codes.UNDETERMINED),
        Evaluation(finding=made.LESION, value=codes.UNDETERMINED, finding_site=codes.BRAIN),
    )
    (report,) = told(tmp_path, Findings(segments=(EMPTY,), evaluations=unsure), outputs)
    empty, nodule, lesion = groups(report)
    assert number(empty, codes.VOLUME) == (0.0, "cm3")
    assert value(empty, made.LESION) is None
    assert [value(nodule, NODULE), value(lesion, made.LESION)] == ["373068000"] * 2
    assert comments(report) == []


@pytest.mark.parametrize(
    ("site", "searched", "meant"),
    [
        (codes.LUNG, codes.BRAIN, codes.LUNG.value),
        (None, codes.BRAIN, codes.BRAIN.value),
        (None, None, HEAD),
    ],
    ids=["the finding's own site", "where the application looks", "what was imaged"],
)
def test_the_search_area_is_the_nearest_word(site: Code | None, searched: Code | None, meant: str, tmp_path: Path) -> None:
    """Of an empty segment: its own site, else the application's declaration, else the images; and the volume of 0."""
    output = SegmentOutput(label="lesion", type=made.LESION, searched=searched)
    (report,) = told(tmp_path, Findings(segments=(replace(EMPTY, finding_site=site),)), (output,))
    (group,) = groups(report)
    assert (value(group, SITE), value(group, made.LESION)) == (meant, "272519000")
    assert number(group, codes.VOLUME) == (0.0, "cm3")
    assert named(group, "112039")[0].TextValue == "mr-brain lesion"


def test_a_segment_that_is_always_looked_for_need_not_be_mentioned(tmp_path: Path) -> None:
    """The application gave no segment of that label at all, and its manifest says where it looked."""
    (report,) = told(tmp_path, Findings(), (SegmentOutput(label="lesion", type=made.LESION, searched=codes.BRAIN),))
    (group,) = groups(report)
    assert (value(group, made.LESION), value(group, SITE)) == ("272519000", codes.BRAIN.value)
    assert number(group, codes.VOLUME) == (0.0, "cm3")


def test_what_may_be_mentioned_or_not_is_never_called_absent(tmp_path: Path) -> None:
    """Left and right lung, or both where they cannot be told apart: whoever finds the two has not found that lungs are absent."""
    outputs = [SegmentOutput(label=label, type=codes.LUNGS) for label in ("left", "right", "both")]
    findings = Findings(evaluations=(Evaluation(finding=NODULE, value=codes.ABSENT),))
    (report,) = told(tmp_path, findings, outputs)
    (group,) = groups(report)
    assert value(group, "121071") == NODULE.value
    assert comments(report) == []


def test_a_number_of_an_empty_segment_is_said_as_it_was_found(tmp_path: Path) -> None:
    """No volume of 0 is added where the application says a number itself."""
    count = Measurement(
        name=Code("111038", "DCM", "Number of calcifications"), value=0.0, unit=Code("1", "UCUM", "no units"), segment="lesion"
    )
    (report,) = told(tmp_path, Findings(segments=(EMPTY,), measurements=(count,)))
    (group,) = groups(report)
    assert [item.ConceptNameCodeSequence[0].CodeValue for item in group.ContentSequence if item.ValueType == "NUM"] == ["111038"]


LESION_2 = SegmentOutput(label="lesion 2", type=made.LESION, searched=codes.BRAIN)
FULL = made.segment("lesion 1", made.blob(), type=made.LESION)
LOCATED = Location(label="spot", finding=made.LESION, shape=Point(row=3.5, column=4.5), image=2)


def lung(label: str, side: Code | None, *, full: bool) -> Segment:
    """A lung of one side, with voxels or without, and no site."""
    return made.segment(label, made.blob() if full else np.zeros(made.SHAPE, dtype=bool), type=codes.LUNG, laterality=side)


@pytest.mark.parametrize(
    ("findings", "outputs", "volumes"),
    [
        (Findings(segments=(FULL, replace(EMPTY, label="lesion 2"))), (), ["lesion 2"]),
        (Findings(segments=(FULL,)), (LESION_2,), []),
        (Findings(segments=(FULL,)), (LocationOutput(finding=made.LESION),), []),
        (Findings(segments=(EMPTY,), locations=(LOCATED,)), (LocationOutput(finding=made.LESION),), ["lesion"]),
        (Findings(segments=(EMPTY,), locations=(replace(LOCATED, laterality=codes.LEFT),)), (LESION_2,), ["lesion"]),
        (Findings(segments=(lung("left", codes.LEFT, full=False), lung("one", None, full=True))), (), ["left"]),
        (Findings(segments=(lung("left", codes.LEFT, full=False), lung("two", codes.BOTH_SIDES, full=True))), (), ["left"]),
        (Findings(segments=(lung("any", None, full=False), lung("left", codes.LEFT, full=True))), (), ["any"]),
    ],
    ids=[
        *("another mask", "a mask, another not mentioned", "a mask and no location", "a location and no mask", "a location of one side"),
        *("a mask of no side", "a mask of both sides", "a mask of one side"),
    ],
)
def test_nothing_is_absent_that_was_found_in_another_way(
    findings: Findings, outputs: Sequence[Output], volumes: list[str], tmp_path: Path
) -> None:
    """A mask, a location: either says that it is there, on a side that may be this one; an empty mask still has its volume of 0."""
    files = made.series(tmp_path)
    encoding = made.encoding(files, findings, application=made.application(outputs=tuple(outputs)))
    sources = read_sources(encoding)
    objects = about_images(making(encoding))
    check(objects, encoding, sources)
    said = [group for report in read(objects, "sr") for group in groups(report)]
    assert [named(group, "112039")[0].TextValue for group in said] == [f"mr-brain {label}" for label in volumes]
    assert [number(group, codes.VOLUME) for group in said] == [(0.0, "cm3")] * len(volumes)
    assert b"272519000" not in b"".join(one.data for one in objects)
    assert b"Looked for and not found" not in b"".join(one.data for one in objects)
    assert [word for word in words(encoding) if word == "None found"] == []


PERICARDIAL, PLEURAL = Code("25489000", "SCT", "Pericardial cavity"), Code("91381003", "SCT", "Pleural cavity")
EFFUSION = Code("41699000", "SCT", "Effusion")


@pytest.mark.parametrize(
    ("elsewhere", "absent"),
    [
        (Findings(segments=(replace(FULL, label="heart", type=EFFUSION, finding_site=PERICARDIAL),)), True),
        (Findings(segments=(replace(FULL, label="any", type=EFFUSION),)), False),
        (Findings(segments=(replace(FULL, label="one", type=EFFUSION, finding_site=PLEURAL),)), False),
        (Findings(locations=(replace(LOCATED, finding=EFFUSION, finding_site=codes.LUNG),)), False),
        (Findings(evaluations=(Evaluation(finding=EFFUSION, value=codes.PRESENT, finding_site=PERICARDIAL),)), False),
        (
            Findings(
                segments=(replace(EMPTY, label="heart", type=EFFUSION, finding_site=PERICARDIAL),),
                evaluations=(Evaluation(finding=EFFUSION, value=codes.PRESENT, finding_site=PERICARDIAL),),
            ),
            True,
        ),
    ],
    ids=["another mask's", "of no site", "its own", "of no mask", "evaluated, of no mask", "evaluated, of another mask"],
)
def test_what_is_elsewhere_does_not_hide_what_is_absent_here(elsewhere: Findings, absent: bool, tmp_path: Path) -> None:
    """An effusion of the pericardium is none of the pleura, where each has a mask of its own: the empty one says Absent. A site that no
    mask tells apart may lie within another, and nothing is said."""
    pleural = replace(EMPTY, label="pleura", type=EFFUSION, finding_site=PLEURAL)
    findings = replace(elsewhere, segments=(*elsewhere.segments, pleural))
    outputs: list[Output] = [SegmentOutput(label=one.label, type=one.type) for one in findings.segments]
    outputs += [LocationOutput(finding=EFFUSION)] if findings.locations else []
    outputs += [EvaluationOutput(finding=EFFUSION)] if findings.evaluations else []
    encoding = made.encoding(made.series(tmp_path), findings, application=made.application(outputs=tuple(outputs)))
    objects = about_images(making(encoding))
    check(objects, encoding, read_sources(encoding))
    said = [group for report in read(objects, "sr") for group in groups(report)]
    (own,) = [group for group in said if named(group, "112039")[0].TextValue == "mr-brain pleura"]
    assert value(own, EFFUSION) == ("272519000" if absent else None)
    assert ("None found" in words(encoding)) is absent


def test_a_conclusion_calls_nothing_absent_beside_what_was_found_at_a_site_of_its_own(tmp_path: Path) -> None:
    """ct-head-bleed of a haemorrhage in the ventricles alone: nobody drew any of the brain or the meninges, which the answers about those
    could be told apart by, and whoever reads no further reads of the one that is there. The report has all answers."""
    ventricular = replace(FULL, label="ventricles", type=codes.HEMORRHAGE, finding_site=codes.BRAIN_VENTRICLE)
    answers = {codes.BRAIN: codes.ABSENT, codes.MENINGES: codes.ABSENT, codes.BRAIN_VENTRICLE: codes.PRESENT}
    said = tuple(Evaluation(finding=codes.HEMORRHAGE, value=answer, finding_site=site) for site, answer in answers.items())
    outputs = (SegmentOutput(label="ventricles", type=codes.HEMORRHAGE), EvaluationOutput(finding=codes.HEMORRHAGE))
    findings = Findings(segments=(ventricular,), evaluations=said)
    encoding = made.encoding(made.series(tmp_path), findings, application=made.application(outputs=outputs))
    concluded = found_in_short(encoding, read_sources(encoding), English())
    assert [sentence for sentence in concluded if "absent" in sentence] == []
    assert [sentence for sentence in concluded if "present" in sentence] == ["Hemorrhage: present in the brain ventricle."]
    (series,) = [report for report in read(about_images(making(encoding)), "sr") if not named(report, "121191")]
    assert [value(group, codes.HEMORRHAGE) for group in groups(series)] == ["272519000", "272519000", "52101004"]


UPPER_LOBE = Code("45653009", "SCT", "Upper lobe of lung")
LATERAL_VENTRICLE = Code("66720007", "SCT", "Lateral ventricle")
FOREIGN = Code("X1", "99OURS", "Somewhere else")


@pytest.mark.parametrize(
    ("there", "empty", "absent"),
    [
        (UPPER_LOBE, codes.LUNG, False),
        (codes.LUNG, UPPER_LOBE, False),
        (LATERAL_VENTRICLE, codes.BRAIN, False),
        (codes.MENINGES, codes.HEAD, False),
        (codes.LUNG, FOREIGN, False),
        (UPPER_LOBE, Code("90572001", "SCT", "Lower lobe of lung"), True),
        (codes.MENINGES, codes.BRAIN, True),
    ],
    ids=[
        "a lobe, the lung",
        "the lung, a lobe",
        "a ventricle, the brain",
        "a part of a part",
        "nobody knows",
        "two lobes",
        "two of a head",
    ],
)
def test_nothing_is_absent_in_what_holds_what_was_found(there: Code, empty: Code, absent: bool, tmp_path: Path) -> None:
    """A nodule of the upper lobe is one of the lung: the empty mask of the lung, though it has a site of its own, says nothing. Two sites
    of which neither lies in the other are told apart; of one that is not known nobody can tell."""
    masks = (replace(FULL, type=NODULE, finding_site=there), replace(EMPTY, label="empty", type=NODULE, finding_site=empty))
    outputs = tuple(SegmentOutput(label=one.label, type=one.type) for one in masks)
    encoding = made.encoding(made.series(tmp_path), Findings(segments=masks), application=made.application(outputs=outputs))
    objects = about_images(making(encoding))
    check(objects, encoding, read_sources(encoding))
    said = [group for report in read(objects, "sr") for group in groups(report)]
    (own,) = [group for group in said if named(group, "112039")[0].TextValue == "mr-brain empty"]
    assert value(own, NODULE) == ("272519000" if absent else None)
    assert ("None found" in words(encoding)) is absent


def words(encoding: Encoding) -> list[str]:
    """What the page says of each finding."""
    return [one.word for one in entries(encoding.findings, [""] * 9, page_of(encoding, read_sources(encoding)).absent or ())]


def test_a_report_that_says_absent_of_what_was_found_may_not_leave(tmp_path: Path) -> None:
    """The check has its own opinion of what was found."""
    files = made.series(tmp_path)
    alone = made.encoding(files, Findings(segments=(replace(EMPTY, label="lesion 2"),)))
    objects = about_images(making(alone))
    both = made.encoding(files, Findings(segments=(FULL, replace(EMPTY, label="lesion 2"))))
    with pytest.raises(ValuesDiffer):
        check(objects, both, read_sources(both))


def test_a_lung_of_one_side_is_absent_on_that_side(tmp_path: Path) -> None:
    """The left one was found, the right one not: the report about the series says so of the right lung, and the one about masks left."""
    findings = Findings(segments=(lung("lung left", codes.LEFT, full=True), lung("lung right", codes.RIGHT, full=False)))
    objects = encode(made.encoding(made.series(tmp_path), findings))
    masks, series = [groups(report)[0] for report in read(objects, "sr")]
    assert (value(masks, SITE), value(masks, SIDE)) == (codes.LUNG.value, codes.LEFT.value)
    assert (value(series, SITE), value(series, SIDE)) == (codes.LUNG.value, codes.RIGHT.value)
    assert value(series, codes.LUNG) == "272519000"


@pytest.mark.parametrize(("part", "site"), [("HEAD", HEAD), ("SOMEWHERE", made.LESION.value)])
@pytest.mark.parametrize("answer", [codes.ABSENT, codes.PRESENT])
def test_a_side_without_a_site_is_kept(answer: Code, part: str, site: str, tmp_path: Path) -> None:
    """In what was imaged, on the side that the application says; where no region is known, of the finding itself."""
    said = Evaluation(finding=made.LESION, value=answer, laterality=codes.LEFT)
    (report,) = told(tmp_path, Findings(evaluations=(said,)), BodyPartExamined=part)
    (group,) = groups(report)
    assert (value(group, SITE), value(group, SIDE)) == (site, codes.LEFT.value)
    assert value(group, made.LESION) == answer.value


def test_an_empty_mask_of_one_side_is_absent_there_where_it_was_searched(tmp_path: Path) -> None:
    """A lesion of the right side lies in no lesion: in the brain, where the application looks, on the right."""
    empty = replace(EMPTY, laterality=codes.RIGHT, category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE)
    output = SegmentOutput(label="lesion", type=made.LESION, searched=codes.BRAIN)
    (report,) = told(tmp_path, Findings(segments=(empty,)), (output,))
    (group,) = groups(report)
    assert (value(group, SITE), value(group, SIDE)) == (codes.BRAIN.value, codes.RIGHT.value)
    assert value(group, made.LESION) == "272519000"


def test_a_report_that_loses_the_side_may_not_leave(tmp_path: Path) -> None:
    """Absent in the head is not what was said: absent on its left."""
    files = made.series(tmp_path)
    one = Evaluation(finding=made.LESION, value=codes.ABSENT)
    general = made.encoding(files, Findings(evaluations=(one,)))
    left = made.encoding(files, Findings(evaluations=(replace(one, laterality=codes.LEFT),)))
    with pytest.raises(ValuesDiffer):
        check(about_images(making(general)), left, read_sources(left))


@pytest.mark.parametrize(
    ("extra", "site"),
    [
        ({"BodyPartExamined": "CHEST"}, CHEST),
        ({"BodyPartExamined": "CHEST ABDOMEN"}, "416550000"),
        ({"BodyPartExamined": "SOMEWHERE"}, None),
        ({"BodyPartExamined": ""}, None),
    ],
)
def test_what_the_images_do_not_tell_is_not_guessed(extra: dict[str, str], site: str | None, tmp_path: Path) -> None:
    """A body part that is no defined term is no site; the images that were searched are listed all the same."""
    (report,) = told(tmp_path, Findings(), (LocationOutput(finding=NODULE),), **extra)
    (group,) = groups(report)
    assert value(group, SITE) == site
    assert "9 images" in comments(report)[0]


def test_the_side_that_was_imaged_is_said(tmp_path: Path) -> None:
    """Mammograms of the left breast: absent there. Views of both sides together name the organ and no side."""
    application = made.application(outputs=(LocationOutput(finding=CALCIFICATION),))
    left = [images.radiograph(tmp_path, number, 1, BodyPartExamined="BREAST", ImageLaterality="L") for number in (1, 2)]
    right = images.radiograph(tmp_path, 1, 2, BodyPartExamined="BREAST", ImageLaterality="R")
    for films, side in ((left, codes.LEFT.value), ([*left, right], None)):
        (report,) = read(reports(images.radiographs(films, Findings(), application=application)), "sr")
        (group,) = groups(report)
        assert (value(group, SITE), value(group, SIDE)) == ("76752008", side)


@pytest.mark.peers
@pytest.mark.slow
def test_nobody_minds_that_nothing_was_found(tmp_path: Path) -> None:
    """Result case 11: no segmentation, no detections; validators and the viewer's adapter take the report without a word."""
    outputs = (LocationOutput(finding=NODULE, searched=codes.LUNGS), SegmentOutput(label="lesion", type=made.LESION))
    files = made.series(tmp_path / "source")
    objects = encode(made.encoding(files, Findings(segments=(EMPTY,)), application=made.application(outputs=outputs)))
    assert made.kinds(objects) == ["sr", "sc"]
    path = made.save(objects, tmp_path / "results")[0]
    assert validators.faults_of(path, report=True) == []
    _, tree = validators.dsrdump(path)
    assert '(52988006,SCT,"Lesion")=(272519000,SCT,"Absent")' in tree
    assert '(27925004,SCT,"Nodule")=(272519000,SCT,"Absent")' in tree
    assert adapters.measurements_of(path, files) == []
