"""Replaying routes: a planted change is reported exactly, and nothing else; every kind of edit is told as what it is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from inference.applications.errors import UnknownApplication
from inference.applications.port import Application, Takes
from node.domain.job import Priority
from node.domain.route import Condition, ConditionOperator, Route
from node.domain.state import JobState
from node.flow.route import RouteStage
from node.flow.settle import SettleStage
from node.routing.replay import Difference, Replay, Urgency
from tests.unit.flow.mini import APPLICATION, START, CountingPeer, MiniNode

LUNGS = Route(
    name="lungs",
    when=(
        Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("CT",)),
        Condition(keyword="SliceThickness", operator=ConditionOperator.MAX, expected=(5.0,)),
        Condition(keyword="StudyDate", operator=ConditionOperator.WITHIN, expected=(7 * 86400.0,)),
    ),
    run=("threshold",),
    send=("archive",),
)
BRAIN = Route(
    name="brain",
    when=(Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("MR",)),),
    run=("threshold", "second"),
    send=("archive", "copies"),
)
BEFORE = (LUNGS, BRAIN)
CT, MR = [f"1.{number}" for number in range(1, 8)], ["2.1", "2.2"]
"""Studies of CT whose slices are as many mm thick as their number says, and of MR."""


def application_of(name: str) -> Application:
    return replace(APPLICATION, name=name, accepts=replace(APPLICATION.accepts, modality=("CT", "MR")))


@pytest.fixture
def day(node: MiniNode) -> MiniNode:
    """A day's studies, decided by BEFORE."""
    node.configure(routes=BEFORE)
    for study in CT:
        node.receive(study, f"{study}.1", Modality="CT", SliceThickness=float(study[2:]), StudyDate=f"{node.clock():%Y%m%d}")
    for study in MR:
        node.receive(study, f"{study}.1", Modality="MR")
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    stage = RouteStage(node.journal, node.config, node.clock, lambda name: "default", application_of)
    while stage.step():
        pass
    node.clock.advance(30 * 86400)  # what was of the last week then is not any more
    return node


def replayed(node: MiniNode, *routes: Route) -> list[Difference]:
    return list(Replay(node.journal.routing_history, routes, "edited", application_of).differences(START - timedelta(days=1)))


def told(found: Sequence[Difference]) -> list[tuple[str, str, bool, bool]]:
    return [(one.arrival.study_instance_uid, one.route, one.before.chosen, one.after.chosen) for one in found]


def edited(route: Route, keyword: str, operator: ConditionOperator, *expected: str | float) -> Route:
    """The route with another condition on this keyword."""
    changed = Condition(keyword=keyword, operator=operator, expected=expected)
    return replace(route, when=tuple(changed if isinstance(one, Condition) and one.keyword == keyword else one for one in route.when))


def test_a_planted_change_of_one_rule_is_reported_exactly_and_nothing_else(day: MiniNode) -> None:
    """At most 5 mm becomes at most 3: the studies of 4 and 5 mm, each with the two sentences of that one condition. A rule that asks
    for the last week is asked as of then, a month later too."""
    found = replayed(day, edited(LUNGS, "SliceThickness", ConditionOperator.MAX, 3.0), BRAIN)
    assert told(found) == [("1.4", "lungs", True, False), ("1.5", "lungs", True, False)]
    for one, thickness in zip(found, ("4", "5"), strict=True):
        (condition,) = one.conditions
        assert condition.before is not None
        assert condition.after is not None
        assert (condition.key, condition.before.expected, condition.after.expected) == ("SliceThickness", "at most 5", "at most 3")
        assert (condition.before.held, condition.after.held, condition.after.found) == (True, False, thickness)
        assert (one.config_digest, one.series_instance_uid) == (day.config.digest, f"{one.arrival.study_instance_uid}.1")
        assert (dict(one.before.runs), dict(one.after.runs)) == ({"threshold": ("archive",)}, {})


def test_what_is_expected_in_vain_is_told_as_a_difference(day: MiniNode) -> None:
    """Of a route that begins to expect: each study without a series for its application, and no other; what would be parked is told too."""
    expecting = replace(edited(BRAIN, "Modality", ConditionOperator.EQUALS, "US"), name="hearts", run=("heart",), expect=True)
    found = replayed(day, *BEFORE, expecting)
    assert sorted(one.arrival.study_instance_uid for one in found) == sorted([*CT, *MR])
    assert {(one.route, one.after.chosen, one.after.tells) for one in found} == {("hearts", False, frozenset({"heart"}))}
    assert replayed(day, *BEFORE, replace(expecting, run=("threshold",), peers=("another",))) == []


def test_the_same_rules_differ_in_nothing(day: MiniNode) -> None:
    """Also in another order, and under another digest; under the same one nothing is even asked."""
    assert replayed(day, *BEFORE) == replayed(day, *reversed(BEFORE)) == []
    same = Replay(day.journal.routing_history, (), day.config.digest, application_of)
    assert list(same.differences(START - timedelta(days=1))) == []
    assert (same.counted.arrivals, same.counted.decided) == (9, 0)


