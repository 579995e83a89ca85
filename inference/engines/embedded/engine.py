"""The embedded engine: TorchScript, torch.export and ONNX models of the repository, computed on this machine's CPU.

Each model is loaded and computed in a confined process of its own (`inference.engines.jail`): a model is a program, and this process
holds the journal's and the archive's keys.
"""

import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inference.engines.choosing import Fallback, Tell
from inference.engines.ensemble import Ensemble, ensemble_of
from inference.engines.errors import DigestMismatch, EngineTimeout
from inference.engines.execution import Arrays, Runtime, installed, reference
from inference.engines.jail.model import Limits, ModelInJail
from inference.engines.modelconfig import ModelConfig
from inference.engines.port import EngineHealth, Load, ModelRef, Tensors, Urgency
from inference.engines.processors import threads_each
from inference.engines.repository import Repository

WARM = 8
"""Models whose processes are kept between calls, where they do not keep too much memory together; the one that was not used for longest
is ended, and loaded again when it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    config: ModelConfig
    digest: str
    compute: ModelInJail | Ensemble
    runtime: str = ""


class EmbeddedEngine:
    """Runs models in processes of their own; satisfies the port `Engine`.

    A model is loaded when it is first asked for and kept. A computation is ended, with its process, by the caller's deadline, by what the
    size of its input explains, and by the memory that one model may take; the next call loads the model again. The processes that do not
    compute are kept while all together keep no more than a worker's share.

    Parameters
    ----------
    repository
        Folder of the model repository.
    threads
        How many threads one computation takes; None: this process's share of the cores that it may use.
    workers
        How many processes compute on this machine at the same time.
    limits
        What one model may take; None: this process's share of most of the machine's memory, and no program where it is not confined.
    tell
        Is told when a model is computed in another way than its entry in the repository names.
    """

    def __init__(
        self,
        repository: Path,
        *,
        threads: int | None = None,
        workers: int = 1,
        limits: Limits | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._repository = Repository(repository)
        self._limits = limits or Limits.usual(workers)
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
            outputs = loaded.compute(inputs, ends_at=ends_at)
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
        return Load(memory=self._limits.memory)

    def health(self) -> EngineHealth:
        """Ready when at least one of the libraries that compute is installed."""
        found = [f"{runtime} {version}" for runtime in Runtime if (version := installed(runtime))]
        detail = ", ".join(found) or "neither openvino nor onnxruntime nor torch is installed"
        return EngineHealth(ready=bool(found), detail=f"{detail}; models in {self._repository.path}; {self._threads} threads")

    def runtime(self, model: ModelRef) -> str:
        """The way in which a loaded model is computed."""
        with self._lock:
            return self._loaded[model].runtime if model in self._loaded else ""

    def computation(self, model: ModelRef) -> ModelInJail:
        """A model itself, loaded: what `infer` calls between its checks. For measurements."""
        compute = self._load(model).compute
        assert not isinstance(compute, Ensemble), "an ensemble is called step by step"
        return compute

    def close(self) -> None:
        """Let go of the loaded models, and end their processes."""
        with self._lock:
            for loaded in self._loaded.values():
                if isinstance(loaded.compute, ModelInJail):
                    loaded.compute.end()
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
        measured = entry.embedded if entry else None
        compute = ModelInJail(
            model,
            config,
            file,
            partial(self._content, model, digest, [content]),
            threads=self._threads,
            limits=self._limits,
            measured=measured,
            golden=entry.golden if entry else None,
            seen=self._make_room,
        )
        opened = compute.open()
        wanted = measured.execution if measured else reference(file)
        if opened.execution != wanted:
            self._tell(Fallback(model=model, wanted=wanted, used=opened.execution, reason=opened.instead))
        return _Loaded(config=config, digest=digest, compute=compute, runtime=opened.runtime)

    def _content(self, model: ModelRef, digest: str, first: list[bytes]) -> bytes:
        """The weights, each time that a process loads them: those that were loaded first, which are not kept, or none."""
        if first:
            return first.pop()
        file, content, found = self._repository.read(model)
        if found != digest:
            raise DigestMismatch(f"{file} has SHA-256 {found}, the model that was loaded had {digest}")
        return content

    def _make_room(self, coming: ModelInJail) -> None:
        """End the processes that were not used for longest, until there are not too many beside this one and all keep no more than they
        may together; one that computes goes on."""
        models = [loaded.compute for loaded in list(self._loaded.values()) if isinstance(loaded.compute, ModelInJail)]
        others = sorted((each for each in models if each.warm and each is not coming), key=lambda each: each.used_at)
        most = self._limits.memory if self._limits.together is None else self._limits.together
        count, kept = len(others) + 1, coming.memory + sum(each.memory for each in others)
        for each in others:
            if count <= WARM and kept <= most:
                break
            its = each.memory
            if each.end(wait=False):
                count, kept = count - 1, kept - its


def _nobody(_fallback: Fallback) -> None:
    """For who opens an engine and shows nothing of it."""
