"""The contract of node.journal.journal, on every database: the census counts what has not ended, and what ended badly."""

from datetime import timedelta

from node.domain.job import ArrivalsIn, Census, DeliveriesIn, JobsIn, Priority
from node.domain.state import ArrivalState, DeliveryState, JobState
from tests.unit.journal.story import LEASE, START, Story

MINUTE = timedelta(minutes=1)


def _census(story: Story) -> Census:
    return story.journal.census.take(story.now)


def test_nothing_is_counted_in_an_empty_journal(story: Story) -> None:
    """No rows, no entries; the journal itself has a size."""
    census = _census(story)
    assert (census.jobs, census.arrivals, census.deliveries, census.jobs_held, census.deliveries_held) == ((), (), (), 0, 0)
    assert census.size_bytes > 4096


def test_jobs_are_counted_by_state_priority_and_application_from_the_oldest_on(story: Story) -> None:
    """Three arrivals a minute apart; the age is that of the oldest in its present state, whenever it was made."""
    story.receive(1)
    assert _census(story).arrivals == (ArrivalsIn(state=ArrivalState.RECEIVED, count=1, since=START),)
    story.route(story.job_asked(application="a"), story.job_asked(application="b", priority=Priority.URGENT))
    assert _census(story).arrivals == ()
    story.now += MINUTE
    story.receive(2, study_instance_uid="2.1", series_instance_uid="2.1.1", blob="two.dcm")
    story.route(story.job_asked(application="a", series_instance_uid="2.1.1", input_digest="inputs 2"), study="2.1")
    waiting = JobsIn(state=JobState.QUEUED, priority=Priority.ROUTINE, application="a", count=2, since=START)
    urgent = JobsIn(state=JobState.QUEUED, priority=Priority.URGENT, application="b", count=1, since=START)
    assert set(_census(story).jobs) == {waiting, urgent}
    story.now += MINUTE
    job = story.claim()
    assert job.application == "b"
    assert _census(story).jobs_held == 1
    story.infer(job)
    inferred = JobsIn(state=JobState.INFERRED, priority=Priority.URGENT, application="b", count=1, since=START + 2 * MINUTE)
    assert set(_census(story).jobs) == {waiting, inferred}
    story.now += LEASE + timedelta(seconds=1)
    assert _census(story).jobs_held == 0, "a lease that ran out holds nothing"


def test_deliveries_are_counted_by_sink_and_what_is_done_is_not(story: Story) -> None:
    """Two sinks: one takes everything, one refuses for good; a finished job is nobody's concern."""
    story.queued(sinks=("archive", "viewer"))
    job = story.claim()
    story.infer(job)
    story.encode(job)
    both = {DeliveriesIn(sink=sink, state=DeliveryState.WAITING, count=1, since=START) for sink in ("archive", "viewer")}
    assert set(_census(story).deliveries) == both
    story.now += MINUTE
    for _ in range(2):
        delivery = story.journal.deliveries.claim("host:1", story.now, LEASE)
        assert delivery is not None
        assert delivery.lease is not None
        assert _census(story).deliveries_held == 1
        if delivery.sink == "archive":
            assert story.journal.deliveries.delivered(delivery.id, delivery.lease, story.now)
        else:
            assert story.journal.deliveries.park(delivery.id, delivery.lease, "HLM-6100", "no", story.now)
    census = _census(story)
    assert census.deliveries == (DeliveriesIn(sink="viewer", state=DeliveryState.PARKED, count=1, since=START),)
    assert census.deliveries_held == 0
    assert [(jobs.state, jobs.count) for jobs in census.jobs] == [(JobState.ENCODED, 1)]


def test_deliveries_that_await_a_commitment_are_counted_by_sink_until_they_are_over(story: Story) -> None:
    """One that was never asked for ends when it is delivered, and is not among them."""
    story.queued(sinks=("archive", "viewer"))
    job = story.claim()
    story.infer(job)
    story.encode(job)
    awaiting = []
    for _ in range(2):
        delivery = story.take()
        assert delivery.lease is not None
        for one in story.journal.deliveries.undelivered(delivery.id):
            assert story.journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", story.now)
        commits = delivery.sink == "archive"
        assert story.journal.deliveries.delivered(delivery.id, delivery.lease, story.now, commits=commits)
        awaiting += [delivery.id] if commits else []
    assert (_census(story).deliveries, _census(story).uncommitted) == ((), {"archive": 1})
    assert story.journal.commitments.leave(awaiting[0], "it does not commit", story.now)
    assert _census(story).uncommitted == {}
