"""The contract of node.journal.journal, on every database: what routing inserts, joins and supersedes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from node.domain.arrival import Completeness
from node.domain.job import Priority
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal.errors import TransitionRefused
from node.journal.port import WAITS, CameAgain, PlacedJobs
from tests.unit.journal.story import DECISION, START, Story

SECOND = timedelta(seconds=1)


def test_routing_keeps_every_decision_and_the_configuration(story: Story) -> None:
    """COMPLETE → ROUTED with the reasons, condition by condition, and the digest of the configuration; only once."""
    story.receive(1)
    arrival = story.arrival().id
    with pytest.raises(TransitionRefused):
        story.journal.routing.route(arrival, [], [], "config 1", START)
    assert story.journal.routing.config_digest(arrival) is None
    (job,) = story.route(story.job_asked())
    assert story.journal.routing.decisions(arrival) == [DECISION]
    assert story.journal.routing.config_digest(arrival) == "config 1"
    assert [i.sop_instance_uid for i in story.journal.instances.of_job(job)] == ["1.1.1.1"]
    assert story.names("arrival", arrival) == ["arrival.received", "arrival.complete", "arrival.routed"]
    with pytest.raises(TransitionRefused):
        story.journal.routing.route(arrival, [], [], "config 1", START)


def test_a_route_that_waits_keeps_its_study_open(story: Story) -> None:
    """In the transaction that routes: a revision with the same instances that is due when the wait is over. What comes joins it, and its
    own window counts from then on; with one that is open already nothing is opened."""
    ids = story.receive(1, 2)
    assert story.journal.arrivals.complete(story.arrival().id, Completeness.QUIET, story.now)
    first = story.arrival()
    until = story.now + timedelta(hours=1)
    story.journal.routing.route(first.id, [DECISION], [], "config 1", story.now, waits=(until, "no series"))
    waiting = story.arrival()
    assert (waiting.revision, waiting.supersedes, waiting.state, waiting.due_at) == (2, first.id, ArrivalState.RECEIVED, until)
    assert [one.id for one in story.journal.instances.of_arrival(waiting.id)] == ids
    told = story.journal.events.of("arrival", waiting.id)[-1]
    assert (told.name, told.detail, waiting.waits_for) == (WAITS, "no series", "no series")
    story.receive(3)
    joined = story.arrival()
    assert (joined.id, joined.instances, joined.waits_for) == (waiting.id, 3, "")
    assert joined.due_at < until
    assert joined.last_instance_at > waiting.last_instance_at
    assert story.journal.arrivals.complete(joined.id, Completeness.QUIET, story.now)
    story.receive(4)
    story.journal.routing.route(joined.id, [DECISION], [], "config 1", story.now, waits=(until, "no series"))
    assert (story.arrival().revision, story.arrival().due_at < until) == (3, True)
    assert WAITS not in story.names("arrival", story.arrival().id)


def test_routes_that_ask_for_the_same_share_one_job(story: Story) -> None:
    """Sinks and routes are the union, in order; the more urgent priority counts."""
    story.receive(1)
    again = story.job_asked(routes=("stroke",), sinks=("archive", "viewer"), priority=Priority.URGENT)
    ids = story.route(story.job_asked(), again)
    job = story.journal.jobs.get(ids[0])
    assert ids == [job.id, job.id]
    assert (job.routes, job.sinks, job.priority) == (("abdomen", "stroke"), ("archive", "viewer"), Priority.URGENT)


def test_a_job_that_is_done_delivers_to_a_sink_that_it_gains(story: Story) -> None:
    """The same inputs again, for another sink: no second job, one more delivery, and the job is done when that has arrived."""
    job = story.done()
    assert story.queued(sinks=("archive", "viewer")) == job
    assert [(d.sink, d.state) for d in story.journal.deliveries.find(job=job)] == [
        ("archive", DeliveryState.DELIVERED),
        ("viewer", DeliveryState.WAITING),
    ]
    assert story.journal.jobs.get(job).state is JobState.ENCODED
    story.deliver()
    assert story.journal.jobs.get(job).state is JobState.DONE


def test_other_inputs_supersede_a_job(story: Story) -> None:
    """The new job names its predecessor, whose lease is worth nothing any more and whose waiting delivery does not leave."""
    first = story.encoded()
    second = story.queued(input_digest="inputs 2")
    assert story.journal.jobs.get(second).predecessor == first
    assert story.journal.jobs.get(first).state is JobState.SUPERSEDED
    assert [d.state for d in story.journal.deliveries.find(job=first)] == [DeliveryState.CANCELLED]
    assert story.journal.results.of_predecessor(second) == []


def test_a_job_on_slices_takes_the_place_of_every_job_on_some_of_them(story: Story) -> None:
    """Two parts of one heart became jobs before the rest came: neither lives beside the job on all; what is of another series does."""
    parts = [story.queued(series_instance_uid=series, input_digest=series) for series in ("1.1.1", "1.1.4")]
    other = story.queued(series_instance_uid="1.1.9", input_digest="another cine")
    whole = story.queued(series_instance_uid="1.1.1", input_digest="all", slices=tuple(f"1.1.{number}" for number in range(1, 6)))
    states = {job: story.journal.jobs.get(job).state for job in (*parts, other, whole)}
    superseded = dict.fromkeys(parts, JobState.SUPERSEDED)
    assert states == {**superseded, other: JobState.QUEUED, whole: JobState.QUEUED}


ALL_SLICES = tuple(f"1.1.{number}" for number in range(1, 7))


@pytest.mark.parametrize("of", [{"slices": ALL_SLICES}, {"whole_study": True}], ids=["slices", "whole study"])
@pytest.mark.parametrize("inputs", ["the same", "more"])
def test_what_another_route_asked_for_goes_to_its_sinks_too(story: Story, of: dict[str, Any], inputs: str) -> None:
    """The last slice comes from elsewhere, through another route: the job on all is for both routes and sinks, as the more urgent asks."""
    soon = START + 60 * SECOND
    first = story.queued(input_digest="the same", priority=Priority.URGENT, deadline_at=soon, **of)
    late = story.queued(
        input_digest=inputs, routes=("second",), sinks=("viewer", "archive"), deadline_at=soon + SECOND, series_instance_uid="1.1.2", **of
    )
    job = story.journal.jobs.get(late)
    assert (late == first) == (inputs == "the same")
    assert (set(job.routes), set(job.sinks)) == ({"abdomen", "second"}, {"archive", "viewer"})
    assert (job.priority, job.deadline_at) == (Priority.URGENT, soon)


@pytest.mark.parametrize("inputs", ["1.1.4", "all"])
def test_a_job_on_slices_is_for_all_that_had_some_of_them_but_for_what_was_cancelled(story: Story, inputs: str) -> None:
    """Parts of one heart that routes with sinks of their own had: the job on all goes to them; what a person cancelled stays so."""
    gone = story.queued(series_instance_uid="1.1.2", input_digest="1.1.2", routes=("gone",), sinks=("gone",))
    story.journal.jobs.end(gone, None, JobState.CANCELLED, "HLM-0000", "by the operator", START)
    for number in (1, 4):
        part = {"series_instance_uid": f"1.1.{number}", "input_digest": f"1.1.{number}"}
        story.queued(routes=(f"route {number}",), sinks=(f"sink {number}",), **part)
    whole = story.journal.jobs.get(story.queued(series_instance_uid="1.1.4", input_digest=inputs, slices=ALL_SLICES))
    assert sorted(whole.sinks) == ["archive", "sink 1", "sink 4"]
    assert sorted(whole.routes) == ["abdomen", "route 1", "route 4"]


def test_a_late_view_of_one_series_is_for_the_routes_that_now_take_it(story: Story) -> None:
    """A series has one sender, whose routes decide of all of it again: what they asked for before is not asked for any more."""
    story.queued()
    late = story.queued(input_digest="inputs 2", routes=("second",), sinks=("viewer",))
    assert (story.journal.jobs.get(late).routes, story.journal.jobs.get(late).sinks) == (("second",), ("viewer",))


def test_superseding_takes_the_lease_of_a_job_at_work(story: Story) -> None:
    """What a worker finishes for inputs that are no longer right touches nothing."""
    story.queued()
    running = story.claim()
    story.queued(input_digest="inputs 2")
    assert running.lease is not None
    assert not story.journal.jobs.inferred(running.id, running.lease, "findings", "model", START)


def test_what_has_begun_to_leave_is_finished_for_a_superseded_job(story: Story) -> None:
    """One object accepted, then instances came late: the other follows, so that no segmentation stands without its report; and these
    are the objects that the successor's report names."""
    first = story.encoded()
    delivery = story.take()
    assert delivery.lease is not None
    objects = story.journal.results.of_job(first)
    assert story.journal.deliveries.receipt(delivery.id, delivery.lease, objects[0].id, True, 0, "", START)
    assert story.journal.deliveries.retry(delivery.id, delivery.lease, START, "HLM-6000", "away", START)
    second = story.queued(input_digest="inputs 2")
    assert story.journal.deliveries.undelivered(story.deliver().id) == []
    assert story.journal.jobs.get(first).state is JobState.SUPERSEDED
    assert story.journal.results.of_predecessor(second) == objects
    story.now += SECOND
    third = story.queued(input_digest="inputs 3")
    assert story.journal.results.of_predecessor(third) == objects, "the second left nothing, so the first is what stands"


