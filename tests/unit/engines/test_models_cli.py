"""`hilum models list|verify|import` as an operator meets it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.applications.bundle.finish import Decision, Return
from inference.applications.bundle.inferer import Whole
from inference.applications.bundle.manifest import BundleManifest, Structure, to_text
from inference.applications.bundle.steps import Orientation
from inference.applications.port import Accepts, Licences
from inference.codes import LUNG, TISSUE
from inference.engines.port import ModelRef
from node.cli.main import main
from tests.unit.engines.models import fill

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Models of which `double_pt` has an entry: 2 x of the golden input, whose mean is one half and deviation √(1/12)."""
    fill(tmp_path)
    weights = tmp_path / "double_pt/1/model.pt"
    entry = {
        "file": "model.pt",
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "source_sha256": "x",
        "source": "by hand",
        "licence": "MIT",
        "attribution": "nobody",
        "format": "TorchScript",
        "golden": {"shape": [1, 1, 4, 4, 4], "mean": 1.0, "deviation": 0.5774, "scale": 1.0, "tolerance": 0.05},
    }
    (tmp_path / "double_pt/hilum.json").write_text(json.dumps({"versions": {"1": entry}}))
    return tmp_path


@pytest.fixture
def hilum(models: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`hilum models …`: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["models", *arguments, "--repository", str(models)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def by_name(printed: str) -> dict[str, dict[str, Any]]:
    """The JSON list by model."""
    return {each["model"]: each for each in json.loads(printed)}


def test_list_names_every_model(hilum: Callable[..., tuple[int, str, str]]) -> None:
    """For people a table, for scripts one object a model."""
    code, out, _ = hilum("list", "--json")
    assert code == 0
    listed = by_name(out)
    assert set(listed) == {"both", "conv", "double_onnx", "double_pt", "double_pt2", "prepare", "prepared"}
    assert (listed["prepared"]["backend"], listed["prepared"]["problem"]) == ("ensemble", "")
    assert listed["double_pt"]["licence"] == "MIT"
    assert listed["double_onnx"]["backend"] == "onnxruntime"
    assert "by hand" in hilum("list")[1]


def test_list_tells_three_licences_apart(hilum: Callable[..., tuple[int, str, str]], models: Path) -> None:
    """What an application says of itself stands beside the model that it calls: grade, licences of code, weights and data, commercial use.
    A model that none calls has its own entry's licence, and no grade."""
    said = by_name(hilum("list", "--json")[1])["double_pt"]
    assert (said["applications"], said["grade"]) == ([], None)
    assert said["licences"] == {"code": "", "weights": "MIT", "data": "", "commercial": "unknown"}
    manifest = BundleManifest(
        name="double-pt",
        version="1.0.0",
        title="Double",
        accepts=Accepts(modality=("CT",)),
        model=ModelRef(name="double_pt"),
        input="x",
        output="y",
        channels=2,
        prepare=(Orientation(axcodes="RAS"),),
        inferer=Whole(),
        finish=(Decision(), Return()),
        structures=(Structure(channel=1, label="lung", type=LUNG, category=TISSUE, rgb=(1, 2, 3)),),
        licences=Licences(code="Apache-2.0", data="CC-BY-NC-4.0", commercial="no"),
        grade="demonstration",
    )
    (models / "double_pt/1/application.json").write_bytes(to_text(manifest))
    said = by_name(hilum("list", "--json")[1])["double_pt"]
    assert (said["applications"], said["grade"]) == (["double-pt"], "demonstration")
    assert said["licences"] == {"code": "Apache-2.0", "weights": "MIT", "data": "CC-BY-NC-4.0", "commercial": "no"}
    shown = "".join(hilum("list")[1].split())
    assert "demonstration" in shown
    assert "CC-BY-NC-4.0" in shown


def test_verify_runs_the_known_input(hilum: Callable[..., tuple[int, str, str]], models: Path) -> None:
    """Good: digest and values; another expectation: exit 1 with the code; --no-run does not compute."""
    code, out, _ = hilum("verify", "double_pt", "--json")
    assert code == 0
    assert "known output" in by_name(out)["double_pt"]["reason"]
    entry = models / "double_pt/hilum.json"
    entry.write_text(entry.read_text().replace('"mean": 1.0', '"mean": 1.5'))
    code, out, _ = hilum("verify", "double_pt", "--json")
    assert (code, by_name(out)["double_pt"]["code"]) == (1, "HLM-4107")
    assert hilum("verify", "double_pt", "--no-run")[0] == 0


def test_verify_finds_changed_weights(hilum: Callable[..., tuple[int, str, str]], models: Path) -> None:
    """One byte more: exit 1, and the others are still judged."""
    with (models / "double_pt/1/model.pt").open("ab") as file:
        file.write(b"!")
    code, out, _ = hilum("verify", "--json")
    verdicts = by_name(out)
    assert code == 1
    assert verdicts["double_pt"]["code"] == "HLM-4102"
    assert verdicts["double_onnx"]["good"]


def test_verify_of_a_model_that_is_not_there(hilum: Callable[..., tuple[int, str, str]]) -> None:
    """Named, with what to do."""
    code, _, err = hilum("verify", "nobody")
    assert code == 1
    assert "nobody" in err
    assert "HLM-4101" in err


def test_import_asks_for_the_file_and_refuses_another(hilum: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """ct-lung's weights are on no registry: the message names publisher and digest; another file is refused."""
    code, _, err = hilum("import", "ct-lung")
    assert code == 1
    assert "UNet_wdk24.pt" in err
    other = tmp_path / "other.pt"
    other.write_bytes(b"other")
    code, _, err = hilum("import", "ct-lung", "--file", str(other))
    assert code == 1
    assert hashlib.sha256(b"other").hexdigest() in err


def test_import_of_an_unknown_application_suggests_one(hilum: Callable[..., tuple[int, str, str]]) -> None:
    """A slip of the finger is named."""
    code, _, err = hilum("import", "mr-brian")
    assert code == 1
    assert 'did you mean "mr-brain"?' in err


@pytest.mark.slow
def test_tune_measures_enters_and_forgets(
    hilum: Callable[..., tuple[int, str, str]], models: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For scripts one object a model, with what was measured; `list --json` has it too, until it is forgotten."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    code, out, _ = hilum("tune", "double_pt", "--threads", "1", "--json")
    assert code == 0
    tuned = by_name(out)["double_pt"]
    assert set(tuned["measured"]) >= {"torch f32", "openvino f32"}
    assert tuned["difference"] == 0
    assert by_name(hilum("list", "--json")[1])["double_pt"]["embedded"]["threads"] == 1
    assert hilum("verify", "double_pt")[0] == 0
    assert hilum("tune", "double_pt", "--forget")[0] == 0
    assert "embedded" not in by_name(hilum("list", "--json")[1])["double_pt"]
    code, _, err = hilum("tune", "conv")
    assert code == 1
    assert "HLM-4151" in err
    code, _, err = hilum("tune", "nothing")
    assert code == 1
    assert "HLM-4101" in err


def test_tune_leaves_out_what_has_no_golden_output(hilum: Callable[..., tuple[int, str, str]]) -> None:
    """Steps before and behind a network are computed, never measured: noise is no size of anything, and nothing could judge a way."""
    code, out, err = hilum("tune", "--json")
    assert code == 0, err
    assert [each["model"] for each in json.loads(out)] == ["double_pt"]
