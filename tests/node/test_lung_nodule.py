"""lung-nodule through a whole node: a chest CT goes in over DIMSE, the served network marks it, and the reports come out."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.lung_nodule.application import DENSITY
from inference.imaging.write_series import write_series
from tests.lab import adapters, validators
from tests.lab.chest import BALLS, affine, stored, voxels
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.results.reports import comments, groups, number, value

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]

_PATIENCE_S = 240


def _reports(folder: Path) -> dict[str, tuple[Path, Dataset]]:
    """The structured reports by the code of their title: 126000 for places, 18748-4 for the study."""
    read = [(path, dcmread(path)) for path in folder.rglob("*.dcm")]
    return {one.ConceptNameCodeSequence[0].CodeValue: (path, one) for path, one in read if one.Modality == "SR"}


def test_nodules_come_out_of_the_node(tmp_path: Path) -> None:
    """Three balls in a chest: a box for each with its longest diameter, density and the category; present in the lungs; the reports
    are valid, and marked as research, preliminary and unverified; the viewer's adapter takes up each nodule once, as a rectangle."""
    stored(tmp_path / "models")
    about = {"PatientAge": "060Y", "BodyPartExamined": "CHEST"}
    files = write_series(voxels(), affine(), tmp_path / "ct", modality="CT", series_description="Chest 1.25 mm", extra=about)
    route = {"name": "chest CT", "when": {"Modality": "CT", "BodyPartExamined": "CHEST", "SliceThickness": {"max": 3}}}
    settings = configuration(
        tmp_path,
        port=0,
        repository=tmp_path / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{**route, "run": ["lung-nodule"], "send": ["results"]}],
    )
    with Node(settings, tmp_path) as node:
        said = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
        assert said.code == 0, said.out + said.err
        wait_until(lambda: [job["state"] for job in node.jobs()] in (["done"], ["parked"]), _PATIENCE_S, "the job has ended")
        assert [(job["state"], job["reason"]) for job in node.jobs()] == [("done", None)]
    reports = _reports(tmp_path / "results")
    path, places = reports["126000"]
    numbered = [group for group in groups(places) if any(item.ValueType == "NUM" for item in group.ContentSequence)]
    assert len(groups(places)) == 2 * len(numbered) == 2 * len(BALLS)
    seen = {value(group, DENSITY): (number(group, codes.LONG_AXIS)[0], value(group, codes.RECOMMENDED_FOLLOW_UP)) for group in numbered}
    assert {density: row for density, (_, row) in seen.items()} == {"RID50151": "F17-S1-GT8", "RID50152": "F17-UN-GE6", "RID50153": None}
    for density, ball in zip(("RID50151", "RID50152", "RID50153"), BALLS, strict=True):
        assert seen[density][0] == pytest.approx(ball.mm, abs=1.25)
    assert "has seen no real one" in comments(places)[0]
    assert (places.ContentQualification, places.PreliminaryFlag, places.VerificationFlag) == ("RESEARCH", "PRELIMINARY", "UNVERIFIED")
    study_path, study = reports["18748-4"]
    assert value(groups(study)[0], codes.NODULE) == codes.PRESENT.value
    shown = adapters.measurements_of(path, files)
    assert [(one.tool, one.finding[0]) for one in shown] == [("RectangleROI", codes.NODULE.value)] * len(BALLS)
    assert [fault for one in (path, study_path) for fault in validators.faults_of(one, report=True)] == []
