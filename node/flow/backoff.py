"""How long to wait before the next attempt."""

import hashlib
from datetime import timedelta


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
