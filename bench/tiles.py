"""Large images: tiles under way at a time, whole volumes against tiles, and stored int16 voxels against float32 on the wire."""

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.rows import Row, say
from inference.engines.port import Engine, ModelRef

UNDER_WAY = (1, 2, 4, 8)
ROUNDS = 3
WINDOW = 32
SIDE = 64  # windows begin at 0, 16 and 32: 27 of them
BATCH = 4
WIRE = (64, 512, 512)

NETWORK, LIGHT, RESCALE, STORED, VOXELS, FLOATS = (
    ModelRef(name=name) for name in ("network", "light", "rescale", "stored", "voxels", "floats")
)
LAYERS = {NETWORK: (24, 24, 24, 2), LIGHT: (4, 2)}
"""Channels behind each convolution. The light one computes about as long as its tensors travel, as larger ones do on a GPU."""

WINDOWS = ((SIDE - WINDOW) // (WINDOW // 2) + 1) ** 3

_TENSORS = """
backend: "onnxruntime"
max_batch_size: {batch}
input [ {{ name: "{input}" data_type: {taken} dims: [ 1, -1, -1, -1 ] }} ]
output [ {{ name: "{output}" data_type: {given} dims: [ {dims} ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
"""
_DYNAMIC = "dynamic_batching { preferred_batch_size: [ 4 ] }\n"
_ENSEMBLE = """
platform: "ensemble"
max_batch_size: 4
input [ { name: "x" data_type: TYPE_INT16 dims: [ 1, -1, -1, -1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2, -1, -1, -1 ] } ]
ensemble_scheduling { step [
  { model_name: "rescale" model_version: 1 input_map { key: "x" value: "x" } output_map { key: "y" value: "floats" } },
  { model_name: "network" model_version: 1 input_map { key: "x" value: "floats" } output_map { key: "y" value: "y" } }
] }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One run: its result, seconds on the wall, seconds that the server computed, and windows to one computation of the server."""

    values: NDArray[Any]
    wall_s: float
    computed_s: float = 0.0
    together: float = 1.0


class Statistics:
    """What a server says of a model: windows computed, computations, nanoseconds that it computed."""

    def __init__(self, url: str | None) -> None:
        from tritonclient.grpc import InferenceServerClient

        self._client = None if url is None else InferenceServerClient(url.removeprefix("grpc://"))

    def __call__(self, model: ModelRef) -> tuple[int, int, int]:
        if self._client is None:
            return 0, 0, 0
        said = self._client.get_inference_statistics(model.name).model_stats[0]
        # inference_stats counts the time of a batch for each request in it
        return said.inference_count, said.execution_count, sum(batch.compute_infer.ns for batch in said.batch_stats)


def measure() -> list[Row]:
    """Every engine and every number of tiles under way, in turns; then one call with the whole volume; then the wire."""
    from inference.engines.embedded.engine import EmbeddedEngine
    from inference.engines.triton.engine import TritonEngine
    from inference.engines.triton.server import LocalTriton

    with contextlib.ExitStack() as stack:
        models = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hilum-bench-")))
        write_models(models)
        server = stack.enter_context(LocalTriton(models))
        engines: dict[str, tuple[Engine, Statistics]] = {
            "embedded": (EmbeddedEngine(models), Statistics(None)),
            "Triton, gRPC": (TritonEngine(server.url, models, shared_memory="off"), Statistics(server.url)),
            "Triton, shared memory": (TritonEngine(server.url, models, shared_memory="on"), Statistics(server.url)),
        }
        for engine, _ in engines.values():
            stack.callback(engine.close)
        return [*_tiles(engines), *_wire({name: engine for name, (engine, _) in engines.items() if name != "embedded"})]


def _tiles(engines: dict[str, tuple[Engine, Statistics]]) -> list[Row]:
    image = np.random.default_rng(1).integers(-1000, 1000, (1, SIDE, SIDE, SIDE), dtype=np.int16)
    floats = image.astype(np.float32) / 1000
    ways: dict[tuple[ModelRef, str, str], Callable[[], Taken]] = {}
    for model in LAYERS:
        for name, (engine, statistics) in engines.items():
            for number in UNDER_WAY:
                ways[model, name, f"{number} under way"] = _tiled(engine, partial(statistics, model), floats, model, number)
    for name, (engine, statistics) in engines.items():
        ways[NETWORK, name, "whole volume"] = _whole(engine, partial(statistics, NETWORK), image)
    say(f"{WINDOWS} windows of {WINDOW}³, overlap one half; {ROUNDS} rounds over {len(ways)} ways")
    for run in ways.values():
        run()
    taken: dict[tuple[ModelRef, str, str], list[Taken]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, run in ways.items():
            taken[way].append(run())
    rows = []
    for (model, name, how), runs in taken.items():
        first = taken[model, "embedded", "1 under way"]
        if how != "whole volume":
            # however many were under way, and wherever they were computed: the same values
            np.testing.assert_allclose(runs[-1].values, first[-1].values, atol=1e-5)
        what = f"{model.name}, {name}: {how}"
        rows.append(Row(name=what, value=median(one.wall_s for one in runs), unit="s", baseline=median(one.wall_s for one in first)))
        if name != "embedded" and how != "whole volume":
            rows.append(Row(name=f"{what}, the server computes", value=median(one.computed_s / one.wall_s for one in runs), unit="of wall"))
            rows.append(Row(name=f"{what}, in a batch", value=median(one.together for one in runs), unit="windows"))
    return rows


def _tiled(
    engine: Engine, counters: Callable[[], tuple[int, int, int]], image: NDArray[Any], model: ModelRef, at_once: int
) -> Callable[[], Taken]:
    from inference.engines.tiling import infer_tiled

    return lambda: _taken(
        counters,
        lambda: infer_tiled(engine.infer, model, image, input="x", output="y", window=(WINDOW,) * 3, overlap=0.5, at_once=at_once),
    )


def _whole(engine: Engine, counters: Callable[[], tuple[int, int, int]], image: NDArray[Any]) -> Callable[[], Taken]:
    """One call to the ensemble, as it is stored."""
    return lambda: _taken(counters, lambda: engine.infer(STORED, {"x": image[None]})["y"][0])


def _taken(counters: Callable[[], tuple[int, int, int]], run: Callable[[], NDArray[Any]]) -> Taken:
    before, began = counters(), time.perf_counter()
    values = run()
    wall_s, after = time.perf_counter() - began, counters()
    windows, computations, nanoseconds = (last - first for last, first in zip(after, before, strict=True))
    return Taken(values=values, wall_s=wall_s, computed_s=nanoseconds / 1e9, together=windows / computations if computations else 1.0)


def _wire(engines: dict[str, Engine]) -> list[Row]:
    """A large volume there, one number back: as float32, and as the int16 that it is stored in."""
    stored = np.random.default_rng(2).integers(-1000, 1000, (1, 1, *WIRE), dtype=np.int16)
    volumes: dict[str, tuple[ModelRef, NDArray[Any]]] = {"float32": (FLOATS, stored.astype(np.float32)), "int16": (VOXELS, stored)}
    took: dict[tuple[str, str], list[tuple[float, float]]] = {(name, kind): [] for name in engines for kind in volumes}
    say(f"{WIRE} voxels there, one number back, as float32 and as int16")
    for turn in range(ROUNDS + 1):
        for name, kind in took:
            model, volume = volumes[kind]
            began, cpu = time.perf_counter(), time.process_time()
            engines[name].infer(model, {"x": volume})
            if turn:
                took[name, kind].append((time.perf_counter() - began, time.process_time() - cpu))
    rows = []
    for column, unit in enumerate(("s", "s CPU")):
        for name, kind in took:
            value, baseline = (median(one[column] for one in took[name, which]) for which in (kind, "float32"))
            rows.append(Row(name=f"{name}: {volumes[kind][1].nbytes >> 20} MiB of {kind} there", value=value, unit=unit, baseline=baseline))
    return rows


def write_models(repository: Path) -> None:
    """Two small networks of three dimensions, a step that rescales, an ensemble, and two models that take a volume and say its mean."""
    from onnx import TensorProto

    for model, channels in LAYERS.items():
        generator = np.random.default_rng(3)
        nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        constants: dict[str, NDArray[Any]] = {}
        for number, (into, out) in enumerate(zip((1, *channels), channels, strict=False)):
            constants[f"w{number}"] = (generator.standard_normal((out, into, 3, 3, 3)) / np.sqrt(27 * into)).astype(np.float32)
            nodes.append(("Conv", [f"r{number}" if number else "x", f"w{number}"], f"c{number}", {"pads": [1] * 6}))
            nodes.append(("Relu", [f"c{number}"], f"r{number + 1}", {}))
        nodes[-1] = ("Sigmoid", [f"c{len(channels) - 1}"], "y", {})
        _put(repository, model, nodes, constants, TensorProto.FLOAT, "2, -1, -1, -1", more=_DYNAMIC)
    cast: list[tuple[str, list[str], str, dict[str, Any]]] = [("Cast", ["x"], "f", {"to": TensorProto.FLOAT})]
    scale: tuple[str, list[str], str, dict[str, Any]] = ("Mul", ["f", "scale"], "y", {})
    _put(repository, RESCALE, [*cast, scale], {"scale": np.array(1e-3, dtype=np.float32)}, TensorProto.INT16, "1, -1, -1, -1")
    (repository / STORED.name / "1").mkdir(parents=True)
    (repository / STORED.name / "config.pbtxt").write_text(_ENSEMBLE, encoding="utf-8")
    mean = ("ReduceMean", ["f"], "y", {"axes": [2, 3, 4], "keepdims": 0})
    _put(repository, VOXELS, [*cast, mean], {}, TensorProto.INT16, "1")
    _put(repository, FLOATS, [("ReduceMean", ["x"], *mean[2:])], {}, TensorProto.FLOAT, "1")


def _put(
    repository: Path,
    model: ModelRef,
    nodes: list[Any],
    constants: dict[str, NDArray[Any]],
    taken: int,
    dims: str,
    *,
    more: str = "",
) -> None:
    from onnx import TensorProto, helper, numpy_helper

    axes: list[Any] = ["n", 1, "z", "y", "x_"]
    given: list[Any] = ["n", int(dims.partition(",")[0]), *(axes[2:] if "," in dims else [])]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in nodes],
        model.name,
        [helper.make_tensor_value_info("x", taken, axes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, given)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    kinds = {TensorProto.FLOAT: "TYPE_FP32", TensorProto.INT16: "TYPE_INT16"}
    (repository / model.name / "1").mkdir(parents=True)
    (repository / model.name / "1" / "model.onnx").write_bytes(content.SerializeToString(deterministic=True))
    config = _TENSORS.format(batch=BATCH, input="x", output="y", taken=kinds[taken], given="TYPE_FP32", dims=dims) + more
    (repository / model.name / "config.pbtxt").write_text(config, encoding="utf-8")
