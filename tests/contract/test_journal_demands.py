"""The contract of node.journal.placing, on every database: a route that asks for a version of an application, or for one that is accepted,
gets no results of another."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from node.domain.job import (
    Demand,
    Job,
    NewJob,
    PartedJob,
    PartedRoutes,
    Priority,
    RefusedRoutes,
    RouteShare,
    RouteWishes,
    WhenExcluded,
    delivery_marks,
)
from node.domain.shortage import Lack, Shortage
from node.domain.state import DeliveryState, JobState
from node.journal.errors import TransitionRefused
from tests.unit.journal.story import Story

ACCEPTED = Demand(accepted=True)
REFUSED = ("HLM-4185", "nobody has accepted it")
WANTS_NOTHING: Mapping[str, Any] = {"priority": Priority.ROUTINE, "deadline_at": None, "when_excluded": WhenExcluded.IGNORE}
TO_ANY = PartedRoutes(sinks=("to any",))
WAITS = RefusedRoutes(demands={"asks": ACCEPTED}, sinks=("to asks",), code=REFUSED[0], reason=REFUSED[1])


def asking(story: Story, demands: Mapping[str, Demand], **changes: Any) -> NewJob:
    """A job for these routes, each of which sends to a sink of its own name; "model 1" is served, and accepted."""
    wants = {key: changes.get(key, default) for key, default in WANTS_NOTHING.items()}
    shares = {route: RouteShare(sinks=(f"to {route}",), **wants) for route in demands}
    asked = {route: demand for route, demand in demands.items() if not demand.none}
    return story.job_asked(
        **{
            "routes": tuple(demands),
            "sinks": tuple(f"to {route}" for route in demands),
            "shares": shares,
            "demands": asked,
            "models_digest": "model 1",
            **changes,
        }
    )


def refused(story: Story, route: str = "asks", demand: Demand = ACCEPTED, **changes: Any) -> NewJob:
    """A job for a route whose demand what is served does not answer."""
    return asking(story, {route: demand}, models_digest="", parked=REFUSED, refused=True, **changes)


def routed(story: Story, *jobs: NewJob, number: int) -> list[int]:
    """The study comes, again with instance `number`, and is routed to these."""
    story.receive(number)
    return story.route(*jobs)


def analysed(story: Story, model: str, version: str = "1.0.0") -> Job:
    """The next job is analysed by a model, and its objects arrive."""
    job = story.claim()
    assert job.lease is not None
    assert story.journal.jobs.inferred(job.id, job.lease, f"findings/{job.id}", model, story.now, version=version)
    story.encode(job)
    for _ in job.sinks:
        story.deliver()
    return story.journal.jobs.get(job.id)


def delivered_to(story: Story, job: int) -> set[str]:
    return {one.sink for one in story.journal.deliveries.find(job=job)}


def test_a_done_job_is_joined_by_who_asks_for_accepted_where_the_accepted_model_made_it(story: Story) -> None:
    """By the digest and the version on record; the route is on record with what it asked."""
    routed(story, asking(story, {"any": Demand()}), number=1)
    done = analysed(story, "model 1")
    assert routed(story, asking(story, {"asks": ACCEPTED}), number=2) == [done.id]
    after = story.journal.jobs.get(done.id)
    assert (after.routes, after.demands) == (("any", "asks"), {"asks": ACCEPTED})
    assert delivered_to(story, done.id) == {"to any", "to asks"}


def test_a_done_job_that_another_model_made_gives_nothing_to_who_asks_for_an_accepted_one(story: Story) -> None:
    """It stays what it is for the route that did not ask; the other gets a job of its own, which both find when the study comes again."""
    routed(story, asking(story, {"any": Demand()}), number=1)
    done = analysed(story, "unaccepted")
    both = asking(story, {"any": Demand(), "asks": ACCEPTED})
    assert routed(story, both, number=2) == [done.id, done.id + 1]
    own = story.claim()
    assert (own.id > done.id, own.routes, own.sinks, own.demands) == (True, ("asks",), ("to asks",), {"asks": ACCEPTED})
    assert story.journal.jobs.get(done.id).state is JobState.DONE
    assert delivered_to(story, done.id) == {"to any"}
    story.journal.jobs.renew(own.id, own.lease or "", story.now)
    routed(story, both, number=3)
    assert [one.routes for one in story.journal.jobs.find(study="1.1")] == [("any",), ("asks",)]


def test_routes_that_part_when_they_are_placed_each_keep_what_they_want(story: Story) -> None:
    """An urgent route with a deadline that parks what is excluded finds its result there; the off-peak one that asks for another is not
    hurried by it, and the result's job is by none of what that wants."""
    urgent = RouteShare(
        sinks=("to any",), priority=Priority.URGENT, deadline_at=story.now + timedelta(minutes=10), when_excluded=WhenExcluded.PARK
    )
    offpeak = RouteShare(sinks=("to asks",), priority=Priority.OFFPEAK, deadline_at=None, when_excluded=WhenExcluded.TELL)
    routed(story, asking(story, {"any": Demand()}), number=1)
    analysed(story, "unaccepted")
    strict = {"priority": Priority.URGENT, "deadline_at": urgent.deadline_at, "when_excluded": WhenExcluded.PARK}
    both = asking(story, {"any": Demand(), "asks": ACCEPTED}, **strict, shares={"any": urgent, "asks": offpeak})
    wants = {one: story.journal.jobs.get(one) for one in routed(story, both, number=2)}
    found = {job.routes: (job.priority, job.deadline_at, job.when_excluded) for job in wants.values()}
    assert found == {
        ("any",): (Priority.URGENT, urgent.deadline_at, WhenExcluded.PARK),
        ("asks",): (Priority.OFFPEAK, None, WhenExcluded.TELL),
    }


