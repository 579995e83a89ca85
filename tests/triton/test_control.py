"""`hilum models load|unload|verify --engine` against a real tritonserver over a repository that the import wrote."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engines.errors import DigestMismatch
from inference.engines.file_import import ModelFile, import_file
from inference.engines.port import ModelRef
from inference.engines.serving import roll_back
from inference.engines.triton.control import TritonControl
from inference.engines.triton.engine import TritonEngine
from inference.engines.triton.server import LocalTriton
from node.cli.main import main
from tests.lab.triton import servers

pytestmark = [pytest.mark.slow, pytest.mark.registry]

Hilum = Callable[..., tuple[int, Any]]


def times(factor: float) -> bytes:
    """ONNX of y = factor × x."""
    from onnx import TensorProto, helper, numpy_helper

    axes = ["n", 1, 4, 4, 4]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "times",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, axes)],
        [numpy_helper.from_array(np.array(factor, dtype=np.float32), "factor")],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of one model: twice x, three times x."""
    folder = tmp_path_factory.mktemp("control")
    for factor in (2.0, 3.0):
        file = folder / f"times{factor}.onnx"
        file.write_bytes(times(factor))
        import_file(file, ModelFile(name="times", licence="MIT", attribution="Nobody"), folder / "models")
    return folder / "models"


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[LocalTriton]:
    """A server that holds nothing yet."""
    with servers() as start:
        yield start(repository, models=[])


@pytest.fixture
def hilum(repository: Path, server: LocalTriton, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Hilum:
    """`hilum models … --json` on a configuration with that server as the engine "gpu"."""
    config = tmp_path / "hilum.yaml"
    config.write_text(
        json.dumps({"models": {"repository": str(repository)}, "engines": {"gpu": {"kind": "triton", "url": server.url, "load": False}}})
    )

    def run(*words: str) -> tuple[int, Any]:
        code = main(["models", *words, "--config", str(config), "--json"])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    return run


def ready(server: LocalTriton) -> list[int]:
    """The versions that the server holds ready."""
    control = TritonControl(server.url, Path())  # the index of the server alone is asked
    found = [each.version for each in control.held("times") if each.state == "READY"]
    control.close()
    return found


def test_load_and_unload(hilum: Hilum, server: LocalTriton) -> None:
    """All versions, one of them, the other, none: as the server's own index says."""
    assert ready(server) == []
    assert hilum("load", "times", "--engine", "gpu")[0] == 0
    assert ready(server) == [1, 2]
    assert hilum("unload", "times", "--engine", "gpu", "--version", "2") == (0, {"model": "times", "engine": "gpu", "ready": [1]})
    assert ready(server) == [1]
    assert hilum("load", "times", "--engine", "gpu", "--version", "2")[0] == 0
    assert ready(server) == [1, 2]
    assert hilum("unload", "times", "--engine", "gpu")[0] == 0
    assert ready(server) == []
    assert hilum("load", "times", "--engine", "gpu", "--version", "7")[0] == 1


def test_verify_compares_both_engines(hilum: Hilum) -> None:
    """Digest, licence, card, the golden output here and there, and how far they differ: both are 2 x and 3 x exactly."""
    hilum("load", "times", "--engine", "gpu")
    code, verdicts = hilum("verify", "--engine", "gpu")
    assert code == 0
    assert [(verdict["version"], verdict["difference"], verdict["licence"], verdict["card"]) for verdict in verdicts] == [
        (1, 0.0, "MIT", True),
        (2, 0.0, "MIT", True),
    ]
    hilum("unload", "times", "--engine", "gpu")
    code, verdicts = hilum("verify", "--engine", "gpu")
    assert code == 1
    assert all(not verdict["good"] for verdict in verdicts)


def test_rolled_back_the_server_answers_with_the_other_version(hilum: Hilum, repository: Path, server: LocalTriton) -> None:
    """Both versions are held, so that a rollback needs nothing of the server; a parameter of another digest is found."""
    hilum("load", "times", "--engine", "gpu")
    engine = TritonEngine(server.url, repository, load=False)
    x = np.full((1, 1, 4, 4, 4), 5, np.float32)
    for expected in (10, 15):
        version = roll_back(repository, "times").version
        np.testing.assert_array_equal(engine.infer(ModelRef(name="times", version=version), {"x": x})["y"], expected)
    engine.close()
    file = repository / "times/hilum.json"
    kept = file.read_text()
    digest = json.loads(kept)["versions"]["1"]["sha256"]
    file.write_text(kept.replace(digest, "0" * 64))
    other = TritonEngine(server.url, repository, load=False)
    with pytest.raises(DigestMismatch):
        other.check(ModelRef(name="times", version=1))
    other.close()
    file.write_text(kept)
