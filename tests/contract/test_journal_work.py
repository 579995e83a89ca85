"""The contract of node.journal.journal, on every database: who may work on what and what a lost lease is worth."""

from datetime import timedelta

import pytest

from node.domain.job import Priority
from node.domain.state import DeliveryState, JobState
from node.journal.errors import TransitionRefused
from node.journal.port import Pausable
from tests.unit.journal.story import LEASE, START, Story

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


# ---- the clock


def test_the_newest_time_that_the_journal_bears_outlives_a_clock_that_is_set_back(story: Story) -> None:
    """When something came, or came of a job, whichever was later; what comes by the clock of yesterday changes nothing."""
    newest = story.journal.processes.newest
    assert newest() is None
    story.queued()
    assert newest() == story.now
    story.now += DAY
    story.infer(story.claim())
    latest = story.now
    story.now -= 2 * DAY
    story.receive(2)
    assert newest() == latest


# ---- claiming


def test_the_most_urgent_due_job_comes_first(story: Story) -> None:
    """Urgent before routine before off-peak; among equals what was due first; nothing before it is due."""
    story.receive(1)
    story.now += 10 * SECOND
    asked = [
        story.job_asked(application="a", priority=Priority.OFFPEAK),
        story.job_asked(application="b", priority=Priority.ROUTINE),
        story.job_asked(application="c", priority=Priority.URGENT),
        story.job_asked(application="d", priority=Priority.ROUTINE),
    ]
    story.route(*asked)
    assert story.journal.jobs.claim("host:1", story.now - SECOND, LEASE) is None
    assert [story.claim().application for _ in asked] == ["c", "b", "d", "a"]
    assert story.journal.jobs.claim("host:1", story.now, LEASE) is None


def test_a_claim_counts_and_fences(story: Story) -> None:
    """A claimed job is nobody else's until its lease ends; then another claim gets another lease, and attempts are two."""
    story.queued()
    first = story.claim("host:1")
    assert (first.attempts, first.lease_until) == (1, START + LEASE)
    assert first.lease is not None
    assert first.lease.startswith("host:1/")
    story.now += LEASE
    assert story.journal.jobs.claim("host:2", story.now, LEASE) is None, "the lease holds up to its last moment"
    story.now += SECOND
    second = story.claim("host:2")
    assert (second.id, second.attempts) == (first.id, 2)
    assert second.lease != first.lease


def test_a_lost_lease_changes_nothing(story: Story) -> None:
    """A worker that slept through its lease (a stopped machine) finds every door shut, and its successor is not disturbed."""
    story.queued()
    zombie = story.claim()
    assert zombie.lease is not None
    story.now += LEASE + SECOND
    heir = story.claim("host:2")
    journal = story.journal
    assert not journal.jobs.renew(zombie.id, zombie.lease, story.now + LEASE)
    assert not journal.jobs.inferred(zombie.id, zombie.lease, "findings/zombie", "model", story.now)
    assert not journal.jobs.encoded(zombie.id, zombie.lease, [story.made(zombie.id, "seg")], story.now)
    assert not journal.jobs.retry(zombie.id, zombie.lease, story.now, "HLM-4000", "away", story.now, count_attempt=True)
    assert not journal.jobs.end(zombie.id, zombie.lease, JobState.FAILED, "HLM-4000", "away", story.now)
    assert journal.jobs.get(zombie.id) == heir
    assert journal.results.of_job(zombie.id) == []
    story.infer(heir)
    story.encode(heir)


def test_a_delivery_is_fenced_the_same_way(story: Story) -> None:
    """Receipts and ends under a lost lease are refused; the successor sends what the sink has not confirmed."""
    story.encoded()
    zombie = story.take()
    assert zombie.lease is not None
    story.now += LEASE + SECOND
    heir = story.take()
    assert (heir.id, heir.attempts) == (zombie.id, 2)
    journal = story.journal
    object_id = journal.deliveries.undelivered(heir.id)[0].id
    assert not journal.deliveries.receipt(zombie.id, zombie.lease, object_id, True, 0, "", story.now)
    assert not journal.deliveries.delivered(zombie.id, zombie.lease, story.now)
    assert not journal.deliveries.retry(zombie.id, zombie.lease, story.now, "HLM-6000", "away", story.now)
    assert not journal.deliveries.park(zombie.id, zombie.lease, "HLM-6100", "refused", story.now)
    assert len(journal.deliveries.undelivered(heir.id)) == 2
    assert journal.deliveries.find(job=heir.job) == [heir]


