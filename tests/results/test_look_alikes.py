"""What else looks so, in reports: a sentence that refers to the findings that it is about, in every language."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.look_alikes import look_alikes
from inference.findings import Box, Evaluation, Findings, Location
from node.domain.profile import VIEWER, Kind, Language, Profile
from node.results.check import check
from node.results.encode import encode
from node.results.port import Encoded, Encoding, ReferencesDiffer
from node.results.sources import read_sources
from tests.lab import validators
from tests.results import made
from tests.results.reports import comments

BOTH = Profile(name="both", kinds=frozenset({Kind.NARRATIVE, Kind.SR, Kind.DETECTIONS}), languages=(Language.ENGLISH, Language.CHINESE))


@pytest.fixture
def encoding(tmp_path: Path) -> Encoding:
    """An anatomy and two haemorrhages, the second of another site, a nodule and another thing, in a CT."""
    abnormal = codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE
    ventricle = np.roll(made.blob(), 1, axis=0)
    found = Findings(
        segments=(
            made.segment("brain", made.blob(), type=codes.BRAIN),
            made.segment("outside", made.blob(), type=codes.HEMORRHAGE, finding_site=codes.MENINGES, category=abnormal),
            made.segment("inside", ventricle, type=codes.HEMORRHAGE, finding_site=codes.BRAIN_VENTRICLE, category=abnormal),
        ),
        locations=(
            Location(label="n", finding=codes.NODULE, shape=Box(top=3, left=3, bottom=6, right=7), image=4, finding_site=codes.LUNG),
            Location(label="o", finding=made.LESION, shape=Box(top=1, left=1, bottom=3, right=3), image=4, finding_site=codes.LUNG),
        ),
        evaluations=(Evaluation(finding=codes.NODULE, value=codes.PRESENT, finding_site=codes.LUNG),),
    )
    return made.encoding(made.series(tmp_path), replace(found, remarks=look_alikes(found, "CT")), profiles=(VIEWER, BOTH))


def told(objects: list[Encoded], form: str, words: str) -> Dataset:
    """The sentence of a narrative that begins so."""
    (narrative,) = (pydicom.dcmread(BytesIO(one.data)) for one in objects if (one.kind, one.form) == (Kind.NARRATIVE, form))
    sentence: Dataset
    (sentence,) = (
        item
        for section in narrative.ContentSequence
        if section.ValueType == "CONTAINER"
        for item in section.ContentSequence
        if words in item.TextValue
    )
    return sentence


def test_a_sentence_refers_to_the_findings_that_it_is_about(encoding: Encoding) -> None:
    """Of each haemorrhage its own segment and the report about it; of the nodule its place and its evaluation; in both languages alike."""
    objects = encode(encoding)
    by_uid = {one.sop_instance_uid: one.kind for one in objects}
    for form, outer, inner, nodule in (
        ("en", "Extra-axial haemorrhage: metastases", "Intraventricular haemorrhage: a calcified", "Lung nodule: infectious"),
        ("zh", "脑外出血：硬脑膜转移瘤", "脑室内出血：脉络丛钙化", "肺结节：感染性肉芽肿"),
    ):
        for words, number in ((outer, 2), (inner, 3)):
            image, document = told(objects, form, words).ContentSequence
            assert image.ReferencedSOPSequence[0].ReferencedSegmentNumber == number
            assert [by_uid[item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID] for item in (image, document)] == [Kind.SEG, Kind.SR]
        referred = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in told(objects, form, nodule).ContentSequence]
        assert [by_uid[uid] for uid in referred] == [Kind.DETECTIONS, Kind.SR]


def test_where_no_report_goes_a_sentence_refers_to_the_masks_that_go(encoding: Encoding) -> None:
    """A sink of narratives gets the masks, and neither reports nor detections: of the nodule nothing is there to refer to."""
    objects = encode(replace(encoding, profiles=(replace(BOTH, kinds=frozenset({Kind.NARRATIVE})),)))
    (image,) = told(objects, "en", "Extra-axial haemorrhage: metastases").ContentSequence
    assert image.ReferencedSOPSequence[0].ReferencedSegmentNumber == 2
    assert "ContentSequence" not in told(objects, "en", "Lung nodule: infectious")


def test_measurement_reports_name_each_finding_with_its_source(encoding: Encoding) -> None:
    """As comments, word by word, in the report of segments, of detections and of the series."""
    reports = [one for one in encode(encoding) if one.kind in (Kind.SR, Kind.DETECTIONS)]
    assert {(one.kind, one.form) for one in reports} >= {(Kind.SR, "binary"), (Kind.SR, ""), (Kind.DETECTIONS, "")}
    for one in reports:
        said = [sentence for sentence in comments(pydicom.dcmread(BytesIO(one.data))) if " look" in sentence]
        assert said == list(encoding.findings.remarks)


@pytest.mark.parametrize("another", ["nothing", "the report of a nodule"])
def test_a_sentence_about_another_finding_may_not_leave(encoding: Encoding, another: str) -> None:
    """It refers to nothing, or to an object that holds no such finding."""
    objects, sources = encode(encoding), read_sources(encoding)
    check(objects, encoding, sources)
    detections = next(one for one in objects if one.kind is Kind.DETECTIONS)
    changed = []
    for one in objects:
        if (one.kind, one.form) == (Kind.NARRATIVE, "en"):
            narrative = pydicom.dcmread(BytesIO(one.data))
            sentence = next(
                item for item in narrative.ContentSequence[-2].ContentSequence if "Extra-axial haemorrhage: met" in item.TextValue
            )
            if another == "nothing":
                del sentence.ContentSequence
            else:
                sentence.ContentSequence[1].ReferencedSOPSequence[0].ReferencedSOPClassUID = detections.sop_class_uid
                sentence.ContentSequence[1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = detections.sop_instance_uid
            narrative.save_as(file := BytesIO())
            one = replace(one, data=file.getvalue())
        changed.append(one)
    with pytest.raises(ReferencesDiffer, match="hold no such finding"):
        check(changed, encoding, sources)


@pytest.mark.peers
@pytest.mark.slow
def test_no_validator_objects(encoding: Encoding, tmp_path: Path) -> None:
    """dicom3tools, DCMTK and PixelMed on all reports."""
    objects = [one for one in encode(encoding) if one.kind in (Kind.NARRATIVE, Kind.SR, Kind.DETECTIONS)]
    assert [fault for path in made.save(objects, tmp_path / "made") for fault in validators.faults_of(path, report=True)] == []
