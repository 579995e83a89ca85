"""What one arrival or one file brings ends no other's way: bounded steps, and what processes died over."""

import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from node.domain.state import ArrivalState, JobState
from node.flow import route as route_stage
from node.flow.index import NotUnderstood
from node.flow.route import RouteStage, RoutingBroke, RoutingDied
from node.flow.settle import SettleStage
from node.flow.time_limits import TookTooLong, within
from node.journal.errors import JournalAway, JournalStrange, TransitionRefused
from node.observe.pulse import InHand
from node.observe.shared_memory import SharedCells
from node.routing.series import SeriesContent
from tests.unit.flow.mini import APPLICATION, CountingPeer, MiniNode

_POISON = "1.1.1"


def for_ever() -> None:
    while True:
        pass


@pytest.fixture
def complete(node: MiniNode) -> MiniNode:
    """Two complete studies, the older one of which nobody can route."""
    node.receive("1.1", _POISON, range(1, 5))
    node.receive("2.1", "2.1.1", range(1, 5))
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    return node


def stage_of(node: MiniNode, in_hand: InHand | None = None) -> RouteStage:
    return RouteStage(node.journal, node.config, node.clock, lambda _: "default", lambda _: APPLICATION, in_hand=in_hand)


def poisoned(does: Callable[[], None]) -> "mock._patch[property]":
    """The view of one series is what `does` it."""
    view = SeriesContent.view.func  # type: ignore[attr-defined]

    def read(self: SeriesContent) -> object:
        if self.series_instance_uid == _POISON:
            does()
        return view(self)

    return mock.patch.object(SeriesContent, "view", property(read))


@pytest.mark.slow
def test_a_loop_without_an_end_is_ended_by_its_processor_time() -> None:
    """And what waits, as long as it likes, is not: a machine that is busy with other things parks no good study."""
    began = time.thread_time()
    with pytest.raises(TookTooLong, match=r"reading a header took more than 0\.2 s of processor time"):
        within(0.2, "reading a header", for_ever)
    assert 0.2 <= time.thread_time() - began < 5
    assert within(0.2, "waiting", lambda: time.sleep(1.5)) is None


@pytest.mark.slow
def test_nothing_is_raised_behind_the_step() -> None:
    """A step that ends in the moment in which it is ended leaves no exception for what comes after it."""
    for most_s in (0.001, 0.01, 0.05):
        until = time.thread_time() + 0.5

        def nearly(until: float = until) -> None:
            while time.thread_time() < until:
                pass

        try:
            within(most_s, "a step", nearly)
        except TookTooLong:
            continue
    until = time.thread_time() + 0.3
    while time.thread_time() < until:
        pass


