"""`hilum models list|verify|import` as an operator meets it."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.applications.bundle.finish import Decision, Return
from inference.applications.bundle.inferer import Whole
from inference.applications.bundle.manifest import BundleManifest, to_text
from inference.applications.bundle.steps import Orientation
from inference.applications.bundle.structures import Structure
from inference.applications.container.described import ContainerManifest, ContainerValue, Contract
from inference.applications.container.manifest import enter
from inference.applications.port import Accepts, Licences
from inference.codes import CUBIC_CENTIMETRE, LUNG, TISSUE, VOLUME
from inference.engines.port import ModelRef
from node.cli.main import main
from tests.unit.applications.bundle import made
from tests.unit.engines.models import fill

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

MANIFEST = BundleManifest(
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
    (models / "double_pt/1/application.json").write_bytes(to_text(MANIFEST))
    said = by_name(hilum("list", "--json")[1])["double_pt"]
    assert (said["applications"], said["grade"]) == (["double-pt"], "demonstration")
    assert said["licences"] == {"code": "Apache-2.0", "weights": "MIT", "data": "CC-BY-NC-4.0", "commercial": "no"}
    shown = "".join(hilum("list")[1].split())
    assert "demonstration" in shown
    assert "CC-BY-NC-4.0" in shown


def two_versions(models: Path) -> None:
    """Version 2 of `double_pt`, imported anew under another licence, and served; each brings what was said at its own import."""
    shutil.copytree(models / "double_pt/1", models / "double_pt/2")
    file = models / "double_pt/hilum.json"
    entry = json.loads(file.read_text())["versions"]["1"]
    licences = {"1": "CC-BY-NC-4.0", "2": "Apache-2.0"}
    versions = {version: entry | {"licence": licence} for version, licence in licences.items()}
    file.write_text(json.dumps({"versions": versions, "serving": 2}))
    now = replace(MANIFEST, version="2.0.0", grade="research", licences=Licences(weights="Apache-2.0", commercial="yes"))
    (models / "double_pt/2/application.json").write_bytes(to_text(now))


def standing_by_version(printed: str) -> dict[int, tuple[Any, ...]]:
    """Of `double_pt` in the JSON list: grade, licence of the weights, commercial use."""
    listed = [each for each in json.loads(printed) if each["model"] == "double_pt"]
    return {each["version"]: (each["grade"], each["licences"]["weights"], each["licences"]["commercial"]) for each in listed}


def test_list_names_containers_with_contract_and_image(hilum: Callable[..., tuple[int, str, str]], models: Path) -> None:
    """As models they are what a route runs, of an image by its digest; a file that is broken says so."""
    image = f"localhost/bone@sha256:{64 * '7'}"
    enter(
        ContainerManifest(
            name="ct-bone",
            version="1.0.0+image.777777777777",
            title="Bone",
            image=image,
            contract=Contract.MERCURE,
            accepts=Accepts(modality=("CT",)),
            given_at="/tmp/data",
            made_at="/tmp/output",
            values=(ContainerValue(key="volume", name=VOLUME, unit=CUBIC_CENTIMETRE),),
            licences=Licences(weights="MIT"),
        ),
        models,
    )
    (models / "ct-broken.container.json").write_text("{}")
    code, out, _ = hilum("list", "--json")
    assert code == 0
    listed = by_name(out)
    assert listed["ct-bone"]["container"] == {"image": image, "digest": f"sha256:{64 * '7'}", "contract": "mercure"}
    assert (listed["ct-bone"]["problem"], listed["ct-bone"]["licences"]["weights"]) == ("", "MIT")
    assert "ct-broken.container.json: KeyError" in listed["ct-broken"]["problem"]
    shown = hilum("list")[1]
    assert all(word in shown for word in ("ct-bone", "container, mercure", 12 * "7", "ct-broken"))


def test_a_version_has_its_own_licence_and_grade(hilum: Callable[..., tuple[int, str, str]], models: Path) -> None:
    """What may be sold is version 2, which is served; version 1, for demonstrations, may not, though the application is one. Where
    version 1 brings no application, nobody has said whether it may; nor where what it brings cannot be read."""
    two_versions(models)
    own = models / "double_pt/1/application.json"
    served = ("research", "Apache-2.0", "yes")
    own.write_bytes(to_text(replace(MANIFEST, licences=Licences(weights="CC-BY-NC-4.0", commercial="no"))))
    assert standing_by_version(hilum("list", "--json")[1]) == {1: ("demonstration", "CC-BY-NC-4.0", "no"), 2: served}
    own.write_text("{")
    assert standing_by_version(hilum("list", "--json")[1]) == {1: (None, "CC-BY-NC-4.0", "unknown"), 2: served}
    own.unlink()
    assert standing_by_version(hilum("list", "--json")[1]) == {1: (None, "CC-BY-NC-4.0", "unknown"), 2: served}


ONES_OWN = """
from inference import codes
from inference.applications.port import Accepts, Application, Infer, Licences, MeasurementOutput, ModelRef
from inference.findings import Findings
from inference.imaging.volume import Volume


