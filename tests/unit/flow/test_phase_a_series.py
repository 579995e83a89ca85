"""Phases that come as a series each: one job for all of them, in any order; what comes late, what lacks, and what lies beside them."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from inference.applications.port import Accepts, Application, Clock, Takes
from node.domain.job import Job
from node.domain.route import Condition, ConditionOperator, Route
from node.domain.state import JobState
from node.routing.replay import Replay
from node.settings.peers import Scope
from node.settings.peers import Settle as Rule
from tests.unit.flow.mini import APPLICATION, CT1, MiniNode, live, reasons, settle_and_route

SHARES, SLICES = (0, 20, 40, 60, 80), 4
BREATH = replace(
    APPLICATION,
    name="breath",
    accepts=Accepts(modality=("CT",), takes=Takes.PHASES, min_slices=4, min_phases=4, clock=(Clock.BREATH,)),
    models=(),
)
ROUTE = Route(
    name="lung",
    when=(Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("CT",)),),
    run=("breath",),
    send=("archive",),
)
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
STUDY: dict[str, Any] = {"PatientID": "4711", "StudyDate": "20260310", "StudyTime": "101500", "FrameOfReferenceUID": "1.9"}


def application_of(name: str) -> Application:
    return BREATH


def came(node: MiniNode, phase: int, *, number: int = 0, slices: int = SLICES, study: str = "1.1", **said: Any) -> None:
    """One phase of the breath, a series of its own, numbered against the order of time."""
    uid = f"{study}.{number or len(SHARES) - phase}"
    for z in range(slices):
        node.receive(
            study,
            uid,
            (z,),
            **{
                "Modality": "CT",
                "SOPClassUID": CT_IMAGE,
                "SeriesInstanceUID": uid,
                "SeriesDescription": f"4D T={SHARES[phase]}%",
                "SeriesNumber": int(uid.rpartition(".")[2]),
                "ImagePositionPatient": (0.0, 0.0, 3.0 * z),
                "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
                "PixelSpacing": (1.5, 1.5),
                "SliceThickness": 3.0,
                "Rows": 64,
                "Columns": 64,
                **STUDY,
                **said,
            },
        )


route = partial(settle_and_route, applications=application_of)
ALL = {f"1.1.{number + 1}" for number in range(len(SHARES))}


def series_of(node: MiniNode, job: Job) -> set[str]:
    return {one.series_instance_uid for one in node.journal.instances.of_job(job.id)}


def found(node: MiniNode) -> str:
    return "; ".join(one.found for each in node.journal.routing.decisions(1) for one in each.tried if one.application)


@pytest.mark.parametrize("scope", [Scope.STUDY, Scope.SERIES])
@pytest.mark.parametrize("order", list(itertools.permutations(range(len(SHARES))))[::29], ids=lambda order: "".join(map(str, order)))
def test_a_series_a_phase_is_one_job_in_any_order(node: MiniNode, order: Sequence[int], scope: Scope) -> None:
    """They settle alone or with their study: in the end one job is there on all of them, called by the lowest number."""
    node.configure(routes=(ROUTE,), peers={"ct1": replace(CT1, settle=Rule(scope=scope, quiet=timedelta(seconds=15)))})
    for phase in order:
        came(node, phase)
        route(node, 16)
        assert len([job for job in live(node) if job.state is JobState.QUEUED]) <= 1
    route(node)
    (job,) = [job for job in live(node) if job.state is JobState.QUEUED]
    assert job.series_instance_uid == "1.1.1"
    assert series_of(node, job) == ALL
    last = f"breath: analysed over time, {len(SHARES)} series of the study, a phase each, this one phase {SHARES[order[-1]]} %"
    assert last in reasons(node)[f"1.1.{5 - order[-1]}"]


def test_a_study_that_settles_whole_waits_for_all_phases(node: MiniNode) -> None:
    """One job from the first: while phases arrive nothing is planned on the first of them."""
    node.configure(routes=(ROUTE,), peers={"ct1": replace(CT1, settle=Rule(scope=Scope.STUDY, quiet=timedelta(seconds=15)))})
    for phase in range(len(SHARES)):
        came(node, phase)
        route(node, 10)
        assert live(node) == []
    route(node, 16)
    (job,) = live(node)
    assert (job.state, series_of(node, job), job.predecessor) == (JobState.QUEUED, ALL, None)


def test_a_phase_that_comes_late_takes_the_place_of_the_job_that_lacked_it(node: MiniNode) -> None:
    """The job without it says what it lacks; the one with it is for all."""
    node.configure(routes=(ROUTE,))
    for phase in (0, 1, 2, 4):
        came(node, phase)
    route(node)
    (early,) = live(node)
    assert series_of(node, early) == ALL - {"1.1.2"}
    assert "4 phases came as a series each, told apart by SeriesDescription, and the study lacks phase 60 %" in found(node)
    came(node, 3)
    route(node)
    (job,) = live(node)
    assert (job.state, job.predecessor, series_of(node, job)) == (JobState.QUEUED, early.id, ALL)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"SeriesDescription": "4D Average"}, "SeriesDescription is «4D Average»: it was computed of all phases"),
        (
            {"SeriesDescription": "4D", "ImageType": ("DERIVED", "SECONDARY", "MIP")},
            "ImageType has MIP: the images were computed from others",
        ),
        ({"SeriesDescription": "4D untagged"}, "SeriesDescription does not say which phase it is, and none is missing"),
    ],
    ids=["average", "projection", "says none"],
)
def test_what_lies_beside_the_phases_is_in_no_job_and_named(node: MiniNode, said: dict[str, Any], why: str) -> None:
    node.configure(routes=(replace(ROUTE, each=True),))
    for phase in range(len(SHARES)):
        came(node, phase)
    came(node, 0, number=9, **said)
    route(node)
    (job,) = [one for one in live(node) if one.state is JobState.QUEUED]
    assert series_of(node, job) == ALL
    (other,) = [one for one in live(node) if one.state is JobState.NOT_APPLICABLE]
    assert f"it is none of the 5 phases on its grid: {why}" in (other.reason or "")
    assert f"not with them: series 9, {why}" in reasons(node)["1.1.1"]


def test_other_stacks_are_no_phases_of_it(node: MiniNode) -> None:
    """A thin reconstruction, one in another frame of reference, one of another kernel: none is in the job, and none is a job of its own."""
    node.configure(routes=(ROUTE,))
    for phase in range(len(SHARES)):
        came(node, phase, ConvolutionKernel="B30f")
    came(node, 1, number=11, ConvolutionKernel="B30f", Rows=128)
    came(node, 1, number=12, ConvolutionKernel="B30f", FrameOfReferenceUID="1.10")
    came(node, 1, number=13, ConvolutionKernel="B70f")
    route(node)
    queued = [job for job in live(node) if job.state is JobState.QUEUED]
    assert [series_of(node, job) for job in queued] == [ALL]
    assert all(job.state is JobState.NOT_APPLICABLE for job in live(node) if job not in queued)


def test_a_phase_that_came_twice_or_short_is_not_left_out(node: MiniNode) -> None:
    """Without it the breath would be measured too small: the job holds it, and headers say why it will be refused."""
    node.configure(routes=(ROUTE,))
    for phase in range(len(SHARES)):
        came(node, phase, slices=SLICES - 1 if phase == 2 else SLICES)
    route(node)
    (job,) = live(node)
    assert series_of(node, job) == ALL
    assert "1 of 5 phases have not 4 slices as the others: series 3 has 3" in found(node)
    came(node, 2, number=9)
    route(node)
    (job,) = live(node)
    assert series_of(node, job) == {*ALL, "1.1.9"}


def test_a_phase_that_the_route_does_not_ask_for_says_that_it_is_analysed(node: MiniNode) -> None:
    """A breath is analysed whole: what did not match says both why, and that it is analysed with the others."""
    only = Condition(keyword="SeriesDescription", operator=ConditionOperator.EQUALS, expected=("4D T=0%",))
    node.configure(routes=(replace(ROUTE, when=(only,)),))
    for phase in range(len(SHARES)):
        came(node, phase)
    route(node)
    (job,) = live(node)
    assert series_of(node, job) == ALL
    assert "analysed over time, 5 series of the study, a phase each" in reasons(node)["1.1.1"]


def test_a_replay_of_the_same_routes_tells_no_difference(node: MiniNode) -> None:
    """What was decided of a breath in several series is decided again."""
    node.configure(routes=(ROUTE,))
    for phase in range(len(SHARES)):
        came(node, phase)
    came(node, 0, number=9, SeriesDescription="4D Average")
    route(node)
    replay = Replay(node.journal.routing_history, node.config.routes, "the same", application_of)
    assert list(replay.differences(node.clock() - timedelta(days=1))) == []