def test_a_renewed_lease_holds_longer(story: Story) -> None:
    """A worker that is alive keeps its job for as long as it says so."""
    story.queued()
    job = story.claim()
    assert job.lease is not None
    assert story.journal.jobs.renew(job.id, job.lease, START + 2 * LEASE)
    assert story.journal.jobs.claim("host:2", START + LEASE + SECOND, LEASE) is None


def test_pauses_and_absent_engines_hold_jobs_back(story: Story) -> None:
    """A job rests while its engine is paused or away, or while all of its routes are paused; one open route is enough."""
    story.queued(routes=("abdomen", "stroke"), engine="gpu")
    journal = story.journal
    assert journal.jobs.claim("host:1", START, LEASE, away_engines=["gpu"]) is None
    journal.pauses.add(Pausable.ENGINE, "gpu", START)
    assert journal.jobs.claim("host:1", START, LEASE) is None
    journal.pauses.remove(Pausable.ENGINE, "gpu")
    journal.pauses.add(Pausable.ROUTE, "abdomen", START)
    journal.pauses.add(Pausable.ROUTE, "stroke", START)
    assert journal.jobs.claim("host:1", START, LEASE) is None
    journal.pauses.remove(Pausable.ROUTE, "stroke")
    assert story.claim().attempts == 1


def test_a_paused_sink_holds_deliveries_back(story: Story) -> None:
    """The others go on."""
    story.encoded(sinks=("archive", "viewer"))
    story.journal.pauses.add(Pausable.SINK, "archive", START)
    assert story.take().sink == "viewer"
    assert story.journal.deliveries.claim("host:2", START, LEASE) is None


def test_a_sink_that_is_being_sent_to_holds_up_nobody(story: Story) -> None:
    """The caller names the sinks that it is busy with; the next claim is for another one, or none."""
    story.encoded(sinks=("archive", "viewer"))
    taken = story.journal.deliveries.claim("host:2", START, LEASE, busy_sinks=["archive"])
    assert taken is not None
    assert taken.sink == "viewer"
    assert story.journal.deliveries.claim("host:2", START, LEASE, busy_sinks=["archive", "viewer"]) is None


def test_what_a_dead_process_held_is_free_at_once(story: Story) -> None:
    """Its jobs and deliveries, not those of a process whose number begins alike; attempts stay counted."""
    story.encoded()
    story.take()
    story.receive(5, study_instance_uid="1.2")
    story.route(story.job_asked(application="a"), story.job_asked(application="b"), study="1.2")
    story.claim("host:1")
    story.claim("host:12")
    assert story.journal.processes.release("host:1", START) == 1
    assert story.claim("host:3").attempts == 2
    assert story.journal.processes.release("", START) == 3, "the supervisor at its start: nobody else can be alive"
    assert story.take().attempts == 2


def test_an_engine_that_is_away_costs_no_attempt(story: Story) -> None:
    """A retry keeps the state and waits until it is due; only a failure of the job itself counts."""
    story.queued()
    for count_attempt, attempts in [(False, 0), (True, 1)]:
        job = story.claim()
        assert job.lease is not None
        due = story.now + 5 * SECOND
        assert story.journal.jobs.retry(job.id, job.lease, due, "HLM-4000", "away", story.now, count_attempt=count_attempt)
        waiting = story.journal.jobs.get(job.id)
        assert (waiting.attempts, waiting.state, waiting.code, waiting.lease) == (attempts, JobState.QUEUED, "HLM-4000", None)
        assert story.journal.jobs.claim("host:1", story.now, LEASE) is None
        story.now = due


# ---- objects and deliveries


