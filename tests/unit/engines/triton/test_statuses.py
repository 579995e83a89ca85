"""Words of a real Triton 2.51 (gathered from one), and the error of the tree that each becomes."""

import grpc
import pytest

from inference.engines import errors
from inference.engines.triton.statuses import error_of, region_too_small, region_unknown
from inference.errors import EngineError, HilumError

SAID: list[tuple[str, str, type[HilumError]]] = [
    ("NOT_FOUND", "Request for unknown model: 'nobody' is not found", errors.ModelNotServed),
    ("NOT_FOUND", "Request for unknown model: 'slow' version 9 is not found", errors.ModelNotServed),
    ("NOT_FOUND", "Request for unknown model: 'broken' has no available versions", errors.ModelNotServed),
    ("UNAVAILABLE", "Request for unknown model: 'wide' version 1 is not at ready state", errors.ModelNotServed),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.EngineTimeout),
    ("UNAVAILABLE", "[request id: <id_unknown>] Exceeds maximum queue size", errors.EngineBusy),
    ("UNAVAILABLE", "Request timeout expired", errors.EngineTimeout),
    ("INVALID_ARGUMENT", "[request id: 4] inference input 'X' data-type is 'INT32', but model 'm' expects 'FP32'", errors.WrongTensors),
    ("INTERNAL", "Stub process 'slow_0_0' is not healthy.", errors.ModelCrashed),
    (
        "UNAVAILABLE",
        "[request id: 7] Server is stopping, scheduler for model has stopped accepting new inference requests",
        errors.EngineAway,
    ),
    ("UNAVAILABLE", "Server exiting", errors.EngineAway),
    ("UNAVAILABLE", "Server not ready", errors.EngineAway),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: ipv4:127.0.0.1:9: Connection refused", errors.EngineAway),
    ("UNAVAILABLE", "Socket closed", errors.EngineLost),
    ("UNAVAILABLE", "recvmsg:Connection reset by peer", errors.EngineLost),
    ("INTERNAL", "Failed to process the request(s) for model 'm_0_0', message: BufferError: readonly", errors.ComputationFailed),
    ("INTERNAL", "CUDA error: out of memory", errors.OutOfMemory),
    ("INTERNAL", "onnx runtime error 6: Failed to allocate memory for requested buffer of size 1", errors.OutOfMemory),
    ("INTERNAL", "MemoryError: std::bad_alloc", errors.OutOfMemory),
    ("UNAUTHENTICATED", "no certificate", errors.Unauthenticated),
]


class Failed(grpc.RpcError):  # type: ignore[misc]
    """A call that ended with a code and words."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__()
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode[self._code]

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(("code", "details", "kind"), SAID)
def test_each_word_becomes_its_error(code: str, details: str, kind: type[HilumError]) -> None:
    """Exactly this class, with what was asked, of whom, and the server's words without its request id."""
    error = error_of(Failed(code, details), 'model "m" version 1', "grpc://gpu:8001")
    assert type(error) is kind
    assert str(error).startswith('model "m" version 1 at grpc://gpu:8001: ')
    assert "request id" not in str(error)


def test_what_a_retry_helps_is_retried() -> None:
    """A server that is away, late, busy or out of memory: yes. A model that is another one: no."""
    kinds = {kind for _, _, kind in SAID}
    assert {kind for kind in kinds if not kind.retry} == {errors.ModelNotServed, errors.WrongTensors}
    assert all(issubclass(kind, EngineError) for kind in kinds if kind.retry)


def test_words_about_regions_of_shared_memory() -> None:
    """Both lead to another way for the tensors, never to a failed job."""
    for words in ("Unable to find shared memory region: 'nope'", "Unable to open shared memory region: '/hilum-x'"):
        assert region_unknown(Failed("NOT_FOUND", words))
    small = "shared memory size specified with the request for output 'Y' (6000 bytes) should be at least 12000 bytes to hold the results"
    assert region_too_small(Failed("INTERNAL", small))
    assert not region_unknown(Failed("INTERNAL", small))


def test_a_long_complaint_is_cut() -> None:
    """A model's traceback does not fill the journal."""
    error = error_of(Failed("INTERNAL", "x" * 5000 + "\n\ty"), "model", "there")
    assert len(str(error)) < 700