def test_a_version_that_a_route_asks_for_is_the_one_that_analysed(story: Story) -> None:
    """1.0 made it: who asks for 1.0 joins, who asks for 1.1 does not, though that is served by now."""
    routed(story, asking(story, {"any": Demand()}), number=1)
    done = analysed(story, "model 1", version="1.0.4")
    old, new = Demand(version="1.0"), Demand(version="1.1")
    (joined,) = routed(story, refused(story, "old", old), number=2)
    (own,) = routed(story, asking(story, {"new": new}, application_version="1.1.0"), number=3)
    assert (joined, delivered_to(story, done.id)) == (done.id, {"to any", "to old"})
    assert (own != done.id, story.journal.jobs.get(own).state) == (True, JobState.QUEUED)


def test_who_asks_for_what_is_not_here_is_parked_beside_the_others(story: Story) -> None:
    """Not lost, not delivered, and in nobody's way; accepted by the next time that the study comes, it goes on by itself."""
    first, second = routed(story, asking(story, {"any": Demand()}, models_digest=""), refused(story), number=1)
    stuck = story.journal.jobs.get(second)
    assert (first != second, stuck.state, stuck.code, stuck.sinks) == (True, JobState.PARKED, "HLM-4185", ("to asks",))
    analysed(story, "unaccepted")
    again = routed(story, asking(story, {"any": Demand()}, models_digest=""), refused(story), number=2)
    assert again == [first, second]
    routed(story, asking(story, {"any": Demand(), "asks": ACCEPTED}), number=3)
    waits = story.journal.jobs.get(second)
    assert (waits.state, waits.demands, delivered_to(story, first)) == (JobState.QUEUED, {"asks": ACCEPTED}, {"to any"})


def test_a_job_that_waits_is_shared_and_held_to_what_the_second_route_asks(story: Story) -> None:
    """One analysis: it is asked before it is analysed."""
    (first,) = routed(story, asking(story, {"any": Demand()}), number=1)
    assert routed(story, asking(story, {"asks": ACCEPTED}), number=2) == [first]
    assert story.claim().demands == {"asks": ACCEPTED}


def test_a_job_at_work_is_not_joined_by_who_asks_what_it_was_not_asked(story: Story) -> None:
    """Its worker has its models already; who asks the same, or nothing, joins all the same."""
    (first,) = routed(story, asking(story, {"any": Demand()}), number=1)
    story.claim()
    (own,) = routed(story, asking(story, {"asks": ACCEPTED}), number=2)
    assert own != first
    story.claim()
    assert routed(story, asking(story, {"too": ACCEPTED}), number=3) == [own]
    assert routed(story, asking(story, {"any": Demand()}), number=4) == [first]


def test_a_route_that_asks_otherwise_now_is_analysed_anew(story: Story) -> None:
    """The only route of a done job asks for another version: the new job names the old one as its predecessor. Where what is asked is not
    here, the old one stays until it is."""
    (first,) = routed(story, asking(story, {"asks": Demand(version="1.0")}), number=1)
    analysed(story, "model 1", version="1.0.0")
    newer = Demand(version="1.1")
    (stuck,) = routed(story, refused(story, "asks", newer), number=2)
    assert [story.journal.jobs.get(one).state for one in (first, stuck)] == [JobState.DONE, JobState.PARKED]
    (second,) = routed(story, asking(story, {"asks": newer}, application_version="1.1.0"), number=3)
    assert [story.journal.jobs.get(one).state for one in (first, stuck, second)] == [*[JobState.SUPERSEDED] * 2, JobState.QUEUED]
    assert [story.journal.jobs.get(one).predecessor for one in (stuck, second)] == [first, stuck]


