"""Ensembles are understood before they are computed: what does not fit is refused with the step and the tensor."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.ensemble import ensemble_of
from inference.engines.errors import BrokenEnsemble, DigestMismatch, EngineTimeout, ModelMissing, NotFinite, UnreadableModel
from inference.engines.port import ModelRef
from inference.engines.repository import Repository
from inference.errors import HilumError, ModelError
from tests.unit.engines.models import CONFIG, doubling_onnx, put, put_ensemble

CUBE = np.arange(64, dtype=np.float32).reshape(1, 1, 4, 4, 4)
WHOLE = ModelRef(name="whole")
HEAD = """
platform: "ensemble"
max_batch_size: {batch}
input [ {{ name: "IN" data_type: TYPE_FP32 dims: [ {dims} ] {more} }} ]
output [ {{ name: "OUT" data_type: {out} dims: [ {dims} ] }} ]
"""


def step(model: str, taken: str, made: str, version: int = 1, input: str = "x", output: str = "y") -> str:
    """One step of `ensemble_scheduling`."""
    return (
        f'{{ model_name: "{model}" model_version: {version} '
        f'input_map {{ key: "{input}" value: "{taken}" }} output_map {{ key: "{output}" value: "{made}" }} }}'
    )


def whole(*steps: str, batch: int = 4, dims: str = "1, 4, 4, 4", out: str = "TYPE_FP32", more: str = "") -> str:
    """An ensemble IN → OUT."""
    return HEAD.format(batch=batch, dims=dims, out=out, more=more) + f"ensemble_scheduling {{ step [ {', '.join(steps)} ] }}\n"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two models that double: one for batches of four, one for single volumes with the batch axis in its dims."""
    config = CONFIG.format(name="double", backend="onnxruntime", batch=4, input="x", output="y", dims="1, 4, 4, 4")
    put(tmp_path, "double", "model.onnx", doubling_onnx(), config)
    config = CONFIG.format(name="single", backend="onnxruntime", batch=0, input="x", output="y", dims="1, 1, -1, 4, 4")
    put(tmp_path, "single", "model.onnx", doubling_onnx(), config)
    return tmp_path


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (whole(step("double", "IN", "a"), step("double", "b", "OUT")), "never comes to double: no step makes b"),
        (whole(step("double", "IN", "a"), step("double", "c", "b"), step("double", "b", "c")), r"they wait for each other \(b, c\)"),
        (whole(step("double", "IN", "a")), "has output OUT, which no step makes"),
        (whole(step("double", "IN", "OUT"), step("double", "IN", "OUT")), "makes tensor OUT more than once"),
        (whole(step("double", "IN", "IN"), step("double", "IN", "OUT")), "makes tensor IN more than once"),
        (whole(step("double", "IN", "OUT", input="z")), "maps input z, which its step double does not have"),
        (whole(step("double", "IN", "OUT", output="z")), "maps output z, which its step double does not have"),
        (whole('{ model_name: "double" model_version: 1 output_map { key: "y" value: "OUT" } }'), "leaves input x of its step double"),
        (whole(step("double", "IN", "OUT"), out="TYPE_FP16"), "tensor OUT, which is float16 for whole and float32 for double"),
        (whole(step("double", "IN", "OUT"), dims="1, 4, 4, 5"), r"\(-1, 1, 4, 4, 5\) for whole and \(-1, 1, 4, 4, 4\) for double"),
        (whole(step("double", "IN", "OUT"), batch=0), r"\(1, 4, 4, 4\) for whole and \(-1, 1, 4, 4, 4\) for double"),
        (whole(step("double", "IN", "OUT"), batch=8), "takes batches of 8, its step double of 4 only"),
        (whole(step("whole", "IN", "OUT")), "contains itself: whole → whole"),
    ],
)
def test_steps_that_do_not_fit_are_refused(models: Path, config: str, said: str) -> None:
    """By the list, by `check` and by the digest, in the same words; a call is refused, too."""
    put_ensemble(models, "whole", config)
    engine = EmbeddedEngine(models, threads=1)
    for ask in (engine.check, engine.digest):
        with pytest.raises(BrokenEnsemble, match=said):
            ask(WHOLE)
    with pytest.raises(ModelError):
        engine.infer(WHOLE, {"IN": CUBE})
    with pytest.raises(BrokenEnsemble, match=said):
        ensemble_of(WHOLE, Repository(models))
    (listed,) = [each for each in Repository(models).list() if each.model == WHOLE]
    assert listed.problem.endswith("[HLM-4130]")


