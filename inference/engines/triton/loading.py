"""The models of the repository as a Triton server serves them: checked against the node's copy, loaded where the server lacks them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.engines.ensemble import Ensemble, ensemble_of, to_be_looked_into
from inference.engines.errors import EngineAway, ModelCrashed, ModelNotServed, UnreadableModel
from inference.engines.modelconfig import ModelConfig
from inference.engines.port import Load, ModelRef
from inference.engines.repository import Repository
from inference.engines.triton.calls import Calls
from inference.engines.triton.metadata import ModelOnServer, compare, served_from
from inference.engines.triton.statistics import QueueTime
from inference.errors import EngineError, HilumError

_CHECKED_S = 60.0
_LOAD_S = 300.0
_UNREADABLE = "is at UNAVAILABLE state"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """A model that was compared at `at`; `queues` are those of the models that compute (an ensemble's steps). `apart` is an ensemble whose
    steps have to be asked one by one, since the server does not look at what they give each other."""

    at: float
    at_once: int
    queues: tuple[QueueTime, ...] = field(default=())
    apart: Ensemble | None = None


class Models:
    """Checks and loads. May be used by many threads; one at a time asks the server for one thing.

    Parameters
    ----------
    load
        Have the server load what it lacks.
    """

    def __init__(self, calls: Calls, repository: Repository, *, load: bool, seconds: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._repository = repository
        self._load = load
        self._seconds = seconds
        self._lock = threading.RLock()
        self._configs: dict[ModelRef, tuple[int, ModelConfig]] = {}
        self._digests: dict[ModelRef, tuple[tuple[Path, int, int], str]] = {}
        self._checked: dict[ModelRef, _Checked] = {}
        self._restarts: dict[str, int] = {}

    # ---- the node's copy

    def config(self, model: ModelRef) -> ModelConfig:
        """The node's config.pbtxt, read again when the file changes."""
        file = self._repository.path / model.name / "config.pbtxt"
        try:
            written = file.stat().st_mtime_ns
        except OSError:
            return self._repository.config(model)
        known = self._configs.get(model)
        if known is None or known[0] != written:
            known = (written, self._repository.config(model))
            self._configs[model] = known
        return known[1]

    def digest(self, model: ModelRef) -> str:
        """SHA-256 of the weights by the entry; compared with the file, once, where the node has it too.

        Raises
        ------
        ModelMissing, UnreadableModel, DigestMismatch
        """
        if (self._repository.path / model.name).is_dir() and self.config(model).steps:
            return self._repository.verified_digest(model, self.digest)
        entry = self._repository.entry(model) if (self._repository.path / model.name).is_dir() else None
        try:
            file = self._repository.weights(model)
        except HilumError:
            if entry is None:
                raise
            return entry.sha256
        stat = file.stat()
        stamp = (file, stat.st_mtime_ns, stat.st_size)
        known = self._digests.get(model)
        if known is None or known[0] != stamp:
            verified = self._repository.verify(model)
            known = (stamp, verified.sha256 if verified else self._repository.digest(model))
            self._digests[model] = known
        return known[1]

    # ---- the server

    def checked(self, model: ModelRef) -> _Checked:
        """What the last check found, made again when it is old."""
        known = self._fresh(model)
        if known is None:
            with self._lock:
                known = self._fresh(model) or self.check(model)
        return known

    def check(self, model: ModelRef) -> _Checked:
        """Ask the server for the model and compare.

        Raises
        ------
        ModelError, EngineError
        """
        with self._lock:
            self._checked.pop(model, None)
            expected, digest = self.config(model), self.digest(model)
            served = self._served(model)
            compare(model, expected, served, digest, self._calls.address)
            ensemble = ensemble_of(model, self._repository) if expected.steps else None
            for member in ensemble.members if ensemble else ():
                self.check(member.model)
            steps = tuple(self._ask_config(ModelRef(name=name, version=version)) for name, version in served.steps)
            computing = served.steps or ((model.name, model.version),)
            checked = _Checked(
                at=self._seconds(),
                at_once=min([step.at_once for step in steps] or [served.at_once]),
                queues=tuple(self._queue(name, version) for name, version in computing),
                apart=ensemble if ensemble and to_be_looked_into(ensemble, self._repository) else None,
            )
            self._checked[model] = checked
            return checked

    def _fresh(self, model: ModelRef) -> _Checked | None:
        known = self._checked.get(model)
        return known if known is not None and self._seconds() - known.at <= _CHECKED_S else None

    def load(self, model: ModelRef) -> Load:
        """Calls at once, and the time in the queue; of an ensemble, the narrowest of its steps and all their queues."""
        checked = self.checked(model)
        return Load(at_once=checked.at_once, queue_s=sum(queue.mean_s() for queue in checked.queues), ahead=checked.at_once)

    def forget(self) -> None:
        """The server was lost."""
        self._checked.clear()

    def server(self) -> tuple[str, tuple[str, ...]]:
        """The server's own version, "2.51.0", and the extensions of the protocol that it has."""
        from tritonclient.grpc import service_pb2

        answer = self._calls.ask("ServerMetadata", service_pb2.ServerMetadataRequest(), "the server")
        return str(answer.version), tuple(answer.extensions)

    def restarts(self, model: ModelRef) -> int:
        """How often `restart` had the model loaded anew."""
        return self._restarts.get(model.name, 0)

    def restart(self, model: ModelRef, seen: int) -> None:
        """The model's process died, and Triton does not start it again: unload it and load it anew.

        Several calls find it dead at once: the first of those that saw `seen` restarts does it.
        """
        from tritonclient.grpc import service_pb2

        if not self._load:
            return
        with self._lock:
            if self.restarts(model) != seen:
                return
            self._restarts[model.name] = seen + 1
            self._checked.pop(model, None)
            unload = service_pb2.RepositoryModelUnloadRequest(model_name=model.name)
            try:
                self._calls.ask("RepositoryModelUnload", unload, f'model "{model.name}"', timeout_s=_LOAD_S)
                self._load_model(model)
            except HilumError as refused:
                raise ModelCrashed(f'model "{model.name}" at {self._calls.address}: its process died, and {refused}') from refused

    def _served(self, model: ModelRef) -> ModelOnServer:
        try:
            return self._ready_config(model)
        except ModelNotServed as absent:
            # a server that is ending has let go of its models, and says so of each
            self._calls.live()
            if not self._load:
                raise ModelNotServed(f"{absent}; {self._versions(model)}") from absent
            self._load_model(model)
        try:
            return self._ready_config(model)
        except ModelNotServed as absent:
            raise ModelNotServed(f"{absent}; {self._versions(model)}") from absent

    def _ready_config(self, model: ModelRef) -> ModelOnServer:
        from tritonclient.grpc import service_pb2

        served = self._ask_config(model)
        request = service_pb2.ModelReadyRequest(name=model.name, version=str(model.version))
        if not self._calls.ask("ModelReady", request, _what(model)).ready:
            raise ModelNotServed(f"{_what(model)} at {self._calls.address} is not ready")
        return served

    def _ask_config(self, model: ModelRef) -> ModelOnServer:
        from tritonclient.grpc import service_pb2

        version = str(model.version) if model.version > 0 else ""
        answer = self._calls.ask("ModelConfig", service_pb2.ModelConfigRequest(name=model.name, version=version), _what(model))
        return served_from(answer.config, self._calls.address)

    def _load_model(self, model: ModelRef) -> None:
        from tritonclient.grpc import service_pb2

        request = service_pb2.RepositoryModelLoadRequest(model_name=model.name)
        try:
            self._calls.ask("RepositoryModelLoad", request, f'model "{model.name}"', timeout_s=_LOAD_S)
        except EngineError as refused:
            if isinstance(refused, EngineAway) and "not allowed" not in str(refused):
                raise
            raise ModelNotServed(f"{refused}; {self._versions(model)}") from refused
        except HilumError as refused:
            # Triton's word for a version that it found and could make nothing of; the rest it did not find
            kind = UnreadableModel if _UNREADABLE in str(refused) else ModelNotServed
            raise kind(f"the server could not load it: {refused}") from refused

    def _versions(self, model: ModelRef) -> str:
        """Which versions of the model the server has, and in which state, for the sentence."""
        from tritonclient.grpc import service_pb2

        index = self._calls.ask("RepositoryIndex", service_pb2.RepositoryIndexRequest(), "the server's repository")
        found = [each for each in index.models if each.name == model.name]
        if not found:
            return "the server's repository has no such model"
        return "the server has " + ", ".join(_state(each) for each in found)

    def _queue(self, name: str, version: int) -> QueueTime:
        from tritonclient.grpc import service_pb2

        request = service_pb2.ModelStatisticsRequest(name=name, version=str(version) if version > 0 else "")

        def counters() -> tuple[int, int]:
            answer = self._calls.ask("ModelStatistics", request, f'model "{name}"')
            queues = [each.inference_stats.queue for each in answer.model_stats]
            return sum(queue.count for queue in queues), sum(queue.ns for queue in queues)

        return QueueTime(counters, seconds=self._seconds)


def _what(model: ModelRef) -> str:
    return f'model "{model.name}" version {model.version}'


def _state(listed: Any) -> str:
    version = f"version {listed.version}" if listed.version else "it, not loaded"
    state = listed.state.lower() or "not loaded"
    reason = f" ({' '.join(listed.reason.split())[:200]})" if listed.reason else ""
    return f"{version}: {state}{reason}" if listed.version else version