def test_objects_and_deliveries_appear_together(story: Story) -> None:
    """ENCODED means: the objects stand, one delivery for each sink waits, the lease is free."""
    job = story.encoded(sinks=("archive", "viewer"))
    assert [(one.kind, one.job) for one in story.journal.results.of_job(job)] == [("seg", job), ("sr", job)]
    assert [(d.sink, d.state, d.waiting_since) for d in story.journal.deliveries.find(job=job)] == [
        ("archive", DeliveryState.WAITING, START),
        ("viewer", DeliveryState.WAITING, START),
    ]
    assert story.journal.jobs.get(job).lease is None
    assert story.journal.jobs.claim("host:1", START + DAY, LEASE) is None


def test_a_job_is_done_when_its_last_delivery_has_arrived(story: Story) -> None:
    """Not before; and one without sinks has nobody to wait for."""
    job = story.encoded(sinks=("archive", "viewer"))
    story.deliver()
    assert story.journal.jobs.get(job).state is JobState.ENCODED
    story.deliver()
    assert story.journal.jobs.get(job).state is JobState.DONE
    assert story.journal.jobs.get(story.encoded(application="silent", sinks=())).state is JobState.DONE


def test_only_what_the_sink_has_not_accepted_is_sent_again(story: Story) -> None:
    """After a partial acceptance the retry carries the rest, not before it is due, and the receipts say what the sink said."""
    job = story.encoded()
    delivery = story.take()
    assert delivery.lease is not None
    seg, sr = story.journal.deliveries.undelivered(delivery.id)
    story.journal.deliveries.receipt(delivery.id, delivery.lease, seg.id, True, 0xB000, "coerced", START)
    story.journal.deliveries.receipt(delivery.id, delivery.lease, sr.id, False, 0xA700, "no room", START)
    assert story.journal.deliveries.retry(delivery.id, delivery.lease, START + SECOND, "HLM-6000", "no room", START)
    assert story.journal.deliveries.claim("host:2", START, LEASE) is None
    story.now += SECOND
    assert story.journal.deliveries.undelivered(delivery.id) == [sr]
    story.deliver()
    said = [(said.one, said.accepted, said.status, said.detail) for said in story.journal.deliveries.receipts(delivery.id)]
    assert said == [(seg, True, 0xB000, "coerced"), (sr, True, 0, "")]
    assert story.journal.jobs.get(job).state is JobState.DONE


def test_sending_again_sends_every_object(story: Story) -> None:
    """To all sinks, to one, or to a new one: a new round in which nothing counts as accepted, of objects that are the same rows."""
    job = story.done(sinks=("archive", "viewer"))
    archive, viewer = story.journal.deliveries.find(job=job)
    assert story.journal.deliveries.resend(job, "archive", START) == [archive.id]
    assert (len(story.journal.deliveries.undelivered(archive.id)), len(story.journal.deliveries.undelivered(viewer.id))) == (2, 0)
    assert story.journal.jobs.get(job).state is JobState.ENCODED
    story.deliver()
    (added,) = story.journal.deliveries.resend(job, "backup", START)
    assert [d.sink for d in story.journal.deliveries.find(job=job, states={DeliveryState.WAITING})] == ["backup"]
    assert story.deliver().id == added
    assert story.journal.jobs.get(job).state is JobState.DONE
    assert len(story.journal.deliveries.resend(job, None, START)) == 2


def test_a_parked_delivery_keeps_the_job_open(story: Story) -> None:
    """Until a person sends it again."""
    job = story.encoded()
    delivery = story.take()
    assert delivery.lease is not None
    assert story.journal.deliveries.park(delivery.id, delivery.lease, "HLM-6100", "refused: 0xA900", START)
    assert story.journal.jobs.get(job).state is JobState.ENCODED
    assert story.journal.deliveries.claim("host:2", START + DAY, LEASE) is None
    assert story.journal.jobs.revive(job, START) is JobState.ENCODED
    story.deliver()
    assert story.journal.jobs.get(job).state is JobState.DONE