@pytest.mark.parametrize(
    ("config", "said", "error"),
    [
        (whole(step("nobody", "IN", "OUT")), '"nobody" is not in the repository', ModelMissing),
        (whole(step("double", "IN", "OUT", version=7)), "no version 7", ModelMissing),
        (whole(step("double", "IN", "OUT"), more="optional: true"), "input IN is optional", UnreadableModel),
        (HEAD.format(batch=4, dims="1", out="TYPE_FP32", more=""), "belong together", UnreadableModel),
    ],
)
def test_ensembles_that_cannot_be_read(models: Path, config: str, said: str, error: type[HilumError]) -> None:
    """A member that is not there, inputs that may be left out, no steps at all."""
    put_ensemble(models, "whole", config)
    engine = EmbeddedEngine(models, threads=1)
    with pytest.raises(error, match=said):
        engine.digest(WHOLE)


def test_members_with_and_without_batches(models: Path) -> None:
    """A tensor has one whole shape: (-1, 1, 4, 4, 4) of one member fits (1, 1, -1, 4, 4) of the other."""
    put_ensemble(models, "whole", whole(step("single", "a", "OUT"), step("double", "IN", "a"), batch=0, dims="1, 1, 4, 4, 4"))
    answer = EmbeddedEngine(models, threads=1).infer(WHOLE, {"IN": CUBE})
    np.testing.assert_array_equal(answer["OUT"], 4 * CUBE)


def test_an_ensemble_of_ensembles(models: Path) -> None:
    """Twice doubled, twice: sixteen times; and two that contain each other are refused."""
    put_ensemble(models, "inner", whole(step("double", "IN", "a"), step("double", "a", "OUT")))
    put_ensemble(
        models, "whole", whole(step("inner", "IN", "b", input="IN", output="OUT"), step("inner", "b", "OUT", input="IN", output="OUT"))
    )
    answer = EmbeddedEngine(models, threads=1).infer(WHOLE, {"IN": CUBE})
    np.testing.assert_array_equal(answer["OUT"], 16 * CUBE)
    (models / "inner/config.pbtxt").write_text(whole(step("whole", "IN", "OUT", input="IN", output="OUT")))
    with pytest.raises(BrokenEnsemble, match="whole → inner → whole"):
        EmbeddedEngine(models, threads=1).check(WHOLE)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_goes_from_one_member_to_the_next_is_numbers(models: Path, value: float) -> None:
    """NaN would become the label of the first channel in a member that takes the largest; what none takes is the reader's to refuse."""
    put_ensemble(models, "whole", whole(step("double", "IN", "a"), step("double", "a", "OUT")))
    engine = EmbeddedEngine(models, threads=1)
    spoiled = CUBE.copy()
    spoiled[0, 0, 1, 2, 3] = value
    with pytest.raises(NotFinite, match='model "double" gives values that are no numbers, or are infinite, in its output "y"'):
        engine.infer(WHOLE, {"IN": spoiled})
    put_ensemble(models, "alone", whole(step("double", "IN", "OUT")))
    assert not np.isfinite(engine.infer(ModelRef(name="alone"), {"IN": spoiled})["OUT"]).all()