def test_since_leaves_out_what_was_before(day: MiniNode) -> None:
    """Without any routes everything that ran would not; of what was complete before the time given nothing is said."""
    nothing = Replay(day.journal.routing_history, (), "edited", application_of)
    assert len(list(nothing.differences(START))) == 7
    assert list(nothing.differences(day.clock())) == []


def test_a_route_that_is_new_and_one_that_is_gone(day: MiniNode) -> None:
    """Told as such, where it would have run, or ran; without conditions, for there is nothing to compare."""
    new = replace(BRAIN, name="thick", when=(Condition(keyword="SliceThickness", operator=ConditionOperator.MIN, expected=(6.0,)),))
    found = replayed(day, LUNGS, new)
    assert told(found) == [
        ("1.6", "thick", False, True),
        ("1.7", "thick", False, True),
        ("2.1", "brain", True, False),
        ("2.2", "brain", True, False),
    ]
    assert [(one.before.known, one.after.known, one.conditions) for one in found] == [
        *[(False, True, ())] * 2,
        *[(True, False, ())] * 2,
    ]


def test_other_applications_and_other_sinks_differ_without_a_condition(day: MiniNode) -> None:
    """The decision is the same, what comes of it is not: the route that gained a sink is told, the other is not."""
    found = replayed(day, replace(LUNGS, send=("archive", "copies")), BRAIN)
    assert [(study, route) for study, route, *_ in told(found)] == [(f"1.{number}", "lungs") for number in range(1, 6)]
    assert {one.after.runs["threshold"] for one in found} == {("archive", "copies")}
    found = replayed(day, LUNGS, replace(BRAIN, run=("threshold",)))
    assert [(study, route) for study, route, *_ in told(found)] == [("2.1", "brain"), ("2.2", "brain")]
    assert (sorted(found[0].before.runs), sorted(found[0].after.runs), found[0].conditions) == (["second", "threshold"], ["threshold"], ())


URGENT = Urgency(priority=Priority.URGENT, deadline=timedelta(minutes=30))
ROUTINE = Urgency(priority=Priority.ROUTINE, deadline=None)


def route_all(node: MiniNode, made_of: Callable[[str], Application]) -> None:
    """Let the quiet window pass, and route until nothing is left."""
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    stage = RouteStage(node.journal, node.config, node.clock, lambda name: "default", made_of)
    while stage.step():
        pass


def test_priority_and_deadline_are_compared(day: MiniNode) -> None:
    """Told with both sides, for the route that changed and no other."""
    found = replayed(day, replace(LUNGS, priority=Priority.URGENT, deadline=timedelta(minutes=30)), BRAIN)
    assert [(study, route) for study, route, *_ in told(found)] == [(f"1.{number}", "lungs") for number in range(1, 6)]
    assert {(one.before.urgency["threshold"], one.after.urgency["threshold"]) for one in found} == {(ROUTINE, URGENT)}


def test_a_job_is_as_urgent_as_its_most_urgent_route(node: MiniNode) -> None:
    """Two routes ask for one job: the nearer deadline and the higher priority count. What raises it is told for the route that does, what
    lowers it for both, and what changes nothing for neither."""
    soon = replace(BRAIN, name="soon", run=("threshold",), send=("archive",), priority=Priority.URGENT, deadline=timedelta(minutes=30))
    late = replace(soon, name="late", priority=Priority.OFFPEAK, deadline=timedelta(hours=2))
    node.configure(routes=(soon, late))
    node.receive("2.1", "2.1.1", Modality="MR")
    route_all(node, application_of)
    (job,) = node.jobs()
    assert job.priority is Priority.URGENT

    def routes_of(*routes: Route) -> list[str]:
        return [one.route for one in replayed(node, *routes)]

    assert routes_of(soon, late) == routes_of(soon, replace(late, deadline=None, priority=Priority.ROUTINE)) == []
    assert routes_of(soon, replace(late, deadline=timedelta(minutes=5))) == ["late"]
    assert routes_of(replace(soon, deadline=None), late) == routes_of(replace(soon, priority=Priority.ROUTINE), late) == ["soon", "late"]


def test_the_urgency_of_a_job_of_several_arrivals_is_counted_and_not_compared(day: MiniNode) -> None:
    """Late images of another series: the job on the first one stays, and whose its priority and deadline are nobody knows any more."""
    day.receive("2.1", "2.1.2", [1], Modality="MR")
    route_all(day, application_of)
    replay = Replay(day.journal.routing_history, (LUNGS, replace(BRAIN, priority=Priority.URGENT)), "edited", application_of)
    found = list(replay.differences(START - timedelta(days=1)))
    assert [one.arrival.study_instance_uid for one in found] == ["2.2"]
    assert replay.counted.urgencies == 2


