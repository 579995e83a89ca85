"""safetensors files, read and written as what they are: a header of names, types and places, and the numbers behind it.

Nothing in one can run.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from inference.engines.errors import UnreadableModel

_MOST_HEADER = 100 << 20
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""The format's names of types, and torch's."""


def read_safetensors(content: bytes, where: str) -> dict[str, Any]:
    """The tensors of a file by name (torch.Tensor), each over memory of its own.

    Raises
    ------
    UnreadableModel
        Names, shapes or places do not describe the bytes that are there, each of them once.
    """
    import torch

    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(_MOST_HEADER, len(content) - 8):
        raise UnreadableModel(f"{where} is no safetensors file: its header would have {length} bytes")
    try:
        header = json.loads(content[8 : 8 + length].decode("utf-8"))
        rows = sorted(
            ((row["data_offsets"], name, row) for name, row in header.items() if name != "__metadata__"), key=lambda each: each[0]
        )
        body, at = memoryview(content)[8 + length :], 0
        tensors: dict[str, Any] = {}
        for (begin, end), name, row in rows:
            dtype = getattr(torch, _TYPES[row["dtype"]])
            shape = [int(side) for side in row["shape"]]
            if begin != at or min(shape, default=1) < 0 or end - begin != math.prod(shape) * dtype.itemsize or end > len(body):
                raise UnreadableModel(f"{where}: {name!r} of shape {tuple(shape)} does not lie where the header says")
            numbers = torch.frombuffer(bytearray(body[begin:end]), dtype=dtype) if end > begin else torch.empty(0, dtype=dtype)
            tensors[name] = numbers.reshape(shape)
            at = end
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        raise UnreadableModel(f"{where} is no safetensors file: its header cannot be read ({type(broken).__name__})") from broken
    if at != len(body):
        raise UnreadableModel(f"{where} has {len(body) - at} bytes behind its last tensor")
    return tensors


def safetensors_of(tensors: Mapping[str, Any], where: str) -> bytes:
    """A file of tensors by name (torch.Tensor), each written for itself, also where some share memory.

    Raises
    ------
    UnreadableModel
        One is no plain array of numbers in memory: sparse, quantised, or of a type that the format does not have.
    """
    import torch

    types = {getattr(torch, name): kind for kind, name in _TYPES.items()}
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    at = 0
    for name, tensor in tensors.items():
        if tensor.dtype not in types or tensor.layout is not torch.strided or tensor.device.type != "cpu":
            raise UnreadableModel(f"{where}: {name!r} is no plain array of numbers ({tensor.dtype}, {tensor.layout}, {tensor.device})")
        part = tensor.detach().resolve_neg().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": types[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    text = json.dumps(header).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])
