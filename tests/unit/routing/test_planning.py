"""Routing a study of many series: what it takes, and what is written of it, grows with their number and not with its square."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from inference.applications.port import Accepts, Application, Takes
from node.domain.arrival import Arrival
from node.domain.instance import Header, Instance
from node.domain.job import Demand, Job, Priority, WhenExcluded
from node.domain.route import Condition, ConditionOperator, Decision, PinnedVersion, Route, Withheld
from node.domain.shortage import Shortfalls
from node.domain.state import ArrivalState
from node.routing import gate
from node.routing.decisions import SeriesView
from node.routing.gate import GateAnswer, answer
from node.routing.pairing import Prior, PriorsFound
from node.routing.planning import JobPlan, JobPlanner
from node.routing.series import SeriesContent, contents
from tests.unit.flow.mini import APPLICATION, START

MR = Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("MR",))
T1 = Condition(keyword="SeriesDescription", operator=ConditionOperator.MATCHES, expected=("T1",))
CT = replace(MR, expected=("CT",))
WHOLE = replace(APPLICATION, name="whole", accepts=Accepts(modality=("MR",), takes=Takes.IMAGES, whole_study=True))
ANOTHER = replace(WHOLE, name="another", accepts=replace(WHOLE.accepts, modality=("US",)))
ULTRASOUND = replace(APPLICATION, name="ultrasound", accepts=Accepts(modality=("US",)))
APPLICATIONS = {one.name: one for one in (APPLICATION, WHOLE, ANOTHER, ULTRASOUND)}
EACH = Route(name="each", when=(MR, T1), run=("threshold",), send=("archive",), each=True)


class Study:
    """A study of so many series of one image each; all or none of them are owed another."""

    def __init__(self, series: int, *, owed: int = 0) -> None:
        self.instances = [self._instance(number) for number in range(series)]
        self._owed = owed

    def of_study(self, study_instance_uid: str) -> Sequence[Instance]:
        return self.instances

    def shortfalls(self, study_instance_uid: str) -> Mapping[str, Shortfalls]:
        return {one.series_instance_uid: Shortfalls(owed=self._owed) for one in self.instances}

    def prior_of(self, study: str, current: SeriesContent, routes: Sequence[Route], application: str) -> Prior:
        raise NotImplementedError

    def mistaken(self, study: str, current: SeriesContent, application: str) -> Sequence[Job]:
        return ()

    def arriving(self, arrival: Arrival) -> Collection[str]:
        return ()

    def priors_in_roles(self, study: str, filled: Mapping[str, SeriesContent], route: Route, application: Application) -> PriorsFound:
        raise NotImplementedError

    def asked(self, *routes: Route, came_before: int = 0) -> JobPlan:
        """What the routes ask of it, when all but so many of its series came."""
        arrival = Arrival(
            id=1,
            peer="ct1",
            study_instance_uid="1.1",
            series_instance_uid=None,
            called_ae="HILUM",
            state=ArrivalState.COMPLETE,
            revision=1,
            supersedes=None,
            opened_at=START,
            last_instance_at=START,
            due_at=START,
            completed_at=START,
            completed_by=None,
            instances=len(self.instances),
        )
        asking = JobPlanner(self, self, routes, lambda _: "default", APPLICATIONS.__getitem__, known=self)
        return asking.of(arrival, contents(self.instances[came_before:]), "CT1AE", START)

    def decisions(self, *routes: Route) -> list[Decision]:
        """What the routes decide of its series."""
        return self.asked(*routes).decisions

    @staticmethod
    def _instance(number: int) -> Instance:
        header: Header = {"Modality": ("MR",), "SeriesNumber": (number,), "SeriesDescription": (f"T1 {number}",), "Rows": (8,)}
        return Instance(
            id=number + 1,
            sop_instance_uid=f"1.1.{number}.1",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
            study_instance_uid="1.1",
            series_instance_uid=f"1.1.{number}",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            blob=f"instances/{number}.dcm",
            size=1,
            digest=str(number),
            calling_ae="CT1AE",
            called_ae="HILUM",
            address="127.0.0.1",
            peer="ct1",
            received_at=START,
            header=header,
        )


@pytest.mark.parametrize(
    ("route", "owed"),
    [
        (EACH, 0),
        (EACH, 1),
        (replace(EACH, any_series=(T1,)), 0),
        (replace(EACH, all_series=(CT,)), 0),
        (replace(EACH, each=False, run=("whole",)), 0),
    ],
    ids=["each", "held", "any", "all", "whole"],
)
def test_what_routing_takes_grows_with_the_number_of_series(route: Route, owed: int) -> None:
    """Eight times as many series take eight times as long: the square of 3,000 was more than an arrival may take. The quickest of some
    turns, for the first is of a cold cache; of a processor, whoever else has one. (Calls were counted once, by a profile function: in
    CPython 3.11 that may spin for ever inside the interpreter, where no time-out reaches it.)"""
    few, many = Study(40, owed=owed), Study(320, owed=owed)
    turns = [(_taken_s(few, route), _taken_s(many, route)) for _ in range(6)]
    assert min(each[1] for each in turns) < 12 * min(each[0] for each in turns)


def test_a_whole_study_that_is_not_applicable_is_told_on_each_of_its_series() -> None:
    """Whoever asks of one series is told why nothing came of it, whichever of them names the job."""
    decisions = Study(3).decisions(replace(EACH, each=False, run=("another",)))
    assert ["another is not applicable: modality is MR, not US" in one.reason for one in decisions] == [True] * 3
    assert not any(one.chosen for one in decisions)


def test_each_application_is_asked_of_each_series_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two routes choose a series for one application, and both expect it: the gate refuses it once, for decisions, job and reader alike."""
    asked: list[tuple[str, str]] = []

    def counting(application: Application, view: SeriesView, *, counted: bool = True) -> GateAnswer:
        asked.append((application.name, view.series_instance_uid))
        return answer(application, view, counted=counted)

    monkeypatch.setattr(gate, "answer", counting)
    study, best = Study(3), replace(EACH, each=False, run=("ultrasound", "threshold"), expect=True)
    plan = study.asked(best, replace(best, name="too", when=(MR,)))
    assert {one.application: one.not_applicable is None for one in plan.jobs} == {"ultrasound": False, "threshold": False}
    assert {name for one in plan.decisions for name in one.untaken} == {"ultrasound", "threshold"}
    assert sorted(asked) == sorted((name, one.series_instance_uid) for name in best.run for one in study.instances)


