"""What a collector of traces is told, when it is away, and of how many studies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from node.domain.arrival import Completeness
from node.domain.state import JobState
from node.journal.journal import Journal
from node.observe.spans import ATTRIBUTES, CollectorAway, TraceSpan
from node.upkeep.traces import TraceStage
from tests.lab import empty_journal
from tests.unit.journal.story import DECISION, Story


@dataclass
class Desk:
    """A collector that keeps what it is told."""

    story: Story
    told: list[TraceSpan] = field(default_factory=list)
    asked: int = 0
    away: bool = False
    takes_all_the_same: bool = False

    def send(self, spans: Sequence[TraceSpan]) -> None:
        """Take them, or not."""
        self.asked += 1
        if not self.away or self.takes_all_the_same:
            self.told += spans
        if self.away:
            raise CollectorAway("http://127.0.0.1:4318/v1/traces took no spans")

    def close(self) -> None:
        """Nothing is open."""

    def stage(self, sample: float = 1.0) -> TraceStage:
        """What a process makes at its start."""
        made = TraceStage(self.story.journal, lambda: self.story.now, sample, lambda: self)
        made.begin()
        return made

    def names(self) -> list[str]:
        """Of all that was told, in its order."""
        return [one.name for one in self.told]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    journal = Journal.open(empty_journal.make(f"sqlite:{tmp_path}/hilum.db"))
    journal.store.belong("0123456789abcdef")
    made = Desk(Story(journal))
    made.stage()  # the history is followed from now on
    yield made
    journal.close()


def test_steps_are_told_as_they_end_and_what_is_told_twice_is_the_same(desk: Desk) -> None:
    """A collector that took spans and did not say so, or a process that died before it had noted that: another process makes the very same
    spans, so that nothing is there twice."""
    desk.away = desk.takes_all_the_same = True
    desk.story.queued()
    desk.stage().step()
    first = list(desk.told)
    assert desk.names() == ["arrival", "receive", "settle", "route"]
    assert len({one.trace for one in first}) == 1
    assert {one.parent for one in first[1:]} == {first[0].id}
    assert len({one.id for one in first}) == 4
    desk.away = False
    desk.story.now += timedelta(seconds=3)
    assert desk.stage().step() > 0
    assert desk.told[4:] == first


def test_a_job_that_is_parked_says_what_it_waited_for_and_its_code(desk: Desk) -> None:
    """Waiting for a worker is apart from the work; nothing but the code says why."""
    stage = desk.stage()
    job = desk.story.queued()
    desk.story.now += timedelta(seconds=3)
    claimed = desk.story.claim()
    desk.story.now += timedelta(seconds=40)
    assert claimed.lease is not None
    desk.story.journal.jobs.end(job, claimed.lease, JobState.PARKED, "HLM-3102", "DOE^JANE is too short", desk.story.now)
    stage.step()
    waited, analysed = (next(one for one in desk.told if one.name == name) for name in ("wait", "analyse"))
    assert ((waited.end - waited.begin).total_seconds(), (analysed.end - analysed.begin).total_seconds()) == (3, 40)
    assert (waited.failed, analysed.failed, analysed.attributes["hilum.code"]) == (False, True, "HLM-3102")
    assert {name for one in desk.told for name in one.attributes} <= set(ATTRIBUTES)
    assert "DOE" not in repr(desk.told)


def test_an_arrival_that_was_parked_and_put_back_has_a_span_of_each_try(desk: Desk) -> None:
    """Routing failed; a day later the operator puts it back, and it is routed. Nothing is told under one identifier with two ends, and
    the arrival as a whole once it is routed."""
    stage, journal = desk.stage(), desk.story.journal
    desk.story.receive(1, 2, 3)
    arrival = desk.story.arrival().id
    assert journal.arrivals.complete(arrival, Completeness.QUIET, desk.story.now)
    desk.story.now += timedelta(seconds=5)
    journal.routing.failed(arrival, "HLM-9000", "a defect", "config 1", desk.story.now, most=1)
    stage.step()
    assert desk.names() == ["receive", "settle", "route"]
    desk.story.now += timedelta(days=1)
    journal.routing.put_back(arrival, desk.story.now)
    desk.story.now += timedelta(seconds=2)
    journal.routing.route(arrival, [DECISION], [], "config 1", desk.story.now)
    stage.step()
    assert desk.names()[3:] == ["arrival", "receive", "settle", "route"]
    of_one_id: dict[bytes, TraceSpan] = {}
    assert [one for one in desk.told if of_one_id.setdefault(one.id, one) != one] == []
    first, second = (one for one in desk.told if one.name == "route")
    assert [(one.failed, (one.end - one.begin).total_seconds()) for one in (first, second)] == [(True, 5), (False, 2)]
    (whole,) = (one for one in desk.told if one.name == "arrival")
    assert (whole.id, whole.failed, whole.end) == (second.parent, False, second.end)
    assert first.parent == whole.id


def test_an_arrival_that_a_later_revision_overtakes_while_it_is_parked_was_not_routed_for_so_long(desk: Desk) -> None:
    """It counts as routed, and nobody tried: one span of routing, which failed."""
    stage, journal = desk.stage(), desk.story.journal
    desk.story.receive(1, 2, 3)
    assert journal.arrivals.complete(desk.story.arrival().id, Completeness.QUIET, desk.story.now)
    desk.story.now += timedelta(seconds=5)
    journal.routing.failed(desk.story.arrival().id, "HLM-9000", "a defect", "config 1", desk.story.now, most=1)
    desk.story.now += timedelta(minutes=5)
    desk.story.receive(4)
    desk.story.route()
    stage.step()
    overtaken = {one.trace for one in desk.told if one.name == "route" and one.failed}
    assert [one.name for one in desk.told if one.trace in overtaken] == ["receive", "settle", "route", "arrival", "receive", "settle"]


def test_each_association_of_a_study_is_a_span_of_its_own(desk: Desk) -> None:
    """From the first instance that it brought to the last, and how many; what comes late tells of its own alone."""
    stage, began = desk.stage(), desk.story.now
    desk.story.receive(1, 2, association="6f0c1d5e7a21")
    desk.story.now += timedelta(seconds=4)
    desk.story.receive(3, association="6f0c1d5e7a21")
    desk.story.receive(4, association="0b9a3c44d1f2")
    desk.story.route()
    stage.step()
    said = [(one.begin - began, one.end - began, one.attributes) for one in desk.told if one.name == "association"]
    four = timedelta(seconds=4)
    assert said == [(timedelta(0), four, {"hilum.instances": 3}), (four, four, {"hilum.instances": 1})]
    assert len({one.id for one in desk.told}) == len(desk.told)
    assert {one.parent for one in desk.told if one.name == "association"} == {one.id for one in desk.told if one.name == "arrival"}
    desk.told.clear()
    desk.story.receive(5, association="aa00aa00aa00")
    desk.story.route()
    stage.step()
    assert [one.attributes for one in desk.told if one.name == "association"] == [{"hilum.instances": 1}]
    assert "6f0c1d5e7a21" not in repr(desk.told)


def test_a_collector_that_is_away_is_asked_again_each_half_minute_and_told_what_is_younger_than_an_hour(desk: Desk) -> None:
    """What it missed meanwhile is told when it is back, and nothing was asked of it in between."""
    stage = desk.stage()
    desk.away = True
    desk.story.queued()
    for _ in range(5):
        assert stage.step() == 0
    assert desk.asked == 1
    desk.story.now += timedelta(seconds=31)
    assert (stage.step(), desk.asked) == (0, 2)
    desk.away = False
    desk.story.now += timedelta(seconds=31)
    assert stage.step() > 0
    assert desk.names() == ["arrival", "receive", "settle", "route"]
    desk.away = True
    desk.story.queued(input_digest="inputs 2")
    stage.step()
    desk.away = False
    desk.story.now += timedelta(hours=1, seconds=1)
    assert stage.step() > 0, "passed over"
    assert len(desk.told) == 4


def test_a_sample_is_of_whole_arrivals_and_as_large_as_was_asked(desk: Desk) -> None:
    """The same ones whoever asks: of 120 some 30 by a quarter, within what chance leaves (binomial, five deviations: 6 to 54)."""
    stage = desk.stage(0.25)
    for number in range(120):
        desk.story.receive(number, study_instance_uid=f"2.{number}", series_instance_uid=f"2.{number}.1")
        desk.story.route(study=f"2.{number}")
    while stage.step():
        pass
    traces = {one.trace for one in desk.told}
    assert 6 <= len(traces) <= 54
    assert len(desk.told) == 4 * len(traces)
