"""A route that needs a series which has not come: it waits in the journal, and at the deadline does what the operator wrote."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from node.domain.arrival import Arrival
from node.domain.route import Condition, ConditionOperator, Decision, NeededSeries, Needs, Otherwise, Route, Withheld
from node.domain.state import ArrivalState, JobState
from node.flow.clock_step import ClockStep
from node.flow.route import RouteStage
from node.flow.settle import SettleStage, complete_now
from node.journal.journal import Journal
from node.routing.replay import Replay
from node.settings.peers import May, Scope
from node.settings.peers import Settle as Rule
from tests.unit.flow.mini import CT1, START, CountingPeer, MiniNode
from tests.unit.flow.test_route import application_of
from tests.unit.flow.test_settle import AtOnce

PLAIN = (Condition(keyword="SeriesDescription", operator=ConditionOperator.EQUALS, expected=("plain",)),)
AGENT = Condition(keyword="ContrastBolusAgent", operator=ConditionOperator.EXISTS, expected=(1,))
CONTRAST = NeededSeries(name="contrast", when=(AGENT,))
MISSING = 'the study has no series "contrast" (ContrastBolusAgent present)'
WITHIN = timedelta(minutes=10)


def needing(otherwise: Otherwise, name: str = "both", **more: object) -> Route:
    route = Route(name=name, when=PLAIN, run=("threshold",), send=("archive",))
    return replace(route, needs=Needs(series=(CONTRAST,), within=WITHIN, otherwise=otherwise), **more)  # type: ignore[arg-type]


def step(node: MiniNode, seconds: float = 0) -> None:
    """Time passes; settle and route, in processes that remember nothing and live for one answer of the sender."""
    node.clock.advance(seconds)
    peer = CountingPeer()
    peer.counts = 4
    settle = SettleStage(node.journal, node.config, node.clock, lambda _: peer, executor=AtOnce())
    settle.step()
    settle.step()
    while RouteStage(node.journal, node.config, node.clock, lambda name: name, application_of).step():
        settle.step()


def plain(node: MiniNode, numbers: tuple[int, ...] = (1, 2, 3, 4)) -> None:
    node.receive("1.1", "1.1.1", numbers, SeriesDescription="plain")


def contrast(node: MiniNode, **more: str) -> None:
    node.receive("1.1", "1.1.2", SeriesDescription="late", ContrastBolusAgent="IOHEXOL", **more)  # type: ignore[arg-type]


def newest(node: MiniNode) -> Arrival:
    found = node.journal.arrivals.latest("1.1", None, "ct1")
    assert found is not None
    return found


def decided(node: MiniNode) -> Decision:
    """What was decided last about the plain series."""
    routed = [one for one in node.arrivals(ArrivalState.ROUTED) if one.series_instance_uid in (None, "1.1.1")][-1]
    return next(one for one in node.journal.routing.decisions(routed.id) if one.series_instance_uid == "1.1.1")


def reason(node: MiniNode) -> str:
    """Why the route took the plain series, or not, as it was decided last."""
    return decided(node).reason


@pytest.fixture(params=list(Otherwise), ids=str)
def waiting(node: MiniNode, request: pytest.FixtureRequest) -> MiniNode:
    """The plain series was routed, and the route waits; once for each of what may become of it."""
    node.configure(routes=(needing(request.param),))
    plain(node)
    step(node, 11)
    return node


def test_while_it_waits_there_is_no_job_and_everybody_sees_why(waiting: MiniNode) -> None:
    """Network case 8: the decision names the series and the moment, ten minutes after the last image; the open arrival says so too."""
    assert waiting.jobs() == []
    then = {Otherwise.IGNORE: "is not run", Otherwise.PROCEED: "is run without", Otherwise.PARK: "is parked"}
    (needs,) = [route.needs for route in waiting.config.routes]
    assert needs is not None
    assert reason(waiting) == f"waits until 2026-03-10 12:10:00 UTC, then {then[needs.otherwise]}: {MISSING}"
    assert decided(waiting).withheld is Withheld.WAITS
    arrival = newest(waiting)
    assert (arrival.state, arrival.revision, arrival.instances) == (ArrivalState.RECEIVED, 2, 4)
    assert arrival.waits_for == MISSING
    step(waiting, 580)
    assert (newest(waiting).id, waiting.jobs()) == (arrival.id, [])


def test_the_series_comes_in_time(waiting: MiniNode) -> None:
    """Network case 8: whatever would have been at the deadline, the job is there as soon as the study has settled, and once."""
    waiting.clock.advance(100)
    contrast(waiting)
    step(waiting, 11)
    (job,) = waiting.jobs()
    assert (job.state, job.series_instance_uid, job.created_at) == (JobState.QUEUED, "1.1.1", waiting.clock())
    assert newest(waiting).state is ArrivalState.ROUTED
    step(waiting, 3600)
    assert [one.id for one in waiting.jobs()] == [job.id]


def test_another_series_puts_nothing_off(waiting: MiniNode) -> None:
    """One that nobody asked for is routed after its own window, and the wait goes on until the moment that was told first."""
    waiting.clock.advance(100)
    waiting.receive("1.1", "1.1.3", SeriesDescription="localizer")
    step(waiting, 11)
    assert (newest(waiting).state, newest(waiting).revision, waiting.jobs()) == (ArrivalState.RECEIVED, 3, [])
    assert reason(waiting).startswith("waits until 2026-03-10 12:10:00 UTC")
    step(waiting, 477)
    assert newest(waiting).state is ArrivalState.RECEIVED
    step(waiting, 1)
    assert newest(waiting).state is ArrivalState.ROUTED


OUTCOMES = {
    Otherwise.IGNORE: ([], MISSING),
    Otherwise.PROCEED: ([(JobState.QUEUED, None, None)], f"is run without: {MISSING}"),
    Otherwise.PARK: ([(JobState.PARKED, "HLM-3085", MISSING)], f"threshold is parked: {MISSING}"),
}


def test_at_the_deadline_it_does_what_the_operator_wrote(waiting: MiniNode) -> None:
    """Network case 8: ignored with the reason, run without, or parked with a code; also when the node stood still over the deadline."""
    needs = waiting.config.routes[0].needs
    assert needs is not None
    jobs, said = OUTCOMES[needs.otherwise]
    opened_again = Journal.open(waiting.config.store.journal)
    step(replace(waiting, journal=opened_again), 589)
    assert [(job.state, job.code, job.reason) for job in waiting.jobs()] == jobs
    assert said in reason(waiting).split("; ")
    assert decided(waiting).withheld is (Withheld.PARKED if needs.otherwise is Otherwise.PARK else None)
    opened_again.close()
    step(waiting, 3600)
    assert [(job.state, job.code, job.reason) for job in waiting.jobs()] == jobs
    assert newest(waiting).state is ArrivalState.ROUTED


def test_a_series_that_comes_after_the_deadline_runs_what_was_left(waiting: MiniNode) -> None:
    """Network case 8: what was parked is queued by itself, what was ignored runs now, what ran without is not repeated."""
    step(waiting, 589)
    before = [job.id for job in waiting.jobs()]
    contrast(waiting)
    step(waiting, 11)
    (job,) = waiting.jobs()
    assert (job.state, job.code) == (JobState.QUEUED, None)
    assert before in ([], [job.id])
    assert reason(waiting) == "all conditions hold; the only series of images that fits"


def test_the_operators_word_ends_the_wait(waiting: MiniNode) -> None:
    """`hilum studies complete`: nothing more is expected, whatever the time."""
    needs = waiting.config.routes[0].needs
    assert needs is not None
    assert complete_now(waiting.journal.arrivals, newest(waiting), waiting.clock())
    step(waiting)
    assert [(job.state, job.code, job.reason) for job in waiting.jobs()] == OUTCOMES[needs.otherwise][0]


def test_the_operator_runs_a_parked_job_without(node: MiniNode) -> None:
    """`hilum jobs retry`: it is claimed, and a later revision leaves it so."""
    node.configure(routes=(needing(Otherwise.PARK),))
    plain(node)
    step(node, 11)
    step(node, 589)
    (job,) = node.jobs()
    assert node.journal.jobs.revive(job.id, node.clock()) is JobState.QUEUED
    claimed = node.journal.jobs.claim("test", node.clock(), timedelta(minutes=1))
    assert claimed is not None
    node.receive("1.1", "1.1.3", SeriesDescription="localizer")
    step(node, 11)
    (job,) = node.jobs()
    assert (job.state, job.lease) == (JobState.QUEUED, claimed.lease)


def test_late_slices_of_the_series_itself_wait_from_their_own_arrival(node: MiniNode) -> None:
    """The scan is not over: ten minutes count from its last image."""
    node.configure(routes=(needing(Otherwise.PROCEED),))
    plain(node)
    step(node, 11)
    node.clock.advance(289)
    plain(node, (5,))
    step(node, 11)
    step(node, 588)
    assert node.jobs() == []
    step(node, 1)
    (job,) = node.jobs()
    assert len(node.journal.instances.of_job(job.id)) == 5


def test_a_series_that_is_there_from_the_beginning_is_not_waited_for(node: MiniNode) -> None:
    """In whatever order: one routing, one job."""
    node.configure(routes=(needing(Otherwise.PARK),))
    contrast(node)
    plain(node)
    step(node, 11)
    assert [job.state for job in node.jobs()] == [JobState.QUEUED]
    assert newest(node).revision == 1
    (decision,) = [one for one in node.journal.routing.decisions(newest(node).id) if one.series_instance_uid == "1.1.1"]
    (tried,) = [one for one in decision.tried if one.key == "needs contrast"]
    assert (tried.expected, tried.found, tried.held) == ("ContrastBolusAgent present", "series 1.1.2", True)


def test_a_study_without_the_series_that_starts_it_waits_for_nothing(node: MiniNode) -> None:
    """What the route does not take needs nothing."""
    node.configure(routes=(needing(Otherwise.PARK),))
    node.receive("1.1", "1.1.3", SeriesDescription="localizer")
    step(node, 11)
    assert (newest(node).state, newest(node).revision, node.jobs()) == (ArrivalState.ROUTED, 1, [])


def test_other_routes_do_not_wait_and_the_sink_of_the_one_that_does_gets_its_results_later(node: MiniNode) -> None:
    """One job for both: at once for the first sink; the second joins when the series came."""
    other = Route(name="at once", when=PLAIN, run=("threshold",), send=("second",))
    node.configure(routes=(other, needing(Otherwise.PARK)))
    plain(node)
    step(node, 11)
    (job,) = node.jobs()
    assert (job.state, job.sinks) == (JobState.QUEUED, ("second",))
    step(node, 589)
    (job,) = node.jobs()
    assert (job.state, job.routes, job.sinks) == (JobState.QUEUED, ("at once",), ("second",))
    decided = [one.reason for one in node.journal.routing.decisions(newest(node).id) if one.route == "both"]
    assert decided == [f"all conditions hold; the only series of images that fits; threshold is run for at once alone: {MISSING}"]
    contrast(node)
    step(node, 11)
    (job,) = node.jobs()
    assert (job.routes, job.sinks) == (("at once", "both"), ("second", "archive"))


@pytest.mark.parametrize("late_s", [100, 5000], ids=["in time", "after the deadline"])
@pytest.mark.parametrize("otherwise", list(Otherwise))
def test_a_series_that_settles_by_itself_wakes_the_one_that_waits(node: MiniNode, otherwise: Otherwise, late_s: float) -> None:
    """`settle: {scope: series}`: each series is an arrival of its own; the needed one brings the other's job with it, and no loop begins
    when two wait for each other."""
    node.configure(peers={"ct1": replace(CT1, settle=Rule(scope=Scope.SERIES))})
    late = (Condition(keyword="SeriesDescription", operator=ConditionOperator.EQUALS, expected=("late",)),)
    wanted = NeededSeries(name="plain", when=PLAIN)
    there = needing(otherwise)
    assert there.needs is not None
    back = replace(there, name="back", when=late, run=("other",), needs=replace(there.needs, series=(wanted,)))
    node.configure(routes=(there, back))
    plain(node)
    step(node, 11)
    step(node, late_s)
    contrast(node)
    step(node, 11)
    jobs = {job.application: (job.state, job.series_instance_uid) for job in node.jobs()}
    assert jobs == {"threshold": (JobState.QUEUED, "1.1.1"), "other": (JobState.QUEUED, "1.1.2")}
    arrivals = len(node.arrivals())
    step(node, 5000)
    assert (len(node.arrivals()), len(node.jobs())) == (arrivals, 2)
    assert node.arrivals(ArrivalState.RECEIVED) == []


def test_a_series_that_never_comes_wakes_nobody_for_ever(node: MiniNode) -> None:
    """Two series, each an arrival of its own, both lacking a third: every deadline is over once."""
    node.configure(peers={"ct1": replace(CT1, settle=Rule(scope=Scope.SERIES))}, routes=(needing(Otherwise.PARK, each=True),))
    plain(node)
    node.receive("1.1", "1.1.4", SeriesDescription="plain")
    step(node, 11)
    step(node, 700)
    assert [(job.state, job.code) for job in node.jobs()] == [(JobState.PARKED, "HLM-3085")] * 2
    arrivals = len(node.arrivals())
    step(node, 5000)
    assert len(node.arrivals()) == arrivals == 4


def test_the_senders_count_does_not_end_the_wait(node: MiniNode) -> None:
    """The PACS has four instances and so has the node: that is known, and asking again and again would open revisions without end."""
    peer = replace(CT1, may=CT1.may | {May.FIND}, settle=Rule(quiet=timedelta(seconds=10), counted=timedelta(seconds=2)))
    node.configure(peers={"ct1": peer}, routes=(needing(Otherwise.PROCEED),))
    plain(node)
    for _ in range(20):
        step(node, 3)
    assert (newest(node).revision, newest(node).state, node.jobs()) == (2, ArrivalState.RECEIVED, [])
    step(node, 540)
    assert [job.state for job in node.jobs()] == [JobState.QUEUED]


def test_the_look_at_the_clock_leaves_the_wait_alone(node: MiniNode) -> None:
    """At its first step after a start it brings near what nobody puts off that far; ten minutes is what the route asked for."""
    node.configure(routes=(needing(Otherwise.PROCEED),))
    plain(node)
    step(node, 11)
    due = newest(node).due_at
    assert ClockStep(node.journal.processes, node.config, node.clock).step() == 0
    assert newest(node).due_at == due


def test_a_clock_that_was_set_back_lets_it_wait_its_time_and_no_longer(node: MiniNode) -> None:
    """By an hour: ten minutes from now on, not seventy."""
    node.configure(routes=(needing(Otherwise.PROCEED),))
    plain(node)
    step(node, 11)
    node.clock.advance(-3600)
    assert ClockStep(node.journal.processes, node.config, node.clock).step() == 1
    assert newest(node).due_at == node.clock() + WITHIN


def test_a_whole_study_is_analysed_when_the_needed_series_is_there(make_node: Callable[[Path], MiniNode], tmp_path: Path) -> None:
    """An application that takes all series of the study waits with the route, and gets both."""
    node = make_node(tmp_path / "whole")
    anything = needing(Otherwise.IGNORE, when=())
    node.configure(routes=(anything,))

    def whole(name: str) -> object:
        application = application_of(name)
        return replace(application, accepts=replace(application.accepts, whole_study=True))

    def go(seconds: float) -> None:
        node.clock.advance(seconds)
        SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
        RouteStage(node.journal, node.config, node.clock, lambda name: name, whole).step()  # type: ignore[arg-type]

    plain(node)
    go(11)
    assert node.jobs() == []
    contrast(node)
    go(11)
    (job,) = node.jobs()
    assert {one.series_instance_uid for one in node.journal.instances.of_job(job.id)} == {"1.1.1", "1.1.2"}


@pytest.mark.parametrize("scope", list(Scope))
def test_any_and_all_ask_the_study(node: MiniNode, scope: Scope) -> None:
    """Network case 16: contrast in one of two series: `any_series` holds, `all_series` does not; a report between them is no series of
    images; in a study that has it everywhere both hold."""
    node.configure(
        peers={"ct1": replace(CT1, settle=Rule(scope=scope))},
        routes=(
            Route(name="any", when=PLAIN, any_series=(AGENT,), run=("threshold",), send=("archive",)),
            Route(name="all", when=PLAIN, all_series=(AGENT,), run=("other",), send=("archive",)),
        ),
    )
    contrast(node)
    node.receive("2.1", "2.1.1", SeriesDescription="plain", ContrastBolusAgent="IOHEXOL")
    node.receive("2.1", "2.1.2", [1], Modality="SR")
    plain(node)
    step(node, 11)
    assert [(job.study_instance_uid, job.application) for job in node.jobs() if job.study_instance_uid == "1.1"] == [("1.1", "threshold")]
    assert {job.application for job in node.jobs() if job.study_instance_uid == "2.1"} == {"threshold", "other"}
    routed = [one for one in node.arrivals() if one.study_instance_uid == "1.1" and one.series_instance_uid in (None, "1.1.1")][-1]
    (said,) = [one for one in node.journal.routing.decisions(routed.id) if (one.route, one.series_instance_uid) == ("all", "1.1.1")]
    assert said.reason == "all_series is not series 1.1.1, expected ContrastBolusAgent present"


def test_all_conditions_are_asked_of_one_series(node: MiniNode) -> None:
    """A thin series and one with contrast are not a thin series with contrast."""
    thin = Condition(keyword="SliceThickness", operator=ConditionOperator.MAX, expected=(2,))
    node.configure(routes=(Route(name="any", when=PLAIN, any_series=(AGENT, thin), run=("threshold",), send=("archive",)),))
    node.receive("1.1", "1.1.1", SeriesDescription="plain", SliceThickness=1)
    node.receive("1.1", "1.1.2", ContrastBolusAgent="IOHEXOL", SliceThickness=5)
    step(node, 11)
    assert node.jobs() == []
    assert reason(node) == "any_series is none of 2 series, expected ContrastBolusAgent present and SliceThickness at most 2"


def _replayed(node: MiniNode, route: Route) -> list[tuple[int, tuple[bool, bool], tuple[bool, bool]]]:
    found = Replay(node.journal.routing_history, (route,), "edited", application_of).differences(START - timedelta(days=1))
    return [(one.arrival.revision, (one.before.chosen, one.before.parks), (one.after.chosen, one.after.parks)) for one in found]


RUNS, PARKS, NOT_RUN = (True, False), (True, True), (False, False)
OF = {Otherwise.IGNORE: NOT_RUN, Otherwise.PROCEED: RUNS, Otherwise.PARK: PARKS}


def test_a_replay_tells_what_other_needs_would_have_come_to(waiting: MiniNode) -> None:
    """Without needs it runs, under others it does what they say; told of the revision that decided, not of the one that waited."""
    step(waiting, 700)
    (route,) = waiting.config.routes
    assert route.needs is not None
    was = OF[route.needs.otherwise]
    for otherwise, then in OF.items():
        expected = [] if then == was else [(2, was, then)]
        assert _replayed(waiting, replace(route, needs=replace(route.needs, otherwise=otherwise))) == expected
    assert _replayed(waiting, replace(route, needs=None)) == ([] if was == RUNS else [(2, was, RUNS)])


@pytest.mark.parametrize("within", [timedelta(seconds=1), timedelta(days=1)])
def test_a_replay_waits_for_nothing(waiting: MiniNode, within: timedelta) -> None:
    """However long the route would wait: what it comes to in the end is compared."""
    step(waiting, 700)
    (route,) = waiting.config.routes
    assert route.needs is not None
    assert _replayed(waiting, replace(route, needs=replace(route.needs, within=within))) == []
