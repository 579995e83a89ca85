"""Which way the embedded engine computes a model on this machine: the one that was measured and entered, unless something is against it.

A model that was never measured is computed by the library that its format belongs to: nobody has compared the others with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from inference.engines.errors import GoldenMismatch, LibraryNotInstalled, UnreadableModel, WrongTensors
from inference.engines.execution import Compute, Execution, Precision, Runtime, installed, libraries, reference
from inference.engines.golden import SLACK, compare_golden
from inference.engines.measured import Measured, in_single_precision
from inference.engines.modelconfig import ModelConfig
from inference.engines.port import Golden, ModelRef
from inference.engines.processors import machine
from inference.engines.runtimes import computation


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """A model is computed in another way than the entered one: the answers may differ in their last digits, the time in its first."""

    model: ModelRef
    wanted: Execution
    used: Execution
    reason: str


Tell: TypeAlias = Callable[[Fallback], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A loaded model; `runtime` is what the record of a job says of it."""

    compute: Compute
    execution: Execution
    threads: int

    @property
    def runtime(self) -> str:
        return said_of(self.execution, self.threads)


def said_of(execution: Execution, threads: int) -> str:
    """A way as a job's record names it: "openvino f32 2026.4.1, 2 threads"."""
    return f"{execution} {installed(execution.runtime)}, {threads} {'thread' if threads == 1 else 'threads'}"


def open_model(
    model: ModelRef,
    config: ModelConfig,
    file: Path,
    content: bytes,
    *,
    threads: int,
    measured: Measured | None,
    golden: Golden | None,
    tell: Tell,
) -> Chosen:
    """Load a model in the way that is right here; what is told when it is not the entered one, and why.

    Every way but the reference, and OpenVINO's always, has to give the golden output before it is used: a library that was updated, or
    another processor, is found out before a study is.

    Raises
    ------
    LibraryNotInstalled, UnreadableModel, WrongTensors
        As the reference says, when no way is left.
    """
    first = reference(file)
    wanted = measured.execution if measured else first
    refusals: dict[Execution, LibraryNotInstalled | UnreadableModel | WrongTensors | GoldenMismatch] = {}
    reason = ""
    entered = [measured.execution, in_single_precision(measured)] if measured else []
    # others last, for when the model's own library is not installed, or is OpenVINO and knows an operator of ONNX not
    for execution in dict.fromkeys([*entered, *libraries(file)]):
        if execution.precision is not Precision.F32 and (reason := _unfit(execution, measured)):
            continue
        refused_first = refusals.get(first)
        if (
            execution not in (*entered, first)
            and not isinstance(refused_first, LibraryNotInstalled)
            and first.runtime is not Runtime.OPENVINO
        ):
            continue  # what the model's own library refuses is no model
        try:
            compute = computation(execution, config, file, content, threads)
            if golden is not None and (execution != first or execution.runtime is Runtime.OPENVINO):
                compare_golden(model, config, golden, compute, slack=SLACK[execution.precision])
        except (LibraryNotInstalled, UnreadableModel, WrongTensors, GoldenMismatch) as refused:
            refusals[execution] = refused
            reason = reason or f"{refused} [{refused.code}]"
            continue
        if execution != wanted:
            tell(Fallback(model=model, wanted=wanted, used=execution, reason=reason))
        return Chosen(compute=compute, execution=execution, threads=threads)
    raise refusals[first]


def gpu_runtime(file: Path) -> Runtime:
    """The library that computes a model of this format on a GPU."""
    return Runtime.ONNXRUNTIME if file.suffix == ".onnx" else Runtime.TORCH


def on_gpu(model: ModelRef, config: ModelConfig, file: Path, content: bytes, *, threads: int, golden: Golden | None, gpu: int) -> Compute:
    """Load a model to be computed on GPU number `gpu`, and have it give the golden output where there is one.

    Another way is not tried: what was measured on processors says nothing of a GPU, and no processor stands in for one unsaid.

    Raises
    ------
    LibraryNotInstalled, NoSuchGpu, UnreadableModel, WrongTensors, GoldenMismatch
    """
    compute = computation(Execution(runtime=gpu_runtime(file)), config, file, content, threads, gpu)
    if golden is not None:
        compare_golden(model, config, golden, compute, slack=SLACK[Precision.F32])
    return compute


def _unfit(execution: Execution, measured: Measured | None) -> str:
    """Why a lower precision, which was judged on one machine, is not used on this one; "" when it is."""
    if measured is not None and measured.machine != machine():
        return f"{execution.precision} was judged on {measured.machine}, this is {machine()}"
    return impossible(execution)


def impossible(execution: Execution) -> str:
    """Why this machine cannot compute in a way, whatever the model; "" when it can."""
    if installed(execution.runtime) is None:
        return f"{execution.runtime} is not installed"
    if execution.precision is Precision.F32:
        return ""
    from inference.engines.openvino_model import can_compute_in

    return "" if can_compute_in(execution.precision) else f"this processor has no instructions for {execution.precision}"
