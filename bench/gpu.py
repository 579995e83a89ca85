"""A GPU against the processor, in one table: steps of training, a run that changes its device, too little memory, and Triton on CUDA.

`python -m bench gpu` needs no data and nobody who looks on: the crops are made, the network is that of a recipe. Without a GPU it says so
in a sentence and measures nothing. Triton is `tritonserver` where that is a program of this machine, as it is in NVIDIA's image, and else
the server that hilum fetches once. Its figures stand in docs/performance.md;
Triton on CUDA was never run.
"""

import contextlib
import io
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.rows import Row, say
from inference.engines.port import ModelRef
from inference.errors import HilumError

STEPS, WARM = 12, 3
"""Steps of each training; the first ones, in which kernels are chosen, are not counted."""
CALLS = {96: 9, 192: 5}
"""Calls by the sides of the volume that servers are asked about; the first one is not counted."""
SCRIPTED, EXPORTED = ModelRef(name="scripted"), ModelRef(name="exported")
FILES = {SCRIPTED: "model.pt", EXPORTED: "model.pt2"}
SERVER = "tritonserver"
_READY_S = 300.0
_COUNTED_S = 10.0
_CONFIG = """
backend: "pytorch"
max_batch_size: 0
input [ { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 1, 1, -1, -1, -1 ] } ]
output [ { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 1, 3, -1, -1, -1 ] } ]
instance_group [ { count: 1 kind: %s } ]
"""
_LIKE = 1e-2
"""How far weights on the two devices may be apart after the steps, and answers of the two servers."""


def measure() -> list[Row]:
    """All of it, or nothing but a sentence."""
    absent = no_gpu()
    if absent:
        say(f"no GPU, and nothing is measured: {absent}")
        return []
    import torch

    say(f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}, torch {torch.__version__}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="hilum-gpu-") as scratch:
        folder = Path(scratch)
        return [*_steps(folder), *_gone_on_with(folder), *_short(folder), *triton(folder, shutil.which(SERVER))]


def no_gpu() -> str:
    """Why torch has no GPU here; "" where it has one."""
    try:
        import torch
    except ImportError:
        return "torch is not installed (pip install 'PATH[training]')"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA"
    return "" if torch.cuda.is_available() else f"torch {torch.__version__} finds none that it can use"


class _Ended(Exception):
    """Ends a training behind its first epoch."""


@dataclass
class Clock:
    """A training's progress: when each step was over, and what was said; `ends` has the training ended behind its first epoch."""

    ends: bool = False
    at: list[float] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def begun(self, epoch: int, epochs: int, batches: int) -> None:
        # the first epoch's checkpoint is there by now
        if self.ends and epoch == 1:
            raise _Ended

    def batch(self) -> None:
        self.at.append(time.perf_counter())

    def epoch(self, epoch: int, figures: Mapping[str, float], best: bool) -> None: ...

    def said(self, line: str) -> None:
        self.lines.append(line)

    @property
    def step_s(self) -> float:
        """The median of a step's seconds."""
        return median(after - before for before, after in zip(self.at[WARM:], self.at[WARM + 1 :], strict=False))


def trained(run: Path, device: str, precision: str = "float32", batch: int = 2, epochs: int = 1, *, ends: bool = False) -> Clock:
    """The steps of an epoch of recipe hippocampus on made crops, by the loop that `hilum train` runs."""
    from training.compute import Device, Precision
    from training.data.cases import Case, Split
    from training.fit import fit
    from training.ranks import ranks
    from training.recipes.hippocampus import RECIPE

    cases = tuple(Case(patient=str(number), name=str(number), load=_crop(number)) for number in range(batch * STEPS))
    recipe = replace(RECIPE, augment=lambda: lambda example, seed: example)
    schedule = replace(recipe.schedule, epochs=epochs, batch=batch, patience=epochs)
    clock = Clock(ends=ends)
    with contextlib.suppress(_Ended), ranks(Device(device), Precision(precision)) as here:
        fit(recipe, Split(train=cases, validation=cases[:1], test=cases[:1]), run, schedule, here, clock)
    return clock


def _crop(number: int) -> Callable[[], Any]:
    """A bright ball of two halves in noise."""

    def load() -> Any:
        from training.data.cases import Labelled
        from training.data.nifti import volume_of

        generator = np.random.default_rng(number)
        z, y, x = np.mgrid[:48, :64, :48]
        at = generator.uniform((16, 20, 16), (32, 44, 32))
        ball = (z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 <= 100
        labels = np.where(ball, np.where(y > at[1], 1, 2), 0).astype(np.uint8)
        voxels = generator.normal(300, 40, labels.shape) + 150.0 * labels
        return Labelled(volume=volume_of(voxels, np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]], "MR", str(number)), labels=labels)

    return load


