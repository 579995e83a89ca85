"""How senders pause, in the journal: kept at an arrival when it is complete, of what came for it, and read back in order."""

from collections.abc import Callable
from datetime import timedelta

from node.domain.arrival import ArrivalGap, Completeness
from node.domain.shortage import Lack, NewHold, Shortage
from node.journal.journal import Journal
from tests.unit.journal.story import DECISION, Story

SECOND = timedelta(seconds=1)


def _complete(story: Story, study: str = "1.1", by: Completeness = Completeness.QUIET) -> int:
    arrival = story.arrival(study)
    assert story.journal.arrivals.complete(arrival.id, by, story.now)
    return arrival.id


def _gaps(story: Story) -> list[ArrivalGap]:
    return story.journal.arrivals.pauses_from("ct1", 100)


def _gap(largest_s: float, after_s: float | None = None) -> ArrivalGap:
    after = None if after_s is None else after_s * SECOND
    return ArrivalGap(study_instance_uid="1.1", series_instance_uid=None, largest=largest_s * SECOND, after=after)


def test_the_largest_pause_of_an_arrival_is_kept_when_it_is_complete(story: Story) -> None:
    """Over its series, whatever the order in which its instances were journaled; nothing is said of one that is open."""
    began = story.now
    story.receive(1, received_at=began)
    story.receive(4, 5, received_at=began + 9 * SECOND, series_instance_uid="1.1.2")
    story.receive(3, received_at=began + 4 * SECOND)
    story.receive(2, received_at=began + SECOND)
    assert _gaps(story) == []
    _complete(story)
    assert _gaps(story) == [_gap(5)]
    assert story.journal.arrivals.pauses_from("pacs", 100) == []


def test_a_revision_says_what_came_for_it_and_after_how_long(story: Story) -> None:
    """Three more instances seven seconds later, two seconds apart: not what its predecessor had already."""
    story.receive(1)
    story.now += 3 * SECOND
    story.receive(2)
    _complete(story)
    story.now += 7 * SECOND
    story.receive(3)
    story.now += 2 * SECOND
    story.receive(4, 5)
    _complete(story, by=Completeness.OPERATOR)
    assert _gaps(story) == [_gap(3), _gap(2, 7)]


def test_what_is_opened_for_something_else_says_nothing(story: Story) -> None:
    """An arrival that waits for the rest of a series, of which nothing comes, is complete without a pause; when the rest comes, the time
    since the last instance is one, however often it was routed meanwhile."""
    story.receive(1)
    first = _complete(story)
    hold = NewHold(
        series_instance_uid="1.1.1",
        route="abdomen",
        shortage=Shortage(lack=Lack.COUNT, came=1, expected=2),
        until=story.now + 60 * SECOND,
    )
    story.journal.routing.route(first, [DECISION], [], "config 1", story.now, waits=(hold.until, "short"), holds=[hold])
    story.now += 60 * SECOND
    _complete(story)
    assert _gaps(story) == [_gap(0)]
    story.now += 5 * SECOND
    story.receive(2)
    _complete(story)
    (_, late) = _gaps(story)
    assert (late.largest, round((late.after or SECOND).total_seconds(), 3)) == (timedelta(0), 65.0)


def test_the_newest_are_read_the_oldest_first(story: Story) -> None:
    """As many as are asked for, of that peer alone, also where series settle one by one."""
    for number in range(1, 6):
        peer = "pacs" if number == 2 else "ct1"
        news = [story.new(story.instance(number, study_instance_uid=f"1.{number}", peer=peer), series=number == 5)]
        story.journal.instances.record(news, story.now)
        latest = story.arrival(f"1.{number}", "1.1.1" if number == 5 else None, peer)
        assert story.journal.arrivals.complete(latest.id, Completeness.QUIET, story.now)
    found = story.journal.arrivals.pauses_from("ct1", 3)
    assert [(one.study_instance_uid, one.series_instance_uid) for one in found] == [("1.3", None), ("1.4", None), ("1.5", "1.1.1")]


def test_pauses_outlive_the_process(journal_url: str, opened: Callable[[str], Journal]) -> None:
    """Another process that opens the journal reads the same."""
    story = Story(opened(journal_url))
    story.receive(1)
    story.now += 4 * SECOND
    story.receive(2)
    _complete(story)
    assert opened(journal_url).arrivals.pauses_from("ct1", 1) == [_gap(4)]