def test_a_demand_that_is_lifted_leaves_no_job_behind_that_waits_for_it(story: Story) -> None:
    """The route asks for nothing any more: the parked job is superseded, and a job that anybody may have takes its place."""
    (stuck,) = routed(story, refused(story), number=1)
    (second,) = routed(story, asking(story, {"asks": Demand()}, models_digest=""), number=2)
    assert [story.journal.jobs.get(one).state for one in (stuck, second)] == [JobState.SUPERSEDED, JobState.QUEUED]
    assert story.journal.jobs.get(second).predecessor == stuck


def test_other_inputs_supersede_the_jobs_of_every_demand(story: Story) -> None:
    """Each of the new ones names that of its own route as its predecessor."""
    old = routed(story, asking(story, {"any": Demand()}, models_digest=""), refused(story), number=1)
    analysed(story, "unaccepted")
    plain, asks = asking(story, {"any": Demand()}, models_digest="", input_digest="inputs 2"), refused(story, input_digest="inputs 2")
    new = routed(story, plain, asks, number=2)
    assert [story.journal.jobs.get(one).predecessor for one in new] == old
    assert [story.journal.jobs.get(one).state for one in old] == [JobState.SUPERSEDED] * 2
    assert [story.journal.jobs.get(one).state for one in new] == [JobState.QUEUED, JobState.PARKED]


def test_a_whole_study_that_others_ask_for_too_keeps_their_demands_and_their_sinks_apart(story: Story) -> None:
    """A second sender's series come: the route that decides nothing of them keeps its part, with what it asked; one that is refused in this
    arrival gets nothing of the other's."""
    whole = {"whole_study": True, "models_digest": "model 1"}
    (first,) = routed(story, asking(story, {"elsewhere": ACCEPTED, "asks": ACCEPTED}, **whole), number=1)
    mine = replace(asking(story, {"any": Demand()}, **whole), input_digest="inputs 2")
    new, stuck = routed(story, mine, refused(story, input_digest="inputs 2", whole_study=True), number=2)
    job, parked = story.journal.jobs.get(new), story.journal.jobs.get(stuck)
    assert (job.predecessor, job.routes, job.demands) == (first, ("any", "elsewhere"), {"elsewhere": ACCEPTED})
    assert (job.sinks, parked.sinks) == (("to any", "to elsewhere"), ("to asks",))


def test_what_others_asked_for_does_not_wait_for_who_is_refused(story: Story) -> None:
    """A second sender's series come, and the one route that decides of them is refused: the others' part is analysed on all series."""
    whole = {"whole_study": True, "models_digest": ""}
    (first,) = routed(story, asking(story, {"any": Demand()}, **whole), number=1)
    (stuck,) = routed(story, refused(story, input_digest="inputs 2", whole_study=True), number=2)
    others = story.claim()
    assert (others.input_digest, others.routes, others.sinks, others.predecessor) == ("inputs 2", ("any",), ("to any",), first)
    assert (story.journal.jobs.get(stuck).state, story.journal.jobs.get(stuck).routes) == (JobState.PARKED, ("asks",))
    assert routed(story, refused(story, input_digest="inputs 2", whole_study=True), number=3) == [stuck]
    assert len(story.journal.jobs.find(study="1.1")) == 3


def test_who_comes_when_another_model_is_accepted_gets_what_that_one_makes(story: Story) -> None:
    """The first result was asked for, and accepted then: what made it may be what nobody accepts any more. Its own route keeps it."""
    (first,) = routed(story, asking(story, {"asks": ACCEPTED}), number=1)
    analysed(story, "model 1")
    both = asking(story, {"asks": ACCEPTED, "too": ACCEPTED}, models_digest="model 2")
    routed(story, both, number=2)
    (second,) = [one for one in story.journal.jobs.find(study="1.1") if one.id != first]
    assert (second.routes, second.sinks, second.state) == (("too",), ("to too",), JobState.QUEUED)
    assert (story.journal.jobs.get(first).state, delivered_to(story, first)) == (JobState.DONE, {"to asks"})


def test_what_is_accepted_only_after_it_made_a_result_answers_who_asks(story: Story) -> None:
    """The same version and models, which nobody had tested yet: what was tested is what made it."""
    (first,) = routed(story, asking(story, {"any": Demand()}, models_digest=""), number=1)
    analysed(story, "model 1")
    assert routed(story, asking(story, {"asks": ACCEPTED}), number=2) == [first]
    assert delivered_to(story, first) == {"to any", "to asks"}


