"""What every stage looks like to the processes that turn it."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Aware UTC now; the tests pass a fake one."""


class Stage(Protocol):
    """One stage of a study's way. `step` does a bounded piece of whatever is due and returns how many things it moved: 0 means idle.
    It is idempotent over the journal: a process killed inside a step loses nothing, another may run the same step at once."""

    name: str

    def step(self) -> int: ...
