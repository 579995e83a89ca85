"""The views of an examination go in over DIMSE, in four series; one answer about all of them comes out, and a new one for a late view."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.results.images import radiograph

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE_S = 120
DULL = np.full(600, 300, np.uint16).tobytes()


def settings(folder: Path) -> dict[str, object]:
    made = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "views", "when": {"Modality": "DX"}, "run": ["all-views"], "send": ["results"]}],
    )
    return {**made, "models": {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}}


def send(node: Node, folder: Path) -> None:
    said = hilum("send", folder, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err


def reports(folder: Path) -> dict[str, Dataset]:
    read = [dcmread(path) for path in (folder / "results").rglob("*.dcm")]
    return {str(one.SOPInstanceUID): one for one in read if one.Modality == "SR"}


def images_of(dataset: Dataset) -> set[str]:
    """The images that a report has in its evidence of this study (PS3.3 C.17.2.1), read by hand."""
    return {
        str(one.ReferencedSOPInstanceUID)
        for sequence in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in dataset.get(sequence, ())
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
        if one.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1"
    }


def answers(item: Dataset) -> set[str]:
    """Every coded value in a content tree."""
    own = {str(item.ConceptCodeSequence[0].CodeValue)} if "ConceptCodeSequence" in item else set()
    return own.union(*(answers(child) for child in item.get("ContentSequence", ())))


def test_four_views_are_one_job_and_a_late_one_a_revision(tmp_path: Path) -> None:
    """Absent on three views, of which the report names each; a fourth comes late and shows it: Present, in a report that names all four
    and the one that it replaces. No mask, no coordinates: the application is cleared to say whether, not where."""
    views = [radiograph(tmp_path / f"view{number}", 1, number, PixelData=DULL) for number in (2, 3, 4)]
    late = radiograph(tmp_path / "late", 1, 1, PixelData=np.full(600, 1000, np.uint16).tobytes())
    uids = {path: str(dcmread(path).SOPInstanceUID) for path in (*views, late)}
    everything = tmp_path / "all"
    everything.mkdir()
    for number, path in enumerate(views):
        (everything / f"{number}.dcm").write_bytes(path.read_bytes())
    with Node(settings(tmp_path), tmp_path) as node:
        send(node, everything)
        node.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == ["done"], _PATIENCE_S, "the views are done")
        (first,) = reports(tmp_path).values()
        send(node, late.parent)
        node.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == ["done", "superseded"], _PATIENCE_S, "the late view is done")
        wait_until(lambda: len(reports(tmp_path)) == 2, _PATIENCE_S, "the second report is there")
        shown = node.hilum("studies", "show", first.StudyInstanceUID).out
    (second,) = [one for uid, one in reports(tmp_path).items() if uid != first.SOPInstanceUID]
    assert images_of(first) == {uids[path] for path in views}
    assert images_of(second) == set(uids.values())
    assert ("272519000" in answers(first), "52101004" in answers(second)) == (True, True)
    assert first.SOPInstanceUID in str(second.PredecessorDocumentsSequence)
    assert "together with" in shown
    assert "analysed as a whole, 4 series of the study" in " ".join(shown.split())
    everything_made = {str(dcmread(path).Modality) for path in (tmp_path / "results").rglob("*.dcm")}
    assert everything_made == {"SR", "OT"}