@pytest.mark.parametrize("by", ["retry", "resend"])
def test_what_was_parked_half_way_is_finished_for_a_superseded_job(story: Story, by: str) -> None:
    """One object accepted, the other refused: the operator sends it again, to that sink alone, and nothing is left to be held up."""
    first = story.encoded(sinks=("archive", "viewer"))
    story.deliver()
    delivery = story.take()
    assert delivery.lease is not None
    assert story.journal.deliveries.receipt(delivery.id, delivery.lease, story.journal.results.of_job(first)[0].id, True, 0, "", START)
    assert story.journal.deliveries.park(delivery.id, delivery.lease, "HLM-6100", "refused: 0xA900", START)
    story.queued(input_digest="inputs 2")
    assert [d.id for d in story.journal.deliveries.find(states={DeliveryState.PARKED})] == [delivery.id]
    if by == "retry":
        assert story.journal.jobs.revive(first, START) is JobState.SUPERSEDED
    else:
        assert story.journal.deliveries.resend(first, None, START) == [delivery.id]
    assert story.deliver().id == delivery.id
    assert story.journal.jobs.get(first).state is JobState.SUPERSEDED
    assert story.journal.deliveries.find(states={DeliveryState.PARKED, DeliveryState.WAITING}) == []
    with pytest.raises(TransitionRefused, match="superseded"):
        story.journal.deliveries.resend(first, "archive", START)


