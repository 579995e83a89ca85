"""safetensors: the tensors of a state dict, without anything that could run; damaged headers end in a sentence."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from inference.engines.errors import UnreadableModel
from inference.engines.safetensors import read_safetensors, safetensors_of


def written(tensors: dict[str, torch.Tensor], change: Any = None) -> bytes:
    """A file by the format's own description: length, header, numbers."""
    names = {torch.float32: "F32", torch.int64: "I64", torch.bfloat16: "BF16", torch.bool: "BOOL"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, tensor in tensors.items():
        numbers = (
            tensor.contiguous().view(torch.uint8).numpy().tobytes()
            if tensor.dim()
            else tensor.reshape(1).view(torch.uint8).numpy().tobytes()
        )
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(numbers)]}
        body += numbers
    if change is not None:
        change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


TENSORS = {
    "a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.tensor(7),
    "c": torch.ones(3, dtype=torch.bfloat16),
    "d": torch.tensor([True, False]),
}


def test_the_tensors_come_back() -> None:
    """Types, shapes and numbers, a single number among them."""
    read = read_safetensors(written(TENSORS), "model.safetensors")
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in TENSORS.items())


def test_what_is_written_is_the_format() -> None:
    """Length, header and numbers by the format's own description; views, shared numbers, a single one and none among them."""
    whole = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    views = {"turned": whole.T, "column": whole[:, 1], "wide": whole[:1].expand(2, 4), "one": torch.tensor(7), "none": torch.empty(0, 3)}
    content = safetensors_of(views, "x")
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    expected = {
        "turned": ("F32", [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]),
        "column": ("F32", [1, 5, 9]),
        "wide": ("F32", [[0, 1, 2, 3], [0, 1, 2, 3]]),
        "one": ("I64", 7),
        "none": ("F32", np.empty((0, 3))),
    }
    at = 0
    for name, (kind, numbers) in expected.items():
        array = np.asarray(numbers, {"F32": "<f4", "I64": "<i8"}[kind])
        assert header[name] == {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        assert body[at : at + array.nbytes] == array.tobytes()
        at += array.nbytes
    assert len(body) == at
    read = read_safetensors(safetensors_of(TENSORS, "x"), "x")
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in TENSORS.items())


@pytest.mark.parametrize("odd", [torch.eye(3).to_sparse(), torch.empty(2, device="meta"), torch.zeros(2, dtype=torch.complex64)])
def test_what_the_format_does_not_have_is_not_written(odd: torch.Tensor) -> None:
    with pytest.raises(UnreadableModel, match="'odd' is no plain array"):
        safetensors_of({"odd": odd}, "x")


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["a.weight"].update(shape=[2, 4]),
        lambda header: header["a.weight"].update(shape=[-2, -3]),
        lambda header: header["a.weight"].update(data_offsets=[4, 28]),
        lambda header: header["a.weight"].update(data_offsets=[0, 1 << 40]),
        lambda header: header["a.weight"].update(dtype="F4"),
        lambda header: header["a.weight"].update(data_offsets=["0", "24"]),
        lambda header: header.pop("d"),
        lambda header: header.update(e=7),
    ],
)
def test_a_header_that_lies_is_refused(change: Any) -> None:
    with pytest.raises(UnreadableModel, match=r"model\.safetensors"):
        read_safetensors(written(TENSORS, change), "model.safetensors")


def test_every_cut_is_a_sentence() -> None:
    whole = written(TENSORS)
    for end in range(len(whole)):
        with pytest.raises(UnreadableModel):
            read_safetensors(whole[:end], "model.safetensors")
