"""What the jail costs a head: mr-brain on a real head with its models in confined processes, against the same models in this process.

Pairs that take turns, in processor seconds of both sides; the ratio of each pair, their median, and an upper bound of the median at 95 %
by order statistics, which assume nothing of how the times are spread.
"""

import contextlib
import math
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from bench.heads import head, repository
from bench.rows import Row, say
from inference.engines.execution import Arrays, Compute, reference
from inference.engines.jail.model import Limits, ModelInJail, computation_in_jail
from inference.engines.port import Call, ModelRef, Tensors
from inference.engines.runtimes import computation

PAIRS = 20
GOAL = 1.05
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _process_s(pid: int | None) -> float:
    """Processor seconds of a process so far; in hundredths."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def upper_bound(values: list[float]) -> float:
    """The value that the median lies below with a probability of 95 %, by the binomial distribution of ranks."""
    ordered, count, share = sorted(values), len(values), 0.0
    for rank in range(count):
        share += math.comb(count, rank) / 2**count
        if share >= 0.95:
            return ordered[rank]
    return ordered[-1]


class _Models:
    """All models of an application as it calls them: in this process, or each in a confined one."""

    def __init__(self, models: Path, wanted: Sequence[ModelRef], threads: int, *, confined: bool) -> None:
        from inference.engines.repository import Repository

        self._computes: dict[ModelRef, Compute] = {}
        self._jailed: list[ModelInJail] = []
        for model in wanted:
            opened = Repository(models)
            config, entry = opened.config(model), opened.entry(model)
            file, content, _ = opened.read(model)
            execution = entry.embedded.execution if entry and entry.embedded else reference(file)
            if confined:
                made = computation_in_jail(model, execution, config, file, content, threads, Limits.usual())
                self._jailed.append(made)
                self._computes[model] = made
            else:
                self._computes[model] = computation(execution, config, file, content, threads)

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Arrays:
        return self._computes[model](tensors)

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None

    def spent_s(self) -> float:
        """Processor seconds of this process and of the confined ones so far."""
        return _own_s() + sum(_process_s(each.pid) for each in self._jailed)

    def close(self) -> None:
        for each in self._jailed:
            each.end()


def compare(here: _Models, there: _Models, work: Callable[[_Models], object], pairs: int = PAIRS) -> tuple[list[float], list[float]]:
    """Processor seconds of a piece of work, with models in this process and in confined ones."""
    own, confined = list[float](), list[float]()
    for number in range(pairs):
        # each goes first in half of the pairs
        turns = [(own, here), (confined, there)]
        for kept, models in turns if number % 2 else turns[::-1]:
            # threads of the other side that spin for a moment after their work are not this side's
            time.sleep(0.3)
            began = models.spent_s()
            work(models)
            kept.append(models.spent_s() - began)
    return own, confined


def measure() -> list[Row]:
    """A row for the models' calls, and one for the head: what it costs from its files to its findings."""
    from bench.embedded import inputs_of_series
    from inference.applications import catalog
    from inference.engines.errors import RegistryAway
    from inference.engines.processors import usable_cores
    from inference.imaging.assemble import assemble

    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as folder:
        try:
            models = repository(Path(folder) / "models", tuned=True)
            files, what = head(Path(folder) / "in")
        except RegistryAway as away:
            say(f"SKIPPED: {away}")
            return []
        say(f"mr-brain on {what}")
        application, threads = catalog.load("mr-brain"), usable_cores()
        here, there = (_Models(models, application.models, threads, confined=confined) for confined in (False, True))
        with contextlib.closing(there):
            given = inputs_of_series(models, "mr-brain", files)
            for model, tensors in given.items():
                for name, meant in here(model, tensors).items():
                    assert meant.tobytes() == there(model, tensors)[name].tobytes(), f"{model.name}: {name} differs in the confined process"
            calls = compare(here, there, lambda side: [side(model, tensors) for model, tensors in given.items()])
            whole = compare(here, there, lambda side: application.analyse(assemble(files), side))
        return [_row("the calls of a head's models alone", *calls, goal=False), _row("a head, assembled and analysed", *whole, goal=True)]


def _row(what: str, own: list[float], confined: list[float], *, goal: bool) -> Row:
    ratios = [there / here for here, there in zip(own, confined, strict=True)]
    middle, bound = median(ratios), upper_bound(ratios)
    say(f"{what}: {median(own):.2f} and {median(confined):.2f} s; ratio {middle:.4f} ≤ {bound:.4f}")
    name = f"jail, {what}: {len(ratios)} pairs, ratio of processor seconds {middle:.3f}, upper 95 % {bound:.3f}"
    said = f"upper bound at most {GOAL}" if goal else ""
    return Row(name=name, value=median(confined), unit="s", baseline=median(own), goal=said, met=bound <= GOAL if goal else None)


if __name__ == "__main__":
    measure()