def test_what_was_cancelled_stays_so_for_each_route(story: Story) -> None:
    """The operator cancelled the job of who asks; that of the others is another."""
    first, second = routed(story, asking(story, {"any": Demand()}, models_digest=""), refused(story), number=1)
    assert story.journal.jobs.end(second, None, JobState.CANCELLED, "", "cancelled by the operator", story.now)
    assert routed(story, asking(story, {"any": Demand()}, models_digest=""), refused(story), number=2) == [first, second]
    assert [story.journal.jobs.get(one).state for one in (first, second)] == [JobState.QUEUED, JobState.CANCELLED]


def test_what_others_asked_for_is_analysed_once_however_many_are_refused(story: Story) -> None:
    """Two routes of a second sender's series ask for what is not here, each for another thing: the others' part is one job."""
    whole = {"whole_study": True, "models_digest": ""}
    (first,) = routed(story, asking(story, {"any": Demand()}, **whole), number=1)
    late: dict[str, Any] = {"input_digest": "inputs 2", "whole_study": True}
    stuck = routed(story, refused(story, **late), refused(story, "old", Demand(version="0.9"), **late), number=2)
    live = [one for one in story.journal.jobs.find(study="1.1") if one.state is not JobState.SUPERSEDED]
    assert [(one.routes, one.state) for one in live] == [
        (("any",), JobState.QUEUED),
        (("asks",), JobState.PARKED),
        (("old",), JobState.PARKED),
    ]
    assert (live[0].predecessor, [one.id for one in live[1:]]) == (first, stuck)


def test_what_was_taken_back_before_it_was_analysed_goes_on_by_itself_when_it_is_accepted_again(story: Story) -> None:
    """A worker has found it unaccepted: what is analysed was not tried."""
    (first,) = routed(story, asking(story, {"asks": ACCEPTED}), number=1)
    assert story.journal.jobs.end(first, story.claim().lease, JobState.PARKED, *REFUSED, story.now)
    routed(story, refused(story), number=2)
    assert story.journal.jobs.get(first).state is JobState.PARKED
    routed(story, asking(story, {"asks": ACCEPTED}), number=3)
    after = story.journal.jobs.get(first)
    assert (after.state, after.attempts, after.code) == (JobState.QUEUED, 0, None)


def test_a_result_that_stands_until_there_is_another_can_be_retried(story: Story) -> None:
    """It could not be delivered, and its route asks by now for a version that is not here: what waits for that has not taken its place."""
    (first,) = routed(story, asking(story, {"asks": Demand(version="1.0")}), number=1)
    job = story.claim()
    assert story.journal.jobs.inferred(job.id, job.lease or "", "findings/1", "model 1", story.now, version="1.0.0")
    story.encode(job)
    claimed = story.take()
    assert story.journal.deliveries.park(claimed.id, claimed.lease or "", "HLM-6100", "away", story.now)
    (stuck,) = routed(story, refused(story, "asks", Demand(version="1.1")), number=2)
    assert story.journal.jobs.get(stuck).predecessor == first
    assert story.journal.jobs.revive(first, story.now) is JobState.ENCODED
    assert story.deliver() is not None


def test_what_has_no_result_is_not_retried_beside_the_job_that_took_its_place(story: Story) -> None:
    """Its route asks for another version by now, and a worker has parked it for that: the job that waits for that version stands for it."""
    (first,) = routed(story, asking(story, {"asks": Demand(version="1.0")}), number=1)
    (stuck,) = routed(story, refused(story, "asks", Demand(version="1.1")), number=2)
    assert story.journal.jobs.end(first, story.claim().lease, JobState.PARKED, *REFUSED, story.now)
    with pytest.raises(TransitionRefused, match=f"job {stuck} has taken its place"):
        story.journal.jobs.revive(first, story.now)


def test_what_waits_and_is_refused_when_it_comes_again_waits_once(story: Story) -> None:
    """Accepted when it was routed, taken back before a worker had it: that worker parks it, and no second job waits for the same."""
    (first,) = routed(story, asking(story, {"asks": ACCEPTED}), number=1)
    assert routed(story, refused(story), number=2) == [first]
    assert [one.state for one in story.journal.jobs.find(study="1.1")] == [JobState.QUEUED]


