"""What a sink gets refers to images, and to what it gets: nobody's viewer looks for an object that nobody sent."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from inference import codes
from node.domain.profile import ARCHIVE, PACS, TRIAGE, VIEWER, Form, Kind, MaskEncoding, NotTaken, Profile
from node.results.encode import encode
from tests.lab import validators
from tests.results import kinds, made
from tests.results.kinds import Case
from tests.results.reports import SIDE, SITE, groups, named, number, read, value
from tests.results.sent import forms_of, sent_by

NUMBERS = replace(VIEWER, name="numbers", masks=MaskEncoding.NONE)
READING = frozenset({Kind.NARRATIVE, Kind.PDF})
SINKS = (
    *(VIEWER, PACS, ARCHIVE, TRIAGE, NUMBERS),
    replace(NUMBERS, name="narratives beside numbers", kinds=NUMBERS.kinds | READING),
    replace(PACS, name="narratives where no map is taken", kinds=PACS.kinds | READING),
    replace(TRIAGE, name="narratives beside triage", kinds=TRIAGE.kinds | READING),
    Profile(name="narratives alone", kinds=READING),
    Profile(name="narratives without masks", masks=MaskEncoding.NONE, kinds=READING),
)
CASES = (kinds.masks, kinds.overlapping, kinds.places, kinds.mapped, kinds.registered, kinds.chest_ct, kinds.chest_radiograph)


def references(dataset: Dataset) -> Iterator[str]:
    """Every instance that an object refers to, wherever it says so, but for what it replaces."""
    for element in dataset:
        if element.VR == "SQ" and element.keyword != "PredecessorDocumentsSequence":
            for item in element.value:
                yield from references(item)
        elif element.keyword == "ReferencedSOPInstanceUID":
            yield str(element.value)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda one: one.__name__)
def test_a_sink_gets_all_that_its_objects_refer_to(case: Callable[[Path], Case], tmp_path: Path) -> None:
    """Of masks, detections, maps, derived images and registrations, for each shipped profile and some of a hospital's own, each alone and
    all as sinks of one job; a PACS that takes no masks gets what refers to none."""
    job = case(tmp_path)
    sources = {str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in job.files}
    together = encode(replace(job.encoding, profiles=SINKS))
    for profile in SINKS:
        for objects in (together, encode(replace(job.encoding, profiles=(profile,)))):
            forms = forms_of(profile, objects)
            for form in forms:
                sent = sent_by(profile, objects, form)
                if form is Form.BINARY and profile.not_taken is NotTaken.LEAVE_OUT:
                    assert forms[-1] is Form.NO_MASKS
                # where masks are not taken they are not there
                there = sources | {one.sop_instance_uid for one in sent if form is not Form.NO_MASKS or one.kind is not Kind.SEG}
                for one in sent:
                    missing = set(references(pydicom.dcmread(BytesIO(one.data)))) - there
                    assert not missing, (profile.name, form, one.kind, one.form)


def test_a_sink_without_masks_gets_every_number_by_its_structure(tmp_path: Path) -> None:
    """TID 1501 with finding, site, side and the very numbers, tracked as in the masks that stand elsewhere; neither content nor evidence
    names one, and no validator objects."""
    job = kinds.masks(tmp_path)
    objects = encode(replace(job.encoding, profiles=(NUMBERS,)))
    plain, without = [one for one in objects if one.kind is Kind.SR]
    assert (plain.form, without.form) == (Form.BINARY, Form.NO_MASKS)
    report = pydicom.dcmread(BytesIO(without.data))
    told = groups(report)
    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in told] == ["1501", "1501"]
    (tracked,) = [pydicom.dcmread(BytesIO(one.data)).SegmentSequence for one in objects if one.kind is Kind.SEG]
    assert [named(group, "112040")[0].UID for group in told] == [segment.TrackingUID for segment in tracked]
    found = {one.name: one.value for one in job.encoding.findings.measurements if one.segment == "left lung"}
    assert [value(told[0], each) for each in ("121071", SITE, SIDE)] == [codes.LUNG.value, codes.CHEST.value, codes.LEFT.value]
    assert len(found) == 2
    for name, measured in found.items():
        assert number(told[0], name)[0] == pytest.approx(measured, rel=0.005)
    assert {str(pydicom.dcmread(file).SOPInstanceUID) for file in job.files} == set(references(report))
    assert [one.kind for one in sent_by(NUMBERS, objects, Form.NO_MASKS)] == [Kind.SR, Kind.SC]


@pytest.mark.peers
@pytest.mark.slow
def test_no_validator_objects_to_a_report_without_masks(tmp_path: Path) -> None:
    """dciodvfy, dsrdump and PixelMed's templates."""
    job = kinds.masks(tmp_path / "source")
    objects = [one for one in encode(replace(job.encoding, profiles=(NUMBERS,))) if one.form == Form.NO_MASKS]
    (path,) = made.save(objects, tmp_path / "made")
    assert validators.faults_of(path, report=True) == []


def test_nothing_of_it_is_made_where_no_sink_wants_it(tmp_path: Path) -> None:
    """A job costs one report more only where a sink may be without its masks and takes reports of them."""
    job = kinds.masks(tmp_path)
    for profiles in ((VIEWER,), (TRIAGE,), (replace(NUMBERS, kinds=frozenset({Kind.SC})),)):
        assert Form.NO_MASKS not in {one.form for one in encode(replace(job.encoding, profiles=profiles))}
    assert Form.NO_MASKS in {one.form for one in encode(replace(job.encoding, profiles=(PACS,)))}
    assert read(encode(replace(job.encoding, profiles=(PACS,))), "sr")
