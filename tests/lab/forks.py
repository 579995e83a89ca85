"""Forks: `--forks 4` runs the tests in so many forks of this process, which alone imports and collects.

Processes of their own would import and collect everything each: for the fast tests a third of all that they take, and of all tests a
gigabyte. A file's tests stay together, in one fork, and so do the files that take turns (tests/lab/turns.py). A fork that ends before its
time costs the test that it had begun: another one, made in its place, runs what it had not. What is only warned of, a fork keeps to itself.
"""

import os
import signal
import struct
import sys
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Final, NoReturn

import pytest
from _pytest._io import TerminalWriter
from _pytest.capture import CaptureManager
from _pytest.runner import pytest_sessionfinish

from tests.lab.stuck import ended_after

_FILE: Final = struct.Struct("I")
_KEPT_IN_HAND: Final = ("setup", "teardown")
_KEPT_BELOW_S: Final = 0.005
"""What `--durations` does not show either."""
_FIXTURES_END_S: Final = 60.0
"""Of an interrupted run: so long have the fixtures of a fork to end what they started."""


@dataclass(slots=True, kw_only=True)
class _Fork:
    """A fork as its parent sees it."""

    pid: int
    sentinel: int
    """Can be read once the process has ended: its pipe may be held open by what it left behind."""
    pipe: Connection
    to_run: deque[pytest.Item] = field(default_factory=deque)
    """What it has taken and not begun."""
    under_way: str = ""
    """The test that it began last."""
    told: bool = True
    """Whether more may come through its pipe."""
    through: bool = False
    """Whether it said that nothing was left to run."""


