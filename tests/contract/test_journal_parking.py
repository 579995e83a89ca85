"""The contract of node.journal.routing: arrivals that cannot be routed."""

from datetime import timedelta

import pytest

from node.domain.arrival import Completeness
from node.domain.state import ArrivalState
from node.journal.errors import TransitionRefused
from node.journal.port import CameAgain
from tests.unit.journal.story import QUIET, START, Story

_WHY = ("HLM-3089", "the process that routed it ended in the middle of it")
_YEAR = timedelta(days=365)


def complete(story: Story, study: str = "1.1") -> int:
    arrival = story.arrival(study)
    assert story.journal.arrivals.complete(arrival.id, Completeness.QUIET, story.now)
    return arrival.id


def fail(story: Story, arrival: int, times: int = 3) -> None:
    """Routing fails, of three attempts that there are."""
    for _ in range(times):
        story.journal.routing.failed(arrival, *_WHY, "config 1", story.now, most=3)


def test_attempts_are_counted_and_the_last_one_parks(story: Story) -> None:
    """Each with its reason and its event; parked it stands there with both, and counts as such."""
    story.receive(1, 2)
    arrival = complete(story)
    fail(story, arrival, 2)
    (tried,) = story.journal.arrivals.find()
    assert (tried.state, tried.attempts, tried.code, tried.reason) == (ArrivalState.COMPLETE, 2, *_WHY)
    assert story.journal.routing.failed(arrival, *_WHY, "config 1", story.now, most=3) == 3
    (parked,) = story.journal.arrivals.find(states=(ArrivalState.PARKED,))
    assert (parked.state, parked.attempts, parked.code, parked.reason) == (ArrivalState.PARKED, 3, *_WHY)
    assert story.names("arrival", arrival)[-3:] == ["arrival.retry", "arrival.retry", "arrival.parked"]
    assert [(one.state, one.count) for one in story.journal.census.take(story.now).arrivals] == [(ArrivalState.PARKED, 1)]


def test_only_what_is_complete_can_fail(story: Story) -> None:
    """An open one has not been tried; one that was routed, or is parked, is over: its process died behind the commit."""
    story.receive(1, 2)
    opened = story.arrival().id
    assert story.journal.routing.failed(opened, *_WHY, "config 1", story.now, most=1) == 0
    story.route(story.job_asked())
    assert story.journal.routing.failed(opened, *_WHY, "config 1", story.now, most=1) == 0
    assert story.arrival().attempts == 0
    with pytest.raises(TransitionRefused):
        story.journal.routing.put_back(opened, story.now)


def test_what_has_not_been_tried_comes_first(story: Story) -> None:
    """Behind a study that takes its time, or a process, the others are not."""
    story.receive(1)
    story.receive(2, study_instance_uid="2.1", series_instance_uid="2.1.1")
    first, second = complete(story), complete(story, "2.1")
    fail(story, first, 1)
    listed = story.journal.routing.waiting(20)
    assert [one.id for one in listed] == [second, first]


def test_what_is_put_back_is_as_new(story: Story) -> None:
    """Complete, with no attempt; its way goes on as if nothing had been."""
    story.receive(1, 2)
    arrival = complete(story)
    fail(story, arrival)
    story.journal.routing.put_back(arrival, story.now)
    back = story.arrival()
    assert (back.state, back.attempts, back.code, back.reason) == (ArrivalState.COMPLETE, 0, None, None)
    assert story.journal.routing.config_digest(arrival) is None


def test_the_same_again_opens_nothing_under_the_same_configuration(story: Story) -> None:
    """A sender that tries again for ever brings no process down for ever; under another configuration it is tried again."""
    ids = story.receive(1, 2)
    fail(story, complete(story))

    def again(config: str) -> None:
        came = CameAgain(
            instance=ids[0], peer="ct1", called_ae="HILUM", scope_series=False, due_at=story.now + QUIET, received_at=story.now
        )
        story.journal.instances.came_again([came], config, story.now)

    again("config 1")
    assert story.arrival().revision == 1
    again("config 2")
    assert (story.arrival().revision, story.arrival().state) == (2, ArrivalState.RECEIVED)


def test_a_revision_that_is_routed_ends_the_waiting_of_the_parked_one(story: Story) -> None:
    """It has all its instances; one that is only open has not decided anything yet."""
    story.receive(1, 2)
    parked = complete(story)
    fail(story, parked)
    story.receive(3)
    assert [one.state for one in story.journal.arrivals.find()] == [ArrivalState.PARKED, ArrivalState.RECEIVED]
    (job,) = story.route(story.job_asked())
    assert [one.state for one in story.journal.arrivals.find()] == [ArrivalState.ROUTED] * 2
    assert len(story.journal.instances.of_job(job)) == 3


def test_its_pixels_are_kept_as_long_as_those_of_a_parked_job(story: Story) -> None:
    """A person may put it back; after the time that parked jobs have, nobody did."""
    story.receive(1, 2)
    fail(story, complete(story))
    assert story.journal.retention.purgeable(START + _YEAR) == []
    assert len(story.journal.retention.purgeable(START + _YEAR, parked=True)) == 2