def test_a_whole_study_is_not_asked_of_again_what_its_arrival_was_asked_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job is on the series of the arrival, and on one that came before, which alone is new to the gate."""
    asked: list[str] = []

    def counting(application: Application, view: SeriesView, *, counted: bool = True) -> GateAnswer:
        asked.append(view.series_instance_uid)
        return answer(application, view, counted=counted)

    monkeypatch.setattr(gate, "answer", counting)
    study = Study(3)
    (job,) = study.asked(replace(EACH, each=False, run=("whole",)), came_before=1).jobs
    assert job.whole_study
    assert len(job.instances) == len(study.instances)
    assert sorted(asked) == sorted(one.series_instance_uid for one in study.instances)


def test_a_condition_on_the_study_names_no_thousands_of_series() -> None:
    """Its sentence stands in the decision on every series of the study."""
    named, many = (_found("any_series", Study(series).decisions(replace(EACH, any_series=(T1,)))[0]) for series in (50, 52))
    assert (named.count("series"), "more" in named) == (50, False)
    assert many.endswith(" and 2 more")
    assert many.count("series") == 50
    (against,) = {_found("all_series", one) for one in Study(60).decisions(replace(EACH, all_series=(CT,)))}
    assert against.startswith("not series ")
    assert against.endswith(" and 10 more")


def _found(key: str, decision: Decision) -> str:
    return next(one.found for one in decision.tried if one.key == key)


def _taken_s(study: Study, route: Route) -> float:
    began = time.thread_time()
    study.asked(route)
    return time.thread_time() - began


def test_routes_that_part_are_each_given_the_job_that_they_would_have_alone() -> None:
    """Together they have the most urgent, the strictest and the shortest of what they want; apart, each its own."""
    slow = replace(EACH, run=(WHOLE.name,), priority=Priority.OFFPEAK, deadline=timedelta(hours=4))
    at_once, soon = Priority.URGENT, timedelta(minutes=5)
    urgent = replace(slow, name="urgent", send=("copies",), priority=at_once, deadline=soon, parks_excluded=True)
    (shared,) = Study(1).asked(slow, urgent).jobs
    assert (shared.priority, shared.when_excluded) == (at_once, WhenExcluded.PARK)
    for route in (slow, urgent):
        (alone,) = Study(1).asked(route).jobs
        assert replace(shared.of([route.name]), shares=alone.shares) == alone


def test_a_route_that_asks_for_another_version_is_parked_and_no_other_one() -> None:
    """It has no part in the job of the routes that take the version which is here: its own is parked, and says why."""
    any_version = replace(EACH, run=(WHOLE.name,))
    pinned = replace(any_version, name="pinned", send=("copies",), pinned=(PinnedVersion(application=WHOLE.name, version="9"),))
    job, other = Study(1).asked(any_version, pinned).jobs
    assert (job.routes, job.sinks, job.parked) == (("each",), ("archive",), None)
    assert (other.routes, other.sinks, other.demands) == (("pinned",), ("copies",), {"pinned": Demand(version="9")})
    assert other.parked == ("HLM-4184", 'route "pinned": whole is version 1.0.0 here, and the route asks for 9')
    decision = next(one for one in Study(1).decisions(any_version, pinned) if one.route == "pinned")
    assert any("asks for 9" in tried.found for tried in decision.tried)
    assert decision.withheld is Withheld.PARKED
    (alone,) = Study(1).asked(pinned).jobs
    assert (alone.routes, alone.parked) == (("pinned",), other.parked)


def test_of_a_series_that_a_route_does_not_give_to_a_whole_study_nothing_is_told_as_parked() -> None:
    """Another route gives it to the same job: the refused one takes the first series alone."""
    any_version = replace(EACH, run=(WHOLE.name,))
    first = Condition(keyword="SeriesDescription", operator=ConditionOperator.EQUALS, expected=("T1 0",))
    pinned = replace(any_version, name="pinned", when=(first,), pinned=(PinnedVersion(application=WHOLE.name, version="9"),))
    told = {one.series_instance_uid: one.reason for one in Study(2).decisions(any_version, pinned) if one.route == "pinned"}
    assert ["is parked" in told[uid] for uid in ("1.1.0", "1.1.1")] == [True, False]


def test_a_route_is_parked_where_each_of_its_applications_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is here as it asks; where one of them is, it runs."""
    monkeypatch.setitem(APPLICATIONS, "second", replace(WHOLE, name="second"))
    other = replace(EACH, name="other", run=("second", WHOLE.name))
    neither, one = (tuple(PinnedVersion(application=name, version="9") for name in run) for run in (other.run, other.run[:1]))
    found = [Study(1).decisions(replace(other, pinned=pinned))[0].withheld for pinned in (neither, one)]
    assert found == [Withheld.PARKED, None]