def analyse(volume: Volume, infer: Infer) -> Findings:
    return Findings()


APPLICATION = Application(
    name="NAME",
    version="1.0.0",
    title="Mine",
    accepts=Accepts(modality=("CT",)),
    models=(ModelRef(name="double_pt", version=VERSION),),
    outputs=(MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),),
    licences=Licences(code="CODE", commercial="WORD"),
    analyse=analyse,
)
"""


def test_what_several_applications_say_holds_together(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One's own applications, in the folders of the configuration, are known; their licences stand one after the other, and commercial use
    is what holds for all: of a version that an application does not call, it said nothing."""
    (tmp_path / "hilum.yaml").write_text(f"models: {{repository: {models}, applications: [{tmp_path / 'mine'}]}}\n")

    def own(name: str, code: str, word: str, version: int = 0) -> None:
        folder = tmp_path / "mine" / name.replace("-", "_")
        folder.mkdir(parents=True)
        said = {"NAME": name, "CODE": code, "WORD": word, "VERSION": str(version)}
        (folder / "__init__.py").write_text(re.sub("|".join(said), lambda found: said[found[0]], ONES_OWN))

    def told() -> dict[int, tuple[Any, ...]]:
        assert main(["models", "list", "--json", "--config", str(tmp_path / "hilum.yaml")]) == 0
        listed = [each for each in json.loads(capsys.readouterr().out) if each["model"] == "double_pt"]
        return {each["version"]: (each["applications"], each["licences"]["code"], each["licences"]["commercial"]) for each in listed}

    two_versions(models)
    shutil.rmtree(models / "double_pt/1")
    own("ct-a", "MIT", "yes")
    assert told() == {2: (["ct-a", "double-pt"], "MIT", "yes")}
    own("ct-b", "BSD-3-Clause", "yes", version=1)
    assert told() == {2: (["ct-a", "ct-b", "double-pt"], "MIT; BSD-3-Clause", "unknown")}
    own("ct-c", "MIT", "no")
    assert told() == {2: (["ct-a", "ct-b", "ct-c", "double-pt"], "MIT; BSD-3-Clause", "no")}


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


def test_a_bundle_that_classifies_is_imported(hilum: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """As the command's words say it, and refused where measurements are asked for of what marks nothing."""
    torch = pytest.importorskip("torch")
    densenet = pytest.importorskip("monai.networks.nets.densenet")
    arguments: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "block_config": [1], "init_features": 4}
    torch.manual_seed(0)
    transforms: list[dict[str, Any]] = [
        {"_target_": "LoadImaged"},
        {"_target_": "EnsureChannelFirstd"},
        {"_target_": "Resized", "spatial_size": [16, 16]},
    ]
    config = {
        "network_def": {"_target_": "DenseNet", **arguments},
        "preprocessing": {"_target_": "Compose", "transforms": [{**each, "keys": "image"} for each in transforms]},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Compose", "transforms": [{"_target_": "Activationsd", "keys": "pred", "softmax": True}]},
    }
    gives = {"type": "probabilities", "format": "classes", "num_channels": 2, "spatial_shape": [1, 2], "channel_def": {"0": "a", "1": "b"}}
    meta = made.metadata(inputs={"spatial_shape": [16, 16], "modality": "XC"}, outputs=gives)
    weights = {"model.pt": made.state(densenet.DenseNet(**arguments))}
    words = ["import", str(made.folder(tmp_path / "spots", weights, meta=meta, config=config)), "--modality", "DX"]
    words += ["--code", "0=99TEST:0:Broad", "--code", "1=99TEST:1:Fine"]
    code, _, err = hilum(*words, "--measure", "mean")
    assert code != 0
    assert "marks nothing that could be measured" in err
    code, out, err = hilum(*words)
    assert (code, err) == (0, "")
    assert "application spots" in out