def test_a_job_refused_from_the_start_is_parked_with_the_reason(story: Story) -> None:
    """A series that cannot be given to an application leaves a job that people see; a newer version of it gets its chance."""
    refused = ("HLM-3017", "the gantry was tilted")
    job = story.journal.jobs.get(story.queued(parked=refused))
    assert (job.state, job.code, job.reason) == (JobState.PARKED, "HLM-3017", "the gantry was tilted")
    assert story.names("job", job.id) == ["job.queued", "job.parked"]
    assert story.queued(parked=refused) == job.id
    assert story.journal.jobs.get(job.id).state is JobState.PARKED
    newer = story.queued(application_version="1.1.0")
    assert story.journal.jobs.get(newer).predecessor == job.id


def test_a_job_parked_from_the_start_is_queued_once_nothing_stands_in_its_way(story: Story) -> None:
    """Its pixels came again, or its application was installed: routing asks for the same without a reason to park it. What a worker
    has tried and refused stays with the person who decides, unless it was for pixels that are there again."""
    job = story.queued(parked=("HLM-3081", "the pixels of 2 instances were deleted"))
    assert story.queued() == job
    assert (story.journal.jobs.get(job).state, story.journal.jobs.get(job).code) == (JobState.QUEUED, None)
    away = story.claim()
    assert story.journal.jobs.end(job, away.lease, JobState.PARKED, "HLM-3081", "the pixels of 2 instances are gone", START)
    assert story.queued() == job
    assert (story.journal.jobs.get(job).state, story.journal.jobs.get(job).attempts) == (JobState.QUEUED, 0)
    tried = story.claim()
    assert story.journal.jobs.end(job, tried.lease, JobState.PARKED, "HLM-3017", "the gantry was tilted", START)
    assert story.queued() == job
    assert story.journal.jobs.get(job).state is JobState.PARKED


