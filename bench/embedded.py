"""The embedded engine: each way to compute mr-brain's and ct-lung's networks on real inputs, against torch or onnxruntime; and how workers
and threads share the cores."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.heads import LUNG, SLICES_OF_LUNG, head, repository
from bench.rows import Row, say
from inference.engines.execution import Compute, Execution, Precision, Runtime, candidates, reference
from inference.engines.port import Call, ModelRef, Tensors
from inference.engines.runtimes import computation

ROUNDS = 7
PARALLEL_ROUNDS = 4
SHARED = ((1, 2), (2, 1))
"""Workers and threads to each."""


class _Direct:
    """An engine as an application calls it."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        answer: dict[str, NDArray[Any]] = self._engine.infer(model, tensors)
        return answer

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def _best(computes: Mapping[str, Compute], tensors: Tensors) -> dict[str, float]:
    """The shortest of a few runs of each; they take turns, so that a busy minute hits all. The first, which allocates, does not count."""
    best = dict.fromkeys(computes, float("inf"))
    for number in range(ROUNDS + 1):
        for name, compute in computes.items():
            began = time.perf_counter()
            compute(tensors)
            if number:
                best[name] = min(best[name], time.perf_counter() - began)
    return best


def _ways(models: Path, model: ModelRef, tensors: Tensors) -> list[Row]:
    """Every way that this machine can compute in, against the reference."""
    from inference.engines.choosing import impossible
    from inference.engines.comparing import difference
    from inference.engines.processors import usable_cores
    from inference.engines.repository import Repository

    opened = Repository(models)
    config = opened.config(model)
    file, content, _ = opened.read(model)
    first = reference(file)
    computes: dict[str, Compute] = {}
    for execution in candidates(file, config, Precision.BF16):
        if reason := impossible(execution):
            say(f"{model.name}, {execution}: {reason}")
            continue
        computes[str(execution)] = computation(execution, config, file, content, usable_cores())
    if first.runtime is Runtime.TORCH:
        onnx = _exported(content, config.inputs[0].name, config.outputs[0].name)
        execution = Execution(runtime=Runtime.ONNXRUNTIME)
        computes[f"{execution} (exported to ONNX)"] = computation(execution, config, Path("model.onnx"), onnx, usable_cores())
    seconds = _best(computes, tensors)
    meant = computes[str(first)](tensors)
    shape = " × ".join(map(str, next(iter(tensors.values())).shape))
    rows = []
    for name, compute in computes.items():
        apart = difference(meant, compute(tensors))
        dice = "" if apart.dice is None else f", Dice {apart.dice:.5f}"
        what = f"embedded, {model.name} {shape}: {name}, differs by {apart.values:.0e}{dice}"
        rows.append(Row(name=what, value=seconds[name], unit="s", baseline=None if name == str(first) else seconds[str(first)]))
    return rows


def _exported(content: bytes, input: str, output: str) -> bytes:
    """TorchScript as ONNX; free sides stay free."""
    import io
    import warnings

    import torch

    module = torch.jit.load(io.BytesIO(content)).eval()  # type: ignore[no-untyped-call]
    file = io.BytesIO()
    free = {2: "z", 3: "y", 4: "x"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, 1, 64, 64, 64),),
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=[input],
            output_names=[output],
            dynamic_axes={input: free, output: free},
        )
    return file.getvalue()


def inputs_of_series(models: Path, name: str, files: Sequence[Path]) -> dict[ModelRef, Tensors]:
    """What an application gives its models for a series."""
    from inference.applications import catalog
    from inference.applications.recording import inputs_of
    from inference.engines.embedded.engine import EmbeddedEngine
    from inference.imaging.assemble import assemble

    application, volume = catalog.load(name), assemble(files)
    with contextlib.closing(EmbeddedEngine(models)) as engine:
        return {model: inputs_of(application, volume, _Direct(engine), model)[-1] for model in application.models}


def _together(models: Path, tensors: Path, workers: int, threads: int) -> float:
    """Heads a minute of several processes that compute at the same time."""
    command = [sys.executable, "-m", "bench.embedded", str(models), str(tensors), str(threads)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()  # loaded and warm
    began = time.perf_counter()
    for process in running:
        process.communicate("go\n")
    return workers * PARALLEL_ROUNDS / (time.perf_counter() - began) * 60


def alone(models: Path, tensors: Path, threads: int) -> None:
    """One of the processes: loads the brain network, says so, and computes when told."""
    import numpy as np

    from inference.engines.repository import Repository

    model = ModelRef(name="deepbet_brain")
    opened = Repository(models)
    file, content, _ = opened.read(model)
    compute = computation(Execution(runtime=Runtime.OPENVINO), opened.config(model), file, content, threads)
    given = {"INPUT__0": np.load(tensors)}
    compute(given)
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    for _ in range(PARALLEL_ROUNDS):
        compute(given)


def measure() -> list[Row]:
    """The best of some runs for each way; every way gets the same inputs."""
    import numpy as np

    from inference.engines.errors import RegistryAway

    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as folder:
        try:
            models = repository(Path(folder) / "models", tuned=False)
            files, what = head(Path(folder) / "in")
        except RegistryAway as away:
            say(f"SKIPPED: {away}")
            return []
        say(f"mr-brain on {what}")
        rows: list[Row] = []
        inputs = inputs_of_series(models, "mr-brain", files)
        for model, tensors in inputs.items():
            rows += _ways(models, model, tensors)
        if LUNG.is_dir() and SLICES_OF_LUNG.is_dir():
            say("ct-lung on real slices")
            slices = [path for path in sorted(SLICES_OF_LUNG.rglob("*")) if path.is_file()]
            for model, tensors in inputs_of_series(models, "ct-lung", slices).items():
                rows += _ways(models, model, tensors)
        else:
            say("SKIPPED: ct-lung's weights and real slices are not here (HILUM_DATA)")
        brain = next(tensors for model, tensors in inputs.items() if model.name == "deepbet_brain")
        np.save(Path(folder) / "brain.npy", brain["INPUT__0"])
        rates = {shared: _together(models, Path(folder) / "brain.npy", *shared) for shared in SHARED}
    for (workers, threads), rate in rates.items():
        name = f"embedded, deepbet_brain by openvino f32: {workers} × {threads} threads"
        rows.append(Row(name=name, value=rate, unit="heads/min", baseline=None if (workers, threads) == SHARED[0] else rates[SHARED[0]]))
    return rows


if __name__ == "__main__":
    alone(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
