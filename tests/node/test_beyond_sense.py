"""Studies with numbers that no patient has, through a real node: declined before they are analysed, told in the archive, and no defect."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import UID

from tests.lab.elements import put
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.results import made

_APPLICATIONS = Path(__file__).parents[1] / "soak" / "applications"
_PATIENCE_S = 120

_CASES = {
    "slope": ("HLM-3031", {"RescaleSlope": b"1e300"}),
    "apart": ("HLM-3031", {"ImagePositionPatient": b"-20\\-30\\%de15"}),
    "spacing": ("HLM-3031", {"PixelSpacing": b"1e-300\\1e-300"}),
    "frame": ("HLM-3032", {"FrameOfReferenceUID": b"1." * 32 + b"1"}),
}


@pytest.fixture(name="node", scope="module")
def _node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("beyond sense")
    (folder / "models").mkdir()
    settings: dict[str, Any] = configuration(
        folder / "store",
        port=0,
        repository=folder / "models",
        peers={"modality": {"ae_title": "MODALITY", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "CT", "when": {"Modality": "CT"}, "run": ["soak-volume"], "send": ["results"]}],
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    with Node(settings, folder / "node") as running:
        yield running


def _sent(node: Node, folder: Path) -> dict[str, str]:
    """A study for each case, and one that is right: the case by its Study Instance UID."""
    studies = {}
    for number, case in enumerate((*_CASES, "right"), start=1):
        files = made.series(folder / case)
        for place, path in enumerate(files):
            one = pydicom.dcmread(path)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
                setattr(one, keyword, f"{one[keyword].value[:50]}.{number}")
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}.{place}")
            one.save_as(path)
            for keyword, raw in _CASES[case][1].items() if case in _CASES else ():
                put(path, keyword, raw % (place + 1) if b"%d" in raw else raw)
            studies[str(one.StudyInstanceUID)] = case
    said = hilum("send", folder, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "MODALITY")
    assert said.code == 0, said.out + said.err
    return studies


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_no_patient_has_is_declined_before_it_is_analysed_and_told(node: Node, tmp_path: Path) -> None:
    """Each study ends with its code and no findings, a statement of it stands in the archive, and the study that is right is done."""
    studies = _sent(node, tmp_path)

    def ended() -> bool:
        jobs = [one for one in node.jobs(statements=True) if one["study_uid"] in studies]
        return len(jobs) == 2 * len(_CASES) + 1 and all(one["state"] in ("parked", "done", "failed") for one in jobs)

    wait_until(ended, _PATIENCE_S, "jobs and statements that ended")
    of_study: dict[str, list[dict[str, Any]]] = {}
    for one in node.jobs(statements=True):
        of_study.setdefault(studies.get(one["study_uid"], ""), []).append(one)
    assert [one["state"] for one in of_study["right"]] == ["done"]
    for case, (code, attributes) in _CASES.items():
        jobs = sorted(of_study[case], key=lambda one: str(one["state"]))
        assert [(one["state"], one["code"]) for one in jobs] == [("done", None), ("parked", code)], case
        keyword = next(iter(attributes))
        assert keyword in jobs[1]["reason"], case
    results = [pydicom.dcmread(path) for path in (node.folder.parent / "results").rglob("*.dcm")]
    told = {studies[str(one.StudyInstanceUID)] for one in results if str(one.SeriesDescription).startswith("No result")}
    assert told == set(_CASES)
    assert "job.defect" not in node.log.read_text()
