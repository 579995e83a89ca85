"""A node whose models run on a real Triton server: away at start, back later, another model than the repository describes, mended."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.soften import write_soften
from inference.engines.triton.server import LocalTriton
from inference.imaging.write_series import write_series
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.lab.triton import Started

pytestmark = [pytest.mark.slow, pytest.mark.registry]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 180


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The node's copy: one small model."""
    write_soften(tmp_path / "models", layers=1)
    return tmp_path / "models"


@pytest.fixture
def server(triton: Started, tmp_path: Path, repository: Path) -> LocalTriton:
    """A server over a copy of its own."""
    shutil.copytree(repository, tmp_path / "served")
    return triton(tmp_path / "served")


def node_of(folder: Path, repository: Path, server: LocalTriton) -> Node:
    """A node that runs one application on the server."""
    settings = configuration(
        folder,
        port=0,
        repository=repository,
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-soften"], "send": ["results"]}],
        engines={"gpu": {"kind": "triton", "url": server.url}},
        applications={"bench-soften": {"engine": "gpu"}},
    )
    settings["models"] = {"repository": str(repository), "applications": [str(_APPLICATIONS)]}
    return Node(settings, folder / "node")


def send(node: Node, folder: Path, patient: str) -> None:
    """A CT of air with a block in it."""
    voxels = np.full((12, 64, 64), -1000, np.int16)
    voxels[:, 20:30, 10:30] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    files = write_series(voxels, affine, folder / patient, modality="CT", patient_id=patient)
    said = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err


def findings(node: Node) -> list[dict[str, str]]:
    """What doctor says of the engine."""
    return [one for one in node.doctor()["findings"] if one["subject"] == "engine gpu"]


def events(node: Node, name: str) -> list[dict[str, object]]:
    """The events of that name so far."""
    return [one for one in node.events() if one.get("event") == name]


def test_a_server_that_is_away_at_start_is_a_node_that_takes_studies_and_waits(
    server: LocalTriton, repository: Path, tmp_path: Path
) -> None:
    """Network case 23: Ready all the same; doctor names the server and says what to do; the job keeps its place and its attempts, and
    is done later."""
    server.kill()
    with node_of(tmp_path, repository, server) as node:
        send(node, tmp_path, "WAITS")
        (job,) = node.wait_for_jobs(lambda jobs: jobs, _PATIENCE_S, "the job")
        (finding,) = findings(node)
        assert finding["level"] == "bad"
        assert server.url in finding["detail"]
        assert "Is the server running" in finding["fix"]
        wait_until(lambda: events(node, "engine.away"), _PATIENCE_S, "the event")
        assert job["state"] == "queued"
        server.start()
        node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"], _PATIENCE_S, "the job is done")
        wait_until(lambda: events(node, "engine.back"), _PATIENCE_S, "the engine is back, by its event")
        shown = node.hilum("jobs", "show", job["id"], "--json").json
        assert shown["attempts"] == 1
        found = findings(node)
        assert {one["level"] for one in found} == {"good"}
        said = " ".join(one["detail"] for one in found)
        assert "Triton 2.51" in said
        assert "serves soften version 1 as the repository describes it, 1 call at once (bench-soften)" in said


def test_a_server_with_another_model_parks_jobs_until_it_is_mended(server: LocalTriton, repository: Path, tmp_path: Path) -> None:
    """An alarm before any study; then a parked job with the same sentence, and the node goes on; the operator mends and retries."""
    config = repository / "soften/config.pbtxt"
    right = config.read_text()
    config.write_text(right.replace('output [ { name: "y" data_type: TYPE_FP32', 'output [ { name: "y" data_type: TYPE_FP16'))
    difference = "output y is float32 on the server, float16 here"
    with node_of(tmp_path, repository, server) as node:
        wait_until(lambda: events(node, "engine.model_refused"), _PATIENCE_S, "the alarm")
        (alarm,) = events(node, "engine.model_refused")
        assert (alarm["engine"], alarm["application"], alarm["code"]) == ("gpu", "bench-soften", "HLM-4104")
        assert difference in str(alarm["reason"])
        send(node, tmp_path, "PARKED")
        (job,) = node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["parked"], _PATIENCE_S, "the job is parked")
        assert (job["code"], job["reason"]) == ("HLM-4104", alarm["reason"])
        (engine, refused) = findings(node)
        assert (engine["level"], refused["level"]) == ("good", "bad")
        assert difference in refused["detail"]
        config.write_text(right)
        said = node.hilum("jobs", "retry", job["id"])
        assert said.code == 0, said.out + said.err
        node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"], _PATIENCE_S, "the job is done")
