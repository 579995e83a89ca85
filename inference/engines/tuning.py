"""Measures in which way this machine computes a model best, and judges whether that way gives the model's answers.

A way is offered when it gives the reference's answers within bounds, the golden output, and the same bytes again, in this process and in a
fresh one. Of those offered the fastest is chosen; lower precisions only when they are asked for, and pass a gate of their own.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inference.engines.choosing import impossible
from inference.engines.comparing import NONE, Difference, difference, digest_of
from inference.engines.errors import (
    GoldenMismatch,
    LibraryNotInstalled,
    NotEntered,
    OutOfMemory,
    PrecisionRefused,
    UnreadableModel,
    WrongTensors,
)
from inference.engines.execution import Arrays, Compute, Execution, Precision, candidates, installed, reference
from inference.engines.golden import SLACK, compare_golden
from inference.engines.jail.errors import ModelDied
from inference.engines.jail.model import Limits, computation_in_jail
from inference.engines.made_inputs import golden_inputs, growing_inputs
from inference.engines.measured import Measured
from inference.engines.modelconfig import ModelConfig
from inference.engines.port import ModelRef, Tensors
from inference.engines.processors import machine, usable_cores
from inference.engines.repository import Entry, Repository

MOST_DIFFERENCE = 1e-3
"""Of any output value, as a share of the outputs' range, in single precision."""
LEAST_DICE = 0.999
"""Of the masks that the outputs mean, in any precision."""
LOWER_DIFFERENCE = 1e-2
"""Of outputs that are no masks, in a lower precision."""
CLEARLY_FASTER = 0.95
"""Another way than the reference has to take at most this share of its time: less is noise."""

RUNS, RUN_S = 5, 2.0
GROW_S = 0.5
"""While the reference takes less than this, the next larger input is tried."""

Say = Callable[[str], None]


@dataclass(slots=True)
class _Tried:
    """One way: how long it took, how far off it was, or why it is out."""

    execution: Execution
    seconds: float = 0.0
    differs: Difference = NONE
    answers: list[str] = field(default_factory=list)
    golden: str = ""
    refused: str = ""


def tune(
    repository: Repository,
    model: ModelRef,
    *,
    precision: Precision = Precision.F32,
    real: Sequence[Tensors] = (),
    real_named: str = "",
    threads: int | None = None,
    limits: Limits | None = None,
    say: Say = lambda _: None,
) -> Measured:
    """Measure a model; nothing is entered.

    Parameters
    ----------
    precision
        A lower one is tried beside the others, and refused below the gate.
    real
        Inputs from a real series, to measure and judge with in place of made ones; at least two, the largest last.
    real_named
        What they are, for the record: "8 inputs of a series of 384 slices".
    limits
        What the model may take; each way is computed in a confined process of its own.

    Raises
    ------
    NotEntered
        hilum.json does not describe the model, or it is an ensemble.
    PrecisionRefused
        The lower precision is not as good as it has to be, or no faster.
    LibraryNotInstalled
        The reference cannot be computed: nothing to compare with.
    """
    config = repository.config(model)
    if config.steps:
        raise NotEntered(f'"{model.name}" is an ensemble: its members are measured, each for itself')
    file, content, _ = repository.read(model)
    entry = repository.entry(model)
    if entry is None:
        raise NotEntered(f'model "{model.name}" version {model.version} has no entry in hilum.json: nowhere to write what is measured')
    bench = _Bench(model, config, file, content, entry, threads or usable_cores(), limits or Limits.usual(), say)
    return bench.measure(candidates(file, config, precision), precision, real, real_named)


