"""How many times as fast one model is as another: calls by turns on the engine that serves, each model confined, on one thread.

Processor time of the confined process is counted, not the clock: beside other work the clock tells mostly of that.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.golden import golden_input
from inference.engines.port import ModelRef

PAIRS = 20
_CALL_S = 0.2
"""A turn takes about so long, of as many calls as that needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTimes:
    """Of pairs of turns.

    Attributes
    ----------
    first_s, second_s
        Processor seconds of a call, the median of the turns.
    times
        How many times as fast the second is as the first: the median over pairs; `at_least` lies below that median with a probability of
        95 %, by the binomial distribution of ranks.
    runtime
        What computed them, "openvino f32 2026.4.1, 1 thread".
    """

    first_s: float
    second_s: float
    times: float
    at_least: float
    runtime: str


def pace(first: Path, second: Path, model: ModelRef, shape: tuple[int, ...], pairs: int = PAIRS) -> CallTimes:
    """Compare one model's versions in two repositories on inputs (N, C, …) of one shape."""
    image = {"INPUT__0": golden_input(shape, np.dtype(np.float32))}
    with contextlib.closing(EmbeddedEngine(first, threads=1)) as one, contextlib.closing(EmbeddedEngine(second, threads=1)) as other:

        def turn(engine: EmbeddedEngine, calls: int) -> float:
            pid = engine.computation(model).pid
            assert pid is not None, "it was called before"
            began = spent_s(pid)
            for _ in range(calls):
                engine.infer(model, image)
            return (spent_s(pid) - began) / calls

        def begun(engine: EmbeddedEngine) -> Callable[[], float]:
            engine.infer(model, image)
            calls = max(1, math.ceil(_CALL_S / max(turn(engine, 2), 1e-6)))
            return lambda: turn(engine, calls)

        sides, took = (begun(one), begun(other)), (list[float](), list[float]())
        for number in range(pairs):
            # each goes first in half of the pairs
            for side in (0, 1) if number % 2 else (1, 0):
                took[side].append(sides[side]())
        ratios = [slow / quick for slow, quick in zip(*took, strict=True)]
        return CallTimes(
            first_s=median(took[0]),
            second_s=median(took[1]),
            times=median(ratios),
            at_least=_lower_bound(ratios),
            runtime=" and ".join(sorted({one.runtime(model), other.runtime(model)})),
        )


def spent_s(pid: int) -> float:
    """Processor seconds of all threads of a process so far, to the nanosecond (Documentation/scheduler/sched-stats.rst)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e9


def _lower_bound(values: Sequence[float]) -> float:
    ordered, count, share = sorted(values, reverse=True), len(values), 0.0
    for rank, value in enumerate(ordered):
        share += math.comb(count, rank) / 2**count
        if share >= 0.95:
            return value
    return ordered[-1]
