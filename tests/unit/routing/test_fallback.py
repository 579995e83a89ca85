"""A fallback takes what no other route takes: told as such when it is routed, explained and replayed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from node.domain.route import Condition, ConditionOperator, NeededSeries, Needs, Otherwise, Route, Withheld
from node.domain.state import JobState
from node.flow.route import RouteStage
from node.flow.settle import SettleStage
from node.routing.replay import Replay
from tests.unit.flow.mini import START, CountingPeer, MiniNode
from tests.unit.flow.test_route import application_of

IS_MR = Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("MR",))
HEAD = Route(
    name="heads",
    when=(IS_MR, Condition(keyword="BodyPartExamined", operator=ConditionOperator.EQUALS, expected=("HEAD",))),
    run=("threshold",),
    send=("archive",),
)
REST = Route(name="the rest", run=("other",), send=("copies",), each=True, fallback=True)


def routed(node: MiniNode, *routes: Route) -> dict[str, list[str]]:
    """By series: the routes that take it, of one study that came a minute ago."""
    node.configure(routes=routes)
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    RouteStage(node.journal, node.config, node.clock, lambda _: "default", application_of).step()
    arrival = node.arrivals()[0]
    taken: dict[str, list[str]] = {}
    for one in node.journal.routing.decisions(arrival.id):
        taken.setdefault(one.series_instance_uid, [])
        if one.chosen:
            taken[one.series_instance_uid].append(one.route)
    return taken


@pytest.mark.parametrize("routes", [(HEAD, REST), (REST, HEAD)], ids=["last", "first"])
def test_a_series_that_no_route_takes_is_the_fallbacks(node: MiniNode, routes: Sequence[Route]) -> None:
    """Wherever it stands in the file; what another takes is left, and the decision says who does."""
    node.receive("1.1", "1.1.1", range(24), BodyPartExamined="HEAD")
    node.receive("1.1", "1.1.2", range(24), BodyPartExamined="KNEE")
    assert routed(node, *routes) == {"1.1.1": ["heads"], "1.1.2": ["the rest"]}
    decisions = node.journal.routing.decisions(node.arrivals()[0].id)
    told = {
        one.series_instance_uid: (one.tried[-1].key, one.tried[-1].found) for one in decisions if one.route == "the rest" and not one.chosen
    }
    assert told == {"1.1.1": ("else", "taken by heads")}
    assert [one.route for one in decisions] == [route.name for route in routes for _ in range(2)]


def test_what_lost_against_another_series_or_is_of_no_sample_is_left_over(node: MiniNode) -> None:
    """A route that matches and does not take a series leaves it: of several the best is taken, and by a route that is off none."""
    node.receive("1.1", "1.1.1", range(24), BodyPartExamined="HEAD")
    node.receive("1.1", "1.1.2", range(30), BodyPartExamined="HEAD")
    off = replace(HEAD, name="off", disabled=True, each=True)
    assert routed(node, HEAD, off, REST) == {"1.1.1": ["the rest"], "1.1.2": ["heads"]}


def test_what_the_only_application_excludes_is_left_over_and_what_it_would_park_is_not(node: MiniNode) -> None:
    """By the gate's answer: slices too thick for the application leave no job, unless the route parks such."""
    thin = replace(HEAD, run=("thin",))
    node.receive("1.1", "1.1.1", range(24), BodyPartExamined="HEAD", SliceThickness=5.0)
    assert routed(node, thin, REST) == {"1.1.1": ["the rest"]}
    assert {job.application: job.state for job in node.jobs()} == {"thin": JobState.NOT_APPLICABLE, "other": JobState.QUEUED}
    assert replayed(node, replace(thin, parks_excluded=True), REST) == [("1.1.1", "heads", True), ("1.1.1", "the rest", False)]


def replayed(node: MiniNode, *routes: Route) -> list[tuple[str, str, bool]]:
    """What would differ by other routes: series, route, and whether it would take the series."""
    again = Replay(node.journal.routing_history, routes, "edited", application_of)
    return [(one.series_instance_uid, one.route, one.after.chosen) for one in again.differences(START - timedelta(days=1))]


def test_a_series_for_which_a_route_waits_is_not_left_over_until_it_waits_in_vain(node: MiniNode) -> None:
    """Something may still come of it."""
    flair = NeededSeries(
        name="FLAIR", when=(Condition(keyword="SeriesDescription", operator=ConditionOperator.EQUALS, expected=("FLAIR",)),)
    )
    needy = replace(HEAD, needs=Needs(series=(flair,), within=timedelta(minutes=10), otherwise=Otherwise.IGNORE))
    node.receive("1.1", "1.1.1", range(24), BodyPartExamined="HEAD")
    assert routed(node, needy, REST) == {"1.1.1": []}
    assert node.journal.routing.decisions(node.arrivals()[0].id)[0].withheld is Withheld.WAITS
    node.clock.advance(600)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    RouteStage(node.journal, node.config, node.clock, lambda _: "default", application_of).step()
    decisions = node.journal.routing.decisions(node.arrivals()[-1].id)
    assert [one.route for one in decisions if one.chosen] == ["the rest"]


def test_a_route_that_becomes_another_gives_its_series_to_the_fallback_in_a_replay(node: MiniNode) -> None:
    """Both differences are told: the route that takes the series no more, and the fallback that would."""
    node.receive("1.1", "1.1.1", range(24), BodyPartExamined="HEAD")
    assert routed(node, HEAD, REST) == {"1.1.1": ["heads"]}
    assert replayed(node, replace(HEAD, disabled=True), REST) == [("1.1.1", "heads", False), ("1.1.1", "the rest", True)]
    assert replayed(node, REST) == [("1.1.1", "the rest", True), ("1.1.1", "heads", False)]