class Forks:
    """Pytest plug-in: runs what was collected in forks, and reports as if it had run here.

    Parameters
    ----------
    count
        How many run side by side.
    turn
        Which files stay in one fork, one after the other: those of which it says the same.
    """

    def __init__(self, count: int, turn: Callable[[str], str] = str) -> None:
        self._count = count
        self._turn = turn

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run everything. The forks take one turn after another from a pipe; what they report comes through one pipe each."""
        if session.testsfailed or session.config.option.collectonly:
            return None
        # each makes its folders in the one that this process removes at the end
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        turns = defaultdict[str, list[pytest.Item]](list)
        for item in session.items:
            turns[self._turn(item.nodeid.split("::", 1)[0])].append(item)
        run = _Run(session, list(turns.values()))
        try:
            run.begin(self._count)
            run.gather()
        finally:
            run.end()
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        return True


class _Run:
    """A run as the parent sees it: which turns no fork has taken yet, and the forks."""

    def __init__(self, session: pytest.Session, turns: Sequence[Sequence[pytest.Item]]) -> None:
        self._session = session
        self._turns = turns
        self._forks: list[_Fork] = []
        self._begun = 0
        self._queue, fill = os.pipe()
        os.write(fill, b"".join(map(_FILE.pack, range(len(turns)))))
        os.close(fill)

    def begin(self, count: int) -> None:
        """Make the forks."""
        for _ in range(min(count, len(self._turns))):
            self._fork(())

    def gather(self) -> None:
        """Report what the forks report, until the last has ended; one that ends before its time failed in what it had begun."""
        while self._forks:
            ready = wait([one for fork in self._forks for one in ((fork.pipe, fork.sentinel) if fork.told else (fork.sentinel,))])
            for fork in list(self._forks):
                ended = fork.sentinel in ready
                if ended or fork.pipe in ready:
                    self._hear(fork)
                    while ended and fork.told and fork.pipe.poll():
                        self._hear(fork)
                if ended:
                    self._reap(fork)
        unrun = len(self._session.items) - self._begun
        if unrun and not self._session.shouldfail:
            self._session.shouldfail = f"{unrun} tests were not run: the processes that were to run them ended"

    def end(self) -> None:
        """Interrupt the forks that there still are, so that their fixtures end what they started, and wait for them."""
        self._take_no_more()
        os.close(self._queue)
        for fork in self._forks:
            with suppress(ProcessLookupError):
                os.kill(fork.pid, signal.SIGINT)
        for fork in self._forks:
            if not wait([fork.sentinel], _FIXTURES_END_S):
                os.kill(fork.pid, signal.SIGKILL)
            os.waitpid(fork.pid, 0)

    def _fork(self, first: Sequence[pytest.Item]) -> None:
        """Make a fork that runs these tests, and then whole turns."""
        here, there = Pipe(duplex=False)
        pid = os.fork()
        if not pid:
            for pipe in (here, *(fork.pipe for fork in self._forks)):
                pipe.close()
            _run_and_exit(self._session, first, self._turns, self._queue, there)
        there.close()
        self._forks.append(_Fork(pid=pid, sentinel=os.pidfd_open(pid), pipe=here, to_run=deque(first)))

    def _hear(self, fork: _Fork) -> None:
        try:
            said = fork.pipe.recv() if fork.told and fork.pipe.poll() else ()
        except (EOFError, OSError):
            fork.told = False
            return
        if said is None:
            fork.through = True
        elif isinstance(said, int):
            fork.to_run.extend(self._turns[said])
        elif isinstance(said, str):
            fork.under_way = said
            fork.to_run.popleft()
            self._begun += 1
        elif said:
            self._report(self._session.config.hook.pytest_report_from_serializable(config=self._session.config, data=said))

    def _reap(self, fork: _Fork) -> None:
        _, status = os.waitpid(fork.pid, 0)
        os.close(fork.sentinel)
        fork.pipe.close()
        self._forks.remove(fork)
        if fork.through:
            return
        how = f"by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"with exit code {os.WEXITSTATUS(status)}"
        self._report(
            pytest.TestReport(
                nodeid=fork.under_way,
                location=(fork.under_way.partition("::")[0], None, fork.under_way),
                keywords={},
                outcome="failed",
                longrepr=f"the process that ran it ended {how}: another one runs the tests after it",
                when="call",
            )
        )
        # one that has begun nothing would be followed by others without end
        if fork.under_way and not self._session.shouldfail:
            self._fork(list(fork.to_run))

    def _report(self, report: pytest.TestReport) -> None:
        self._session.config.hook.pytest_runtest_logreport(report=report)
        if self._session.shouldfail:
            self._take_no_more()

    def _take_no_more(self) -> None:
        """No further turn is begun."""
        while os.read(self._queue, 4096):
            pass


def _run_and_exit(
    session: pytest.Session, first: Sequence[pytest.Item], turns: Sequence[Sequence[pytest.Item]], queue: int, there: Connection
) -> NoReturn:
    """Run tests until none is left, and end this process without what its parent does at its own end."""
    capture = session.config.pluginmanager.get_plugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    code = 1
    try:
        signal.signal(signal.SIGINT, _interrupted)
        _begin(session.config, capture, there)
        try:
            _run(session, _items(first, turns, queue, there))
            there.send(None)
        finally:
            # what an interrupted test leaves; otherwise the last test has ended all
            with ended_after(session.config, _FIXTURES_END_S):
                pytest_sessionfinish(session)
        code = 0
    except (KeyboardInterrupt, BrokenPipeError):
        # interrupted, or nobody is there any more to be told
        pass
    except BaseException:  # noqa: BLE001  (whatever it is: a fork never goes on as if it were its parent)
        capture.stop_global_capturing()
        traceback.print_exc()
    finally:
        os._exit(code)


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    """Of two interrupts, that of a terminal and that of the parent, the second would interrupt what ends after the first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _begin(config: pytest.Config, capture: CaptureManager, there: Connection) -> None:
    """What is told goes to the parent; what is captured into files of this process's own."""
    capture.stop_global_capturing()
    capture.start_global_capturing()
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(_Telling(config, there), "terminalreporter")


def _run(session: pytest.Session, items: Iterator[pytest.Item]) -> None:
    item = next(items, None)
    while item is not None and not session.shouldfail:
        following = next(items, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        item = following


def _items(first: Sequence[pytest.Item], turns: Sequence[Sequence[pytest.Item]], queue: int, there: Connection) -> Iterator[pytest.Item]:
    yield from first
    while place := os.read(queue, _FILE.size):
        (number,) = _FILE.unpack(place)
        there.send(number)
        yield from turns[number]


class _Telling:
    """Pytest plug-in of a fork: tells its parent which test begins, and how it went.

    It stands in the terminal's place, of which plug-ins ask where they may write (`config.get_terminal_writer`): pytest-timeout writes the
    threads of a test that is over its time. What they write is captured with what the test says.
    """

    def __init__(self, config: pytest.Config, there: Connection) -> None:
        self._config = config
        self._there = there
        self._tw = TerminalWriter(sys.stderr)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._there.send(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of a short phase before or after a test there is nothing to tell when it went well, unless something was measured."""
        if report.passed and report.when in _KEPT_IN_HAND and report.duration < _KEPT_BELOW_S and not report.user_properties:
            return
        self._there.send(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))
