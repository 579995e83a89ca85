"""The embedded engine: TorchScript, torch.export and ONNX models of the repository, computed in this process on the CPU."""

import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inference.engines.choosing import Fallback, Tell, open_model
from inference.engines.ensemble import Ensemble, ensemble_of
from inference.engines.errors import EngineTimeout
from inference.engines.modelconfig import ModelConfig
from inference.engines.port import EngineHealth, Load, ModelRef, Tensors, Urgency
from inference.engines.processors import threads_each
from inference.engines.repository import Repository
from inference.engines.runtimes import Arrays, Compute, Runtime, installed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    config: ModelConfig
    digest: str
    compute: Compute | Ensemble
    runtime: str = ""


class EmbeddedEngine:
    """Runs models in-process; satisfies the port `Engine`.

    A model is loaded when it is first asked for and kept. A computation that has begun is not interrupted: the process that
    holds the engine is what a deadline can end.

    Parameters
    ----------
    repository
        Folder of the model repository.
    threads
        How many threads one computation takes; None: this process's share of the cores that it may use.
    workers
        How many processes compute on this machine at the same time.
    tell
        Is told when a model is computed in another way than its entry in the repository names.
    """

    def __init__(self, repository: Path, *, threads: int | None = None, workers: int = 1, tell: Tell | None = None) -> None:
        self._repository = Repository(repository)
        self._threads = threads or threads_each(workers)
        self._tell = tell or _nobody
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
        found = [f"{runtime} {version}" for runtime in Runtime if (version := installed(runtime))]
        detail = ", ".join(found) or "neither openvino nor onnxruntime nor torch is installed"
        return EngineHealth(ready=bool(found), detail=f"{detail}; models in {self._repository.path}; {self._threads} threads")

    def runtime(self, model: ModelRef) -> str:
        """The way in which a loaded model is computed."""
        with self._lock:
            return self._loaded[model].runtime if model in self._loaded else ""

    def computation(self, model: ModelRef) -> Compute:
        """A model itself, loaded: what `infer` calls between its checks. For measurements."""
        compute = self._load(model).compute
        assert not isinstance(compute, Ensemble), "an ensemble is called step by step"
        return compute

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
                self._loaded[model] = self._opened(model, config)
            return self._loaded[model]

    def _opened(self, model: ModelRef, config: ModelConfig) -> _Loaded:
        file, content, digest = self._repository.read(model)
        entry = self._repository.entry(model)
        chosen = open_model(
            model,
            config,
            file,
            content,
            threads=self._threads,
            measured=entry.embedded if entry else None,
            golden=entry.golden if entry else None,
            tell=self._tell,
        )
        return _Loaded(config=config, digest=digest, compute=chosen.compute, runtime=chosen.runtime)


def _nobody(_fallback: Fallback) -> None:
    """For who opens an engine and shows nothing of it."""
