"""Stages: what each looks like to the processes that turn it, the clock that it is given, and its pauses between attempts."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Aware UTC now; the tests pass a fake one."""


class Stage(Protocol):
    """One stage of a study's way. `step` does a bounded piece of whatever is due and returns how many things it moved: 0 means idle.
    It is idempotent over the journal: a process killed inside a step loses nothing, another may run the same step at once."""

    name: str

    def step(self) -> int: ...


def back_off(attempt: int, first: timedelta, most: timedelta, *, salt: str) -> timedelta:
    """How long to wait after the `attempt`-th failure (1 is the first): doubling from `first` to `most`, less up to a fifth.

    The part that is taken off depends on `salt` and `attempt` alone, so that many jobs that failed together do not come back together,
    and a test knows the number.
    """
    longest = most.total_seconds()
    doublings = min(attempt - 1, 40)
    pause = min(longest, first.total_seconds() * 2.0**doublings)
    fraction = hashlib.sha256(f"{salt} {attempt}".encode()).digest()[0] / 255
    return timedelta(seconds=pause * (1 - fraction / 5))