def test_what_an_application_excludes_is_told_as_the_job_ends_that_a_route_has_a_part_in() -> None:
    """A route whose demand is not answered has a job of its own, and parks that alone; of one job all of its routes are told the same."""
    ignoring = replace(EACH, run=(ANOTHER.name,))
    parking = replace(ignoring, name="parking", parks_excluded=True)
    pinned = replace(parking, pinned=(PinnedVersion(application=ANOTHER.name, version="9"),))
    for other, together in ((pinned, False), (parking, True)):
        asked = Study(1).asked(ignoring, other)
        ends = {name: job.not_applicable is None for job in asked.jobs for name in job.routes}
        assert ends == {"each": together, "parking": True}
        told = {one.route: ("and is parked" in one.reason, one.withheld is Withheld.PARKED) for one in asked.decisions}
        assert told == {"each": (together, together), "parking": (True, True)}


def test_what_is_expected_in_vain_is_told_as_the_job_ends_that_says_so() -> None:
    """By the strictest of the routes that share it: not by the route's own."""
    expecting = replace(EACH, when=(CT,), run=(ANOTHER.name,), expect=True)
    parking = replace(expecting, name="parking", parks_excluded=True)
    asked = Study(1).asked(expecting, parking)
    (job,) = asked.jobs
    assert (job.routes, job.parked is None) == (("each", "parking"), False)
    assert [one.reason.rpartition(": ")[2] for one in asked.decisions] == ["the job is parked"] * 2
    pinned = replace(parking, pinned=(PinnedVersion(application=ANOTHER.name, version="9"),))
    told = ["the reader is told that there is no result", "the job is parked"]
    assert [one.reason.rpartition(": ")[2] for one in Study(1).decisions(expecting, pinned)] == told
