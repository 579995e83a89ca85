"""The contract of node.journal.notes, on every database: what was superseded is withdrawn from a sink once, after its successor
was accepted there, and only what that sink had accepted."""

from datetime import timedelta

from node.domain.job import JobKind
from node.domain.notes import Rejection
from node.domain.state import DeliveryState, JobState
from tests.unit.journal.story import Story

SINKS = ("archive", "viewer")
LONG_AGO = timedelta(days=30)


def withdrawn(story: Story, *sinks: str) -> list[int]:
    return story.journal.withdrawals.insert(sinks or SINKS, story.now, since=story.now - LONG_AGO)


def named(story: Story, job: int) -> set[str]:
    return {one.sop_instance_uid for one in story.journal.withdrawals.get(job).objects}


def objects(story: Story, job: int) -> set[str]:
    return {one.sop_instance_uid for one in story.journal.results.of_job(job)}


def deliver_to(story: Story, sink: str) -> None:
    """Everything that waits for one sink arrives there."""
    others = [one for one in SINKS if one != sink]
    while (delivery := story.journal.deliveries.claim("host:2", story.now, timedelta(minutes=1), busy_sinks=others)) is not None:
        assert delivery.lease is not None
        for one in story.journal.deliveries.undelivered(delivery.id):
            assert story.journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", story.now)
        assert story.journal.deliveries.delivered(delivery.id, delivery.lease, story.now)


def test_nothing_is_withdrawn_before_the_successor_was_accepted_at_that_sink(story: Story) -> None:
    """Queued, analysed, encoded, accepted elsewhere: none. Then one withdrawal, for that sink alone, of exactly the superseded objects."""
    first = story.done(sinks=SINKS)
    assert withdrawn(story) == []
    second = story.queued(sinks=SINKS, input_digest="inputs 2")
    assert story.journal.jobs.get(first).state is JobState.SUPERSEDED
    assert withdrawn(story) == []
    job = story.claim()
    story.infer(job)
    assert withdrawn(story) == []
    story.encode(job)
    assert withdrawn(story) == []
    deliver_to(story, "viewer")
    (at_viewer,) = withdrawn(story)
    deliver_to(story, "archive")
    (at_archive,) = withdrawn(story)
    assert withdrawn(story) == []
    for made, sink in ((at_viewer, "viewer"), (at_archive, "archive")):
        note = story.journal.jobs.get(made)
        assert (note.kind, note.state, note.sinks) == (JobKind.WITHDRAWAL, JobState.QUEUED, (sink,))
        assert named(story, made) == objects(story, first)
        assert not named(story, made) & objects(story, second)
    assert at_viewer != at_archive


def test_only_sinks_that_take_notes_get_them(story: Story) -> None:
    """None is asked for where nobody does."""
    story.done(sinks=SINKS)
    story.done(sinks=SINKS, input_digest="inputs 2")
    assert story.journal.withdrawals.insert((), story.now, since=story.now - LONG_AGO) == []
    (made,) = withdrawn(story, "viewer")
    assert story.journal.jobs.get(made).sinks == ("viewer",)


def test_what_a_sink_never_took_is_not_named(story: Story) -> None:
    """Refused, or left out by its profile: no note speaks of it; of a result that never left there is none."""
    first = story.encoded()
    delivery = story.take()
    assert delivery.lease is not None
    taken, refused = story.journal.results.of_job(first)
    assert story.journal.deliveries.receipt(delivery.id, delivery.lease, taken.id, True, 0, "", story.now)
    assert story.journal.deliveries.receipt(delivery.id, delivery.lease, refused.id, False, 0xA700, "full", story.now)
    second = story.queued(input_digest="inputs 2")
    job = story.claim()
    assert job.id == second
    story.infer(job)
    story.encode(job)
    # the successor is there, but objects of the superseded result are still on their way
    story.deliver()
    assert withdrawn(story) == []
    assert story.journal.deliveries.park(delivery.id, delivery.lease, "HLM-7001", "refused for good", story.now)
    (made,) = withdrawn(story)
    assert named(story, made) == {taken.sop_instance_uid}
    assert withdrawn(story) == []
    # a person has the rest sent after all: it is withdrawn too
    story.journal.deliveries.resend(first, "archive", story.now)
    story.deliver()
    (rest,) = withdrawn(story)
    assert named(story, rest) == {refused.sop_instance_uid}
    assert withdrawn(story) == []


