"""Values of a file that lies beside a bundle's configuration ("$torch.load(@arch_ckpt_path)"), read as data in a confined process.

Searched networks keep their architecture so: arrays of numpy by name, as its search wrote them.
"""

import io
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.errors import UnreadableBundle
from inference.engines.errors import UnreadableModel
from inference.engines.jail.model import Limits, call_in_jail

_FAILS = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, LookupError, ValueError, TypeError, ArithmeticError),
    zipfile.BadZipFile,
)
"""What torch's own unpickler, and what stands in for numpy, raise on bytes that they do not read."""
_MOST_VALUES = 10_000
"""Of an array: an architecture of 12 blocks and 10 paths has 120."""
_MOST_NAMES = 100
_KINDS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"})


class _TypeOfNumbers:
    """Stands in for numpy.dtype, of numbers alone."""

    def __init__(self, text: str, *_: object) -> None:
        if text not in _KINDS:
            raise ValueError(f"an array of {text!r}")
        self._text, self._order = text, ""

    def __setstate__(self, state: Sequence[Any]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError(f"an order of bytes {state[1]!r}")
        self._order = str(state[1])

    def numbers(self, content: object, shape: Sequence[int], order: Literal["C", "F"]) -> NDArray[Any]:
        """Those that the bytes are."""
        if not isinstance(content, bytes):
            raise TypeError("an array whose values are no bytes")
        return np.frombuffer(content, np.dtype(self._order + self._text)).reshape(shape, order=order)


class _HeldArray:
    """Stands in for numpy.ndarray, which a file may call as it likes: of a buffer's bytes it makes objects at addresses of the author's
    choice."""

    numbers: NDArray[Any] | None = None

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, kind, by_columns, content = state
        self.numbers = _of_kind(kind).numbers(content, shape, "F" if by_columns else "C")


def _of_kind(kind: object) -> _TypeOfNumbers:
    if not isinstance(kind, _TypeOfNumbers):
        raise TypeError("an array without a kind")
    return kind


def _array(*_: object) -> _HeldArray:
    return _HeldArray()


def _number(kind: object, content: object) -> Any:
    return _of_kind(kind).numbers(content, (), "C")[()]


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
    try:
        said, _ = call_in_jail(
            where,
            "inference.applications.bundle.arrays:values_of",
            content,
            {"where": where},
            limits=Limits.usual(),
            # what may be named stands on a list of types that hold data
            carries_code=False,
            imports=("torch",),
        )
    except UnreadableModel as broken:
        raise UnreadableBundle(str(broken)) from broken
    return dict(said)


def values_of(content: bytes, *, where: str) -> tuple[dict[str, Any], bytes]:
    """As `read_values`, in the process that reads the file."""
    import torch

    # of numpy nothing is called by what the file says; the module had another name before version 2
    named: list[Any] = [
        *((_HeldArray, "numpy.ndarray"), (_TypeOfNumbers, "numpy.dtype")),
        *((_array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
        *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    ]
    try:
        with torch.serialization.safe_globals(named):
            said = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _FAILS as broken:
        why = str(broken).partition("WeightsUnpickler error: ")[2].partition(" Please use ")[0] or str(broken)
        first = (why.strip() or type(broken).__name__).splitlines()[0]
        raise UnreadableModel(f"{where} cannot be read as data (weights_only): {first}") from broken
    if not isinstance(said, Mapping) or len(said) > _MOST_NAMES:
        raise UnreadableModel(f"{where} holds no mapping of at most {_MOST_NAMES} names")
    values: dict[str, Any] = {}
    for name, value in said.items():
        if isinstance(value, _HeldArray):
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
