"""State dicts: what a pickle makes torch's unpickler do is done in a confined process, and what comes out of it is checked."""

import io
import os
from typing import Any

import pytest
import torch

from inference.applications.bundle.errors import UnreadableBundle
from inference.applications.bundle.network import state_dict
from inference.applications.ct_lung.network import to_onnx
from inference.engines.errors import UnreadableModel, WrongWeights
from inference.engines.jail.errors import MemoryBound
from inference.engines.jail.model import Limits
from inference.engines.statedict import read_state_dict

STATE = {
    "first.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "first.bias": torch.tensor([0.5, -0.5], dtype=torch.bfloat16),
    "seen": torch.tensor(7),
}


def saved(state: Any) -> bytes:
    """As torch writes it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


ran: list[int] = []


def rebuilt() -> torch.Tensor:
    """What a hole in torch's list of what a pickle may call leads to: called while the file is read."""
    ran.append(os.getpid())
    return torch.zeros(1)


class Calls:
    """A pickle that calls it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, ()


@pytest.mark.parametrize("read", [lambda content: state_dict(content, "b, models/model.pt"), to_onnx], ids=["bundle", "ct-lung"])
def test_what_a_pickle_calls_is_not_called_here(read: Any) -> None:
    """torch of this process lets the pickle call a function; it is another process that reads the file, and there it is refused."""
    content = saved({"weight": Calls()})
    ran.clear()
    with torch.serialization.safe_globals([rebuilt]):
        torch.load(io.BytesIO(content), weights_only=True)
        assert ran == [os.getpid()], "the hole that the test is about is there"
        with pytest.raises((UnreadableBundle, WrongWeights), match=r"weights_only\): Unsupported global.*rebuilt was not an allowed.*\.$"):
            read(content)
    assert ran == [os.getpid()]


@pytest.mark.parametrize(
    "around",
    [lambda state: state, lambda state: {"state_dict": state, "epoch": 3}, lambda state: {"model": state}],
)
def test_the_tensors_come_back(around: Any) -> None:
    """Names in their order, types, shapes and numbers; also out of a checkpoint that has more."""
    read = read_state_dict(saved(around(STATE)), "model.pt")
    assert list(read) == list(STATE)
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in STATE.items())


def test_weights_that_share_their_numbers_come_back_each() -> None:
    whole = torch.arange(12.0)
    read = read_state_dict(saved({"a": whole, "b": whole[3:6], "c": torch.nn.Parameter(whole.reshape(3, 4).T)}), "model.pt")
    assert torch.equal(read["a"], whole)
    assert torch.equal(read["b"], whole[3:6])
    assert torch.equal(read["c"], whole.reshape(3, 4).T)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"rubbish", "weights_only"),
        (saved({}), "no state dict"),
        (saved({"a": 7}), "no state dict"),
        (saved({7: torch.zeros(1)}), "no state dict"),
        (saved(torch.zeros(1)), "no state dict"),
        (saved({"a": torch.eye(3).to_sparse()}), "'a' is no plain array"),
        # a kilobyte that says that it is a terabyte
        (saved({"a": torch.zeros(1).expand(1 << 20, 1 << 18)}), "far more bytes"),
    ],
    ids=["rubbish", "empty", "a number", "a number for a name", "a tensor", "sparse", "a bomb"],
)
def test_what_is_no_state_dict_is_a_sentence(content: bytes, said: str) -> None:
    with pytest.raises(UnreadableModel, match=said) as error:
        read_state_dict(content, "b, models/model.pt")
    assert str(error.value).startswith("b, models/model.pt")


def test_reading_is_bounded() -> None:
    """A file that takes more memory than it may costs the process that reads it, and no other."""
    with pytest.raises(MemoryBound, match=r"model\.pt: took"):
        read_state_dict(saved(STATE), "model.pt", limits=Limits(memory=1 << 20))
