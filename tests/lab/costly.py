"""Costly tests: marks as slow what tests/costly.txt names, measures each test's processor time, and tells what has become costly since.

The file is written by `make costly`, never by hand; `make test` runs every test whatever stands there."""

import resource
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

import psutil
import pytest

COSTLY = Path(__file__).parents[1] / "costly.txt"
BOUND_S = 0.02
"""Processor seconds of a test function's cases, on average, above which it is costly."""
QUICKEST_S = 0.1
"""The quickest function of a file in which all are costly is run all the same, up to this."""
TELL_S = 2.0
"""What is told of: busy processors make a test seem several times as costly as it is, and one bears what is imported and set up first."""
_PROPERTY = "processor_s"


def function_of(node_id: str) -> str:
    """Name the test function of a case: without its parameters."""
    return node_id.split("[", 1)[0]


def listed() -> frozenset[str]:
    """Read the test functions that tests/costly.txt names."""
    return frozenset(COSTLY.read_text(encoding="utf-8").split())


def costly(cases: Mapping[str, Sequence[float]]) -> list[str]:
    """Choose the costly among functions of known processor seconds per case; each file keeps its quickest one."""
    means = {function: fmean(seconds) for function, seconds in cases.items()}
    files = defaultdict[str, list[str]](list)
    for function in means:
        files[function.split("::", 1)[0]].append(function)
    found = {function for function, mean in means.items() if mean > BOUND_S}
    for functions in files.values():
        quickest = min(functions, key=lambda function: means[function])
        if means[quickest] <= QUICKEST_S:
            found.discard(quickest)
    return sorted(found)


class ProcessorTime:
    """Pytest plug-in: measures in each process, gathers where the reports come together."""

    def __init__(self, *, writes: bool) -> None:
        self._writes = writes
        self._began = 0.0
        self._began_there = 0.0
        self._cases = defaultdict[str, list[float]](list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """What is listed is slow, but for whoever measures anew."""
        names = frozenset[str]() if self._writes else listed()
        for item in items:
            if function_of(item.nodeid) in names:
                item.add_marker(pytest.mark.slow)

    def pytest_runtest_logstart(self) -> None:
        """A case begins."""
        self._began_there = self._there_s()
        self._began = _processor_s()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A case ends: the last of its reports carries what it took, unless it is known as slow, or took too little to be told of."""
        report = yield
        if call.when == "teardown" and item.get_closest_marker("slow") is None:
            took_s = _processor_s() - self._began
            took_s += self._there_s() - self._began_there
            if self._writes or took_s > BOUND_S:  # a fork tells its parent only of what there is to tell
                report.user_properties.append((_PROPERTY, took_s))
        return report

    def _there_s(self) -> float:
        """Processor seconds of the processes that go on from test to test; 0.0 while nothing is written, for looking takes some, too."""
        return _descendants_s() if self._writes else 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A report of this process, or of one that it started."""
        seconds = dict(report.user_properties).get(_PROPERTY)
        if isinstance(seconds, float):
            self._cases[function_of(report.nodeid)].append(seconds)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the list, or say what is to be on it."""
        if self._writes:
            COSTLY.write_text("".join(f"{function}\n" for function in costly(self._cases)), encoding="utf-8")
            return
        found = {function: fmean(seconds) for function, seconds in self._cases.items() if fmean(seconds) > TELL_S}
        if found:
            terminalreporter.section("COSTLY, and run by `make check`: `make costly` measures anew", yellow=True)
            for function in sorted(found, key=found.__getitem__, reverse=True):
                terminalreporter.write_line(f"{found[function]:.1f} s of a processor: {function}")


def _processor_s() -> float:
    """Processor seconds of this process and of those that it waited for."""
    return sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def _descendants_s() -> float:
    """Processor seconds of the processes below this one, and of those that they waited for: a jail computes in processes that stay."""
    taken_s = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            took = process.cpu_times()
            taken_s += took.user + took.system + took.children_user + took.children_system
    return taken_s
