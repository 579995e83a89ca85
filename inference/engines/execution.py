"""The ways in which the embedded engine can compute a model: which library, in which precision, with which memory layout."""

import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from numpy.typing import NDArray

from inference.engines.modelconfig import ModelConfig

Arrays: TypeAlias = dict[str, NDArray[Any]]
Compute: TypeAlias = Callable[[Mapping[str, NDArray[Any]]], Arrays]


@runtime_checkable
class ComputesInto(Protocol):
    """A computation that can write its answer into memory that is there, so that nothing copies it."""

    def into(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> bool:
        """Compute into `outputs`; False where the answer has other shapes or types. No reference to the arrays is left behind."""


class Runtime(StrEnum):
    """A library that computes models; the values are its names on the package registry."""

    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"
    TORCH = "torch"


class Precision(StrEnum):
    """In which numbers a model is computed; inputs and outputs keep the dtypes of config.pbtxt."""

    F32 = "f32"
    BF16 = "bf16"


_SPATIAL_AXES = (4, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One way to compute a model. `channels_last`: torch keeps the channels of a voxel beside each other."""

    runtime: Runtime
    precision: Precision = Precision.F32
    channels_last: bool = False

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}{' channels last' if self.channels_last else ''}"

    @staticmethod
    def named(name: str) -> "Execution":
        """The way that `str` gave this name; ValueError where it is none."""
        runtime, _, rest = name.partition(" ")
        precision, _, layout = rest.partition(" ")
        if layout not in {"", "channels last"}:
            raise ValueError(f'"{name}" is no way to compute a model')
        return Execution(runtime=Runtime(runtime), precision=Precision(precision), channels_last=bool(layout))


def reference(file: Path) -> Execution:
    """The way that says what a model's answer is: the library that its format belongs to, in single precision.

    ONNX belongs to two: OpenVINO, which sums what it normalises exactly here, and onnxruntime where that alone is installed.
    """
    if file.suffix != ".onnx":
        return Execution(runtime=Runtime.TORCH)
    alone = installed(Runtime.OPENVINO) is None and installed(Runtime.ONNXRUNTIME) is not None
    return Execution(runtime=Runtime.ONNXRUNTIME if alone else Runtime.OPENVINO)


def libraries(file: Path) -> tuple[Execution, ...]:
    """In single precision, each library that can read a file, the one that its format belongs to first."""
    others = Runtime.ONNXRUNTIME if file.suffix == ".onnx" else Runtime.TORCH
    return tuple(dict.fromkeys((reference(file), Execution(runtime=Runtime.OPENVINO), Execution(runtime=others))))


def candidates(file: Path, config: ModelConfig, precision: Precision = Precision.F32) -> tuple[Execution, ...]:
    """The ways in which a model may be computed, the reference first; whether they can is found out by trying."""
    first = reference(file)
    executions = list(dict.fromkeys((first, *libraries(file))))
    batch = int(config.max_batch_size > 0)
    if first.runtime is Runtime.TORCH and any(len(tensor.dims) + batch in _SPATIAL_AXES for tensor in config.inputs):
        executions.append(Execution(runtime=Runtime.TORCH, channels_last=True))
    if precision is not Precision.F32:
        executions.append(Execution(runtime=Runtime.OPENVINO, precision=precision))
    return tuple(executions)


def installed(runtime: Runtime) -> str | None:
    """The version of a library, None where it is not installed; it is not imported."""
    if importlib.util.find_spec(runtime.value) is None:
        return None
    try:
        return importlib.metadata.version(runtime.value)
    except importlib.metadata.PackageNotFoundError:
        # the same module with CUDA is another distribution: onnxruntime-gpu
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(f"{runtime.value}-gpu")
        raise
