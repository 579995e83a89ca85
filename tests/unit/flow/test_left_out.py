"""Priors that an application does not take: they are left out, with the reason where operators look, and never park today's study."""

from dataclasses import replace

import pytest

from inference.applications.port import Accepts, Application, Takes
from node.domain.route import Route
from node.domain.state import JobState
from node.flow.gates import unfits
from node.flow.priors import EarlierStudy, choose
from node.flow.route import RouteStage
from tests.unit.flow.mini import APPLICATION, MiniNode
from tests.unit.flow.test_pairs import NOW, THEN, reason, series_of, settle
from tests.unit.flow.test_priors import CURRENT, ROUTE, study, view

THIN = Accepts(modality=("MR",), takes=Takes.PAIR, max_thickness_mm=2.5)
LAST_YEAR = {**THEN, "StudyDate": "20240601"}
WHY = "slices are 5 mm thick, at most 2.5 mm are taken"


def application_of(name: str) -> Application:
    return replace(APPLICATION, name=name, accepts=THIN if name == "compare" else APPLICATION.accepts)


@pytest.fixture
def both(node: MiniNode) -> MiniNode:
    """A node that analyses every MR, and compares it with its prior."""
    node.configure(routes=(Route(name="follow-up", run=("threshold", "compare"), send=("archive",)),))
    return node


def route(node: MiniNode) -> None:
    """Settle, and route until nothing is left."""
    settle(node)
    stage = RouteStage(node.journal, node.config, node.clock, lambda name: "default", application_of)
    while stage.step():
        pass


def jobs(node: MiniNode, study: str) -> dict[str, tuple[JobState, set[str]]]:
    """Of a study: by application the state, and the series that are used."""
    return {job.application: (job.state, series_of(node, job)) for job in node.jobs() if job.study_instance_uid == study}


def test_the_next_prior_that_fits_is_taken(both: MiniNode, capsys: pytest.CaptureFixture[str]) -> None:
    """Last year's slices are too thick, those of the year before are not: today's is compared with these, and decision, history and events
    say why not with the others."""
    both.receive("0.1", "0.1.1", **LAST_YEAR, SliceThickness=2)
    both.receive("1.1", "1.1.1", **THEN, SliceThickness=5)
    route(both)
    both.receive("2.1", "2.1.1", **NOW, SliceThickness=2)
    route(both)
    assert jobs(both, "2.1") == {"threshold": (JobState.QUEUED, {"2.1.1"}), "compare": (JobState.QUEUED, {"2.1.1", "0.1.1"})}
    said = f"compare: compared with series 0.1.1 of 2024-06-01 (T1); passed over: series 1.1.1 of 2025-06-01: {WHY}"
    assert reason(both, "2.1").endswith(said)
    (arrival,) = both.journal.arrivals(study="2.1")
    history = {line.name: line.detail for line in both.journal.events("arrival", arrival.id)}
    assert history["arrival.prior_left_out"] == f"compare is not given series 1.1.1: {WHY}"
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "arrival.prior_left_out" in line]
    assert all(words in line for words in (f"arrival={arrival.id}", "application=compare", "series=1.1.1", WHY))


def test_without_a_prior_that_fits_the_study_is_analysed_alone(both: MiniNode) -> None:
    """No comparison, and why; nothing is parked. A prior that fits and comes later makes the pair."""
    both.receive("1.1", "1.1.1", **THEN, SliceThickness=5)
    route(both)
    both.receive("2.1", "2.1.1", **NOW, SliceThickness=2)
    route(both)
    assert jobs(both, "2.1") == {"threshold": (JobState.QUEUED, {"2.1.1"})}
    assert reason(both, "2.1").endswith(f"compare: no prior: series 1.1.1 of 2025-06-01: {WHY}")
    both.receive("0.1", "0.1.1", **LAST_YEAR, SliceThickness=2)
    route(both)
    assert jobs(both, "2.1")["compare"] == (JobState.QUEUED, {"2.1.1", "0.1.1"})


def test_todays_series_that_does_not_fit_is_parked_as_before(both: MiniNode) -> None:
    """That is for a person: the route takes what the application refuses."""
    both.receive("1.1", "1.1.1", **THEN, SliceThickness=2)
    both.receive("2.1", "2.1.1", **NOW, SliceThickness=5)
    route(both)
    assert jobs(both, "2.1")["compare"][0] is JobState.PARKED


def test_another_series_of_the_same_visit_is_taken() -> None:
    """The thick one has more in common with today's; the thin one of that visit is taken, and the reason names the other."""
    views = (view("1.1", "20250601", SliceThickness=(5.0,)), view("1.2", "20250601", "T1 MPRAGE thin", SliceThickness=(1.0,)))
    unfit = unfits(THIN, views)
    assert unfit == {"1.1": WHY}
    choice = choose(CURRENT, [EarlierStudy(study_instance_uid="1", series=views, unfit=unfit)], ROUTE)
    assert choice.reason == f"compared with series 2 of 2025-06-01 (T1 MPRAGE thin); passed over: series 1 of 2025-06-01: {WHY}"
    assert choice.left_out == (("1.1", WHY),)
    assert choose(CURRENT, [study(*views)], ROUTE).series_instance_uid == "1.1"
