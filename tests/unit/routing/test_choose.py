"""Routes that choose together: one series of a study for one of them, and everyone else is told why not."""

from dataclasses import replace

import pytest

from node.domain.route import Condition, ConditionOperator, Decision, Preferred, Route
from node.domain.state import JobState
from node.routing.decisions import SeriesView
from tests.unit.flow.mini import MiniNode
from tests.unit.routing.test_decisions import explained, view
from tests.unit.routing.test_fallback import replayed, routed

THIN = (Preferred.THINNEST,)
SOFT = Route(
    name="soft",
    when=(Condition(keyword="ConvolutionKernel", operator=ConditionOperator.MATCHES, expected=("^B",)),),
    run=("threshold",),
    send=("archive",),
    choose="chest",
    prefer=THIN,
)
ANY = Route(name="any", run=("other",), send=("copies",), choose="chest")


def told(*series: SeriesView, routes: tuple[Route, ...] = (SOFT, ANY)) -> tuple[list[tuple[str, str]], dict[tuple[str, str], Decision]]:
    """Which route takes which series, and every decision."""
    found = explained([*routes], *series)
    return [(one.route, one.series_instance_uid) for one in found if one.chosen], {
        (one.route, one.series_instance_uid): one for one in found
    }


def test_one_route_takes_one_series_and_the_losers_are_told_why() -> None:
    """By the order that one of the routes states: the thinnest, which the second route alone takes."""
    thick, thin = (
        view(f"1.{number}", SeriesNumber=(number,), SliceThickness=(mm,), ConvolutionKernel=(kernel,))
        for number, mm, kernel in ((1, 5.0, "B30"), (2, 1.0, "LUNG"))
    )
    taken, decisions = told(thick, thin)
    assert taken == [("any", "1.2")]
    assert decisions["any", "1.2"].reason == "all conditions hold; series 2 is the best of 2 that fit a route of chest"
    assert decisions["soft", "1.1"].reason == "series 2 has thinner slices (1 mm < 5 mm); any takes that, and one route of chest takes one"
    assert decisions["any", "1.1"].reason == "series 2 has thinner slices (1 mm < 5 mm)"
    assert not decisions["soft", "1.2"].matched


@pytest.mark.parametrize("routes", [(SOFT, ANY), (ANY, SOFT)], ids=["soft first", "any first"])
def test_of_two_routes_that_take_the_best_series_the_first_of_the_file_does(routes: tuple[Route, ...]) -> None:
    """An "or" gives one set of results."""
    taken, decisions = told(view("1.1", ConvolutionKernel=("B30",)), routes=routes)
    first, second = routes
    assert taken == [(first.name, "1.1")]
    assert decisions[second.name, "1.1"].reason == f"{first.name} takes it, which stands before this one; one route of chest does"


def test_other_names_choose_for_themselves() -> None:
    """And a route without one as ever."""
    taken, _ = told(
        view("1.1", ConvolutionKernel=("B30",)),
        routes=(SOFT, ANY, replace(ANY, name="heart", choose="heart"), replace(ANY, name="alone", choose="")),
    )
    assert taken == [("soft", "1.1"), ("heart", "1.1"), ("alone", "1.1")]


def test_a_pair_whose_application_is_not_for_the_series_gives_way(node: MiniNode) -> None:
    """Whatever is preferred: the application of the first route takes slices of 2.5 mm at most. One job comes of the study."""
    thin = replace(SOFT, run=("thin",), when=(), prefer=())
    node.receive("1.1", "1.1.1", range(24), SliceThickness=5.0)
    assert routed(node, thin, ANY) == {"1.1.1": ["any"]}
    assert [(job.application, job.state) for job in node.jobs()] == [("other", JobState.QUEUED)]
    # edited so that either runs, the replay tells both
    assert replayed(node, replace(thin, choose=""), replace(ANY, choose="")) == []
    assert replayed(node, replace(thin, run=("threshold",)), ANY) == [("1.1.1", "soft", True), ("1.1.1", "any", False)]


def test_what_is_chosen_is_no_fallbacks(node: MiniNode) -> None:
    """A fallback takes what the choice left."""
    node.receive("1.1", "1.1.1", range(24))
    node.receive("1.1", "1.1.2", range(30))
    rest = Route(name="rest", run=("second",), send=("archive",), each=True, fallback=True)
    assert routed(node, replace(SOFT, when=(), prefer=()), ANY, rest) == {"1.1.1": ["rest"], "1.1.2": ["soft"]}
