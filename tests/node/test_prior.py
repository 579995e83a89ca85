"""Two visits of one patient go in over DIMSE and their registration comes out, whichever came first, through `hilum serve` alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.lab.visits import Visits, visits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_PATIENCE_S = 240
EARLIER, LATER = 0, 1


@pytest.fixture(scope="module")
def both(real: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Visits:
    return visits(real, tmp_path_factory.mktemp("visits"))


def settings(folder: Path) -> dict[str, object]:
    return configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "follow-up", "when": {"Modality": "MR"}, "run": ["mr-register"], "send": ["results"]}],
    )


def send(node: Node, folder: Path) -> None:
    said = hilum("send", folder, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err


def show(node: Node, *words: str) -> Any:
    said = hilum(*words, "--config", node.config, "--json")
    assert said.code == 0, said.out + said.err
    return said.json


def decisions(node: Node, study: str) -> list[Any]:
    """What the newest revision of a study decided."""
    if study not in [one["study_uid"] for one in node.studies()]:
        return []
    found: list[Any] = show(node, "studies", "show", study)["arrivals"][-1]["decisions"]
    return found


def matrix_of(registration: Dataset, frame: str) -> NDArray[np.float64]:
    """What takes coordinates of a frame of reference to the registration's (PS3.3 C.20.2.1.1), read by hand."""
    (item,) = [one for one in registration.RegistrationSequence if one.FrameOfReferenceUID == frame]
    (step,) = item.MatrixRegistrationSequence
    (matrix,) = step.MatrixSequence
    return np.array(matrix.FrameOfReferenceTransformationMatrix, dtype=float).reshape(4, 4)


def frame_of(folder: Path) -> str:
    return str(dcmread(next(folder.iterdir()), stop_before_pixels=True).FrameOfReferenceUID)


def positions(images: Sequence[Dataset]) -> NDArray[np.float64]:
    """(N, 3) in mm, from the feet up."""
    return np.array(sorted((list(map(float, image.ImagePositionPatient)) for image in images), key=lambda at: at[2]))


def study_uid(folder: Path) -> str:
    return str(dcmread(next(folder.iterdir()), stop_before_pixels=True).StudyInstanceUID)


def referenced(dataset: Dataset) -> set[str]:
    """Every SOP Instance UID that a data set refers to, wherever it stands."""
    found = {str(dataset.ReferencedSOPInstanceUID)} if "ReferencedSOPInstanceUID" in dataset else set()
    return found.union(*(referenced(item) for element in dataset if element.VR == "SQ" for item in element.value))


@pytest.mark.parametrize("order", [(EARLIER, LATER), (LATER, EARLIER)], ids=["prior first", "prior later"])
def test_two_visits_are_registered_in_whichever_order_they_come(both: Visits, tmp_path: Path, order: tuple[int, int]) -> None:
    """One job, on the later study: its objects stand there and name the images of both; the matrix is the published motion to half a
    millimetre; the resampled prior has the later one's slices; the passport names the prior."""
    uids = [study_uid(folder) for folder in both.folders]
    with Node(settings(tmp_path), tmp_path) as node:
        first, second = order
        send(node, both.folders[first])
        wait_until(lambda: decisions(node, uids[first]), _PATIENCE_S, "the first visit is routed")
        assert node.jobs() == []
        assert decisions(node, uids[first])[0]["reason"].endswith("mr-register: no prior: no earlier study of this patient is here")
        send(node, both.folders[second])
        wait_until(lambda: [job["state"] for job in node.jobs()] == ["done"], _PATIENCE_S, "the pair is done")
        passport = show(node, "studies", "show", uids[LATER])
        explained = show(node, "routes", "explain", uids[LATER])
        (job,) = node.jobs()
        page = hilum("jobs", "show", job["id"], "--config", node.config).out
        assert show(node, "studies", "show", uids[EARLIER])["jobs"] == []
    assert (job["study_uid"], job["application"]) == (uids[LATER], "mr-register")
    assert [(one["role"], one["study_uid"], one["study_date"], one["instances"]) for one in passport["jobs"][0]["series"]] == [
        ("own", uids[LATER], "20230305", 48),
        ("prior", uids[EARLIER], "20220301", 48),
    ]
    assert "compared with" in page
    assert "compared with series 1 of 2022-03-01 (FLAIR)" in explained["routes"][0]["reason"]

    sources = [{str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in folder.iterdir()} for folder in both.folders]
    objects = [dcmread(path) for path in (tmp_path / "results").rglob("*.dcm")]
    assert {str(one.StudyInstanceUID) for one in objects} == {uids[LATER]}
    assert {str(one.PatientID) for one in objects} == {"MS-12"}
    (registration,) = [one for one in objects if one.Modality == "REG"]
    assert referenced(registration) >= sources[EARLIER] | sources[LATER]
    assert both.error_mm(matrix_of(registration, frame_of(both.folders[EARLIER]))).mean() < 0.5
    resampled = [one for one in objects if one.Modality == "MR"]
    current = [dcmread(path, stop_before_pixels=True) for path in both.folders[LATER].iterdir()]
    assert np.allclose(positions(resampled), positions(current), atol=1e-3)
    assert {str(one.FrameOfReferenceUID) for one in resampled} == {frame_of(both.folders[LATER])}
    assert set().union(*(referenced(one) for one in resampled)) >= sources[EARLIER]
    assert sorted({str(one.Modality) for one in objects}) == ["MR", "OT", "REG"]


def test_the_demo_compares_two_visits(both: Visits, tmp_path: Path) -> None:
    """`hilum demo --input FOLDER` with a study of each visit: the later one is registered, and the picture and the remark are there."""
    said = hilum("demo", "--application", "mr-register", "--input", both.folders[0].parent, "--out", tmp_path / "out", "--json")
    assert said.code == 0, said.out + said.err
    summary = said.json
    kinds = [one["kind"] for one in summary["objects"]]
    assert (kinds.count("registration"), kinds.count("derived"), kinds.count("sc")) == (1, 48, 1)
    assert {str(dcmread(one["path"]).StudyInstanceUID) for one in summary["objects"]} == {study_uid(both.folders[LATER])}
    assert summary["remarks"][0].startswith("The prior was moved by 10.0 mm")
    assert (tmp_path / "out" / "overlay.png").stat().st_size > 100_000
