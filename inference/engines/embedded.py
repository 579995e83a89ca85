"""The embedded engine: TorchScript, torch.export and ONNX models of the repository, computed in this process on the CPU."""

import importlib.metadata
import importlib.util
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from inference.engines.ensemble import Ensemble, ensemble_of
from inference.engines.errors import EngineNotInstalled, EngineTimeout
from inference.engines.modelconfig import ModelConfig
from inference.engines.port import EngineHealth, Load, ModelRef, Tensors, Urgency
from inference.engines.repository import Repository

Arrays: TypeAlias = dict[str, NDArray[Any]]
Compute: TypeAlias = Callable[[Mapping[str, NDArray[Any]]], Arrays]
_LIBRARIES = ("torch", "onnxruntime")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    config: ModelConfig
    digest: str
    compute: Compute | Ensemble


class EmbeddedEngine:
    """Runs models in-process; satisfies the port `Engine`.

    A model is loaded when it is first asked for and kept. A computation that has begun is not interrupted: the process that
    holds the engine is what a deadline can end.

    Parameters
    ----------
    repository
        Folder of the model repository.
    threads
        How many threads one computation takes; None: as many as this process may use.
    """

    def __init__(self, repository: Path, *, threads: int | None = None) -> None:
        self._repository = Repository(repository)
        self._threads = threads or len(os.sched_getaffinity(0))
        self._loaded: dict[ModelRef, _Loaded] = {}
        self._lock = threading.Lock()

    def infer(self, model: ModelRef, inputs: Tensors, *, deadline_s: float | None = None, urgency: Urgency = Urgency.ROUTINE) -> Arrays:
        """Compute the outputs of a model; see the port's contract. Nothing queues here: `urgency` changes nothing."""
        if deadline_s is not None and deadline_s <= 0:
            raise EngineTimeout(f'model "{model.name}": the deadline passed {-deadline_s:.1f} s before the computation began')
        known = self._loaded.get(model)
        # before a model is loaded: seconds are not spent on a call that cannot be answered
        (known.config if known else self._repository.config(model)).check_inputs(inputs)
        ends_at = None if deadline_s is None else time.monotonic() + deadline_s
        loaded = known or self._load(model)
        if isinstance(loaded.compute, Ensemble):
            outputs = loaded.compute.run(inputs, partial(self._infer_until, ends_at))
        else:
            outputs = loaded.compute(inputs)
        loaded.config.check_outputs(outputs)
        return outputs

    def digest(self, model: ModelRef) -> str:
        """SHA-256 (hex) of the weights that are loaded, or would be."""
        with self._lock:
            if model in self._loaded:
                return self._loaded[model].digest
        return self._repository.verified_digest(model)

    def check(self, model: ModelRef) -> None:
        """Compare the digest of the weights with the entry's, unless they are loaded, and read config.pbtxt."""
        with self._lock:
            if model in self._loaded:
                return
        self._repository.config(model)
        self._repository.verify(model)

    def load(self, model: ModelRef) -> Load:
        """One computation at a time takes all threads."""
        return Load()

    def health(self) -> EngineHealth:
        """Ready when at least one of the libraries that compute is installed."""
        found = {name: importlib.metadata.version(name) for name in _LIBRARIES if importlib.util.find_spec(name)}
        detail = ", ".join(f"{name} {version}" for name, version in found.items()) or "neither torch nor onnxruntime is installed"
        return EngineHealth(ready=bool(found), detail=f"{detail}; models in {self._repository.path}; {self._threads} threads")

    def close(self) -> None:
        """Let go of the loaded models."""
        with self._lock:
            self._loaded.clear()

    def _infer_until(self, ends_at: float | None, model: ModelRef, inputs: Tensors) -> Arrays:
        """One step of an ensemble: loaded when the ensemble first comes to it."""
        return self.infer(model, inputs, deadline_s=None if ends_at is None else ends_at - time.monotonic())

    def _load(self, model: ModelRef) -> _Loaded:
        # under the lock: two threads that want one model load it once
        with self._lock:
            if model not in self._loaded:
                config = self._repository.config(model)
                if config.steps:
                    digest = self._repository.verified_digest(model)
                    self._loaded[model] = _Loaded(config=config, digest=digest, compute=ensemble_of(model, self._repository))
                    return self._loaded[model]
                file, content, digest = self._repository.read(model)
                self._loaded[model] = _Loaded(config=config, digest=digest, compute=self._computation(config, file, content))
            return self._loaded[model]

    def _computation(self, config: ModelConfig, file: Path, content: bytes) -> Compute:
        library = "onnxruntime" if file.suffix == ".onnx" else "torch"
        if importlib.util.find_spec(library) is None:
            raise EngineNotInstalled(f'model "{config.name}" needs {library} ({file.name})')
        if library == "onnxruntime":
            from inference.engines.onnx_model import onnx_computation

            return onnx_computation(config, file, content, self._threads)
        from inference.engines.torch_model import torch_computation

        return torch_computation(config, file, content, self._threads)
