"""What torch.save wrote, read as data in a confined process: tensors, numbers and words, and numpy's arrays, of which nothing is called by
what the file says.
"""

import io
import pickle
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
_KINDS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"})


def read_in_jail(function: str, content: bytes, where: str) -> tuple[dict[str, Any], bytes]:
    """What a function of the bundle's modules, "module:name", makes of a file's content with `loaded`; `where` is what the file is called.

    Raises
    ------
    UnreadableBundle
        It cannot be read as data, or is not what the function reads.
    ModelDied, ModelHung, MemoryBound, JailBroken
        The process that read it was ended.
    """
    try:
        said, made = call_in_jail(
            where,
            f"inference.applications.bundle.{function}",
            content,
            {"where": where},
            limits=Limits.usual(),
            # what may be named stands on a list of types that hold data
            carries_code=False,
            imports=("torch",),
        )
    except UnreadableModel as broken:
        raise UnreadableBundle(str(broken)) from broken
    return dict(said), made


def loaded(content: bytes) -> Any:
    """What the file holds, in the process that reads it; an array of numpy is a `HeldArray`."""
    import torch

    # of numpy nothing is called by what the file says; the module had another name before version 2
    named: list[Any] = [
        *((HeldArray, "numpy.ndarray"), (_TypeOfNumbers, "numpy.dtype")),
        *((_array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
        *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    ]
    with torch.serialization.safe_globals(named):
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


@contextmanager
def refusing(sentence: str) -> Iterator[None]:
    """What `loaded`, and looking into what it gave, raises on bytes that are something else, as this sentence with the reason.

    Raises
    ------
    UnreadableModel
    """
    try:
        yield
    except _FAILS as broken:
        why = str(broken).partition("WeightsUnpickler error: ")[2].partition(" Please use ")[0] or str(broken)
        first = (why.strip() or type(broken).__name__).splitlines()[0]
        raise UnreadableModel(f"{sentence} (weights_only): {first}") from broken


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


class HeldArray:
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


def _array(*_: object) -> HeldArray:
    return HeldArray()


def _number(kind: object, content: object) -> Any:
    return _of_kind(kind).numbers(content, (), "C")[()]
