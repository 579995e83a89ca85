"""Forks: `--forks 6` runs the tests in so many forks of this process, which alone imports and collects.

Processes of their own, which pytest-xdist starts, import and collect everything each: for the fast tests a third of all that they take.
A file's tests stay together, in one fork. What is only warned of, a fork keeps to itself.
"""

import os
import signal
import struct
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Final

import pytest
from _pytest.capture import CaptureManager

_FILE: Final = struct.Struct("I")
_KEPT_IN_HAND: Final = ("setup", "teardown")


@dataclass(slots=True, kw_only=True)
class _Fork:
    """A fork as its parent sees it."""

    pid: int
    under_way: str = ""
    """The test that it began last."""
    ended: bool = False
    """Whether it said that it was through."""


class Forks:
    """Pytest plug-in: runs what was collected in forks, and reports as if it had run here."""

    def __init__(self, count: int) -> None:
        self._count = count

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run everything. The forks take one file after another from a pipe; what they report comes through one pipe each."""
        if session.testsfailed or session.config.option.collectonly:
            return None
        files = [list(items) for _, items in groupby(session.items, key=lambda item: item.path)]
        # each makes its folders in the one that this process removes at the end
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        queue, fill = os.pipe()
        os.write(fill, b"".join(map(_FILE.pack, range(len(files)))))
        os.close(fill)
        forks: dict[Connection, _Fork] = {}
        try:
            for _ in range(min(self._count, len(files))):
                here, there = Pipe(duplex=False)
                pid = os.fork()
                if not pid:
                    _run_and_exit(session, files, queue, there)
                there.close()
                forks[here] = _Fork(pid=pid)
            _gather(session, forks, queue)
        finally:
            os.close(queue)
            for fork in forks.values():
                if not fork.ended:
                    with suppress(ProcessLookupError):
                        os.kill(fork.pid, signal.SIGTERM)
                os.waitpid(fork.pid, 0)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        return True


def _gather(session: pytest.Session, forks: dict[Connection, _Fork], queue: int) -> None:
    """Report what the forks report, until the last has ended; one that ends before its time failed in what it had begun."""
    open_ones = set(forks)
    while open_ones:
        ready = wait(list(open_ones))
        for here in [one for one in open_ones if one in ready]:
            fork = forks[here]
            try:
                said = here.recv()
            except EOFError:
                open_ones.discard(here)
                if not fork.ended:
                    _died(session, fork)
                continue
            if said is None:
                fork.ended = True
            elif isinstance(said, str):
                fork.under_way = said
            else:
                report = session.config.hook.pytest_report_from_serializable(config=session.config, data=said)
                session.config.hook.pytest_runtest_logreport(report=report)
                if session.shouldfail:
                    # no further file is begun
                    while os.read(queue, 4096):
                        pass


def _died(session: pytest.Session, fork: _Fork) -> None:
    report = pytest.TestReport(
        nodeid=fork.under_way,
        location=(fork.under_way.partition("::")[0], None, fork.under_way),
        keywords={},
        outcome="failed",
        longrepr="the process that ran it ended; what its file has beyond this was not run",
        when="call",
    )
    session.config.hook.pytest_runtest_logreport(report=report)


def _run_and_exit(session: pytest.Session, files: Sequence[Sequence[pytest.Item]], queue: int, there: Connection) -> None:
    """Run files until none is left, and end this process without what its parent does at its own end."""
    code = 1
    try:
        _begin(session.config, there)
        _run(files, queue, there)
        code = 0
    except KeyboardInterrupt:
        pass
    except BaseException:  # noqa: BLE001  (whatever it is: a fork never goes on as if it were its parent)
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def _begin(config: pytest.Config, there: Connection) -> None:
    """What is told goes to the parent; what is captured into files of this process's own."""
    manager = config.pluginmanager
    capture = manager.get_plugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    capture.stop_global_capturing()
    capture.start_global_capturing()
    manager.unregister(name="terminalreporter")
    manager.register(_Telling(config, there))


def _run(files: Sequence[Sequence[pytest.Item]], queue: int, there: Connection) -> None:
    items = _items(files, queue)
    item = next(items, None)
    while item is not None:
        following = next(items, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        item = following
    there.send(None)


def _items(files: Sequence[Sequence[pytest.Item]], queue: int) -> Iterator[pytest.Item]:
    while place := os.read(queue, _FILE.size):
        yield from files[_FILE.unpack(place)[0]]


class _Telling:
    """Pytest plug-in of a fork: tells its parent which test begins, and how it went."""

    def __init__(self, config: pytest.Config, there: Connection) -> None:
        self._config = config
        self._there = there

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._there.send(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of a phase before or after a test there is nothing to tell when it went well, unless something was measured."""
        if report.passed and report.when in _KEPT_IN_HAND and not report.user_properties:
            return
        self._there.send(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))
