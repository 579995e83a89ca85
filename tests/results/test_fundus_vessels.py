"""Result case: what fundus-vessels says of two photographs and an angiogram; networks that go by colour stand in for its own."""

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from inference import codes
from inference.applications.analysing import analyse
from inference.applications.fundus_vessels import APPLICATION
from inference.applications.fundus_vessels.application import VESSEL_PARTS, VESSEL_SHARE
from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects
from node.domain.profile import VIEWER
from node.results.encode import encode
from tests.lab import validators
from tests.lab.fundus import by_colour, drawn
from tests.results import images as dicom
from tests.results import made
from tests.results.reports import SIDE, comments, groups, named, number, referenced, value
from tests.unit.applications.conftest import OneByOne

SOURCE_OF_SEGMENTATION, FINDING = "121233", "121071"


@pytest.mark.slow
@pytest.mark.peers
def test_two_eyes_and_an_angiogram(tmp_path: Path) -> None:
    """A segmentation of each eye, one report and one page: a group for vessels, arteries and veins of each eye, which names its own
    photograph, and says which eye it is; the angiogram is named as left out, and its numbers are nowhere; no validator objects."""
    angiogram = {"ContrastBolusAgentSequence": [dicom.coded("350086004", "SCT", "Fluorescein")]}
    files = [
        dicom.photograph(tmp_path, drawn(), 1),
        dicom.photograph(tmp_path, drawn(), 2, **angiogram),
        dicom.photograph(tmp_path, drawn(vessels=2), 3, ImageLaterality="R"),
    ]
    (assembled,) = subjects(Takes.IMAGES, "refuse", files, "")
    findings = analyse(APPLICATION, assembled.subject, OneByOne(by_colour))
    objects = made.save(
        encode(dicom.photographs(files, findings, application=APPLICATION, profiles=(replace(VIEWER, cine_masks=True),))), tmp_path / "made"
    )
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in objects]
    assert sorted(str(header.Modality) for header in headers) == ["OT", "SEG", "SEG", "SR"]
    (path,) = (path for path, header in zip(objects, headers, strict=True) if header.Modality == "SR")
    document = pydicom.dcmread(path)
    uids = [str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files]
    told = groups(document)
    assert [referenced(named(group, SOURCE_OF_SEGMENTATION)[0])[0] for group in told] == [uids[0]] * 3 + [uids[2]] * 3
    assert [value(group, FINDING) for group in told] == [codes.BLOOD_VESSEL.value, codes.ARTERY.value, codes.VEIN.value] * 2
    assert [value(group, SIDE) for group in told] == [codes.LEFT.value] * 3 + [codes.RIGHT.value] * 3
    shares = [number(group, VESSEL_SHARE) for group in told[::3]]
    assert shares[1][0] == pytest.approx(shares[0][0] * 2 / 3, rel=0.05)
    assert {unit for _, unit in shares} == {"%"}
    assert [number(group, VESSEL_PARTS) for group in told[::3]] == [(6.0, "1"), (4.0, "1")]
    for header, file in zip([header for header in headers if header.Modality == "SEG"], (files[0], files[2]), strict=True):
        assert [one.SegmentLabel.partition(",")[0] for one in header.SegmentSequence] == ["vessels", "arteries", "veins"]
        assert header.SourceImageSequence[0].ReferencedSOPInstanceUID == pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID
    said = comments(document)
    assert any(one.startswith("Image 1 (left eye)") for one in said)
    assert any(one.startswith("Image 3 (right eye)") for one in said)
    assert "Image 2 was left out: its header says «Fluorescein»." in said
    assert [fault for one in objects for fault in validators.faults_of(one, report=one == path)] == []