def test_who_asks_nothing_does_not_wait_for_what_is_asked_in_vain_by_now(story: Story) -> None:
    """A job waits for a worker, who will park it: the acceptance that it asks for was taken back. Another route does not ask."""
    (first,) = routed(story, asking(story, {"asks": ACCEPTED}), number=1)
    own, mine = routed(story, asking(story, {"any": Demand()}, models_digest=""), refused(story), number=2)
    assert (own != first, mine) == (True, first)
    assert [(one.routes, one.sinks) for one in story.journal.jobs.find(study="1.1")] == [(("asks",), ("to asks",)), (("any",), ("to any",))]


def test_what_others_asked_for_of_one_cine_does_not_wait_because_another_is_analysed(story: Story) -> None:
    """Of two cines of slices that are a series each, the one that another sender's slices are of is refused; the other is not."""
    one: dict[str, Any] = {"series_instance_uid": "1.1.1", "slices": ("1.1.1", "1.1.2")}
    two: dict[str, Any] = {"series_instance_uid": "1.1.3", "slices": ("1.1.3", "1.1.4")}
    (first,) = routed(story, asking(story, {"elsewhere": Demand()}, **{**two, "slices": ("1.1.3",)}), number=1)
    routed(story, asking(story, {"any": Demand()}, **one), refused(story, **two, input_digest="inputs 2"), number=2)
    found = {one.routes: one for one in story.journal.jobs.find(study="1.1") if one.state is not JobState.SUPERSEDED}
    assert found.keys() == {("any",), ("asks",), ("elsewhere",)}
    assert (found["elsewhere",].predecessor, found["elsewhere",].state) == (first, JobState.QUEUED)


def test_a_result_on_one_series_is_not_replaced_because_its_route_takes_another_series(story: Story) -> None:
    """Two routes share it; one asks for another version of that series now, the other has got a better one."""
    (first,) = routed(story, asking(story, {"any": Demand(), "asks": Demand()}), number=1)
    analysed(story, "model 1")
    newer = Demand(version="1.1")
    elsewhere = asking(story, {"any": Demand()}, series_instance_uid="1.1.2", application_version="1.1.0")
    routed(story, elsewhere, asking(story, {"asks": newer}, application_version="1.1.0"), number=2)
    assert story.journal.jobs.get(first).state is JobState.DONE


def test_what_was_asked_of_a_job_that_has_findings_stays_on_record(story: Story) -> None:
    """Its route asks nothing any more, and then for an accepted one again, which nobody has accepted any more: the result was asked for as
    it is."""
    (first,) = routed(story, asking(story, {"asks": ACCEPTED}), number=1)
    analysed(story, "model 1")
    assert routed(story, asking(story, {"asks": Demand()}, models_digest=""), number=2) == [first]
    assert story.journal.jobs.get(first).demands == {"asks": ACCEPTED}
    assert routed(story, refused(story), number=3) == [first]
    assert [one.state for one in story.journal.jobs.find(study="1.1")] == [JobState.DONE]


def test_what_is_asked_in_vain_is_told_by_which_job_stands_for_it(story: Story) -> None:
    """Of the routes of one that is refused, the job that each has, as it would be placed: with findings, or cancelled; of what waits for
    the same, none."""
    (first,) = routed(story, asking(story, {"asks": ACCEPTED}), number=1)
    analysed(story, "model 1")
    story.receive(2)
    study = story.arrival().study_instance_uid
    assert story.journal.routing.standing(study, refused(story)) == {"asks": (first, JobState.DONE)}
    assert story.journal.routing.standing(study, refused(story, "too")) == {}
    assert story.journal.routing.standing(study, refused(story, input_digest="inputs 2")) == {}
    (second,) = story.route(refused(story, "too"))
    assert story.journal.routing.standing(study, refused(story, "too")) == {}
    story.journal.jobs.end(second, None, JobState.CANCELLED, "", "cancelled by the operator", story.now)
    assert story.journal.routing.standing(study, refused(story, "too")) == {"too": (second, JobState.CANCELLED)}


def test_what_was_answered_instead_of_what_was_asked_takes_its_place_on_record(story: Story) -> None:
    """Asked for 1.0 when the study came, and for 1.1 by now, which analysed it: whoever asks for 1.0 later gets nothing of that. Told once,
    also where the answer was lost."""
    old, new = Demand(version="1.0"), Demand(version="1.1")
    (first,) = routed(story, asking(story, {"any": Demand(), "asks": old}), number=1)
    job = story.claim()
    for _ in range(2):
        kept = ("findings/1", "model 1", story.now)
        assert story.journal.jobs.inferred(first, job.lease or "", *kept, version="1.1.0", demands={"asks": new})
    assert story.journal.jobs.get(first).demands == {"asks": new}
    assert [one.name for one in story.journal.events.of("job", first)].count("job.asked_otherwise") == 1
    (stuck,) = routed(story, refused(story, demand=old, application_version="1.1.0"), number=2)
    assert (stuck != first, story.journal.jobs.get(stuck).state) == (True, JobState.PARKED)