def test_what_the_profile_left_out_is_no_successor_and_is_not_named(story: Story) -> None:
    """Its receipt says that the sink does not get it."""
    first = story.encoded()
    delivery = story.take()
    assert delivery.lease is not None
    sent, left_out = story.journal.results.of_job(first)
    assert story.journal.deliveries.receipt(delivery.id, delivery.lease, sent.id, True, 0, "", story.now)
    assert story.journal.deliveries.leave_out(delivery.id, delivery.lease, left_out.id, "no masks", story.now)
    assert story.journal.deliveries.delivered(delivery.id, delivery.lease, story.now)
    second = story.encoded(input_digest="inputs 2")
    later = story.take()
    assert later.lease is not None
    for one in story.journal.results.of_job(second):
        assert story.journal.deliveries.leave_out(later.id, later.lease, one.id, "nothing", story.now)
    assert story.journal.deliveries.delivered(later.id, later.lease, story.now)
    assert withdrawn(story) == []
    story.done(input_digest="inputs 3")
    (made,) = withdrawn(story)
    assert named(story, made) == {sent.sop_instance_uid}


def test_a_successor_of_the_successor_withdraws_both(story: Story) -> None:
    """The one between never left: what stands is the first, and it is withdrawn when the third is there; then the third by the fourth."""
    first = story.done()
    between = story.encoded(input_digest="inputs 2")
    third = story.encoded(input_digest="inputs 3")
    assert [one.state for one in story.journal.deliveries.find(job=between)] == [DeliveryState.CANCELLED]
    assert withdrawn(story) == []
    story.deliver()
    (made,) = withdrawn(story)
    assert named(story, made) == objects(story, first)
    assert story.claim().id == made
    fourth = story.done(input_digest="inputs 4")
    (of_third,) = withdrawn(story)
    assert named(story, of_third) == objects(story, third)
    assert not named(story, of_third) & objects(story, fourth)


def test_why_is_a_column(story: Story) -> None:
    """Other images of the study: the result was wrong or short. The same images, and a prior that came: it is merely replaced."""
    story.receive(1, 2, 3)
    (first,) = story.route(story.job_asked())
    mine = story.claim()
    assert mine.id == first
    story.infer(mine)
    story.encode(mine)
    story.deliver()
    own = tuple(one.id for one in story.journal.instances.of_job(first))
    (prior,) = story.receive(7, study_instance_uid="2.2", series_instance_uid="2.2.1", sop_instance_uid="2.2.1.7")
    story.receive(4)
    (second,) = story.route(story.job_asked(input_digest="with a prior", instances=(*own, prior)))
    job = story.claim()
    assert job.id == second
    story.infer(job)
    story.encode(job)
    story.deliver()
    (replaced,) = withdrawn(story)
    assert story.journal.withdrawals.get(replaced).rejection is Rejection.REPLACED
    story.claim()
    story.done(input_digest="with slice 4")
    (wrong,) = withdrawn(story)
    assert named(story, wrong) == objects(story, second)
    assert story.journal.withdrawals.get(wrong).rejection is Rejection.WRONG


def test_a_note_that_there_was_no_result_is_withdrawn_by_the_result(story: Story) -> None:
    """And a result by the note that stands where its successor gave none; a result that was withdrawn once is not withdrawn again."""
    job = story.queued()
    assert story.journal.jobs.end(job, None, JobState.PARKED, "HLM-3998", "no head", story.now, declined=True)
    (statement,) = story.journal.statements.insert(SINKS, story.now)
    note = story.claim()
    story.infer(note)
    story.encode(note, ["statement"])
    story.deliver()
    assert withdrawn(story) == []
    result = story.encoded(input_digest="inputs 2")
    assert story.journal.jobs.get(statement).state is JobState.SUPERSEDED
    assert withdrawn(story) == []
    story.deliver()
    (made,) = withdrawn(story)
    assert named(story, made) == objects(story, statement)
    assert story.journal.withdrawals.get(made).rejection is Rejection.REPLACED
    story.claim()
    declined = story.queued(input_digest="inputs 3")
    assert story.journal.jobs.end(declined, None, JobState.PARKED, "HLM-3998", "no head", story.now, declined=True)
    assert withdrawn(story) == []
    story.journal.statements.insert(SINKS, story.now)
    again = story.claim()
    story.infer(again)
    story.encode(again, ["statement"])
    assert withdrawn(story) == []
    story.deliver()
    (of_result,) = withdrawn(story)
    assert named(story, of_result) == objects(story, result)
    assert story.journal.withdrawals.get(of_result).rejection is Rejection.WRONG
    assert withdrawn(story) == []


def test_what_was_superseded_long_ago_stays(story: Story) -> None:
    """An archive that begins to take notes is not sent those of years."""
    story.done()
    story.done(input_digest="inputs 2")
    story.now += LONG_AGO + timedelta(seconds=1)
    assert withdrawn(story) == []


def test_a_withdrawal_is_erased_with_its_study(story: Story) -> None:
    """Nothing of it is left."""
    story.done()
    story.done(input_digest="inputs 2")
    (made,) = withdrawn(story)
    held = story.journal.erasure.find(None, ["1.1"])
    assert made in held.jobs
    story.journal.erasure.erase(held, [], [], story.now, story.now)
    assert story.journal.jobs.find() == []
    assert story.journal.erasure.find(None, ["1.1"]).empty