def test_a_cancelled_job_whose_inputs_have_changed_since_is_not_revived(story: Story) -> None:
    """Its results would stand beside those of the newer inputs, as if they were right."""
    first = story.queued()
    assert story.journal.jobs.end(first, None, JobState.CANCELLED, "HLM-0000", "by the operator", START)
    second = story.queued(input_digest="inputs 2")
    assert (story.journal.jobs.get(first).state, story.journal.jobs.get(second).predecessor) == (JobState.CANCELLED, first)
    with pytest.raises(TransitionRefused, match=f"job {second} has taken its place"):
        story.journal.jobs.revive(first, START)
    assert story.claim().id == second


def test_what_ended_in_being_routed_is_said_and_nothing_that_had_ended_before(story: Story) -> None:
    """A job that routing parks; not when it is parked still as the study comes again, nor one that its worker parks in the moment in which
    another arrival asks for it; again where it ends otherwise."""

    def come(number: int, **changes: Any) -> PlacedJobs:
        story.receive(number)
        arrival = story.arrival()
        assert story.journal.arrivals.complete(arrival.id, Completeness.QUIET, story.now)
        return story.journal.routing.route(arrival.id, [], [story.job_asked(**changes)], "config 1", story.now)

    gone, unfit = {"parked": ("HLM-3081", "pixels are gone")}, {"not_applicable": ("HLM-3101", "not a CT")}
    first = come(1, **gone)
    assert first == PlacedJobs(jobs=first.jobs, ended=first.jobs) != PlacedJobs()
    assert [come(2, **gone), come(3, **unfit), come(4, **unfit)] == [PlacedJobs(jobs=first.jobs), first, PlacedJobs(jobs=first.jobs)]
    other = {"application": "other"}
    second = come(5, **other)
    claimed = story.claim()
    assert story.journal.jobs.end(claimed.id, claimed.lease, JobState.PARKED, "HLM-4000", "away", story.now)
    assert (second.ended, come(6, **other, **gone)) == ((), PlacedJobs(jobs=second.jobs))


def test_a_revision_that_was_overtaken_inserts_no_jobs(story: Story) -> None:
    """Two flow processes may route two revisions in either order: the earlier one's jobs would know less."""
    story.receive(1)
    first = story.arrival()
    assert story.journal.arrivals.complete(first.id, Completeness.QUIET, START)
    story.receive(2)
    (job,) = story.route(story.job_asked(input_digest="inputs 2"))
    assert story.journal.routing.route(first.id, [DECISION], [story.job_asked()], "config 1", START) == PlacedJobs()
    assert story.journal.jobs.get(job).state is JobState.QUEUED


