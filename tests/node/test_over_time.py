"""A heart over a beat, and a lung over a breath, through `hilum serve`: in whatever form and order they come, one job, and the same volumes
in the report."""

import random
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.lab import breathing, cine, dcmtk
from tests.lab.node import QUIET, Node, configuration
from tests.results.test_over_time import FORMS, numbers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE_S = 240


def settings(folder: Path, modality: str = "MR", application: str = "short-axis") -> dict[str, object]:
    route = {"name": "cine", "when": {"Modality": modality}, "run": [application], "send": ["results", "readers"]}
    readers = {"kind": "folder", "path": str(folder / "readers")}
    results = {"kind": "folder", "path": str(folder / "results"), "profile": {"like": "viewer", "cine_masks": True}}
    made = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": results, "readers": readers},
        routes=[route],
    )
    return {**made, "models": {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}}


@pytest.mark.parametrize("form", FORMS)
def test_a_heart_in_every_form_gives_the_same_volumes(form: str, tmp_path: Path) -> None:
    """Images come in random order, those of several series mixed. The report has the volume of each phase as it was drawn, and the mask
    refers to every image; explain had chosen every series. What readers get has the same report; where a viewer would lay the mask of one
    phase over all, they get none, and the same numbers in a report that refers to none: the delivery says so."""
    made = FORMS[form](tmp_path / "cine")
    sent = made.files[:]
    random.Random(7).shuffle(sent)
    with Node(settings(tmp_path), tmp_path) as node:
        said = dcmtk.storescu(node.port, *sent, calling="SCANNER")
        assert said.code == 0, said
        (job,) = node.wait_for_jobs(lambda jobs: any(one["state"] == "done" for one in jobs), _PATIENCE_S, "the heart is measured")
        explained = node.hilum("routes", "explain", job["study_uid"], "--json").json
        assert job["application"] == "short-axis"
        shown = node.hilum("jobs", "show", str(job["id"]), "--json").json["deliveries"]
    (route,) = explained["routes"]
    assert len(route["series"]) == (cine.SLICES if form == "a series a slice" else 1)
    assert all(one["chosen"] for one in route["series"])
    found = [dcmread(path) for path in (tmp_path / "results").rglob("*.dcm")]
    by_segment, whole = sorted((one for one in found if one.Modality == "SR"), key=lambda one: -len(numbers(one)))
    assert numbers(by_segment) == pytest.approx(made.volumes_cm3, rel=5e-3)
    assert numbers(whole) == pytest.approx([made.volumes_cm3[cine.LARGEST], made.volumes_cm3[cine.SMALLEST]], rel=5e-3)
    (mask,) = (one for one in found if one.Modality == "SEG")
    assert referred(mask) == {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in made.files}
    notes = {one["sink"]: " ".join(one["notes"]) for one in shown}
    got = [dcmread(path) for path in (tmp_path / "readers").rglob("*.dcm")]
    without = "SEG" not in {one.Modality for one in got}
    assert ("HLM-6186" in notes["readers"], without) == ((form == "one series"),) * 2
    assert (by_segment.SOPInstanceUID in {one.SOPInstanceUID for one in got}) is not without
    (told,) = (one for one in got if one.Modality == "SR" and len(numbers(one)) == len(numbers(by_segment)))
    assert numbers(told) == pytest.approx(numbers(by_segment))
    assert (mask.SOPInstanceUID in told.to_json()) is not without
    assert notes["results"] == ""


@pytest.mark.parametrize("form", breathing.FORMS)
def test_a_breath_in_every_form_gives_the_same_volumes(form: str, tmp_path: Path) -> None:
    """Series come in random order over four associations, an average of all phases among them. The report has the volume of each phase as
    it was drawn, and the mask refers to every image and to none of the average; explain had chosen every phase and says what is none.
    Readers get no mask."""
    made = breathing.FORMS[form](tmp_path / "breath")
    said_of_average: dict[str, Any] = {"SeriesInstanceUID": "1.2.826.0.2.9", "SeriesNumber": 20, "SeriesDescription": "4D AVERAGE"}
    average = breathing.phase_files(tmp_path / "breath", 0, made.ball[0], **said_of_average)
    sent = [*made.files, *average]
    random.Random(7).shuffle(sent)
    with Node(settings(tmp_path, "CT", "breathing"), tmp_path) as node:
        for part in range(4):
            said = dcmtk.storescu(node.port, *sent[part::4], calling="SCANNER")
            assert said.code == 0, said
        jobs = node.wait_for_jobs(lambda jobs: any(one["state"] == "done" for one in jobs), _PATIENCE_S, "the ball is measured")
        (job,) = [one for one in jobs if one["state"] == "done"]
        assert {one["state"] for one in jobs if one is not job} <= {"not applicable", "superseded"}
        explained = node.hilum("routes", "explain", job["study_uid"], "--json").json
        shown = node.hilum("jobs", "show", str(job["id"]), "--json").json["deliveries"]
    notes = {one["sink"]: " ".join(one["notes"]) for one in shown}
    assert ("HLM-6186" in notes["readers"], notes["results"]) == (True, "")
    assert "SEG" not in {dcmread(path).Modality for path in (tmp_path / "readers").rglob("*.dcm")}
    (route,) = explained["routes"]
    chosen = [one["series_uid"] for one in route["series"] if one["chosen"]]
    assert len(chosen) == (1 if form == "one series" else len(breathing.SHARES))
    if form != "one series":
        reasons = " ".join(one["reason"] for one in route["series"] if one["chosen"])
        assert "analysed over time, 10 series of the study, a phase each" in reasons
        assert "not with them: series 20, SeriesDescription is «4D AVERAGE»: it was computed of all phases" in reasons
    found = [dcmread(path) for path in (tmp_path / "results").rglob("*.dcm")]
    by_segment, whole = sorted((one for one in found if one.Modality == "SR"), key=lambda one: -len(numbers(one)))
    assert numbers(by_segment) == pytest.approx(made.volumes_cm3, rel=5e-3)
    assert numbers(whole) == pytest.approx([max(made.volumes_cm3), min(made.volumes_cm3)], rel=5e-3)
    (mask,) = (one for one in found if one.Modality == "SEG")
    assert referred(mask) == {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in made.files}


def referred(mask: Dataset) -> set[str]:
    return {str(one.ReferencedSOPInstanceUID) for series in mask.ReferencedSeriesSequence for one in series.ReferencedInstanceSequence}