def test_the_latest_version_that_is_served(models: Path) -> None:
    """-1 is the highest number that is there; a version_policy that names versions decides among them."""
    repository = Repository(models)
    put_ensemble(models, "whole", whole(step("double", "IN", "OUT", version=-1)))
    for number in ("2", "10"):
        (models / "double" / number).mkdir()
        (models / "double" / number / "model.onnx").write_bytes(doubling_onnx())
    assert ensemble_of(WHOLE, repository).members[0].model == ModelRef(name="double", version=10)
    with (models / "double/config.pbtxt").open("a") as config:
        config.write("version_policy { specific { versions: [ 1, 2 ] } }\n")
    assert ensemble_of(WHOLE, repository).members[0].model == ModelRef(name="double", version=2)
    (models / "double/config.pbtxt").write_text((models / "double/config.pbtxt").read_text().replace("[ 1, 2 ]", "[ 7 ]"))
    with pytest.raises(ModelMissing, match="no version that is served"):
        ensemble_of(WHOLE, repository)


def test_what_changes_the_digest(models: Path) -> None:
    """A step, a tensor, a member's weights: yes. How it is served (instances, parameters, where the digest itself is kept): no."""
    repository = Repository(models)
    twice = whole(step("double", "IN", "a"), step("double", "a", "OUT"))
    put_ensemble(models, "whole", twice)
    digest = repository.digest(WHOLE)
    config = models / "whole/config.pbtxt"
    config.write_text(twice + f'parameters {{ key: "hilum.sha256.1" value {{ string_value: "{digest}" }} }}\n')
    assert repository.digest(WHOLE) == digest
    seen = {digest}
    for changed in (whole(step("double", "IN", "OUT")), twice.replace('"a"', '"b"'), twice.replace("batch_size: 4", "batch_size: 2")):
        config.write_text(changed)
        seen.add(repository.digest(WHOLE))
    config.write_text(twice)
    (models / "double/1/model.onnx").write_bytes(doubling_onnx() + b" ")
    seen.add(repository.digest(WHOLE))
    assert len(seen) == 5


def test_a_members_entry_is_held_against_its_weights(models: Path) -> None:
    """An ensemble is verified with its members, and its own entry with what it computes."""
    put_ensemble(models, "whole", whole(step("double", "IN", "OUT")))
    repository = Repository(models)
    entry = dict.fromkeys(("file", "source_sha256", "source", "licence", "attribution", "format"), "x")
    said = models / "whole/hilum.json"
    said.write_text(json.dumps({"versions": {"1": entry | {"sha256": repository.digest(WHOLE)}}}))
    assert repository.verify(WHOLE) is not None
    (models / "double/hilum.json").write_text(json.dumps({"versions": {"1": entry | {"sha256": "0" * 64}}}))
    for ask in (repository.verify, EmbeddedEngine(models, threads=1).digest, EmbeddedEngine(models, threads=1).check):
        with pytest.raises(DigestMismatch, match="double"):
            ask(WHOLE)
    (models / "double/hilum.json").unlink()
    said.write_text(json.dumps({"versions": {"1": entry | {"sha256": "0" * 64}}}))
    with pytest.raises(DigestMismatch, match="whole"):
        EmbeddedEngine(models, threads=1).infer(WHOLE, {"IN": CUBE})


def test_the_deadline_holds_for_all_steps_together(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step gets what the steps before it have left: time that has run out between two steps ends the call."""
    put_ensemble(models, "whole", whole(step("double", "IN", "a"), step("double", "a", "OUT")))
    engine = EmbeddedEngine(models, threads=1)
    began = time.monotonic()
    moments = iter([began + passed for passed in (0, 400, 400, 1100, 1100)])
    monkeypatch.setattr("inference.engines.embedded.engine.time", SimpleNamespace(monotonic=lambda: next(moments)))
    with pytest.raises(EngineTimeout, match="double"):
        engine.infer(WHOLE, {"IN": CUBE}, deadline_s=1000)


def test_tensors_go_after_their_last_use(models: Path) -> None:
    """Volumes are large: what no later step needs is not held."""
    put_ensemble(models, "whole", whole(step("double", "IN", "a"), step("double", "a", "b"), step("double", "b", "OUT")))
    ensemble = ensemble_of(WHOLE, Repository(models))
    assert [member.spent for member in ensemble.members] == [("IN",), ("a",), ("b",)]