@pytest.mark.parametrize("first", [ACCEPTED, Demand(version="1.0")])
def test_the_marks_of_what_was_delivered_are_known_when_its_route_asks_for_more(first: Demand, story: Story) -> None:
    """Or an erasure would leave them."""
    routed(story, asking(story, {"asks": first}), number=1)
    done = analysed(story, "model 1")
    assert routed(story, asking(story, {"asks": Demand(version="1.0", accepted=True)}), number=2) == [done.id]
    after = story.journal.jobs.get(done.id)
    assert after.demands != done.demands
    assert set(delivery_marks(done, "to asks")) <= set(delivery_marks(after, "to asks"))


def test_what_failed_behind_its_findings_stands_for_nobody_once_another_version_is_served(story: Story) -> None:
    """Its route asks in vain: what is told is what is placed, a parked job that takes its place."""
    pinned = Demand(version="1.0")
    (first,) = routed(story, asking(story, {"asks": pinned}), number=1)
    job = story.claim()
    assert story.journal.jobs.inferred(first, job.lease or "", "findings/1", "model 1", story.now, version="1.0.0")
    assert story.journal.jobs.end(first, job.lease, JobState.FAILED, "HLM-1", "no objects", story.now)
    story.receive(2)
    new = refused(story, demand=pinned, application_version="2.0.0")
    assert story.journal.routing.standing("1.1", new) == {}
    (second,) = story.route(new)
    assert (second != first, story.journal.jobs.get(second).state) == (True, JobState.PARKED)


def test_an_incomplete_result_stands_until_there_is_a_whole_one_that_answers(story: Story) -> None:
    """The series is known to be whole by now, and the route asks in vain: its sink may still wait for what was made."""
    pinned = Demand(version="1.0")
    short = Shortage(lack=Lack.COUNT, came=1, expected=2)
    (first,) = routed(story, asking(story, {"asks": pinned}, shortage=short, marked=True), number=1)
    job = story.claim()
    assert story.journal.jobs.inferred(first, job.lease or "", "findings/1", "model 1", story.now, version="1.0.0")
    story.encode(job)
    story.receive(2)
    new = refused(story, demand=pinned, application_version="2.0.0")
    assert story.journal.routing.standing("1.1", new) == {"asks": (first, JobState.ENCODED)}
    assert story.route(new) == [first]
    (waiting,) = story.journal.deliveries.find(job=first)
    assert waiting.state is DeliveryState.WAITING
    (second,) = routed(story, asking(story, {"asks": pinned}), number=3)
    assert (second != first, story.journal.jobs.get(first).state) == (True, JobState.SUPERSEDED)


def test_who_asks_nothing_goes_on_when_a_worker_finds_what_another_route_asks_unanswered(story: Story) -> None:
    """They waited together. What is parked is on the same images, with the demand on record that only today's configuration has; what goes
    on waits as before the attempt. The study's coming again, and a call whose answer was lost, change nothing."""
    (first,) = routed(story, asking(story, {"any": Demand(), "asks": Demand()}), number=1)
    job = story.claim()
    parted = [story.journal.jobs.part(job, [WAITS], TO_ANY, story.now) for _ in range(2)]
    mine, stuck = story.journal.jobs.find(study="1.1")
    assert parted == [[PartedJob(job=stuck.id, refused=WAITS, new=True)]] * 2
    assert (mine.id, mine.state, mine.routes, mine.sinks, mine.attempts) == (first, JobState.QUEUED, ("any",), ("to any",), 0)
    assert (stuck.state, stuck.code, stuck.routes, stuck.sinks) == (JobState.PARKED, REFUSED[0], ("asks",), ("to asks",))
    assert (stuck.demands, stuck.input_digest, stuck.attempts) == ({"asks": ACCEPTED}, mine.input_digest, 0)
    assert story.journal.instances.of_job(stuck.id) == story.journal.instances.of_job(first) != []
    again = asking(story, {"any": Demand()}, models_digest=""), refused(story)
    assert routed(story, *again, number=2) == [first, stuck.id]
    assert story.claim().id == first


def test_what_a_route_asked_when_it_was_routed_is_kept_beside_what_it_asks_today(story: Story) -> None:
    """Routed for 1.0, and by today's configuration for an accepted one, which it is not: what is parked waits for both."""
    pinned = Demand(version="1.0")
    routed(story, asking(story, {"any": Demand(), "asks": pinned}), number=1)
    both = pinned.also(ACCEPTED)
    assert both == Demand(version="1.0", accepted=True)
    (parted,) = story.journal.jobs.part(story.claim(), [replace(WAITS, demands={"asks": both})], TO_ANY, story.now)
    assert story.journal.jobs.get(parted.job).demands == {"asks": both}


