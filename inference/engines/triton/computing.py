"""One inference on a Triton server: its tensors into shared memory or into a message, the answer out of it."""

import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import ComputationFailed, EngineTimeout, MessageTooLarge, SharedMemoryRefused
from inference.engines.modelconfig import ModelConfig
from inference.engines.port import ModelRef, Urgency
from inference.engines.triton.calls import Calls
from inference.engines.triton.channel import MOST_BYTES
from inference.engines.triton.message import Piece, arrays_of, request_of, serialize
from inference.engines.triton.sharing import Sharing, Unshared
from inference.engines.triton.sizes import OutputSizes
from inference.engines.triton.statuses import error_of, region_too_small, region_unknown

_HEADROOM = 2**16  # what a message holds besides its tensors
_ALIGNED = 64
_ATTEMPTS = 2  # a server that was started again knows no region; one that says so twice has another reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One inference on its way."""

    model: ModelRef
    config: ModelConfig
    inputs: Mapping[str, NDArray[Any]]
    until: float | None
    urgency: Urgency

    @property
    def what(self) -> str:
        return f'model "{self.model.name}" version {self.model.version}'

    def left_s(self) -> float | None:
        """Seconds until the deadline.

        Raises
        ------
        EngineTimeout
        """
        if self.until is None:
            return None
        left_s = self.until - time.monotonic()
        if left_s <= 0:
            raise EngineTimeout(f"{self.what}: the deadline passed {-left_s:.1f} s before the call began")
        return left_s


class Computing:
    """Sends inferences to one server. May be used by many threads."""

    def __init__(self, calls: Calls, sharing: Sharing) -> None:
        self._calls = calls
        self._sharing = sharing
        self._sizes = OutputSizes()
        self._numbers = itertools.count(1)

    def compute(self, call: Call) -> dict[str, NDArray[Any]]:
        """The outputs of a model; nothing is asked first and nothing is mended.

        Raises
        ------
        EngineError, ModelError
            As `statuses` says.
        """
        import grpc

        try:
            return self._shared(call) or self._plain(call)
        except grpc.RpcError as failed:
            raise error_of(failed, call.what, self._calls.address) from failed

    def _shared(self, call: Call) -> dict[str, NDArray[Any]] | None:
        """Through shared memory; None where plain gRPC is to be taken."""
        for _ in range(_ATTEMPTS):
            sizes = self._sizes.of(call.model, call.config, call.inputs)
            whole = sum(_aligned(array.nbytes) for array in call.inputs.values()) + sum(_aligned(size) for size in sizes.values())
            if not self._sharing.wanted(whole):
                break
            try:
                return self._through_memory(call, sizes, whole)
            except Unshared as unseen:
                last = str(unseen)
        else:
            self._sharing.gave_way(last)
        if self._sharing.demanded and (why_not := self._sharing.why_not()):
            raise SharedMemoryRefused(f"{call.what} at {self._calls.address}: {why_not}")
        return None

    def _plain(self, call: Call) -> dict[str, NDArray[Any]]:
        size = sum(array.nbytes for array in call.inputs.values())
        if size > MOST_BYTES - _HEADROOM:
            why_not = self._sharing.why_not() or "there is no room in it"
            raise MessageTooLarge(
                f"{call.what} at {self._calls.address}: its inputs have {size / 2**30:.1f} GiB, a gRPC message at most 2; "
                f"only shared memory with a server on the same machine takes more, and {why_not}"
            )
        response = self._send(call, {}, list(call.inputs.values()))
        return self._arrays(call, response, {})

    def _through_memory(self, call: Call, sizes: Mapping[str, int], whole: int) -> dict[str, NDArray[Any]] | None:
        """Inputs, and outputs whose size is known, through one region; None where there is no room for it."""
        import grpc

        with self._sharing.pool.lease(whole) as region:
            if region is None:
                return None
            pieces: dict[str, Piece] = {}
            offset = 0
            wanted = [*((f"input:{name}", array.nbytes) for name, array in call.inputs.items())]
            wanted += [(f"output:{name}", size) for name, size in sizes.items()]
            for name, size in wanted:
                pieces[name] = Piece(region=region.name, offset=offset, size=size)
                offset += _aligned(size)
            for name, array in call.inputs.items():
                region.write(pieces[f"input:{name}"].offset, array)
            try:
                response = self._send(call, pieces, [])
            except grpc.RpcError as failed:
                if region_too_small(failed):
                    self._sizes.distrust(call.model)
                elif region_unknown(failed):
                    self._sharing.pool.forget()  # the server was started again
                if region_unknown(failed) or region_too_small(failed):
                    raise Unshared(str(error_of(failed, call.what, self._calls.address))) from failed
                raise
            shared = {name: region.bytes(pieces[f"output:{name}"].offset, size) for name, size in sizes.items()}
            return self._arrays(call, response, shared)

    def _send(self, call: Call, pieces: Mapping[str, Piece], contents: list[NDArray[Any]]) -> Any:
        left_s = call.left_s()
        request = request_of(
            call.model,
            call.inputs,
            call.config.outputs,
            urgency=call.urgency,
            identifier=f"hilum-{os.getpid()}-{next(self._numbers)}",
            deadline_s=left_s,
            pieces=pieces,
        )
        return self._calls.infer(serialize(request, contents), call.what, deadline_s=left_s)

    def _arrays(self, call: Call, response: Any, shared: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
        try:
            arrays = arrays_of(response, call.config.outputs, shared)
        except ValueError as broken:
            raise ComputationFailed(f"{call.what} at {self._calls.address}: {broken}") from broken
        call.config.check_outputs(arrays)
        self._sizes.learn(call.model, call.inputs, arrays)
        return arrays


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
