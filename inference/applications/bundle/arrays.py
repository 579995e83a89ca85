"""Values of a file that lies beside a bundle's configuration ("$torch.load(@arch_ckpt_path)").

Searched networks keep their architecture so: arrays of numpy by name, as its search wrote them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from inference.applications.bundle.weights_only import HeldArray, loaded, read_in_jail, refusing
from inference.engines.errors import UnreadableModel

_MOST_VALUES = 10_000
"""Of an array: an architecture of 12 blocks and 10 paths has 120."""
_MOST_NAMES = 100


def read_values(content: bytes, where: str) -> dict[str, Any]:
    """Arrays as lists of numbers, numbers and words, by their names; what is of another kind is left out.

    Parameters
    ----------
    where
        What the file is called, to begin sentences with.

    Raises
    ------
    UnreadableBundle
        It holds no mapping, or asks for a name that no array needs.
    ModelDied, ModelHung, MemoryBound, JailBroken
        The process that read it was ended.
    """
    values, _ = read_in_jail("arrays:values_of", content, where)
    return values


def values_of(content: bytes, *, where: str) -> tuple[dict[str, Any], bytes]:
    """As `read_values`, in the process that reads the file."""
    import torch

    with refusing(f"{where} cannot be read as data"):
        said = loaded(content)
    if not isinstance(said, Mapping) or len(said) > _MOST_NAMES:
        raise UnreadableModel(f"{where} holds no mapping of at most {_MOST_NAMES} names")
    values: dict[str, Any] = {}
    for name, value in said.items():
        if isinstance(value, HeldArray):
            value = value.numbers
        if isinstance(value, np.ndarray | torch.Tensor):
            count = value.size if isinstance(value, np.ndarray) else value.numel()
            if count > _MOST_VALUES:
                raise UnreadableModel(f"{where}: {name!r} has {count} values, more than the {_MOST_VALUES} that are read")
            values[str(name)] = value.tolist()
        elif isinstance(value, bool | int | float | str):
            values[str(name)] = value
        elif isinstance(value, np.generic):
            values[str(name)] = value.item()
    return values, b""
