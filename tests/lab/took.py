"""What a step of a test costs: by the clock, which others share, and of processors."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Took:
    """Seconds by the clock and of processors."""

    wall_s: float = 0.0
    processor_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.wall_s:.0f} s, {self.processor_s:.0f} s of processors"


@contextmanager
def timed() -> Iterator[Took]:
    """Measure what runs below in processes of its own that end there."""
    took, began, before = Took(), time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield took
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took.wall_s = time.monotonic() - began
    took.processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
