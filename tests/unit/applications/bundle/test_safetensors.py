"""safetensors: the tensors of a state dict, without anything that could run; damaged headers end in a sentence."""

import json
from typing import Any

import pytest
import torch

from inference.applications.bundle.errors import UnreadableBundle
from inference.applications.bundle.network import state_dict
from inference.applications.bundle.safetensors import read_safetensors


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
    assert state_dict(written(TENSORS), "x, models/model.safetensors").keys() == TENSORS.keys()


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
    with pytest.raises(UnreadableBundle, match=r"model\.safetensors"):
        read_safetensors(written(TENSORS, change), "model.safetensors")


def test_every_cut_is_a_sentence() -> None:
    whole = written(TENSORS)
    for end in range(len(whole)):
        with pytest.raises(UnreadableBundle):
            read_safetensors(whole[:end], "model.safetensors")
