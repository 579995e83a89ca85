"""Stage times of an analysis: applications and imaging name their stages; a caller that wants to know collects them.

    with collected() as took:          # in the node, in a benchmark
        ...
            with stage("resample"):    # in an application; costs nothing worth mentioning where nobody collects
                ...

Stages are exclusive: while a stage runs inside another, the outer one's clock stands still. Only the thread that collects counts; what
other threads do for it meanwhile is part of the stage that waits for them.
"""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

DECODE, ASSEMBLE = "decode", "assemble"
"""Pixels from the files into the volume; headers, geometry and everything else of assembling."""
RESAMPLE, INFER, BACK = "resample", "infer", "back"
"""To the model's grid and values; in the models; from the models' grid to the source's."""
ANALYSE = "analyse"
"""What else an application does: measuring, remarks."""


@dataclass(slots=True)
class _Clock:
    """Seconds by stage; the stages that are under way, the innermost last, and since when it is the innermost."""

    took: dict[str, float]
    under_way: list[str] = field(default_factory=list)
    since: float = 0.0

    def turn(self) -> None:
        """Give the time since the last turn to the innermost stage."""
        now = time.perf_counter()
        if self.under_way:
            name = self.under_way[-1]
            self.took[name] = self.took.get(name, 0.0) + now - self.since
        self.since = now


_clock: ContextVar[_Clock | None] = ContextVar("stages", default=None)


@contextlib.contextmanager
def collected() -> Iterator[dict[str, float]]:
    """Collect the seconds of the stages that this thread goes through; complete when the block is left."""
    took: dict[str, float] = {}
    before = _clock.set(_Clock(took=took))
    try:
        yield took
    finally:
        _clock.reset(before)


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """What happens here belongs to stage `name`."""
    clock = _clock.get()
    if clock is None:
        yield
        return
    clock.turn()
    clock.under_way.append(name)
    try:
        yield
    finally:
        clock.turn()
        clock.under_way.pop()
