"""What a gRPC status of Triton means: the error of hilum's tree for each. Words count where Triton uses one code for several things."""

import re
from typing import Any

from inference.engines.errors import (
    ComputationFailed,
    EngineAway,
    EngineBusy,
    EngineLost,
    EngineTimeout,
    ModelCrashed,
    ModelNotServed,
    OutOfMemory,
    Unauthenticated,
    WrongTensors,
)
from inference.errors import HilumError

_BEFORE = re.compile(r"^\[request id: [^]]*\] ")
_QUEUE_FULL = re.compile(r"exceeds maximum queue size", re.IGNORECASE)
_QUEUED_TOO_LONG = re.compile(r"timeout expired", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|outofmemory|bad_alloc|bad alloc|memoryerror|failed to allocate", re.IGNORECASE)
_STUB = re.compile(r"stub process .*not healthy|stub .*(died|exited|terminated)", re.IGNORECASE)
_NO_REGION = re.compile(
    r"unable to find shared memory region|unable to open shared memory region|unable to map|invalid offset \+ byte size for shared memory",
    re.IGNORECASE,
)
_TOO_SMALL = re.compile(r"for output .* should be at least \d+ bytes", re.IGNORECASE)
_UNKNOWN_MODEL = re.compile(r"request for unknown model", re.IGNORECASE)
_HANDSHAKE = re.compile(r"handshake|certificate|ssl|tls", re.IGNORECASE)
_NOT_BEGUN = re.compile(
    r"failed to connect|connection refused|name resolution|dns resolution|no route|unreachable|scheduler for model has stopped|"
    r"server (is )?(exiting|stopping|not ready)",
    re.IGNORECASE,
)
_LONGEST = 600


def words_of(failed: Any) -> str:
    """What the server, or gRPC, said; `failed` is a grpc.RpcError."""
    said = " ".join(_BEFORE.sub("", str(failed.details() or failed.code().name)).split())
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} …"


def region_unknown(failed: Any) -> bool:
    """Whether the server does not know, or cannot reach, a region of shared memory that the call named."""
    return bool(_NO_REGION.search(words_of(failed)))


def region_too_small(failed: Any) -> bool:
    """Whether an output did not fit into the piece of shared memory that the call gave it."""
    return bool(_TOO_SMALL.search(words_of(failed)))


def error_of(failed: Any, what: str, where: object) -> HilumError:
    """The error for a call that failed.

    Parameters
    ----------
    failed
        grpc.RpcError with code and details.
    what
        What was asked, for the sentence: 'model "x" version 1'.
    where
        The server's address.
    """
    said = words_of(failed)
    sentence = f"{what} at {where}: {said}"
    # before the codes: Triton has INTERNAL for a dead stub, for no memory and for a model's own exception
    if _STUB.search(said):
        return ModelCrashed(sentence)
    code = failed.code().name
    if code == "UNAVAILABLE":
        return _unavailable(said, sentence)
    if code == "RESOURCE_EXHAUSTED":
        return OutOfMemory(sentence) if _NO_MEMORY.search(said) else EngineBusy(sentence)
    if code == "INVALID_ARGUMENT":
        return WrongTensors(sentence)
    if _NO_MEMORY.search(said):
        return OutOfMemory(sentence)
    return _BY_CODE.get(code, ComputationFailed)(sentence)


def _unavailable(said: str, sentence: str) -> HilumError:
    if _QUEUE_FULL.search(said):
        return EngineBusy(sentence)
    if _QUEUED_TOO_LONG.search(said):
        return EngineTimeout(sentence)
    if _UNKNOWN_MODEL.search(said):  # while it is unloaded or loaded
        return ModelNotServed(sentence)
    if _NOT_BEGUN.search(said) or _HANDSHAKE.search(said):
        return EngineAway(sentence)
    return EngineLost(sentence)


_BY_CODE: dict[str, type[HilumError]] = {
    "NOT_FOUND": ModelNotServed,
    "DEADLINE_EXCEEDED": EngineTimeout,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": Unauthenticated,
    "CANCELLED": EngineLost,
    "UNIMPLEMENTED": EngineAway,
}
