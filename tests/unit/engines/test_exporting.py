"""Models in another format: what converts, how far it is measured to be from the original, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import NotConvertible, TooDifferent
from inference.engines.exporting import export_model
from inference.engines.file_import import ModelFile, import_file
from inference.engines.port import ModelRef
from node.cli.main import main
from tests.unit.engines.models import exported, fill, scripted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engines' small models: 2 x in three formats, a convolution over images of any size, one of two inputs and outputs."""
    repository = tmp_path_factory.mktemp("models")
    fill(repository)
    return repository


@pytest.mark.parametrize(
    ("name", "to"),
    [("conv", "onnx"), ("conv", "pt2"), ("double_pt", "onnx"), ("double_pt", "pt2"), ("double_pt2", "onnx"), ("both", "onnx")],
)
def test_what_converts(name: str, to: str, models: Path, tmp_path: Path) -> None:
    """The difference is small, and what was written computes the same when it is imported: batches and sides that were open stay open."""
    made = export_model(models, ModelRef(name=name), to)
    assert made.difference.largest <= 1e-4
    assert made.difference.inputs == 4
    file = tmp_path / made.file
    file.write_bytes(made.content)
    model, _ = import_file(file, ModelFile(name=name, licence="MIT", attribution="", config=made.config), tmp_path / "models")
    before, after = EmbeddedEngine(models), EmbeddedEngine(tmp_path / "models")
    noise = np.random.default_rng(1)
    if name == "both":
        given = {"A__0": noise.random(2, dtype=np.float32), "B__1": noise.random(2, dtype=np.float32)}
    else:
        # sides and a batch that the conversion has not seen
        shape = (3, 1, 20, 36, 28) if name == "conv" else (3, 1, 4, 4, 4)
        given = {"INPUT__0": noise.random(shape, dtype=np.float32)}
    one, other = before.infer(ModelRef(name=name), given), after.infer(model, given)
    for output, array in one.items():
        np.testing.assert_allclose(other[output], array, atol=1e-5)
    before.close()
    after.close()


def test_a_network_of_channels_agrees_on_the_largest(tmp_path: Path) -> None:
    """What masks are made of is counted too."""
    import torch

    torch.manual_seed(0)
    file = tmp_path / "net.pt2"
    file.write_bytes(exported(torch.nn.Conv3d(1, 3, 3, padding=1).eval(), torch.zeros(2, 1, 8, 8, 8)))
    model, _ = import_file(file, ModelFile(name="net", licence="MIT", attribution=""), tmp_path / "models")
    assert export_model(tmp_path / "models", model, "onnx").difference.argmax_agreement == pytest.approx(1.0, abs=1e-3)


def test_what_does_not_convert(models: Path, tmp_path: Path) -> None:
    """ONNX, what is of the format already, and a script whose path depends on values: said plainly."""
    import torch
    from torch import Tensor, nn

    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            while bool(x.sum() > 1):
                x = x / 2
            return x

    with pytest.raises(NotConvertible, match="is ONNX"):
        export_model(models, ModelRef(name="double_onnx"), "pt2")
    with pytest.raises(NotConvertible, match="pt2 already"):
        export_model(models, ModelRef(name="double_pt2"), "pt2")
    file = tmp_path / "branches.ts"
    file.write_bytes(scripted(Branches()))
    model, _ = import_file(file, ModelFile(name="branches", licence="MIT", attribution="", shape=(4,)), tmp_path / "models")
    with pytest.raises((NotConvertible, TooDifferent)):
        export_model(tmp_path / "models", model, "pt2")
    assert torch.jit.load(str(file)) is not None  # type: ignore[no-untyped-call]


def test_the_command_writes_file_and_config_or_nothing(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the difference in its JSON; above the tolerance nothing is written and the code is said."""

    def export(*words: str) -> tuple[int, Any]:
        code = main(["models", "convert", "conv", "--to", "onnx", "--repository", str(models), "--json", *words])
        said = capsys.readouterr()
        return code, json.loads(said.out)

    code, said = export("--out", str(tmp_path / "good"))
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "good").iterdir()) == ["conv-1.onnx", "conv-1.pbtxt"]
    assert said["difference"]["largest"] < 1e-4
    code, refused = export("--out", str(tmp_path / "bad"), "--tolerance", "-1")
    assert (code, refused["code"], (tmp_path / "bad").exists()) == (1, "HLM-4145", False)
