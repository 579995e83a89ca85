"""As the repository entry says: other tiles, the whole image, or an ensemble that takes the model's place; the answer is the same."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.engines.calling import FiniteOutputs, call_from_json, call_to_json, refuse_not_finite, run, with_places_taken
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import NotFinite, UnreadableModel, WrongTensors
from inference.engines.port import Call, ModelRef, ModelSource, Tensors, Tiles, WholeImage
from inference.engines.repository import Repository
from inference.engines.weights_import import import_models
from tests.lab.howto import HowTo
from tests.unit.engines.models import doubling_onnx, preparing_onnx
from tests.unit.engines.test_weights_import import App

NETWORK, ENSEMBLE, STEP = ModelRef(name="double"), ModelRef(name="double_stored", version=2), ModelRef(name="rescale")
NETWORK_CONFIG = """
name: "double"
backend: "onnxruntime"
max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
"""
STEP_CONFIG = """
name: "rescale"
backend: "onnxruntime"
max_batch_size: 4
input [
  { name: "STORED" data_type: TYPE_INT16 dims: [ 1, 4, 4, 4 ] },
  { name: "SLOPE" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "INTERCEPT" data_type: TYPE_FP32 dims: [ 1 ] }
]
output [ { name: "VALUES" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
"""
ENSEMBLE_CONFIG = """
name: "double_stored"
platform: "ensemble"
max_batch_size: 4
input [
  { name: "x" data_type: TYPE_INT16 dims: [ 1, 4, 4, 4 ] },
  { name: "SLOPE" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "INTERCEPT" data_type: TYPE_FP32 dims: [ 1 ] }
]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
ensemble_scheduling { step [
  { model_name: "rescale" model_version: 1
    input_map { key: "STORED" value: "x" } input_map { key: "SLOPE" value: "SLOPE" } input_map { key: "INTERCEPT" value: "INTERCEPT" }
    output_map { key: "VALUES" value: "values" } },
  { model_name: "double" model_version: 1 input_map { key: "x" value: "values" } output_map { key: "y" value: "y" } }
] }
"""
BESIDE = {"SLOPE": np.array([0.5], dtype=np.float32), "INTERCEPT": np.array([-3], dtype=np.float32)}


def sources(call: Call | None) -> tuple[ModelSource, ...]:
    """A network, a step before it and the ensemble of both, all made here."""
    source = ModelSource(
        model=NETWORK, sha256="", licence="MIT", attribution="x", config=NETWORK_CONFIG, file="model.onnx", make=doubling_onnx, call=call
    )
    return (
        source,
        replace(source, model=STEP, config=STEP_CONFIG, make=preparing_onnx, call=None),
        replace(source, model=ENSEMBLE, config=ENSEMBLE_CONFIG, file="", make=None, call=None),
    )


class Entered:
    """What the node gives an application, over a repository whose entry of the network says `call`."""

    def __init__(self, folder: Path, call: Call | None) -> None:
        import_models(App(sources=sources(call)), folder)
        self.repository = Repository(folder)
        self.engine = EmbeddedEngine(folder, threads=1)
        self.calls: list[tuple[str, tuple[int, ...], str]] = []

    def __call__(self, model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        self.calls.append((model.name, tensors["x"].shape, tensors["x"].dtype.name))
        return self.engine.infer(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return 2

    def call_of(self, model: ModelRef) -> Call | None:
        return self.repository.call_of(model)


def rescaled(tiles: NDArray[Any]) -> NDArray[Any]:
    """What the step does on the server: here."""
    return tiles.astype(np.float32) * np.float32(0.5) - np.float32(3)


def asked(infer: Entered, image: NDArray[Any], **how: Any) -> NDArray[Any]:
    """The application's one way of asking."""
    return run(
        infer, NETWORK, image, input="x", output="y", by_default=Tiles(window=(4, 4, 4), batch=2), prepare=rescaled, beside=BESIDE, **how
    )


@pytest.mark.parametrize(
    ("call", "called"),
    [
        (None, {("double", (2, 1, 4, 4, 4), "float32")}),
        (Tiles(window=(4, 4, 4), overlap=0.0, batch=1), {("double", (1, 1, 4, 4, 4), "float32")}),
        (Tiles(window=(4, 4, 4), batch=2, model=ENSEMBLE), {("double_stored", (2, 1, 4, 4, 4), "int16")}),
    ],
)
def test_the_entry_decides_and_the_answer_is_the_same(
    tmp_path: Path, call: Call | None, called: set[tuple[str, tuple[int, ...], str]]
) -> None:
    """The application's own tiles, the entry's, or stored voxels to an ensemble with what is beside them."""
    infer = Entered(tmp_path, call)
    image = np.random.default_rng(2).integers(-900, 900, (1, 6, 4, 6), dtype=np.int16)
    np.testing.assert_allclose(asked(infer, image), image - 6.0, rtol=1e-5, atol=1e-3)
    assert set(infer.calls) == called


def test_the_entry_of_the_page_is_one(tmp_path: Path) -> None:
    """docs/howto/call-a-model.md: its piece of hilum.json, and what stands in the table, put beside the model, go before the application's
    own; taken out again, the application's holds."""
    page = HowTo("call-a-model.md")
    (shown,) = (json.loads(block) for block in page.blocks("json"))
    tiles, whole = (json.loads(one.replace("[…]", "[4, 4, 4]")) for one in re.findall(r"^\| `(\{.*?\})` \|", page.text, re.MULTILINE))
    other = {"model": ENSEMBLE.name, "version": ENSEMBLE.version}
    infer = Entered(tmp_path, None)
    image = np.random.default_rng(2).integers(-900, 900, (1, 4, 4, 4), dtype=np.int16)
    entry = tmp_path / NETWORK.name / "hilum.json"
    plain = json.loads(entry.read_text())
    window = {"window": [4, 4, 4]}
    asks = (
        (shown["versions"]["1"]["call"] | window, "double", 1),
        (tiles, "double", 1),
        (whole, "double", 1),
        (whole | other, "double_stored", 1),
    )
    for call, model, batch in asks:
        plain["versions"]["1"]["call"] = call
        entry.write_text(json.dumps(plain))
        infer.calls.clear()
        np.testing.assert_allclose(asked(infer, image), image - 6.0)
        assert {(name, shape[0]) for name, shape, _ in infer.calls} == {(model, batch)}, call
    del plain["versions"]["1"]["call"]
    entry.write_text(json.dumps(plain))
    assert infer.call_of(NETWORK) is None


def test_a_whole_image_is_one_call(tmp_path: Path) -> None:
    """By the network itself, prepared here; by the ensemble, as it is stored; `finish` is applied to values."""
    image = np.random.default_rng(2).integers(-900, 900, (1, 4, 4, 4), dtype=np.int16)
    for number, call in enumerate((WholeImage(), WholeImage(model=ENSEMBLE))):
        infer = Entered(tmp_path / str(number), call)
        np.testing.assert_allclose(asked(infer, image), image - 6.0)
        marked = asked(infer, image, finish=lambda values: values[0] > 0)
        np.testing.assert_array_equal(marked, image[0] > 6)
        assert len(infer.calls) == 2


def test_an_ensemble_may_finish_by_itself() -> None:
    """Integers are taken as finished, with or without an axis of one channel; what is not on the image's grid is refused."""
    image = np.zeros((1, 2, 3, 4), dtype=np.int16)

    class Infer:
        """Answers what it was told to."""

        def __init__(self, shape: tuple[int, ...]) -> None:
            self.shape = shape

        def __call__(self, model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
            assert tensors["x"] is not image
            return {"y": np.ones(self.shape, dtype=np.uint8)}

        def at_once(self, model: ModelRef) -> int:
            return 1

        def call_of(self, model: ModelRef) -> Call | None:
            return WholeImage(model=ENSEMBLE)

    def ask(*shape: int) -> NDArray[Any]:
        return run(
            Infer(shape),
            NETWORK,
            image,
            input="x",
            output="y",
            by_default=Tiles(window=(2, 2, 2)),
            finish=lambda values: values.argmax(axis=0),
        )

    assert ask(1, 2, 3, 4).shape == ask(1, 1, 2, 3, 4).shape == (2, 3, 4)
    for shape in ((1, 1, 2, 3, 5), (2, 1, 2, 3, 4)):
        with pytest.raises(WrongTensors, match="whole image"):
            ask(*shape)


def test_what_takes_a_models_place_may_be_called_and_counts() -> None:
    """The ensembles that entries name are among what an application may call, each once."""
    other = ModelRef(name="other")
    calls: dict[ModelRef, Call | None] = {NETWORK: WholeImage(model=ENSEMBLE), other: Tiles(window=(1,), model=ENSEMBLE), STEP: None}
    assert with_places_taken(calls) == (NETWORK, other, STEP, ENSEMBLE)


@pytest.mark.parametrize(
    "call", [WholeImage(), WholeImage(model=ENSEMBLE), Tiles(window=(96, 96, 64), overlap=0.25, batch=4, model=ENSEMBLE)]
)
def test_calls_are_json(call: Call) -> None:
    """There and back through text."""
    assert call_from_json(json.loads(json.dumps(call_to_json(call)))) == call


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"kind": "halves"}, 'kind is "halves"; there are tiles and whole'),
        ({"window": [4]}, "kind"),
        ({"kind": "tiles", "window": [4, 0]}, "no tiles"),
        ({"kind": "tiles", "window": []}, "no tiles"),
        ({"kind": "tiles", "window": [4], "overlap": 1}, "no tiles"),
        ({"kind": "tiles", "window": [4], "batch": 0}, "no tiles"),
        ({"kind": "whole", "modle": "x"}, "modle"),
        ("whole", "does not describe"),
    ],
)
def test_an_entry_that_says_it_wrongly_is_refused(tmp_path: Path, said: Any, why: str) -> None:
    """An operator's slip of the pen in hilum.json: the model cannot be read, and the message has what was written."""
    import_models(App(sources=sources(None)), tmp_path)
    file = tmp_path / "double/hilum.json"
    entries = json.loads(file.read_text())
    entries["versions"]["1"]["call"] = said
    file.write_text(json.dumps(entries))
    with pytest.raises(UnreadableModel, match=why):
        Repository(tmp_path).call_of(NETWORK)


