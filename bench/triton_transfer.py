"""Tensors to a Triton server and back: through shared memory, and as gRPC messages, from 1 to 256 MB, int16 and float32.

The models compute nothing: `take` looks at nothing and answers one number, `echo` gives back what it got. The two ways take turns, so
that a noisy minute hits both. `python -m bench triton_transfer`.
"""

import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.rows import Row, say
from inference.engines.port import ModelRef
from inference.engines.triton.engine import TritonEngine
from inference.engines.triton.server import LocalTriton

_MEGABYTES = (1, 4, 16, 64, 256)
_DTYPES = {"int16": np.int16, "float32": np.float32}
_WAYS = {"gRPC": "off", "shared memory": "on"}
_LEAST_RUNS, _MOST_RUNS, _FOR_S = 3, 15, 3.0
_GOAL_FROM_MB, _GOAL = 64, 0.5

_CONFIG = """
backend: "python"
max_batch_size: 0
default_model_filename: "model.py"
input [ {{ name: "X" data_type: {dtype} dims: [ -1 ] }} ]
output [ {{ name: "Y" data_type: {dtype} dims: [ {out} ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""
_MODEL = """
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        inputs = [np.from_dlpack(pb.get_input_tensor_by_name(request, "X")) for request in requests]
        return [pb.InferenceResponse([pb.Tensor.from_dlpack("Y", np.array({answer}))]) for x in inputs]
"""
_ANSWERS = {"take": "x[:1]", "echo": "x"}
_TRITON = {"int16": "TYPE_INT16", "float32": "TYPE_FP32"}


def measure() -> list[Row]:
    """Milliseconds a call and of the caller's CPU by way, size and type; the baseline is gRPC in the same run."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="transfer-") as scratch:
        repository = Path(scratch)
        for model in _ANSWERS:
            for dtype in _DTYPES:
                _lay(repository, model, dtype)
        with LocalTriton(repository) as server:
            engines = {way: TritonEngine(server.url, repository, shared_memory=mode) for way, mode in _WAYS.items()}
            for model in _ANSWERS:
                for dtype in _DTYPES:
                    say(f"{model} {dtype}")
                    for megabytes in _MEGABYTES:
                        rows += _figures(engines, model, dtype, megabytes)
            for engine in engines.values():
                engine.close()
    return rows


def _lay(repository: Path, model: str, dtype: str) -> None:
    folder = repository / f"{model}_{dtype}"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(_CONFIG.format(dtype=_TRITON[dtype], out="1" if model == "take" else "-1"), encoding="utf-8")
    (folder / "1" / "model.py").write_text(_MODEL.format(answer=_ANSWERS[model]), encoding="utf-8")


def _figures(engines: dict[str, TritonEngine], model: str, dtype: str, megabytes: int) -> list[Row]:
    tensor = np.arange(megabytes * 10**6 // np.dtype(_DTYPES[dtype]).itemsize, dtype=np.uint32).astype(_DTYPES[dtype])
    called = ModelRef(name=f"{model}_{dtype}")
    wall_ms: dict[str, list[float]] = {way: [] for way in engines}
    cpu_ms: dict[str, list[float]] = {way: [] for way in engines}
    for engine in engines.values():
        engine.infer(called, {"X": tensor})  # regions and buffers are there from the second call on
    until = time.monotonic() + _FOR_S
    while len(wall_ms["gRPC"]) < _LEAST_RUNS or (time.monotonic() < until and len(wall_ms["gRPC"]) < _MOST_RUNS):
        for way, engine in engines.items():
            began, cpu_s = time.perf_counter(), _cpu_s()
            engine.infer(called, {"X": tensor})
            wall_ms[way].append((time.perf_counter() - began) * 1000)
            cpu_ms[way].append((_cpu_s() - cpu_s) * 1000)
    wall = {way: statistics.median(times) for way, times in wall_ms.items()}
    cpu = {way: statistics.median(times) for way, times in cpu_ms.items()}
    what = f"triton {'there' if model == 'take' else 'there and back'}, {megabytes} MB {dtype}"
    goal = f"at most {_GOAL:g} times gRPC" if megabytes >= _GOAL_FROM_MB else ""
    met = wall["shared memory"] <= _GOAL * wall["gRPC"] if goal else None
    return [
        Row(name=f"{what}: gRPC", value=wall["gRPC"], unit="ms"),
        Row(name=f"{what}: shared memory", value=wall["shared memory"], unit="ms", baseline=wall["gRPC"], goal=goal, met=met),
        Row(name=f"{what}: caller's CPU, shared memory", value=cpu["shared memory"], unit="ms", baseline=cpu["gRPC"]),
    ]


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
