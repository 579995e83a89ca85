"""One inference as Triton's messages: the request with its tensors, the response's tensors as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.modelconfig import DTYPES, TensorConfig
from inference.engines.port import ModelRef, Urgency

_DATATYPES = {np.dtype(held).name: name.removeprefix("TYPE_") for name, held in DTYPES.items()}
_RAW_INPUT = b"\x3a"  # field 7 (raw_input_contents) of ModelInferRequest, length-delimited


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Part of a region of shared memory that holds one tensor."""

    region: str
    offset: int
    size: int


def request_of(
    model: ModelRef,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Sequence[TensorConfig],
    *,
    urgency: Urgency,
    identifier: str,
    deadline_s: float | None,
    pieces: Mapping[str, Piece],
) -> Any:
    """A ModelInferRequest without the tensors' bytes.

    Parameters
    ----------
    deadline_s
        Also the longest time in the server's queue, where the model lets requests say so (allow_timeout_override).
    pieces
        Where tensors lie in shared memory, by "input:NAME" and "output:NAME".
    """
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=model.name, model_version=str(model.version), id=identifier)
    request.parameters["priority"].uint64_param = int(urgency)
    if deadline_s is not None:
        request.parameters["timeout"].int64_param = max(1, int(deadline_s * 1e6))
    for name, array in inputs.items():
        tensor = request.inputs.add(name=name, datatype=_DATATYPES[array.dtype.name], shape=array.shape)
        _place(tensor, pieces.get(f"input:{name}"))
    for config in outputs:
        _place(request.outputs.add(name=config.name), pieces.get(f"output:{config.name}"))
    return request


def _place(tensor: Any, piece: Piece | None) -> None:
    if piece is None:
        return
    tensor.parameters["shared_memory_region"].string_param = piece.region
    tensor.parameters["shared_memory_offset"].int64_param = piece.offset
    tensor.parameters["shared_memory_byte_size"].int64_param = piece.size


def serialize(request: Any, contents: Sequence[NDArray[Any]]) -> bytes:
    """The request on the wire, with the bytes of its tensors after it, each copied once.

    Protocol buffers say that a message's fields may stand in any order and that repeated ones keep theirs, so that what
    `request.raw_input_contents.append` would give is the serialized request and these fields.
    """
    parts: list[Any] = [request.SerializeToString()]
    for array in contents:
        parts += [_RAW_INPUT, _varint(array.nbytes), np.ascontiguousarray(array).reshape(-1).view(np.uint8).data]
    return b"".join(parts)


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def arrays_of(response: Any, outputs: Sequence[TensorConfig], shared: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
    """The output tensors, in the order of config.pbtxt; each array is the caller's own.

    Parameters
    ----------
    shared
        The bytes of the outputs that lie in shared memory, by name.

    Raises
    ------
    ValueError
        The response lacks an output, or its bytes are not those of its shape.
    """
    placed = {tensor.name: (number, tuple(tensor.shape), tensor.datatype) for number, tensor in enumerate(response.outputs)}
    arrays: dict[str, NDArray[Any]] = {}
    for config in outputs:
        if config.name not in placed:
            raise ValueError(f"the response lacks output {config.name}")
        number, shape, datatype = placed[config.name]
        if datatype != _DATATYPES[config.dtype.name]:
            raise ValueError(f"output {config.name} came as {datatype}, config.pbtxt says {config.dtype}")
        size = int(np.prod(shape, dtype=np.int64)) * config.dtype.itemsize
        inside = shared.get(config.name)
        source = np.frombuffer(response.raw_output_contents[number], np.uint8) if inside is None else inside[:size]
        if source.size != size:
            raise ValueError(f"output {config.name} of shape {shape} came with {source.size} bytes instead of {size}")
        # a copy: of a region that the next call overwrites, of bytes that nobody may write to
        arrays[config.name] = source.copy().view(config.dtype).reshape(shape)
    return arrays
