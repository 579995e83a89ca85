"""Examples of training cases, prepared once and kept as far as memory goes; what finds no room is prepared anew each time."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from training.data.cases import Case
from training.infer import naming
from training.recipe import Example, Recipe

SHARE = 0.25
"""Of the machine's memory, that examples may take in all processes of a training together."""


class Prepared:
    """Examples by the number of a draw; the same, whether they were kept or not.

    Parameters
    ----------
    most_bytes
        That are kept of their arrays.
    """

    def __init__(self, recipe: Recipe, cases: Sequence[Case], *, most_bytes: int) -> None:
        self._recipe, self._cases = recipe, cases
        self._left_bytes = most_bytes
        self._kept: dict[str, Example] = {}

    def of(self, draw: int) -> Example:
        """That of a case, which is drawn as often as the recipe says.

        Raises
        ------
        HilumError
            It cannot be read, or prepared.
        """
        case = self._cases[draw % len(self._cases)]
        if (kept := self._kept.get(case.name)) is not None:
            return kept
        with naming(case):
            made = self._recipe.example(case.load())
        size = _size(made)
        if size <= self._left_bytes:
            self._left_bytes -= size
            self._kept[case.name] = made
        return made


def _size(example: Example) -> int:
    return sum(_bytes(getattr(example, each.name)) for each in fields(example))


def _bytes(value: Any) -> int:
    if isinstance(value, tuple):
        return sum(map(_bytes, value))
    return value.nbytes if isinstance(value, np.ndarray) else 0
