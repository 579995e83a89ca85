"""The contract of node.journal.journal, on every database: what decides stands in a column; words for people beside it decide nothing."""

from datetime import timedelta

from node.domain.state import DeliveryState, JobState
from tests.unit.journal.story import START, Story

SECOND = timedelta(seconds=1)
LOST = "HLM-4003"


def test_what_is_left_out_was_never_accepted(story: Story) -> None:
    """It is not sent, not asked to be committed to, and of its delivery nothing has left; its sentence may read as it likes."""
    story.encoded()
    delivery = story.take()
    assert delivery.lease is not None
    for one in story.journal.results.of_job(delivery.job):
        assert story.journal.deliveries.leave_out(
            delivery.id, delivery.lease, one.id, "not taken: accepted, in a manner of speaking", START
        )
    assert story.journal.deliveries.undelivered(delivery.id) == []
    assert [(said.accepted, said.left_out, said.status) for said in story.journal.deliveries.receipts(delivery.id)] == [
        (False, True, None)
    ] * 2
    assert story.journal.deliveries.retry(delivery.id, delivery.lease, START + SECOND, "HLM-6000", "no room", START)
    successor = story.queued(input_digest="inputs 2")
    assert [one.state for one in story.journal.deliveries.find()] == [DeliveryState.CANCELLED], "nothing of it had begun to leave"
    assert story.journal.results.of_predecessor(successor) == [], "nor ever did"


def test_what_a_sink_says_may_begin_as_any_sentence(story: Story) -> None:
    """An object is left out because its column says so, not because an archive's own words do."""
    story.encoded()
    delivery = story.take()
    assert delivery.lease is not None
    for one in story.journal.results.of_job(delivery.job):
        assert story.journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "left out: of the archive's index", START)
    assert story.journal.deliveries.delivered(delivery.id, delivery.lease, START, commits=True)
    (due,) = story.journal.commitments.due(START)
    asked = story.journal.commitments.begin(due, "2.25.1", "archive", START + SECOND, START)
    assert asked is not None
    assert len(asked.references) == 2


def test_a_step_whose_answer_was_lost_knows_itself_by_its_lease(story: Story) -> None:
    """The same words under another lease are another's."""
    story.queued()
    job = story.claim()
    assert job.lease is not None
    ended = (JobState.PARKED, "HLM-3017", "tilted", story.now)
    assert story.journal.jobs.end(job.id, job.lease, *ended)
    assert story.journal.jobs.end(job.id, job.lease, *ended), "the answer was lost"
    assert not story.journal.jobs.end(job.id, "host:2/other", *ended)


def test_a_parked_delivery_is_known_by_its_lease(story: Story) -> None:
    """As a job is."""
    story.encoded()
    delivery = story.take()
    assert delivery.lease is not None
    refused = ("HLM-6001", "refused", START)
    assert story.journal.deliveries.park(delivery.id, delivery.lease, *refused)
    assert story.journal.deliveries.park(delivery.id, delivery.lease, *refused), "the answer was lost"
    assert not story.journal.deliveries.park(delivery.id, "host:2/other", *refused)


def test_codes_stand_beside_the_words(story: Story) -> None:
    """Of what went wrong the history says the code by itself, of what went well none."""
    story.queued()
    job = story.claim()
    assert job.lease is not None
    assert story.journal.jobs.retry(job.id, job.lease, START + SECOND, LOST, "no code stands here", START, count_attempt=True)
    told = {event.name: event.code for event in story.journal.events.of("job", job.id)}
    assert told == {"job.queued": None, "job.claimed": None, "job.retry": LOST}


def test_engines_that_were_lost_are_counted(story: Story) -> None:
    """As long as the job is there; what else it was retried for is not."""
    number = story.queued()
    for lost in (True, False, True):
        job = story.claim()
        assert job.lease is not None
        assert story.journal.jobs.retry(job.id, job.lease, story.now, LOST, LOST, story.now, count_attempt=False, engine_lost=lost)
    assert story.journal.jobs.get(number).engines_lost == 2
    assert story.journal.jobs.end(number, None, JobState.CANCELLED, "", "by the operator", story.now)
    story.journal.jobs.revive(number, story.now)
    assert story.journal.jobs.get(number).engines_lost == 2


def test_first_times_are_kept(story: Story) -> None:
    """When an arrival was routed, a delivery delivered and a job done; once more is no first time."""
    done = story.done()
    (sent,) = story.journal.deliveries.find()
    assert (story.journal.jobs.get(done).done_at, sent.delivered_at) == (story.now, story.now)
    first = story.now
    story.now += SECOND
    story.journal.deliveries.resend(done, "archive", story.now)
    story.deliver()
    (sent,) = story.journal.deliveries.find()
    assert (story.journal.jobs.get(done).done_at, sent.delivered_at) == (first, first)
    (routed,) = story.journal.routing_history.find(START - SECOND, ())
    assert routed.at == first
