"""Requests on the wire against what protocol buffers make of them; responses against arrays made by hand."""

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from inference.engines.modelconfig import TensorConfig
from inference.engines.port import ModelRef, Urgency
from inference.engines.triton.message import Piece, arrays_of, request_of, serialize

X = np.arange(-12, 12, dtype=np.int16).reshape(1, 2, 3, 4)
Y = TensorConfig(name="y", dtype=np.dtype(np.float16), dims=(2, 2))
MODEL = ModelRef(name="lung", version=7)


def request(**changes: object) -> service_pb2.ModelInferRequest:
    """A request of one input and one output."""
    given = {"urgency": Urgency.ROUTINE, "identifier": "hilum-1-1", "deadline_s": None, "pieces": {}} | changes
    return request_of(MODEL, {"x": X}, (Y,), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("array", [X, X[:, ::-1, :, ::2], np.zeros((0, 3), np.float32), np.ones((), np.float64), np.array([True, False])])
def test_serialized_by_hand_is_what_protocol_buffers_would_say(array: np.ndarray) -> None:
    """Also of views, of nothing and of one number; lengths of one byte and of several."""
    for contents in ([array], [array, np.arange(300, dtype=np.uint8), array]):
        parsed = service_pb2.ModelInferRequest.FromString(serialize(request(), contents))
        expected = request()
        expected.raw_input_contents.extend(each.tobytes() for each in contents)
        assert parsed == expected


def test_a_request_says_version_urgency_and_deadline() -> None:
    """The pinned version, Triton's priority levels, the longest time in the queue in microseconds."""
    made = request(urgency=Urgency.URGENT, deadline_s=2.5)
    assert (made.model_name, made.model_version, made.id) == ("lung", "7", "hilum-1-1")
    assert made.parameters["priority"].uint64_param == 1
    assert made.parameters["timeout"].int64_param == 2_500_000
    assert "timeout" not in request().parameters
    (tensor,) = made.inputs
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("x", "INT16", [1, 2, 3, 4])
    assert [output.name for output in made.outputs] == ["y"]


def test_tensors_in_shared_memory_are_named_and_not_sent() -> None:
    """Region, offset and size of each."""
    pieces = {"input:x": Piece(region="r", offset=64, size=48), "output:y": Piece(region="r", offset=128, size=8)}
    made = request(pieces=pieces)
    for tensor, offset, size in ((made.inputs[0], 64, 48), (made.outputs[0], 128, 8)):
        assert tensor.parameters["shared_memory_region"].string_param == "r"
        assert tensor.parameters["shared_memory_offset"].int64_param == offset
        assert tensor.parameters["shared_memory_byte_size"].int64_param == size


def response(shape: tuple[int, ...] = (2, 2), datatype: str = "FP16", raw: bytes = b"") -> service_pb2.ModelInferResponse:
    """A response with the output y."""
    made = service_pb2.ModelInferResponse()
    made.outputs.add(name="y", datatype=datatype, shape=shape)
    made.raw_output_contents.append(raw)
    return made


def test_arrays_belong_to_the_caller() -> None:
    """From the message and from shared memory alike: they can be written to, and stay when the memory is used again."""
    expected = np.array([[1.5, -2], [0, 65504]], np.float16)
    memory = np.frombuffer(bytearray(expected.tobytes() + b"rest"), np.uint8)
    for shared, raw in (({}, expected.tobytes()), ({"y": memory}, b"")):
        got = arrays_of(response(raw=raw), (Y,), shared)["y"]
        memory[:] = 0 if shared else memory
        np.testing.assert_array_equal(got, expected)
        got[0, 0] = 9
        assert got.dtype == np.float16


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (response(raw=b"1234567"), "7 bytes instead of 8"),
        (response(datatype="FP32", raw=b"12345678"), "came as FP32"),
        (service_pb2.ModelInferResponse(), "lacks output y"),
    ],
)
def test_a_response_that_is_not_what_config_pbtxt_says_is_refused(answer: service_pb2.ModelInferResponse, said: str) -> None:
    """Bytes are never read as something that they are not."""
    with pytest.raises(ValueError, match=said):
        arrays_of(answer, (Y,), {})
