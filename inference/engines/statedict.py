"""PyTorch state dicts, read in a confined process: a pickle, even one that is read as data, is a program for a small machine.

What comes out of that process is safetensors, which is checked here; torch's unpickler never sees a file in the process that asks.
"""

import io
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

from inference.engines.errors import UnreadableModel
from inference.engines.jail.model import Limits, call_in_jail
from inference.engines.safetensors import read_safetensors, safetensors_of

_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, LookupError, ValueError, TypeError, zipfile.BadZipFile)
"""What torch's own unpickler raises on bytes that are no state dict."""
_NESTED = ("state_dict", "model", "model_state_dict")
"""Under which names a checkpoint keeps the weights beside other things."""
_GROWTH, _ROOM_BYTES = 4, 16 << 20
"""How much longer than the file its tensors may be, each written for itself: some share their numbers, and archives can be packed."""


def read_state_dict(content: bytes, where: str, *, limits: Limits | None = None) -> dict[str, Any]:
    """The tensors of a state dict by name (torch.Tensor), in the order of the file.

    Parameters
    ----------
    where
        What the file is called, to begin sentences with.
    limits
        What reading may take; None: most of the machine's memory.

    Raises
    ------
    UnreadableModel
        It holds more than tensors by name, something else, or far more than its size explains.
    ModelDied, ModelHung, MemoryBound, JailBroken
        The process that read it was ended.
    """
    _, made = call_in_jail(
        where,
        "inference.engines.statedict:tensors_of",
        content,
        {"where": where},
        limits=limits or Limits.usual(),
        # a pickle may call what stands on torch's own short list, which stands alone where the kernel confines nothing
        carries_code=False,
        imports=("torch",),
    )
    if len(made) > _most(content):
        raise UnreadableModel(f"{where}: {len(content)} bytes were read to {len(made)}, far more than they explain")
    return read_safetensors(made, where)


def tensors_of(content: bytes, *, where: str) -> tuple[None, bytes]:
    """As `read_state_dict`, in the process that reads the file; as safetensors."""
    import torch

    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        for key in _NESTED:
            if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
                state = state[key]
        if not _is_state_dict(state):
            raise UnreadableModel(f"{where} holds no state dict: a mapping of names to tensors")
        # before they are written, which takes memory for each
        if sum(tensor.numel() * tensor.itemsize for tensor in state.values()) > _most(content):
            raise UnreadableModel(f"{where} holds tensors of far more bytes than its own {len(content)} explain")
        return None, safetensors_of(state, where)
    except _UNREADABLE as broken:
        raise UnreadableModel(f"{where} is not a checkpoint of weights alone (it is read with weights_only): {_why(broken)}") from broken


def _is_state_dict(state: Any) -> bool:
    import torch

    return (
        isinstance(state, Mapping)
        and bool(state)
        and all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items())
    )


def _why(broken: Exception) -> str:
    """What torch found, without its advice to load the file all the same."""
    said = str(broken).strip()
    found = said.partition("WeightsUnpickler error: ")[2].partition(" Please use ")[0] or said
    return found.splitlines()[0] if found else type(broken).__name__


def _most(content: bytes) -> int:
    return _GROWTH * len(content) + _ROOM_BYTES