def test_a_job_that_ends_may_have_its_study_looked_at_anew(story: Story) -> None:
    """In the transaction that ends it: a complete revision with the same instances, of the newest one whichever asked for the job, also
    of one that somebody may be routing at this moment; none where one is open, and none under a lease that is lost."""
    journal = story.journal
    ids = story.receive(1, 2)
    (job,) = story.route(story.job_asked())
    first, claimed = story.arrival().id, story.claim()
    assert not journal.jobs.end(job, "host:9/lost", JobState.CANCELLED, "HLM-3027", "the prior: a gap", story.now, again="job 1")
    assert story.arrival().id == first
    assert journal.jobs.end(job, claimed.lease, JobState.CANCELLED, "HLM-3027", "the prior: a gap", story.now, again="job 1")
    assert (journal.jobs.get(job).state, journal.jobs.get(job).code) == (JobState.CANCELLED, "HLM-3027")
    again = story.arrival()
    assert (again.supersedes, again.state, again.completed_by) == (first, ArrivalState.COMPLETE, Completeness.PRIOR)
    assert [one.id for one in journal.instances.of_arrival(again.id)] == ids
    assert journal.events.of("arrival", again.id)[-1].detail == "job 1"
    assert journal.jobs.end(job, claimed.lease, JobState.CANCELLED, "HLM-3027", "the prior: a gap", story.now, again="job 1")
    assert story.arrival().id == again.id, "the same step again, whose answer was lost"
    (joined,) = journal.routing.route(
        again.id, [DECISION], [story.job_asked(input_digest="inputs 2", instances=tuple(ids))], "config 1", story.now
    ).jobs
    story.receive(3)
    assert journal.arrivals.complete(story.arrival().id, Completeness.QUIET, story.now)
    waits = story.arrival()
    assert journal.jobs.end(joined, None, JobState.CANCELLED, "HLM-3027", "the prior: a gap", story.now, again="job 2")
    behind = story.arrival()
    assert (waits.revision, waits.state, behind.revision, behind.state) == (3, ArrivalState.COMPLETE, 4, ArrivalState.COMPLETE)
    assert behind.instances == 3
    for one in (waits.id, behind.id):
        (third,) = journal.routing.route(
            one, [], [story.job_asked(input_digest="inputs 3", instances=tuple(ids))], "config 1", story.now
        ).jobs
    story.receive(4)
    assert journal.jobs.end(third, None, JobState.CANCELLED, "HLM-3027", "the prior: a gap", story.now, again="job 3")
    assert (story.arrival().revision, story.arrival().state) == (5, ArrivalState.RECEIVED)


def test_a_job_that_ends_has_all_that_asked_for_it_looked_at_anew(story: Story) -> None:
    """The same study came from three more peers: one whose route joined the job, one of which nothing was chosen, one that is about to be
    routed. All but the second get a revision."""
    journal = story.journal
    ids = story.receive(1)
    (job,) = story.route(story.job_asked())
    for peer in ("ct2", "ct3", "ct4"):
        again = CameAgain(instance=ids[0], peer=peer, called_ae="HILUM", scope_series=False, due_at=story.now, restored=False)
        journal.instances.came_again([again], "config 1", story.now)
        assert journal.arrivals.complete(story.arrival(peer=peer).id, Completeness.QUIET, story.now)
    joined = story.job_asked(routes=("second",), sinks=("other",), instances=tuple(ids))
    second = replace(DECISION, route="second")
    assert journal.routing.route(story.arrival(peer="ct2").id, [second], [joined], "config 1", story.now) == PlacedJobs(jobs=(job,))
    journal.routing.route(story.arrival(peer="ct3").id, [replace(DECISION, chosen=False)], [], "config 1", story.now)
    assert journal.jobs.end(job, None, JobState.CANCELLED, "HLM-3027", "the prior: a gap", story.now, again="job 1")
    newest = {peer: story.arrival(peer=peer) for peer in ("ct1", "ct2", "ct3", "ct4")}
    assert {peer: (one.revision, one.state) for peer, one in newest.items()} == {
        "ct1": (2, ArrivalState.COMPLETE),
        "ct2": (2, ArrivalState.COMPLETE),
        "ct3": (1, ArrivalState.ROUTED),
        "ct4": (2, ArrivalState.COMPLETE),
    }