class _Bench:
    """One model under measurement."""

    def __init__(
        self,
        model: ModelRef,
        config: ModelConfig,
        file: Path,
        content: bytes,
        entry: Entry,
        threads: int,
        limits: Limits,
        say: Say,
    ) -> None:
        self._model = model
        self._config = config
        self._file = file
        self._content = content
        self._entry = entry
        self._threads = threads
        self._limits = limits
        self._say = say

    def measure(self, executions: Sequence[Execution], precision: Precision, real: Sequence[Tensors], real_named: str) -> Measured:
        first = reference(self._file)
        compute = self._load(first)
        # masks of noise are nobody's: where real inputs are given they are what is judged, and the golden input's figures beside them
        inputs = list(real) or [golden_inputs(self._config, self._entry.golden), *self._grown(compute)]
        expected = [compute(each) for each in inputs]
        tried = {first: self._timed(_Tried(execution=first), compute, inputs, expected)}
        del compute
        for execution in executions:
            if execution != first:
                tried[execution] = self._tried(execution, inputs, expected)
        self._gate(precision, tried, first)
        chosen = self._chosen(tried, first)
        return Measured(
            execution=chosen.execution,
            machine=machine(),
            threads=self._threads,
            seconds={str(execution): each.seconds for execution, each in tried.items() if each.seconds},
            refused={str(execution): each.refused for execution, each in tried.items() if each.refused},
            difference=chosen.differs.values,
            dice=chosen.differs.dice,
            versions={execution.runtime.value: version for execution in tried if (version := installed(execution.runtime))},
            shapes=tuple(next(iter(each.values())).shape for each in inputs),
            inputs=real_named or "made inputs",
        )

    def _load(self, execution: Execution) -> Compute:
        return computation_in_jail(self._model, execution, self._config, self._file, self._content, self._threads, self._limits)

    def _grown(self, compute: Compute) -> list[Arrays]:
        """Made inputs as large as the reference computes in a moment."""
        grown: list[Arrays] = []
        for inputs in growing_inputs(self._config, self._entry.golden):
            try:
                took = _seconds(compute, inputs)
            except (WrongTensors, OutOfMemory, ModelDied):
                if not grown:
                    raise
                break  # not every network takes every size, and not every library says so
            grown.append(inputs)
            if took > GROW_S:
                break
        # between the golden input and the largest nothing new is learned
        return grown[-1:]

    def _tried(self, execution: Execution, inputs: Sequence[Tensors], expected: Sequence[Arrays]) -> _Tried:
        tried = _Tried(execution=execution)
        if reason := impossible(execution):
            tried.refused = reason
            return tried
        try:
            compute = self._load(execution)
            if self._entry.golden is not None:
                compare_golden(self._model, self._config, self._entry.golden, compute, slack=SLACK[execution.precision])
            tried.golden = digest_of(compute(golden_inputs(self._config, self._entry.golden)))
            self._timed(tried, compute, inputs, expected)
        except (LibraryNotInstalled, UnreadableModel, WrongTensors, GoldenMismatch, OutOfMemory) as unfit:
            tried.refused = f"{unfit} [{unfit.code}]"
            return tried
        tried.refused = tried.refused or _too_far(tried)
        return tried

    def _timed(self, tried: _Tried, compute: Compute, inputs: Sequence[Tensors], expected: Sequence[Arrays]) -> _Tried:
        """Compare the answers to all inputs, then time the last."""
        for each, meant in zip(inputs, expected, strict=True):
            answer = compute(each)
            tried.differs = tried.differs.worst(difference(meant, answer))
            tried.answers.append(digest_of(answer))
        began, times = time.monotonic(), list[float]()
        while len(times) < 2 or (len(times) < RUNS and time.monotonic() - began < RUN_S):
            at = time.perf_counter()
            answer = compute(inputs[-1])
            times.append(time.perf_counter() - at)
            if digest_of(answer) != tried.answers[-1]:
                tried.refused = "does not give the same bytes again"
        tried.seconds = min(times)
        dice = "" if tried.differs.dice is None else f", Dice {tried.differs.dice:.5f}"
        self._say(f"{self._model.name}: {tried.execution}: {tried.seconds:.3f} s, differs by {tried.differs.values:.1e}{dice}")
        return tried

    def _gate(self, precision: Precision, tried: Mapping[Execution, _Tried], first: Execution) -> None:
        """A lower precision was asked for: it passes, or nothing is changed."""
        if precision is Precision.F32:
            return
        lower = next(each for execution, each in tried.items() if execution.precision is precision)
        if lower.refused:
            raise PrecisionRefused(f'model "{self._model.name}" in {precision}: {lower.refused}')
        best = min(each.seconds for execution, each in tried.items() if execution.precision is Precision.F32 and not each.refused)
        if lower.seconds > best * CLEARLY_FASTER:
            took = f"takes {lower.seconds:.3f} s, in single precision {best:.3f} s"
            raise PrecisionRefused(f'model "{self._model.name}" in {precision} {took}: nothing is gained')

    def _chosen(self, tried: Mapping[Execution, _Tried], first: Execution) -> _Tried:
        bound = tried[first].seconds * CLEARLY_FASTER
        offered = sorted((each for each in tried.values() if not each.refused and each.seconds <= bound), key=lambda each: each.seconds)
        for each in offered:
            if self._same_in_a_fresh_process(each):
                return each
            each.refused = "gives other bytes in a fresh process"
        return tried[first]

    def _same_in_a_fresh_process(self, tried: _Tried) -> bool:
        answer = self._load(tried.execution)(golden_inputs(self._config, self._entry.golden))
        return digest_of(answer) == tried.golden


def _too_far(tried: _Tried) -> str:
    values, dice = tried.differs.values, tried.differs.dice
    if dice is not None and not dice >= LEAST_DICE:
        return f"the masks' Dice to the reference is {dice:.5f}, at least {LEAST_DICE} is wanted"
    if tried.execution.precision is not Precision.F32 and dice is not None:
        return ""  # its masks are what counts
    most = MOST_DIFFERENCE if tried.execution.precision is Precision.F32 else LOWER_DIFFERENCE
    return "" if values <= most else f"differs from the reference by {values:.2g} of its range, at most {most:g} is allowed"


def _seconds(compute: Compute, inputs: Tensors) -> float:
    began = time.perf_counter()
    compute(inputs)
    return time.perf_counter() - began
