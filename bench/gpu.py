"""A GPU against the processor, in one table: steps of training, a run that changes its device, too little memory, and Triton on CUDA.

`python -m bench gpu` needs no network, no data and nobody who looks on: the crops are made, the network is that of a recipe. Without a GPU
it says so in a sentence and measures nothing. For Triton, `tritonserver` has to be a program of this machine, as it is in NVIDIA's image.
Its figures on an H100 stand in docs/performance.md; Triton on CUDA was never run.
"""

import contextlib
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
from bench.tiles import NETWORK, write_models

STEPS, WARM = 12, 3
"""Steps of each training; the first ones, in which kernels are chosen, are not counted."""
CALLS = 9
SIDE = 96
"""Of the volume that servers are asked about."""
SERVER = "tritonserver"
_READY_S = 300.0
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


def triton(folder: Path, program: str | None, *options: str, kinds: Sequence[str] = ("cpu", "gpu")) -> Iterator[Row]:
    """The embedded engine, Triton on the processor and Triton on CUDA, asked the same; nothing where there is no program of a server."""
    from inference.engines.embedded.engine import EmbeddedEngine
    from inference.engines.triton.engine import TritonEngine

    if program is None:
        say(f"no {SERVER} on PATH: run it in NVIDIA's image to have Triton measured")
        return
    volume = np.random.default_rng(1).normal(size=(1, 1, SIDE, SIDE, SIDE)).astype(np.float32)
    say(f"{SIDE}³ voxels through one network: embedded, and {program} on processor and GPU")
    repositories = {kind: folder / f"models-{kind}" for kind in kinds}
    for kind, models in repositories.items():
        write_models(models)
        config = models / NETWORK.name / "config.pbtxt"
        config.write_text(config.read_text(encoding="utf-8").replace("KIND_CPU", f"KIND_{kind.upper()}"), encoding="utf-8")
    with contextlib.closing(EmbeddedEngine(repositories[kinds[0]])) as engine:
        embedded_s, expected = _asked(engine, volume)
    yield Row(name="inference, embedded engine", value=embedded_s, unit="s")
    for kind, models in repositories.items():
        with served(program, models, folder / f"{kind}.log", *options) as url, contextlib.closing(TritonEngine(url, models)) as engine:
            took_s, answer = _asked(engine, volume)
        apart = float(np.abs(answer - expected).max())
        yield Row(name=f"inference, Triton, KIND_{kind.upper()}", value=took_s, unit="s", baseline=embedded_s)
        yield Row(name="  its answer apart by", value=apart, unit="at most", goal=f"at most {_LIKE:g}", met=apart <= _LIKE)


def _asked(engine: Any, volume: Any) -> tuple[float, Any]:
    """The median of a call's seconds, and the answer."""
    took = []
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        answer = engine.infer(NETWORK, {"x": volume})["y"]
        took.append(time.perf_counter() - began)
    return median(took[1:]), answer


@contextlib.contextmanager
def served(program: str, models: Path, log: Path, *options: str) -> Iterator[str]:
    """A Triton server of this machine over the one network that is asked, and its address.

    Raises
    ------
    RuntimeError
        It was not ready in time; with its last words.
    """
    from inference.engines.triton.server import free_ports

    port, metrics = free_ports()
    command = [program, f"--model-repository={models}", "--model-control-mode=explicit", f"--load-model={NETWORK.name}"]
    command += ["--allow-http=false", "--grpc-address=127.0.0.1", f"--grpc-port={port}", f"--metrics-port={metrics}", *options]
    with log.open("wb") as said:
        server = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + _READY_S
        while not _ready(port):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{program} was not ready:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            time.sleep(0.2)
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _ready(port: int) -> bool:
    """Whether a server on this port has the network."""
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    with contextlib.closing(InferenceServerClient(f"127.0.0.1:{port}")) as client:
        try:
            return bool(client.is_model_ready(NETWORK.name))
        except InferenceServerException:
            return False