def test_each_part_wants_what_its_own_routes_want(story: Story) -> None:
    """An urgent route with a deadline that parks what is excluded is parted from an off-peak one that does not: neither is held to what the
    other wants. Of routes that are in the configuration no more nobody knows: they stay as they are."""
    strict = {"priority": Priority.URGENT, "when_excluded": WhenExcluded.PARK, "deadline_at": story.now + timedelta(minutes=10)}
    (first,) = routed(story, asking(story, {"any": Demand(), "asks": Demand()}, **strict), number=1)
    claimed, others = (
        story.claim(),
        replace(TO_ANY, wishes=RouteWishes(priority=Priority.OFFPEAK, when_excluded=WhenExcluded.TELL, deadline=None)),
    )
    (parted,) = story.journal.jobs.part(claimed, [WAITS], others, story.now)
    wants = {one.id: (one.priority, one.when_excluded, one.deadline_at) for one in story.journal.jobs.find(study="1.1")}
    assert wants == {first: (Priority.OFFPEAK, WhenExcluded.TELL, None), parted.job: tuple(strict.values())}
    assert story.journal.jobs.claim("host:1", story.now, timedelta(minutes=1), offpeak=False) is None
    assert story.journal.jobs.claim("host:1", story.now, timedelta(minutes=1)) is not None


def test_the_deadline_of_a_part_is_that_of_its_own_routes(story: Story) -> None:
    """Behind the completion of the arrival, as when it was routed."""
    routed(story, asking(story, {"any": Demand(), "asks": Demand()}, deadline_at=story.now + timedelta(minutes=10)), number=1)
    completed = story.arrival().completed_at
    assert completed is not None
    hour = RouteWishes(priority=Priority.ROUTINE, when_excluded=WhenExcluded.IGNORE, deadline=timedelta(hours=1))
    claimed = story.claim()
    assert story.journal.jobs.part(claimed, [WAITS], replace(TO_ANY, wishes=hour), story.now)
    assert story.journal.jobs.get(claimed.id).deadline_at == completed + timedelta(hours=1)


@pytest.mark.parametrize("after", [Priority.URGENT, Priority.ROUTINE])
def test_what_came_to_the_front_waits_for_nobody_for_ever_when_it_is_parted(after: Priority, story: Story) -> None:
    """There was nothing above it any more: it keeps its place, or moves up again where it is less urgent now."""
    patience = timedelta(minutes=10)
    (first,) = routed(story, asking(story, {"any": Demand(), "asks": Demand()}, priority=Priority.URGENT), number=1)
    story.now += patience
    assert story.journal.jobs.move_up(story.now, patience, offpeak_since=None) == 1
    wishes = RouteWishes(priority=after, when_excluded=WhenExcluded.IGNORE, deadline=None)
    assert story.journal.jobs.part(story.claim(), [WAITS], replace(TO_ANY, wishes=wishes), story.now)
    if after is Priority.ROUTINE:
        for _ in range(2):
            story.now += 2 * patience
            assert story.journal.jobs.move_up(story.now, patience, offpeak_since=None) == 1
    soon = {"priority": Priority.URGENT, "deadline_at": story.now + timedelta(minutes=1)}
    (second,) = routed(story, asking(story, {"other": Demand()}, application="ct-lung", **soon), number=2)
    assert [story.claim().id, story.claim().id] == [first, second]


def test_routes_and_sinks_that_join_a_parted_job_come_last(story: Story) -> None:
    """In the order in which they asked, though one before them went."""
    (first,) = routed(story, asking(story, {"asks": Demand(), "any": Demand(), "other": Demand()}), number=1)
    both = PartedRoutes(sinks=("to any", "to other"))
    assert story.journal.jobs.part(story.claim(), [WAITS], both, story.now)
    assert routed(story, asking(story, {"another": Demand()}), number=2) == [first]
    job = story.journal.jobs.get(first)
    assert (job.routes, job.sinks) == (("any", "other", "another"), ("to any", "to other", "to another"))