def test_steps_and_ensembles_are_imported_once(tmp_path: Path) -> None:
    """What is made has its own digest, an ensemble that of its members; importing again writes nothing; a changed member writes both."""
    infer = Entered(tmp_path, None)
    entries = [infer.repository.verify(model) for model in (NETWORK, STEP, ENSEMBLE)]
    assert entries[0] is not None
    assert entries[0].source_sha256 == hashlib.sha256(doubling_onnx()).hexdigest()
    assert entries[2] is not None
    assert (entries[2].file, entries[2].format) == ("", "ensemble")
    assert entries[2].sha256 in (tmp_path / "double_stored/config.pbtxt").read_text()
    assert list((tmp_path / "double_stored/2").iterdir()) == []
    assert "ensemble" in (tmp_path / "double_stored/README.md").read_text()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert list(import_models(App(sources=sources(None)), tmp_path)) == entries
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == written
    longer = replace(sources(None)[1], make=lambda: preparing_onnx() + b" ")
    again = import_models(App(sources=(sources(None)[0], longer, sources(None)[2])), tmp_path)
    assert entries[1] is not None
    assert again[1].sha256 != entries[1].sha256
    assert again[2].sha256 != entries[2].sha256
    assert infer.repository.verify(ENSEMBLE) == again[2]


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", "<f8"])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_refuses_all(dtype: str, value: float) -> None:
    """Of each width, wherever it stands; the largest and the least numbers, -0 and those near it, are numbers."""
    model, info = ModelRef(name="made"), np.finfo(dtype)
    values = np.array([[info.max, info.min, 0.0], [-0.0, info.smallest_subnormal, -info.smallest_subnormal]], dtype)
    refuse_not_finite(model, values)
    refuse_not_finite(model, values[:, ::2])
    for at in np.ndindex(values.shape):
        spoilt = values.copy()
        spoilt[at] = value
        with pytest.raises(NotFinite, match='model "made" gives values that are no numbers, or are infinite, in its output "out"'):
            refuse_not_finite(model, spoilt, "out")


def test_who_asks_whether_there_is_an_output_does_not_read_it() -> None:
    """An application that can do with one output, and takes another where a model has it, is told of both; refused is what is read."""
    answer = FiniteOutputs(ModelRef(name="made"), {"mask": np.zeros(1, np.float32), "cells": np.full(1, np.nan, np.float32)})
    assert ("mask" in answer, "cells" in answer, "none" in answer, list(answer), len(answer)) == (True, True, False, ["mask", "cells"], 2)
    with pytest.raises(NotFinite, match='in its output "cells"'):
        answer["cells"]