def test_objects_of_a_job_that_has_none_cannot_be_sent(story: Story) -> None:
    """A resend of what is not encoded is refused."""
    with pytest.raises(TransitionRefused, match="queued"):
        story.journal.deliveries.resend(story.queued(), None, START)


# ---- ends and revivals


def test_results_that_are_made_are_not_made_again(story: Story) -> None:
    """`--afresh` on a job that has its objects, finished or not, is refused with what can be done; it used to say that the job goes on."""
    job = story.encoded()
    with pytest.raises(TransitionRefused, match=f"hilum jobs resend {job}"):
        story.journal.jobs.revive(job, START, afresh=True)
    assert story.journal.jobs.get(job).state is JobState.ENCODED
    assert story.journal.jobs.revive(job, START) is JobState.ENCODED


@pytest.mark.parametrize("state", [JobState.PARKED, JobState.FAILED, JobState.CANCELLED])
def test_a_job_is_revived_to_the_furthest_durable_state(story: Story, state: JobState) -> None:
    """With findings it need not infer again, unless asked to; attempts begin anew; the reason is gone."""
    story.queued()
    job = story.claim()
    story.infer(job)
    assert story.journal.jobs.end(job.id, job.lease, state, "HLM-5000", "the check failed", START)
    assert (story.journal.jobs.get(job.id).code, story.journal.jobs.get(job.id).reason) == ("HLM-5000", "the check failed")
    assert story.journal.jobs.revive(job.id, START) is JobState.INFERRED
    assert story.journal.jobs.end(job.id, None, JobState.CANCELLED, "", "by the operator", START)
    assert story.journal.jobs.revive(job.id, START, afresh=True) is JobState.QUEUED
    revived = story.journal.jobs.get(job.id)
    assert (revived.attempts, revived.findings_blob, revived.code, revived.lease) == (0, None, None, None)
    assert story.claim().id == job.id


def test_reviving_a_job_that_is_done_sends_the_same_objects(story: Story) -> None:
    """`hilum jobs retry` after the archive lost the results: nothing is encoded again."""
    job = story.done()
    objects = story.journal.results.of_job(job)
    assert story.journal.jobs.revive(job, START) is JobState.ENCODED
    assert story.journal.deliveries.undelivered(story.deliver().id) == []
    assert story.journal.results.of_job(job) == objects
    assert story.journal.jobs.get(job).state is JobState.DONE


def test_a_job_that_waits_for_its_retry_is_hastened(story: Story) -> None:
    """The operator who has mended the engine need not wait for the back-off."""
    story.queued()
    job = story.claim()
    assert job.lease is not None
    story.journal.jobs.retry(job.id, job.lease, START + DAY, "HLM-4000", "away", START, count_attempt=True)
    assert story.journal.jobs.revive(job.id, START) is JobState.QUEUED
    assert story.claim().attempts == 1


def test_cancelling_stops_deliveries_and_reviving_takes_them_up(story: Story) -> None:
    """A cancelled job leaves nothing on its way; revived, it delivers its frozen objects."""
    job = story.encoded()
    delivery = story.take()
    assert story.journal.jobs.end(job, None, JobState.CANCELLED, "", "by the operator", START)
    assert delivery.lease is not None
    assert not story.journal.deliveries.delivered(delivery.id, delivery.lease, START)
    assert [d.state for d in story.journal.deliveries.find(job=job)] == [DeliveryState.CANCELLED]
    assert story.journal.jobs.revive(job, START) is JobState.ENCODED
    story.deliver()
    assert story.journal.jobs.get(job).state is JobState.DONE


def test_a_superseded_job_stays_so(story: Story) -> None:
    """Its successor stands for it: neither the operator nor a resend brings it back."""
    job = story.done()
    story.queued(input_digest="inputs 2")
    for act in (
        lambda: story.journal.jobs.revive(job, START),
        lambda: story.journal.deliveries.resend(job, None, START),
        lambda: story.journal.jobs.end(job, None, JobState.CANCELLED, "", "", START),
    ):
        with pytest.raises(TransitionRefused, match="superseded"):
            act()
