"""Tiles and whole volumes on every engine: one application, one repository, and the findings that do not depend on the way."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from tritonclient import grpc as client

from bench.tiles import NETWORK, STORED, write_models
from inference import findings_file
from inference.engines.calling import call_to_json
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import Call, Engine, ModelRef, Tensors, Tiles, WholeImage
from inference.engines.repository import Repository
from inference.engines.triton.engine import TritonEngine
from inference.engines.triton.server import LocalTriton
from inference.findings import Findings
from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.triton import servers
from tests.triton.applications.tiled_ct import APPLICATION

pytestmark = [pytest.mark.slow, pytest.mark.registry]

_PATIENCE_S = 180
WAYS: dict[str, Call] = {
    "tiles": Tiles(window=(16, 16, 16), overlap=0.5, batch=1),
    "tiles of two": Tiles(window=(16, 16, 16), overlap=0.5, batch=2),
    "stored tiles": Tiles(window=(16, 16, 16), overlap=0.5, batch=1, model=STORED),
    "whole": WholeImage(model=STORED),
}


class Asked:
    """An engine as the node gives it to an application; says how it was called."""

    def __init__(self, engine: Engine, repository: Path) -> None:
        self.calls: list[tuple[str, str]] = []
        self._engine = engine
        self._repository = Repository(repository)

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        self.calls.append((model.name, tensors["x"].dtype.name))
        return self._engine.infer(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        load = self._engine.load(model)
        return load.at_once + load.ahead

    def call_of(self, model: ModelRef) -> Call | None:
        return self._repository.call_of(model)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with dynamic batching, a step before it, an ensemble of both."""
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[LocalTriton]:
    """A server over that very repository."""
    with servers() as start:
        yield start(repository)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    """A CT of noise, in which no way of calling could hide."""
    return assemble(series(tmp_path_factory.mktemp("series")))


def series(folder: Path) -> list[Path]:
    """28 slices of 40 × 36."""
    voxels = np.random.default_rng(8).integers(-1000, 1000, (28, 40, 36), dtype=np.int16)
    affine = np.array([[0.0, 0, 1, -20], [0, 1, 0, -18], [2, 0, 0, 0], [0, 0, 0, 1]])
    return write_series(voxels, affine, folder, modality="CT", patient_id="TILES")


def enter(repository: Path, call: Call) -> None:
    """Have the network's entry say how it is to be called."""
    digest = Repository(repository).digest(NETWORK)
    fields = dict.fromkeys(("file", "source_sha256", "source", "licence", "attribution", "format"), "x")
    said = {"versions": {"1": {**fields, "sha256": digest, "call": call_to_json(call)}}}
    (repository / NETWORK.name / "hilum.json").write_text(json.dumps(said), encoding="utf-8")


@pytest.mark.parametrize("way", WAYS)
def test_one_findings_digest_over_the_transports(server: LocalTriton, repository: Path, volume: Volume, way: str) -> None:
    """In this process, over gRPC with several tiles under way in the server's batches, through shared memory: the same findings."""
    enter(repository, WAYS[way])
    found: dict[str, Findings] = {}
    with (
        TritonEngine(server.url, repository, shared_memory="off") as grpc,
        TritonEngine(server.url, repository, shared_memory="on") as memory,
    ):
        engines: dict[str, Engine] = {"embedded": EmbeddedEngine(repository), "grpc": grpc, "shared memory": memory}
        for name, engine in engines.items():
            asked = Asked(engine, repository)
            found[name] = APPLICATION.analyse(volume, asked)
            expected = ("stored", "int16") if WAYS[way].model == STORED else ("network", "float32")
            assert set(asked.calls) == {expected}
            assert (len(asked.calls) == 1) == (way == "whole")
    masks = [findings.segments[0].mask for findings in found.values()]
    assert 0.1 < masks[0].mean() < 0.9, "or the network says nothing"
    for mask in masks[1:]:
        assert 2 * (mask & masks[0]).sum() >= 0.999 * (mask.sum() + masks[0].sum())
    assert len({findings_file.digest(findings) for findings in found.values()}) == 1


def test_int16_and_float32_tiles_are_one(server: LocalTriton, repository: Path, volume: Volume) -> None:
    """Rescaled here or on the server: the same mask, voxel by voxel."""
    masks = []
    with TritonEngine(server.url, repository) as engine:
        for way in ("tiles", "stored tiles"):
            enter(repository, WAYS[way])
            masks.append(APPLICATION.analyse(volume, Asked(engine, repository)).segments[0].mask)
    np.testing.assert_array_equal(masks[0], masks[1])


def test_a_node_tiles_on_its_server(server: LocalTriton, repository: Path, volume: Volume, tmp_path: Path) -> None:
    """A study through the whole node: the server computes windows in batches, and the SEG has the voxels that this process finds."""
    enter(repository, WAYS["tiles"])
    expected = APPLICATION.analyse(volume, Asked(EmbeddedEngine(repository), repository)).segments[0].mask
    settings = configuration(
        tmp_path,
        port=0,
        repository=repository,
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["tiled-ct"], "send": ["results"]}],
        engines={"gpu": {"kind": "triton", "url": server.url}},
        applications={"tiled-ct": {"engine": "gpu"}},
    )
    settings["models"] = {"repository": str(repository), "applications": [str(Path(__file__).with_name("applications"))]}
    with client.InferenceServerClient(server.url.removeprefix("grpc://")) as asked:
        before = asked.get_inference_statistics(NETWORK.name).model_stats[0]
        with Node(settings, tmp_path / "node") as node:
            files = series(tmp_path / "series")
            said = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
            assert said.code == 0, said.out + said.err
            node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"], _PATIENCE_S, "the job is done")
        after = asked.get_inference_statistics(NETWORK.name).model_stats[0]
    windows = after.inference_count - before.inference_count
    assert windows == 3 * 4 * 4
    assert after.execution_count - before.execution_count < windows, "no two windows were computed together"
    (seg,) = [dataset for path in (tmp_path / "results").rglob("*.dcm") if (dataset := dcmread(path)).Modality == "SEG"]
    assert int(np.asarray(seg.pixel_array).sum()) == int(expected.sum())