def _steps(folder: Path) -> Iterator[Row]:
    import torch

    say(f"{STEPS} steps of recipe hippocampus on the processor, on the GPU, and there in bf16")
    first = trained(folder / "cpu", "cpu")
    yield Row(name="training step, processor", value=first.step_s, unit="s")
    for precision in ("float32", "bf16"):
        torch.cuda.reset_peak_memory_stats()
        clock = trained(folder / f"cuda-{precision}", "cuda", precision)
        yield Row(name=f"training step, GPU, {precision}", value=clock.step_s, unit="s", baseline=first.step_s)
        yield Row(name=f"memory of the GPU, {precision}", value=torch.cuda.max_memory_allocated() / 2**20, unit="MiB")
    apart = _apart(folder / "cpu", folder / "cuda-float32")
    yield Row(name="weights on the two devices apart by", value=apart, unit="at most", goal=f"at most {_LIKE:g}", met=apart <= _LIKE)


def _apart(one: Path, other: Path) -> float:
    """The largest difference of a weight of two runs."""
    from training.checkpoint import load
    from training.fit import LAST

    states = [load(run / LAST) for run in (one, other)]
    networks = [state["network"] for state in states if state is not None]
    return max(float((networks[0][name] - networks[1][name]).abs().max()) for name in networks[0])


def _gone_on_with(folder: Path) -> Iterator[Row]:
    """A run of two epochs whose first is computed on one device and whose second on the other."""
    say("a run that changes its device between two epochs, either way")
    for first, then in (("cpu", "cuda"), ("cuda", "cpu")):
        run = folder / f"{first}-{then}"
        trained(run, first, epochs=2, ends=True)
        steps = len(trained(run, then, epochs=2).at)
        yield Row(name=f"steps after going on from {first} on {then}", value=steps, unit="", goal=f"{STEPS}", met=steps == STEPS)


def _short(folder: Path) -> Iterator[Row]:
    """A batch that the share of the GPU's memory which is left to it does not hold."""
    import torch

    say("a batch of 32 crops in a 64th of the GPU's memory")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1 / 64)
    try:
        clock = trained(folder / "short", "cuda", batch=32)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    for line in clock.lines:
        say(line)
    yield Row(name="times that memory was short and less was asked for", value=len(clock.lines), unit="")
    yield Row(name="steps that were trained all the same", value=len(clock.at), unit="", goal=f"{STEPS}", met=len(clock.at) == STEPS)


def triton(folder: Path, program: str | None, *, kinds: Sequence[str] = ("cpu", "gpu"), calls: Mapping[int, int] = CALLS) -> Iterator[Row]:
    """The network of recipe hippocampus by the embedded engine, by Triton on the processor and by Triton on CUDA, asked the same.

    `program` is NVIDIA's own server; without one it is the server that hilum fetches, which computes torch.export programs, too.
    """
    from inference.engines.embedded.engine import EmbeddedEngine
    from inference.engines.triton.distribution import local_distribution
    from inference.engines.triton.engine import TritonEngine

    if program is None:
        try:
            local_distribution()
        except HilumError as absent:
            say(f"no {SERVER} on PATH, and none can be fetched: {absent}")
            return
    say(f"one network: embedded, and {program or 'the server that hilum fetches'} on processor and GPU")
    models = [SCRIPTED] if program else [SCRIPTED, EXPORTED]
    repositories = {kind: folder / f"models-{kind}" for kind in kinds}
    for kind, repository in repositories.items():
        write_network(repository, models, f"KIND_{kind.upper()}")
    volumes = {side: np.random.default_rng(side).normal(size=(1, 1, side, side, side)).astype(np.float32) for side in calls}
    embedded: dict[int, tuple[float, Any]] = {}
    with contextlib.closing(EmbeddedEngine(repositories[kinds[0]])) as engine:
        for side, volume in volumes.items():
            embedded[side] = _asked(engine, SCRIPTED, volume, calls[side])
            yield Row(name=f"{side}³ voxels, embedded engine", value=embedded[side][0], unit="s")
    for kind, repository in repositories.items():
        with (
            served(program, repository, models, folder / f"{kind}.log") as url,
            contextlib.closing(TritonEngine(url, repository)) as engine,
        ):
            for side, model in itertools.product(volumes, models):
                with contextlib.closing(Computed(url, model)) as computed:
                    took_s, answer = _asked(engine, model, volumes[side], calls[side], computed.begin)
                    computed_s = computed.mean_s(calls[side])
                name, apart = (
                    f"{side}³ voxels, Triton, KIND_{kind.upper()}, {FILES[model]}",
                    float(np.abs(answer - embedded[side][1]).max()),
                )
                yield Row(name=name, value=took_s, unit="s", baseline=embedded[side][0])
                yield Row(name="  of which its model computes", value=computed_s, unit="s")
                yield Row(name="  its answer apart by", value=apart, unit="at most", goal=f"at most {_LIKE:g}", met=apart <= _LIKE)