@pytest.mark.parametrize("sink", ["to third", "to asks"])
def test_who_joins_while_a_worker_finds_what_another_route_asks_unanswered_loses_no_sink(sink: str, story: Story) -> None:
    """The worker knows nothing of it: the job waits as it is, and the next claim does."""
    (first,) = routed(story, asking(story, {"any": Demand(), "asks": Demand()}), number=1)
    job = story.claim()
    third = asking(story, {"third": Demand()}, sinks=(sink,), shares={"third": RouteShare(sinks=(sink,), **WANTS_NOTHING)})
    assert routed(story, third, number=2) == [first]
    for _ in ("heard", "the answer was lost"):
        assert not story.journal.jobs.part(job, [WAITS], TO_ANY, story.now)
    again = story.claim()
    assert (again.id, again.routes, again.attempts) == (first, ("any", "asks", "third"), 1)
    assert story.journal.jobs.part(again, [WAITS], PartedRoutes(sinks=("to any", sink)), story.now)
    mine, stuck = story.journal.jobs.find(study="1.1")
    assert (mine.routes, set(mine.sinks)) == (("any", "third"), {"to any", sink})
    assert (stuck.routes, stuck.sinks) == (("asks",), ("to asks",))


def test_who_got_a_parked_job_while_a_worker_found_out_has_that_one_alone(story: Story) -> None:
    """The study came again before the worker, who was at work on the job of both, said so; a sink that nobody else has waits there too."""
    (first,) = routed(story, asking(story, {"any": Demand(), "asks": Demand()}), number=1)
    job = story.claim()
    came_again = asking(story, {"any": Demand()}, models_digest=""), refused(story)
    _, stuck = routed(story, *came_again, number=2)
    waits = replace(WAITS, sinks=("to asks", "old"))
    for _ in ("heard", "the answer was lost"):
        assert story.journal.jobs.part(job, [waits], TO_ANY, story.now) == [PartedJob(job=stuck, refused=waits, new=False)]
    found = {one.id: (one.routes, one.sinks, one.state) for one in story.journal.jobs.find(study="1.1")}
    assert found == {
        first: (("any",), ("to any",), JobState.QUEUED),
        stuck: (("asks",), ("to asks", "old"), JobState.PARKED),
    }


def test_who_comes_after_an_acceptance_was_taken_back_gets_nothing_of_what_was_made_under_it(story: Story) -> None:
    """The route that had asked keeps its result, and waits for nothing; another that asks the same has a job of its own, as its decision
    says."""
    (first,) = routed(story, asking(story, {"asks": ACCEPTED}), number=1)
    analysed(story, "model 1")
    assert routed(story, refused(story), number=2) == [first]
    (stuck,) = routed(story, refused(story, "too"), number=3)
    assert (story.journal.jobs.get(stuck).state, delivered_to(story, first)) == (JobState.PARKED, {"to asks"})
    assert routed(story, asking(story, {"too": ACCEPTED}), number=4) == [first]
    assert (story.journal.jobs.get(stuck).state, delivered_to(story, first)) == (JobState.SUPERSEDED, {"to asks", "to too"})


@pytest.mark.parametrize("joined", [False, True], ids=["alone", "joined"])
def test_a_retry_that_gives_what_is_asked_supersedes_what_stood_until_then(joined: bool, story: Story) -> None:
    """No study comes again: the result says that it replaces the first, and so does the journal. Where another route has joined the first
    meanwhile, that stays."""
    (first,) = routed(story, asking(story, {"asks": Demand(version="1.0")}), number=1)
    analysed(story, "model 1", version="1.0.0")
    (stuck,) = routed(story, refused(story, "asks", Demand(version="1.1")), number=2)
    if joined:
        assert routed(story, asking(story, {"any": Demand()}), number=3) == [first]
        story.deliver()
    story.journal.jobs.revive(stuck, story.now)
    assert analysed(story, "model 2", version="1.1.0").id == stuck
    assert story.journal.jobs.get(first).state is (JobState.DONE if joined else JobState.SUPERSEDED)


def test_a_retry_supersedes_what_stood_although_its_route_asked_twice_in_vain(story: Story) -> None:
    """The route asked for 1.1, and then for 1.2: the job that waited for 1.1 was superseded; what stood until there is a result is the
    first."""
    (first,) = routed(story, asking(story, {"asks": Demand(version="1.0")}), number=1)
    analysed(story, "model 1", version="1.0.0")
    (stuck,) = routed(story, refused(story, "asks", Demand(version="1.1")), number=2)
    (second,) = routed(story, refused(story, "asks", Demand(version="1.2")), number=3)
    assert [story.journal.jobs.get(one).state for one in (first, stuck)] == [JobState.DONE, JobState.SUPERSEDED]
    story.journal.jobs.revive(second, story.now)
    assert analysed(story, "model 2", version="1.2.0").id == second
    assert story.journal.jobs.get(first).state is JobState.SUPERSEDED
