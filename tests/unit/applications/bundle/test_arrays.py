"""Files of values that a configuration names: arrays come back as numbers, and what would run something is refused."""

import io
import os
import struct
from typing import Any

import numpy as np
import pytest

from inference.applications.bundle.arrays import values_of
from inference.engines.errors import UnreadableModel

torch = pytest.importorskip("torch")


class _Malice:
    def __reduce__(self) -> Any:
        return os.getpid, ()


_SECRET = "what lies at an address of the author's choice"


class _Forged:
    def __reduce__(self) -> Any:
        return np.ndarray, ((1,), "O", struct.pack("P", id(_SECRET)))


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_arrays_come_back_as_numbers() -> None:
    """As a search writes them: arrays of numpy, single numbers of its log, a tensor; what is nothing of these is left out."""
    said = {
        "a": np.array([[1, 0], [0, 1]]),
        "columns": np.asfortranarray([[1.5, 2.5], [3.5, 4.5]]),
        "big": np.array([1, 2], ">i4"),
        "flags": np.array([True, False]),
        "n": np.float64(0.8),
        "t": torch.tensor([1.5]),
        "epochs": 7,
        "log": [1, 2],
    }
    values, _ = values_of(_saved(said), where="search.pt")
    assert values == {
        "a": [[1, 0], [0, 1]],
        "columns": [[1.5, 2.5], [3.5, 4.5]],
        "big": [1, 2],
        "flags": [True, False],
        "n": 0.8,
        "t": [1.5],
        "epochs": 7,
    }


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"a": _Malice()}, "cannot be read as data"),
        ({"a": _Forged()}, "cannot be read as data"),
        ({"a": np.array(["a", None], object)}, "an array of 'O8'"),
        ({"a": np.zeros(1, [("a", "f4")])}, "an array of 'V4'"),
        ([1, 2], "holds no mapping"),
        ({"a": np.zeros(10_001)}, "'a' has 10001 values"),
    ],
)
def test_what_is_no_file_of_values(said: Any, why: str) -> None:
    """A name that no array needs, an array made of an address, arrays of no numbers, another kind, more than an architecture has."""
    with pytest.raises(UnreadableModel, match=why):
        values_of(_saved(said), where="search.pt")
