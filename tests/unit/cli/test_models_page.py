"""docs/howto/bring-a-model.md as written: model files, a bundle, and how versions are looked at, compared and gone back from.

Weights of applications, app.yaml and nnU-Net have tests of their own (tests/peers), and what the page asks of a Triton server has, too
(tests/triton).
"""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from inference.engines.exporting import onnx_of
from tests.lab.howto import HowTo
from tests.lab.needs import program
from tests.unit.applications.bundle import made
from tests.unit.cli.conftest import Answer, Run
from tests.unit.engines.models import exported, scripted

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PAGE = HowTo("bring-a-model.md")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the reader types, with the reader's files."""
    import torch

    def net(seed: int) -> Any:
        torch.manual_seed(seed)
        return torch.nn.Conv3d(1, 2, 3, padding=1).eval()

    example = torch.zeros(2, 1, 8, 8, 8)
    for seed, name in enumerate(("liver.onnx", "better.onnx")):
        traced = torch.export.export(net(seed), (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=8)},))
        (tmp_path / name).write_bytes(onnx_of(traced, ["INPUT__0"], ["OUTPUT__0"]))
    (tmp_path / "liver.pt2").write_bytes(exported(net(2), example))
    (tmp_path / "liver.ts").write_bytes(scripted(net(3)))
    made.folder(tmp_path / "spleen_ct_segmentation", {"model.ts": made.script(made.bright())})
    (tmp_path / "DIR").mkdir()
    (tmp_path / "hilum.yaml").write_text("models: {repository: models}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _typed(run: Run, part: str) -> list[Answer]:
    """The commands of a part in order; each ends well."""
    answers = []
    for command in PAGE.commands(part):
        name, *words = shlex.split(PAGE.typed(command).replace("[MODEL…]", ""))
        assert name == "hilum"
        answers.append(run(*words))
        assert answers[-1].code == 0, (command, answers[-1])
    return answers


def _signed(run: Run, place: Path) -> None:
    """The hospital's own list is signed by the page's commands: it counts under that key, and no longer once a letter of it is another."""
    (written,) = (block for block in PAGE.blocks("yaml") if block.startswith("# hospital-models.yaml"))
    (place / "hospital-models.yaml").write_text(written.replace("0f1e…", "0f" * 32))
    key, public, signature = (shlex.split(PAGE.typed(command)) for command in PAGE.commands("A published model"))
    assert program("openssl", "openssl")
    printed = [subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout for words in (key, public, signature)]
    _, line, *_ = printed[1].splitlines()
    (place / "hilum.yaml").write_text(
        f"models: {{repository: models, catalogue: {{list: hospital-models.yaml, public_key: {line}}}}}\n", encoding="utf-8"
    )
    assert "ct-knee" in run("models", "list", "--catalogue").out
    (place / "hospital-models.yaml").write_text((place / "hospital-models.yaml").read_text().replace("RAS", "LPS"))
    assert "HLM-2024" in run("models", "list", "--catalogue").err


def test_the_page_is_followed(run: Run, place: Path) -> None:
    """Versions of one format and tensors stand beside each other, another format is another model; a bundle is an application; the rollback
    serves the version before; TorchScript becomes ONNX; a signed list is taken."""
    *_, bundle = [*_typed(run, "A model file alone"), *_typed(run, "A MONAI Bundle")]
    assert "application spleen-ct-segmentation" in bundle.out
    listed, *_ = _typed(run, "Look, compare, go back")
    assert all(name in listed.out for name in ("liver_net", "liver_pt2", "liver_ts", "spleen_ct_segmentation"))
    assert list((place / "DIR").rglob("*.onnx"))
    _signed(run, place)
    PAGE.followed()
    models = json.loads(run("models", "list", "--json").out)
    assert {one["version"]: one["serving"] for one in models if one["model"] == "liver_net"} == {1: True, 2: False}
    assert run("models", "import", "liver.pt2", "--name", "liver_net").code == 1
