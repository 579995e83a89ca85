"""Two chest CTs of one patient go in by storescu, six months apart; their growth stands in an archive, in a report that is valid."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from inference import codes
from inference.applications.lung_nodule.application import DOUBLING
from inference.imaging.write_series import write_series
from tests.lab import dcmtk, validators
from tests.lab.chest import stored
from tests.lab.chest_visits import DAYS, NODULES, NOW, THEN, visit
from tests.lab.loopback import free_port
from tests.lab.node import QUIET, Node, configuration
from tests.lab.orthanc import Orthanc
from tests.results.reports import comments, groups, listed, number, value, walk

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(900)]

_PATIENCE_S = 400
_QUALITY = codes.QUALITATIVE_DIFFERENCE


def _are(states: list[str], jobs: list[dict[str, Any]]) -> bool:
    return sorted(job["state"] for job in jobs) == states


def _written(folder: Path, *, now: bool) -> list[Path]:
    one, day = visit(NODULES, now=now, start_mm=0.0 if now else 0.6), (NOW if now else THEN).strftime("%Y%m%d")
    about = {
        "PatientAge": "060Y",
        "BodyPartExamined": "CHEST",
        "SeriesNumber": 3,
        "StudyDate": day,
        "StudyTime": "101500",
        "SeriesDate": day,
        "AcquisitionDate": day,
        "ConvolutionKernel": "B31f",
        "FrameOfReferenceUID": one.frame_of_reference_uid,
    }
    return write_series(
        one.voxels,
        one.affine,
        folder,
        modality="CT",
        patient_id="NODULES",
        study_uid=one.study_instance_uid,
        series_description="Chest 1.25 mm",
        extra=about,
    )


def test_growth_since_the_last_visit_stands_in_the_archive(tmp_path: Path) -> None:
    """The later visit comes first and is analysed alone; then the earlier one, after which the later one is analysed anew with it. Its
    report has what grew, what stayed and what is new, names the images of both studies, and is valid, as is the registration; in Chinese
    it says the same of what a nodule was."""
    stored(tmp_path / "models")
    port = free_port()
    current, prior = _written(tmp_path / "now", now=True), _written(tmp_path / "then", now=False)
    archive = Orthanc(tmp_path / "archive", node_port=port, aet="PACS")
    settings = configuration(
        tmp_path,
        port=port,
        repository=tmp_path / "models",
        peers={
            "pacs": {"ae_title": "PACS", "address": f"127.0.0.1:{archive.dicom_port}", "may": ["echo"]},
            "scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}},
        },
        sinks={
            "archive": {"kind": "dimse", "peer": "pacs", "profile": "viewer"},
            "teaching": {"kind": "folder", "path": str(tmp_path / "teaching"), "profile": "teaching"},
        },
        routes=[{"name": "chest CT", "when": {"Modality": "CT"}, "run": ["lung-nodule"], "send": ["archive", "teaching"]}],
        profiles={"teaching": {"like": "archive", "languages": ["en", "zh"]}},
    )
    with archive, Node(settings, tmp_path) as node:
        for files, ended in ((current, ["done"]), (prior, ["done", "done", "superseded"])):
            said = dcmtk.storescu(node.port, *files, calling="SCANNER")
            assert said.code == 0, said
            node.wait_for_jobs(partial(_are, ended), _PATIENCE_S, "all is delivered")
        study = archive.study(str(dcmread(current[0], stop_before_pixels=True).StudyInstanceUID))
        back = {
            modality: [path for one in study.of(modality) for path in archive.download(one, tmp_path / "back")]
            for modality in ("SR", "REG")
        }
    compared = [path for path in back["SR"] if any(value(group, _QUALITY) for group in groups(dcmread(path)))]
    (path,) = compared
    report = dcmread(path)
    numbered = [group for group in groups(report) if any(item.ValueType == "NUM" for item in group.ContentSequence)]
    told = sorted(str(value(group, _QUALITY)) for group in numbered)
    grew, stayed = codes.INCREASE_IN_SIZE.value, codes.NO_SIGNIFICANT_CHANGES.value
    assert told == sorted([grew, grew, stayed, stayed, "NOT-ON-PRIOR"])
    doubled = sorted(number(group, DOUBLING)[0] for group in numbered if value(group, _QUALITY) == grew)
    # by hand: twice as large in as many days, a third more in ln 2 / ln 1.3 times as many
    assert doubled == pytest.approx([DAYS, DAYS * 2.64], rel=0.3)
    assert any(f"of {THEN.isoformat()}, {DAYS} days before" in remark for remark in comments(report))
    evidence = {
        uid
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        if keyword in report
        for uid in listed(report, keyword)
    }
    assert evidence >= {str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID) for files in (current, prior)}
    assert [fault for one in compared for fault in validators.faults_of(one, report=True)] == []
    assert [validators.dciodvfy(one) for one in back["REG"]] == [[]]
    read = [dcmread(one) for one in (tmp_path / "teaching").rglob("*.dcm")]
    sentences = {str(item.TextValue) for one in read if one.Modality == "SR" for item in walk(one) if item.ValueType == "TEXT"}
    assert f"注：已与{THEN.isoformat()}的既往CT比较，间隔{DAYS}天。" in sentences