def test_what_is_compared_with_a_prior_is_told_as_asked_for(day: MiniNode) -> None:
    """A route that begins to compare, and one that no longer does; whether a prior was there then is counted as not known."""

    def pairing(name: str) -> Application:
        application = application_of(name)
        return replace(application, accepts=replace(application.accepts, takes=Takes.PAIR)) if name == "compare" else application

    follows = replace(BRAIN, run=("threshold", "second", "compare"))
    replay = Replay(day.journal.routing_history, (LUNGS, follows), "edited", pairing)
    found = list(replay.differences(START - timedelta(days=1)))
    assert told(found) == [("2.1", "brain", True, True), ("2.2", "brain", True, True)]
    assert {(one.before.compares, one.after.compares) for one in found} == {(frozenset(), frozenset({"compare"}))}
    assert replay.counted.priors == 2
    day.configure(routes=(LUNGS, follows))
    day.receive("2.3", "2.3.1", Modality="MR")
    route_all(day, pairing)
    found = list(Replay(day.journal.routing_history, BEFORE, "edited", pairing).differences(day.clock() - timedelta(minutes=5)))
    assert [(one.before.compares, one.after.compares) for one in found] == [(frozenset({"compare"}), frozenset())]


def test_what_compared_then_is_known_when_its_application_is_gone(node: MiniNode) -> None:
    """The decision says who compared, and nothing is asked of today's catalog: that it is not compared any more is told."""

    def then(name: str) -> Application:
        application = application_of(name)
        return replace(application, accepts=replace(application.accepts, takes=Takes.PAIR)) if name == "compare" else application

    def now(name: str) -> Application:
        if name == "compare":
            raise UnknownApplication('there is no application "compare"')
        return application_of(name)

    node.configure(routes=(replace(BRAIN, run=("threshold", "compare")),))
    node.receive("2.1", "2.1.1", Modality="MR")
    route_all(node, then)
    (decision,) = node.journal.routing.decisions(node.arrivals()[0].id)
    assert decision.compares == ("compare",)
    found = list(
        Replay(node.journal.routing_history, (replace(BRAIN, run=("threshold",)),), "edited", now).differences(START - timedelta(days=1))
    )
    assert [(one.before.compares, one.after.compares) for one in found] == [(frozenset({"compare"}), frozenset())]


def test_no_sentence_of_a_decision_is_taken_for_an_application(day: MiniNode) -> None:
    """What the catalog does not have is dear to look for: only what routes and jobs name is asked for."""
    asked: set[str] = set()

    def heard(name: str) -> Application:
        asked.add(name)
        return application_of(name)

    list(Replay(day.journal.routing_history, BEFORE, "edited", heard).differences(START - timedelta(days=1)))
    assert asked == {"threshold", "second"}


def test_another_series_of_the_study_is_chosen(node: MiniNode) -> None:
    """A series that no longer fits leaves the place to the next best: both are told, the one with its condition."""
    node.configure(routes=(LUNGS,))
    today = f"{node.clock():%Y%m%d}"
    node.receive("1.1", "1.1.1", range(1, 9), Modality="CT", SliceThickness=5.0, StudyDate=today)
    node.receive("1.1", "1.1.2", range(1, 5), Modality="CT", SliceThickness=2.0, StudyDate=today)
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    RouteStage(node.journal, node.config, node.clock, lambda name: "default", application_of).step()
    first, second = replayed(node, edited(LUNGS, "SliceThickness", ConditionOperator.MAX, 3.0))
    assert [(one.series_instance_uid, one.before.chosen, one.after.chosen) for one in (first, second)] == [
        ("1.1.1", True, False),
        ("1.1.2", False, True),
    ]
    assert [one.key for one in first.conditions] == ["SliceThickness"]
    assert second.conditions[0].after is not None
    assert "1.1.1" in second.before.reason


def test_what_retention_forgot_is_counted_and_not_guessed(day: MiniNode) -> None:
    """Without headers every condition would fail: such studies are left out, and told."""
    (job,) = [one for one in day.jobs() if one.study_instance_uid == "1.4"]
    day.journal.jobs.end(job.id, None, JobState.CANCELLED, "HLM-0000", "by the operator", day.clock())
    day.journal.retention.tombstone([one.id for one in day.journal.instances.of_study("1.4")], day.clock())
    day.journal.retention.forget_headers(day.clock())
    assert not any(one.header for one in day.journal.instances.of_study("1.4"))
    replay = Replay(
        day.journal.routing_history, (edited(LUNGS, "SliceThickness", ConditionOperator.MAX, 3.0), BRAIN), "edited", application_of
    )
    found = list(replay.differences(START))
    assert told(found) == [("1.5", "lungs", True, False)]
    assert (replay.counted.arrivals, replay.counted.decided, replay.counted.forgotten) == (9, 8, 1)
