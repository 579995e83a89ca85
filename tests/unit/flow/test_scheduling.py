"""What makes the stages turn: the loop that wake-ups turn, and the clock of the slow sweeps."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from node.domain.errors import JournalError
from node.flow.scheduling import Scheduler, Tick, turn


class Counted:
    """A stage with so much to do, and perhaps an error to raise; it stops the loop when nothing is left for so many steps."""

    def __init__(self, name: str, work: int = 0, *, on_step: Callable[[int], None] = lambda n: None) -> None:
        self.name = name
        self.work = work
        self.steps = 0
        self.on_step = on_step

    def step(self) -> int:
        self.steps += 1
        self.on_step(self.steps)
        if self.work == 0:
            return 0
        self.work -= 1
        return 1


def test_every_stage_runs_until_idle_before_the_loop_waits() -> None:
    """In their order; the loop waits for a wake-up only when nobody has anything to do."""
    order: list[str] = []
    stop = threading.Event()
    first = Counted("first", 3, on_step=lambda _: order.append("first"))
    second = Counted("second", 1, on_step=lambda _: order.append("second"))
    waits: list[float] = []

    def wait(timeout_s: float) -> None:
        waits.append(timeout_s)
        stop.set()

    turn([first, second], wait, stop)
    assert order == ["first"] * 4 + ["second"] * 2 + ["first", "second"]
    assert waits == [1.0]


def test_endless_work_of_one_stage_does_not_starve_the_others() -> None:
    """The index under a flood: settling and delivering go on."""
    stop = threading.Event()
    flood = Counted("flood", 10**9)
    other = Counted("other", on_step=lambda n: stop.set() if n == 3 else None)
    turn([flood, other], lambda _: None, stop)
    assert other.steps == 3
    assert flood.steps <= 200


def test_stages_may_take_turns_step_by_step() -> None:
    """The index beside the word that instances were refused: none waits for a stream to end."""
    order: list[str] = []
    stop = threading.Event()
    stream = Counted("stream", 10**9, on_step=lambda _: order.append("stream"))
    word = Counted("word", on_step=lambda n: stop.set() if n == 3 else order.append("word"))
    turn([stream, word], lambda _: None, stop, burst=1)
    assert order == ["stream", "word"] * 2 + ["stream"]


def test_a_journal_that_is_away_pauses_its_stage_longer_each_time() -> None:
    """0.5, 1, 2, 4 s, …; the other stage is turned in every round, and the failed one resumes by itself."""
    now = 0.0
    tried: list[float] = []
    stop = threading.Event()

    def fail(n: int) -> None:
        tried.append(now)
        if n <= 4:
            raise JournalError("database is locked")

    failing = Counted("failing", on_step=fail)
    other = Counted("other")

    def wait(timeout_s: float) -> None:
        nonlocal now
        now += 0.25
        if now > 10:
            stop.set()

    turn([failing, other], wait, stop, seconds=lambda: now)
    assert tried[:5] == [0.0, 0.5, 1.5, 3.5, 7.5]
    assert tried[5] == 7.75  # it works again: every round
    assert other.steps == 41


def test_a_defect_ends_the_loop() -> None:
    """What is no HilumError is a defect: the supervisor starts the process again, nothing goes on half-broken."""

    def broken(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        turn([Counted("broken", on_step=broken)], lambda _: None, threading.Event())


def test_the_loop_ends_in_the_middle_of_work() -> None:
    """SIGTERM does not wait until everything is done."""
    stop = threading.Event()
    busy = Counted("busy", 10**9, on_step=lambda n: stop.set() if n == 5 else None)
    turn([busy], lambda _: None, stop)
    assert busy.steps == 5


def test_the_clock_ticks_until_it_is_stopped() -> None:
    """Real APScheduler, real time, hundredths of a second: three ticks come, and after `stop` none."""
    three = threading.Event()
    ticking = Counted("sweep", on_step=lambda n: three.set() if n == 3 else None)
    clock = Scheduler([Tick(stage=ticking, every=timedelta(seconds=0.01))])
    clock.start()
    assert three.wait(30)
    assert any(thread.name == "APScheduler" for thread in threading.enumerate())
    clock.stop()
    assert not any(thread.name == "APScheduler" for thread in threading.enumerate())


def test_a_sweep_that_fails_is_swept_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors and defects become events; the next tick comes."""
    again = threading.Event()

    def fail(n: int) -> None:
        if n == 1:
            raise JournalError("the disk is full")
        if n == 2:
            raise ZeroDivisionError
        again.set()

    clock = Scheduler([Tick(stage=Counted("sweep", on_step=fail), every=timedelta(seconds=0.01))])
    clock.start()
    assert again.wait(30)
    clock.stop()
    told = capsys.readouterr()
    assert "HLM-7000" in told.out + told.err
    assert "ZeroDivisionError" in told.out + told.err


def test_stopping_waits_for_the_sweep_under_way() -> None:
    """So that the journal is not closed under it."""
    entered, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(n: int) -> None:
        entered.set()
        assert go_on.wait(30)
        ended.set()

    clock = Scheduler([Tick(stage=Counted("slow", on_step=slow), every=timedelta(seconds=0.01))])
    clock.start()
    assert entered.wait(30)
    threading.Timer(0.05, go_on.set).start()
    clock.stop()
    assert ended.is_set()