@pytest.mark.slow
def test_an_arrival_that_takes_too_long_is_parked_and_the_others_are_routed(complete: MiniNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three attempts, each behind everything that was not tried yet; then a person decides, and the reason stands there."""
    monkeypatch.setattr(route_stage, "of_instances", lambda _: 0.2)
    stage = stage_of(complete)
    with poisoned(for_ever), capture_logs() as events:
        assert stage.step() == 2
        (job,) = complete.jobs()
        assert (job.study_instance_uid, job.state) == ("2.1", JobState.QUEUED)
        first = complete.journal.arrivals.find(study="1.1")[0]
        assert (first.state, first.attempts, first.code) == (ArrivalState.COMPLETE, 1, TookTooLong.code)
        assert (stage.step(), stage.step(), stage.step()) == (1, 1, 0)
    parked = complete.journal.arrivals.find(study="1.1")[0]
    assert (parked.state, parked.attempts, parked.code) == (ArrivalState.PARKED, 3, TookTooLong.code)
    assert parked.reason == "matching and deciding took more than 0.2 s of processor time"
    assert [one["event"] for one in events if one["event"].startswith("arrival.") and one["arrival"] == parked.id] == [
        "arrival.retry",
        "arrival.retry",
        "arrival.parked",
    ]
    assert [one.name for one in complete.journal.events.of("arrival", parked.id)][-1] == "arrival.parked"


def test_a_defect_in_deciding_parks_the_arrival_and_not_the_node(complete: MiniNode) -> None:
    """The words of a defect may quote the patient: the reason has its kind alone."""

    def breaks() -> None:
        raise TypeError("DOE^JANE")

    stage = stage_of(complete)
    with poisoned(breaks), capture_logs() as events:
        while stage.step():
            pass
    parked = complete.journal.arrivals.find(study="1.1")[0]
    assert (parked.state, parked.code, parked.reason) == (
        ArrivalState.PARKED,
        RoutingBroke.code,
        "routing it met a defect: TypeError",
    )
    assert "DOE" not in str(events)
    assert any("test_poison.py" in str(one.get("trace")) for one in events)
    assert len(complete.jobs()) == 1


def test_a_row_that_no_hilum_wrote_parks_its_arrival_and_no_other(complete: MiniNode) -> None:
    """The header of one instance in the journal is damaged: who looks at it cannot route its study, and has no reason to rest for it."""
    with complete.journal.database.writing() as connection:
        connection.execute(
            text("UPDATE instance SET header_delta = '{\"set\": [' WHERE series_instance_uid = :series"), {"series": _POISON}
        )
    stage = stage_of(complete)
    while stage.step():
        pass
    parked = complete.journal.arrivals.find(study="1.1")[0]
    assert (parked.state, parked.code) == (ArrivalState.PARKED, JournalStrange.code)
    assert [job.study_instance_uid for job in complete.jobs()] == ["2.1"]


def test_what_cannot_be_read_is_parked_with_its_own_reason(complete: MiniNode) -> None:
    """A refusal that hilum can name parks the arrival as a defect does, and is no reason for the stage to rest."""

    def refuses() -> None:
        raise NotUnderstood("its header ends in the middle")

    stage = stage_of(complete)
    with poisoned(refuses):
        while stage.step():
            pass
    parked = complete.journal.arrivals.find(study="1.1")[0]
    assert (parked.state, parked.code, parked.reason) == (ArrivalState.PARKED, NotUnderstood.code, "its header ends in the middle")
    assert len(complete.jobs()) == 1


def test_what_is_put_back_is_routed_as_if_for_the_first_time(complete: MiniNode) -> None:
    """Once hilum is mended: one job, as it would have been made, and nothing is said of the attempts any more."""

    def breaks() -> None:
        raise TypeError

    stage = stage_of(complete)
    with poisoned(breaks):
        while stage.step():
            pass
    (arrival,) = complete.journal.arrivals.find(study="1.1")
    complete.journal.routing.put_back(arrival.id, complete.clock())
    assert stage.step() == 1
    (routed,) = complete.journal.arrivals.find(study="1.1")
    assert (routed.state, routed.attempts, routed.code, routed.reason) == (ArrivalState.ROUTED, 0, None, None)
    assert len(complete.jobs()) == 2
    with pytest.raises(TransitionRefused):
        complete.journal.routing.put_back(arrival.id, complete.clock())


class _Killed(BaseException):
    """SIGKILL: nothing of hilum gets to say a word."""


def test_the_process_that_comes_after_counts_the_death_and_the_third_parks(complete: MiniNode) -> None:
    """The arrival in hand stands in memory that outlives the process: no write more while all goes well."""
    cells = SharedCells.make()

    def dies() -> None:
        raise _Killed

    (arrival,) = complete.journal.arrivals.find(study="1.1")
    for death in (1, 2, 3):
        stage = stage_of(complete, InHand("arrival", SharedCells.attach(cells.descriptor)))
        stage.blame()
        with poisoned(dies), pytest.raises(_Killed):
            stage.step()
        # once it has been tried, it is so behind the other one
        assert len(complete.jobs()) == (0 if death == 1 else 1)
    after = stage_of(complete, InHand("arrival", SharedCells.attach(cells.descriptor)))
    after.blame()
    parked = complete.journal.arrivals.get(arrival.id)
    assert parked is not None
    assert (parked.state, parked.attempts, parked.code) == (ArrivalState.PARKED, 3, RoutingDied.code)
    with poisoned(dies):
        assert after.step() == 0
    after.blame()
    assert complete.journal.arrivals.get(arrival.id) == parked, "it is counted once"


def test_a_process_that_dies_behind_the_commit_blames_nothing(complete: MiniNode) -> None:
    """The arrival was routed: it is no more in hand than any other."""
    cells = SharedCells.make()
    stage_of(complete).step()
    (arrival,) = complete.journal.arrivals.find(study="1.1")
    InHand("arrival", cells).take(arrival.id)
    stage_of(complete, InHand("arrival", cells)).blame()
    assert complete.journal.arrivals.get(arrival.id) == arrival


def test_a_journal_that_is_away_is_no_arrivals_fault(complete: MiniNode) -> None:
    """The stage rests as it always did; a process that ends meanwhile had nothing in hand."""
    cells = SharedCells.make()
    stage = stage_of(complete, InHand("arrival", cells))
    away = mock.patch.object(complete.journal.instances, "of_study", side_effect=JournalAway("it does not answer"))
    with away, pytest.raises(JournalAway):
        stage.step()
    assert InHand("arrival", cells).number == 0
    assert [one.attempts for one in complete.journal.arrivals.find()] == [0, 0]


def test_what_comes_later_takes_the_place_of_what_is_parked(complete: MiniNode, tmp_path: Path) -> None:
    """A later revision that can be routed has all that the parked one has: nobody need decide about that any more."""

    def breaks() -> None:
        raise TypeError

    stage = stage_of(complete)
    with poisoned(breaks):
        while stage.step():
            pass
    complete.receive("1.1", _POISON, range(5, 7))
    complete.clock.advance(60)
    SettleStage(complete.journal, complete.config, complete.clock, lambda _: CountingPeer()).step()
    assert stage.step() == 1
    told = [(one.state, one.code, one.reason) for one in complete.journal.arrivals.find(study="1.1")]
    assert told == [(ArrivalState.ROUTED, None, None)] * 2
    (job,) = [one for one in complete.jobs() if one.study_instance_uid == "1.1"]
    assert len(complete.journal.instances.of_job(job.id)) == 6
