"""The Triton engine: models of the repository, computed by a Triton Inference Server over gRPC, large tensors through shared memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from inference.engines.errors import EngineAway, EngineTimeout, ModelCrashed, ModelNotServed
from inference.engines.port import EngineHealth, Load, ModelRef, Tensors, Urgency
from inference.engines.repository import Repository
from inference.engines.triton.breaker import Breaker, State
from inference.engines.triton.calls import Calls
from inference.engines.triton.channel import SharedMemory, Tls, certificate_until, parse_url
from inference.engines.triton.computing import Call, Computing
from inference.engines.triton.loading import Models
from inference.engines.triton.shared_memory import FOLDER
from inference.engines.triton.sharing import Sharing
from inference.errors import EngineError, HilumError

LIMIT = 4 * 2**30
"""Bytes of shared memory that one process takes at most, unless told otherwise."""

_HEALTH_S = 3.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """A server for `hilum doctor`: whether all models that it was told to serve are ready, and until when its certificate is valid."""

    version: str
    extensions: tuple[str, ...]
    all_ready: bool
    certificate_until: datetime | None


class TritonEngine:
    """Asks a Triton server; satisfies the port `Engine`. Nothing is sent before the first question, so that a server may be away at start.

    Parameters
    ----------
    url
        "grpc://host:8001", or "grpcs://host:8001" for TLS.
    repository
        The node's copy of the model repository: what the server is checked against.
    shared_memory
        "auto" (large tensors where the server sees this machine's), "on" or "off".
    tls
        The PEM files for a grpcs:// address.
    load
        Have the server load a model that it does not serve (explicit model control), and load it anew when its process died.
    limit
        Bytes of shared memory that this process may take.
    shared_folder
        Where shared memory is.
    """

    def __init__(
        self,
        url: str,
        repository: Path,
        *,
        shared_memory: str = "auto",
        tls: Tls | None = None,
        load: bool = True,
        limit: int = LIMIT,
        shared_folder: Path = FOLDER,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tls = tls or Tls()
        self._calls = Calls(parse_url(url), self._tls)
        self._models = Models(self._calls, Repository(repository), load=load, seconds=seconds)
        self._sharing = Sharing(self._calls, SharedMemory(shared_memory), limit=limit, folder=shared_folder, seconds=seconds)
        self._breaker = Breaker(seconds=seconds)
        self._computing = Computing(self._calls, self._sharing)

    # ---- the port

    def infer(
        self, model: ModelRef, inputs: Tensors, *, deadline_s: float | None = None, urgency: Urgency = Urgency.ROUTINE
    ) -> dict[str, NDArray[Any]]:
        """Compute the outputs of a model; see the port's contract."""
        until = None if deadline_s is None else time.monotonic() + deadline_s
        config = self._models.config(model)
        call = Call(model=model, config=config, inputs=inputs, until=until, urgency=urgency)
        call.left_s()
        config.check_inputs(inputs)
        return self._guarded(lambda: self._served(call))

    def digest(self, model: ModelRef) -> str:
        """SHA-256 (hex) of the weights by the repository's entry, to which the server's own digest was compared."""
        return self._models.digest(model)

    def check(self, model: ModelRef) -> None:
        """Compare what the server serves with the node's repository; loads the model where that is allowed."""
        self._guarded(lambda: self._models.check(model))

    def load(self, model: ModelRef) -> Load:
        """Instances on the server, and how long calls waited in its queue over the last seconds."""
        return self._guarded(lambda: self._models.load(model))

    def runtime(self, model: ModelRef) -> str:
        """A server: which of its backends computes, and in which precision, its own record says."""
        return "triton"

    def health(self) -> EngineHealth:
        """Ask the server whether it lives, and which way tensors go."""
        try:
            self._calls.live(_HEALTH_S)
            self._breaker.answered()
            version, _ = self._models.server()
            why_not = self._sharing.why_not()
            self._sharing.tidy()
        except EngineError as away:
            self._lost(away, surely=True)
            return EngineHealth(ready=False, detail=str(away))
        at = self._calls.address
        if why_not and self._sharing.demanded:
            return EngineHealth(ready=False, detail=f"Triton {version} at {at}: shared_memory is on, but {why_not}")
        return EngineHealth(ready=True, detail=f"Triton {version} at {at}; tensors through {self._way(why_not)}")

    def report(self) -> ServerReport:
        """What an operator wants to know of the server.

        Raises
        ------
        EngineError
            It does not answer.
        """
        from tritonclient.grpc import service_pb2

        self._calls.live(_HEALTH_S)
        version, extensions = self._models.server()
        ready = self._calls.ask("ServerReady", service_pb2.ServerReadyRequest(), "the server").ready
        until = certificate_until(self._calls.address, self._tls)
        return ServerReport(version=version, extensions=extensions, all_ready=ready, certificate_until=until)

    @property
    def shared_bytes(self) -> int:
        """Bytes of shared memory that this engine holds now."""
        return self._sharing.pool.held

    @property
    def shares_memory(self) -> bool:
        """Whether large tensors go through shared memory now; asks the server when that is not known."""
        return not self._sharing.why_not()

    @property
    def shared_room(self) -> int:
        """Bytes of shared memory that this machine has in all."""
        return self._sharing.room()

    def close(self) -> None:
        """Cancel what is under way and let go of the shared memory."""
        self._sharing.pool.close()
        self._calls.close()

    def __enter__(self) -> "TritonEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the breaker

    def _guarded(self, do: Callable[[], Answer]) -> Answer:
        """Do it unless the server is known to be away; learn from how it ends."""
        state = self._breaker.admit()
        if state is State.OPEN:
            raise EngineAway(f"{self._breaker.reason} (asked again in a moment)")
        try:
            if state is State.HALF_OPEN:
                self._calls.live(_HEALTH_S)
                self._breaker.answered()
            done = do()
        except ModelCrashed:
            self._breaker.answered()
            raise
        except EngineAway as away:
            self._lost(away)
            raise
        except EngineTimeout:
            raise  # of a model, mostly; whether the server lives is not said
        except HilumError:
            self._breaker.answered()
            raise
        self._breaker.answered()
        return done

    def _lost(self, away: EngineError, *, surely: bool = False) -> None:
        """What comes back may be another server: nothing that this one said holds."""
        self._breaker.away(str(away), surely=surely)
        self._models.forget()
        self._sharing.forget()

    def _way(self, why_not: str) -> str:
        return f"gRPC ({why_not})" if why_not else "shared memory when they are large"

    # ---- one inference

    def _served(self, call: Call) -> dict[str, NDArray[Any]]:
        """Compute on a model that was checked; one that the server lost meanwhile is loaded again, once."""
        self._sharing.tidy()
        if (ensemble := self._models.checked(call.model).apart) is not None:
            return ensemble.run(call.inputs, partial(self._step, call))
        restarts = self._models.restarts(call.model)
        try:
            return self._computing.compute(call)
        except ModelNotServed:
            # a server that is about to end says the same: `check` finds out which it is
            self._models.check(call.model)
            return self._computing.compute(call)
        except ModelCrashed:
            self._models.restart(call.model, restarts)
            raise

    def _step(self, call: Call, model: ModelRef, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """One step of an ensemble, by itself."""
        return self._served(replace(call, model=model, config=self._models.config(model), inputs=inputs))
