"""Calls to one Triton server: small questions, and inferences that end at their deadline or when the server vanishes.

An inference that is given up is cancelled, so that the server stops computing what nobody waits for.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from inference.engines.errors import EngineAway, EngineLost, EngineTimeout
from inference.engines.extras import demand
from inference.engines.triton.channel import Address, Tls, open_channel
from inference.engines.triton.statuses import error_of
from inference.errors import EngineError

_ASK_S = 10.0
_WATCH_EVERY_S = 10.0
_UNANSWERED = 3
_SERVICE = "/inference.GRPCInferenceService"


class Calls:
    """One channel to a server, opened when first needed and anew after the server was lost. May be used by many threads.

    Parameters
    ----------
    watch_every_s
        How often the server is asked whether it lives while a call is under way; after three questions without an answer it is gone.
    """

    def __init__(self, address: Address, tls: Tls, *, watch_every_s: float = _WATCH_EVERY_S) -> None:
        self.address = address
        self._tls = tls
        self._watch_every_s = watch_every_s
        self._lock = threading.Lock()
        self._channel: Any = None
        self._stub: Any = None
        self._infer: Any = None
        self._under_way: set[Any] = set()
        self._closed = False

    def ask(self, question: str, request: Any, what: str, *, timeout_s: float = _ASK_S) -> Any:
        """The answer to a small question, e.g. `ask("ServerLive", ServerLiveRequest(), "liveness")`.

        Raises
        ------
        EngineAway, EngineTimeout, ModelNotServed, …
            As `statuses` says.
        """
        demand(f"the server at {self.address}", "tritonclient", "grpc")
        import grpc

        stub, _ = self._open()
        try:
            return getattr(stub, question)(request, timeout=timeout_s)
        except grpc.RpcError as failed:
            raise error_of(failed, what, self.address) from failed
        except ValueError as closed:  # gRPC's word for a channel that another thread has just closed
            raise EngineAway(f"{what} at {self.address}: the connection was closed") from closed

    def live(self, timeout_s: float = _ASK_S) -> None:
        """Return when the server lives.

        Raises
        ------
        EngineError
            It does not answer, or it is about to end.
        """
        demand(f"the server at {self.address}", "tritonclient", "grpc")
        from tritonclient.grpc import service_pb2

        try:
            answer = self.ask("ServerLive", service_pb2.ServerLiveRequest(), "the server", timeout_s=timeout_s)
        except EngineTimeout as late:
            raise EngineAway(f"the server at {self.address} does not answer within {timeout_s:g} s") from late
        if not answer.live:
            raise EngineAway(f"the server at {self.address} says that it is not live")

    def infer(self, message: bytes, what: str, *, deadline_s: float | None) -> Any:
        """Send a serialized ModelInferRequest and wait for its ModelInferResponse.

        Raises
        ------
        grpc.RpcError
            The server refused it; `statuses.error_of` says what that means.
        EngineTimeout, EngineAway
            The deadline passed; the server vanished, or the engine was closed.
        """
        import grpc

        _, infer = self._open()
        began = time.monotonic()
        try:
            call = infer.future(message, timeout=deadline_s)
        except ValueError as closed:
            raise EngineAway(f"{what} at {self.address}: the connection was closed") from closed
        with self._counted(call):
            unanswered = 0
            while True:
                try:
                    return call.result(timeout=self._watch_every_s)
                except grpc.FutureTimeoutError:
                    unanswered = 0 if self._lives() else unanswered + 1
                    if unanswered >= _UNANSWERED:
                        self.reconnect()
                        raise EngineLost(f"{what} at {self.address}: the server does not answer any more") from None
                except grpc.FutureCancelledError:
                    raise self._ended(what) from None
                except grpc.RpcError as failed:
                    if failed.code() is grpc.StatusCode.CANCELLED:
                        raise self._ended(what) from failed
                    if failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                        waited = time.monotonic() - began
                        raise EngineTimeout(f"{what} at {self.address}: not done after {waited:.1f} s") from failed
                    raise

    def reconnect(self) -> None:
        """Let go of the channel: the next call opens another. gRPC would hold on to a connection whose other end lost its power."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def close(self) -> None:
        """Cancel what is under way and let go of the channel; nothing can be called any more."""
        with self._lock:
            self._closed = True
            under_way = list(self._under_way)
        for call in under_way:
            call.cancel()
        self.reconnect()

    def _open(self) -> tuple[Any, Any]:
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        with self._lock:
            if self._closed:
                raise EngineAway(f"the engine at {self.address} was closed")
            if self._channel is None:
                self._channel = open_channel(self.address, self._tls)
                self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
                # the request comes serialized: protobuf would copy every tensor twice more
                self._infer = self._channel.unary_unary(
                    f"{_SERVICE}/ModelInfer", request_serializer=None, response_deserializer=service_pb2.ModelInferResponse.FromString
                )
            return self._stub, self._infer

    @contextlib.contextmanager
    def _counted(self, call: Any) -> Iterator[None]:
        """Whatever ends the wait, an interrupted caller included, ends the call."""
        with self._lock:
            self._under_way.add(call)
            closed = self._closed
        try:
            if closed:
                call.cancel()
            yield
        finally:
            with self._lock:
                self._under_way.discard(call)
            if not call.done():
                call.cancel()

    def _ended(self, what: str) -> EngineAway:
        """The channel was closed under a call: by `close`, or by another call that found the server gone."""
        if self._closed:
            return EngineAway(f"{what} at {self.address}: the engine was closed")
        return EngineLost(f"{what} at {self.address}: the connection was given up, the server did not answer any more")

    def _lives(self) -> bool:
        try:
            self.live(self._watch_every_s)
        except EngineError as away:
            # a server that is ending finishes what it has begun
            return "exiting" in str(away).lower()
        return True
