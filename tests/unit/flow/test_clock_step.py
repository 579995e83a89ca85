"""The clock goes back by an hour: what waited for a moment goes on waiting for as long as it was meant to, not for an hour."""

from datetime import timedelta

from node.domain.state import ArrivalState, JobState
from node.flow.clock_step import ClockStep
from node.flow.lease import LENGTH
from node.flow.settle import SettleStage
from tests.unit.flow.mini import CountingPeer, MiniNode

HOUR_S = 3600.0


class MonotonicClock:
    """Seconds that only grow."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_study_settles_after_its_quiet_window_although_the_clock_went_back(node: MiniNode) -> None:
    """Received, then an hour earlier: the window runs anew from there; without the stage the study waits for an hour."""
    monotonic = MonotonicClock()
    backwards = ClockStep(node.journal.processes, node.config, node.clock, seconds=monotonic)
    settle = SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer())
    assert backwards.step() == 0
    node.receive("1.1", "1.1.1")
    node.clock.advance(-HOUR_S)
    monotonic.seconds += 1
    node.clock.advance(60)
    monotonic.seconds += 60
    assert settle.step() == 0
    assert backwards.step() == 1
    (arrival,) = node.arrivals()
    assert arrival.due_at - node.clock() == node.rule("ct1").quiet
    node.clock.advance(node.rule("ct1").quiet.total_seconds())
    monotonic.seconds += node.rule("ct1").quiet.total_seconds()
    assert settle.step() == 1
    assert [one.state for one in node.arrivals()] == [ArrivalState.COMPLETE]
    assert backwards.step() == 0


def test_a_clock_that_went_back_while_nothing_ran_is_noticed_at_the_start(node: MiniNode) -> None:
    """There is nothing to compare with yet, but what is due later than anything is ever put off says enough."""
    node.receive("1.1", "1.1.1")
    node.clock.advance(-HOUR_S)
    assert ClockStep(node.journal.processes, node.config, node.clock, seconds=MonotonicClock()).step() == 1


def test_retries_and_leases_come_near_too(node: MiniNode) -> None:
    """A job that is to be tried again in five seconds is tried at once; a lease that a dead host left ends when the longest would."""
    job, lease = node.inferred_job()
    node.journal.jobs.retry(job, lease, node.clock() + timedelta(seconds=5), "HLM-4000", "later", node.clock(), count_attempt=True)
    other, _ = node.inferred_job("2.2")
    node.clock.advance(-HOUR_S)
    assert node.journal.jobs.claim("work", node.clock(), LENGTH) is None
    assert ClockStep(node.journal.processes, node.config, node.clock, seconds=MonotonicClock()).step() == 3, "both are due, one is held"
    claimed = node.journal.jobs.claim("work", node.clock(), LENGTH)
    assert claimed is not None
    assert (claimed.id, claimed.state) == (job, JobState.INFERRED)
    assert node.journal.jobs.claim("work", node.clock(), LENGTH) is None
    node.clock.advance(16 * 60)
    freed = node.journal.jobs.claim("work", node.clock(), LENGTH)
    assert freed is not None
    assert freed.id in (job, other)


def test_what_is_put_off_as_usual_stays_where_it_is(node: MiniNode) -> None:
    """Clocks that are disciplined, or put forward, change nothing."""
    monotonic = MonotonicClock()
    backwards = ClockStep(node.journal.processes, node.config, node.clock, seconds=monotonic)
    node.receive("1.1", "1.1.1")
    (before,) = node.arrivals()
    for seconds in (0.0, -0.2, 5.0, HOUR_S):
        node.clock.advance(seconds)
        assert backwards.step() == 0
    assert node.arrivals() == [before]