def write_network(repository: Path, models: Sequence[ModelRef], kind: str) -> None:
    """The network of recipe hippocampus before its training, as TorchScript and as torch.export; sides are multiples of 8."""
    import torch

    from training.recipes.hippocampus import network

    torch.manual_seed(1)
    made, example = network().eval(), torch.zeros(1, 1, 64, 48, 40)
    for model in models:
        content = io.BytesIO()
        if model == SCRIPTED:
            torch.jit.save(torch.jit.trace(made, example), content)  # type: ignore[no-untyped-call]
        else:
            sides = {axis: 8 * torch.export.Dim(f"eighths_{axis}", min=2, max=64) for axis in (2, 3, 4)}
            torch.export.save(torch.export.export(made, (example,), dynamic_shapes=(sides,)), content)
        place = repository / model.name / "1" / FILES[model]
        place.parent.mkdir(parents=True)
        place.write_bytes(content.getvalue())
        (repository / model.name / "config.pbtxt").write_text(_CONFIG % kind, encoding="utf-8")


class Computed:
    """Seconds that a server's model computes, without queue and transfer; the first call behind this being made is not counted."""

    def __init__(self, url: str, model: ModelRef) -> None:
        from tritonclient.grpc import InferenceServerClient

        self._client, self._model = InferenceServerClient(url.removeprefix("grpc://")), model
        self._from = self._now()

    def begin(self) -> None:
        """The first call was answered."""
        self._from = self._behind(1)

    def mean_s(self, calls: int) -> float:
        """Of a call, behind so many since `begin`."""
        return (self._behind(calls)[0] - self._from[0]) / calls / 1e9

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _behind(self, calls: int) -> tuple[int, int]:
        """The server counts a call a little after it answered it."""
        until = time.monotonic() + _COUNTED_S
        while (now := self._now())[1] < self._from[1] + calls:
            if time.monotonic() > until:
                raise RuntimeError(f"the server counted {now[1] - self._from[1]} calls of {calls}")
            time.sleep(0.01)
        return now

    def _now(self) -> tuple[int, int]:
        said = self._client.get_inference_statistics(self._model.name).model_stats[0].inference_stats.compute_infer
        return said.ns, said.count


def _asked(engine: Any, model: ModelRef, volume: Any, calls: int, warm: Callable[[], None] = lambda: None) -> tuple[float, Any]:
    """The median of a call's seconds, and the answer; `warm` is called behind a first call, which is not counted."""
    took = []
    for number in range(calls + 1):
        began = time.perf_counter()
        answer = engine.infer(model, {"INPUT__0": volume})["OUTPUT__0"]
        took.append(time.perf_counter() - began)
        if number == 0:
            warm()
    return median(took[1:]), answer


@contextlib.contextmanager
def served(program: str | None, repository: Path, models: Sequence[ModelRef], log: Path) -> Iterator[str]:
    """A Triton server of this machine over the network, and its address.

    Raises
    ------
    RuntimeError
        NVIDIA's was not ready in time; with its last words.
    """
    from inference.engines.triton.server import LocalTriton, free_ports

    names = [model.name for model in models]
    if program is None:
        with LocalTriton(repository, models=names, log=log, ready_s=_READY_S) as local:
            yield local.url
        return
    port, metrics = free_ports()
    command = [program, f"--model-repository={repository}", "--model-control-mode=explicit", *(f"--load-model={name}" for name in names)]
    command += ["--allow-http=false", "--grpc-address=127.0.0.1", f"--grpc-port={port}", f"--metrics-port={metrics}"]
    with log.open("wb") as said:
        server = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + _READY_S
        while not all(_ready(port, name) for name in names):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{program} was not ready:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            time.sleep(0.2)
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _ready(port: int, model: str) -> bool:
    """Whether a server on this port has a model."""
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    with contextlib.closing(InferenceServerClient(f"127.0.0.1:{port}")) as client:
        try:
            return bool(client.is_model_ready(model))
        except InferenceServerException:
            return False
