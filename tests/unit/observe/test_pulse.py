"""Signs of life: of loops that turn, not of a thread that always lives."""

import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from node.observe import pulse
from node.observe.pulse import Pulse, at_most, turning
from node.observe.shared_memory import SharedCells
from tests.lab.program import wait_until

_SILENT_S = 3.0
_LOOPING = """
import sys, threading
from node.observe.shared_memory import SharedCells
from node.observe.pulse import Pulse, at_most, turned, turning

Pulse(SharedCells.attach(int(sys.argv[1]))).beat_on()
with turning("one that turns for each line"):
    for line in sys.stdin:
        turned()
        if line == "long\\n":
            with at_most(600):
                sys.stdin.readline()
        if line == "over\\n":
            with at_most(0.1), at_most(2):
                threading.Event().wait()
        if line == "lock\\n":
            lock = threading.Lock()
            lock.acquire(), lock.acquire()
        if line == "loop\\n":
            while True:
                pass
sys.stdin = None
threading.Event().wait()
"""


class _Looping:
    """A process whose only loop turns as often as it is told to."""

    def __init__(self) -> None:
        cells = SharedCells.make()
        self._pulse = Pulse(cells)
        command = [sys.executable, "-c", _LOOPING, str(cells.descriptor)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(cells.descriptor,), text=True)
        wait_until(lambda: self._pulse.at_s > 0, 60, "it gives a sign of life")

    def told(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def is_heard_again(self) -> None:
        """It gives signs for longer than one that stands would."""
        first = time.monotonic()
        wait_until(lambda: self._pulse.at_s > first, 30, "it gives a sign")
        wait_until(lambda: self._pulse.at_s > first + _SILENT_S + 1, 30, "it goes on giving signs")

    def falls_silent(self) -> None:
        wait_until(lambda: time.monotonic() - self._pulse.at_s > _SILENT_S, 30, "it falls silent")
        assert self.process.poll() is None, "the process itself runs on"
        last = self._pulse.at_s
        time.sleep(1.5)  # the thread that gives the signs comes round every second
        assert self._pulse.at_s == last


@pytest.fixture
def looping() -> Iterator[_Looping]:
    one = _Looping()
    yield one
    one.process.kill()
    one.process.wait()


def test_a_process_is_silent_while_its_loop_stands_and_heard_again_when_it_turns(looping: _Looping) -> None:
    """A step that may take long says so: for as long as it may, nobody takes it for one that stands."""
    looping.told("turn")
    looping.falls_silent()
    looping.told("long")
    looping.is_heard_again()
    looping.told("end of the long step")
    looping.falls_silent()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["lock", "loop", "over"])
def test_a_deadlock_and_an_endless_loop_are_no_life(looping: _Looping, how: str) -> None:
    """The interpreter runs, other threads have their turns: the loop that matters does not. Nor is a step beyond what it may take."""
    looping.told(how)
    looping.falls_silent()


def test_a_loop_that_has_ended_is_not_waited_for(looping: _Looping) -> None:
    """A process that drains has fewer loops, and is none that stands."""
    assert looping.process.stdin is not None
    looping.process.stdin.close()
    looping.is_heard_again()


def test_what_a_step_within_a_step_takes_is_not_taken_off_the_outer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job may analyse for an hour, and has all of its five minutes for what stands between its long steps."""
    now_s = 1000.0
    monkeypatch.setattr(pulse, "time", SimpleNamespace(monotonic=lambda: now_s))
    with turning("jobs"), at_most(300):
        loop = pulse.loop_of_this_thread()
        assert loop is not None
        now_s += 100
        with at_most(7200):
            now_s += 3600
        now_s += 199
        assert loop.sign(now_s) == now_s
        now_s += 11
        assert loop.sign(now_s) == now_s - 10
