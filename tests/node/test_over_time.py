"""A heart over a beat through `hilum serve`: in whatever form and order it comes, one job, and the same volumes in the report."""

import random
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from tests.lab import cine, dcmtk
from tests.lab.node import QUIET, Node, configuration
from tests.results.test_over_time import FORMS, numbers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE_S = 240


def settings(folder: Path) -> dict[str, object]:
    route = {"name": "cine", "when": {"Modality": "MR"}, "run": ["short-axis"], "send": ["results", "readers"]}
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
    refers to every image; explain had chosen every series. What readers get has the same report, and no mask where a viewer would lay that
    of one phase over all: the delivery says so."""
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
    got = {one.SOPInstanceUID: one.Modality for one in (dcmread(path) for path in (tmp_path / "readers").rglob("*.dcm"))}
    assert ("HLM-6186" in notes["readers"], "SEG" not in got.values()) == ((form == "one series"),) * 2
    assert by_segment.SOPInstanceUID in got
    assert notes["results"] == ""


def referred(mask: Dataset) -> set[str]:
    return {str(one.ReferencedSOPInstanceUID) for series in mask.ReferencedSeriesSequence for one in series.ReferencedInstanceSequence}
