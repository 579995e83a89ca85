"""Slices over time that come as a series each: one job for all of them, whatever the order; and what the decisions about them say."""

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

SLICES, PHASES = 5, 8
HEART = replace(
    APPLICATION,
    name="heart",
    accepts=Accepts(modality=("MR",), takes=Takes.PHASES, min_slices=4, min_phases=6, clock=(Clock.HEART,)),
    models=(),
)
ROUTE = Route(
    name="cine",
    when=(Condition(keyword="SeriesDescription", operator=ConditionOperator.EQUALS, expected=("SAX",)),),
    run=("heart",),
    send=("archive",),
)
STUDY: dict[str, Any] = {"PatientID": "4711", "StudyDate": "20260310", "StudyTime": "101500", "FrameOfReferenceUID": "1.9"}


def application_of(name: str) -> Application:
    return HEART


def came(node: MiniNode, z: int, *, phases: int = PHASES, number: int = 0, study: str = "1.1", **said: Any) -> None:
    """One slice of the cine, a series of its own."""
    uid = f"{study}.{number or z + 1}"
    for phase in range(phases):
        node.receive(
            study,
            uid,
            (phase,),
            **{
                "SeriesDescription": "SAX",
                "SeriesNumber": int(uid.rpartition(".")[2]),
                "ImagePositionPatient": (0.0, 0.0, 8.0 * z),
                "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
                "PixelSpacing": (1.5, 1.5),
                "SliceThickness": 8.0,
                "TriggerTime": 100.0 * phase,
                "Rows": 64,
                "Columns": 64,
                **STUDY,
                **said,
            },
        )


route = partial(settle_and_route, applications=application_of)


def series_of(node: MiniNode, job: Job) -> set[str]:
    return {one.series_instance_uid for one in node.journal.instances.of_job(job.id)}


@pytest.mark.parametrize("scope", [Scope.STUDY, Scope.SERIES])
@pytest.mark.parametrize("order", list(itertools.permutations(range(SLICES)))[::29], ids=lambda order: "".join(map(str, order)))
def test_a_series_a_slice_is_one_job_in_any_order(node: MiniNode, order: Sequence[int], scope: Scope) -> None:
    """They settle alone or with their study: in the end one job is there on all of them, called by the lowest number."""
    node.configure(routes=(ROUTE,), peers={"ct1": replace(CT1, settle=Rule(scope=scope, quiet=timedelta(seconds=15)))})
    for z in order:
        came(node, z)
        route(node, 16)
        assert len(live(node)) <= 1
    route(node)
    (job,) = live(node)
    assert (job.state, job.series_instance_uid) == (JobState.QUEUED, "1.1.1")
    assert series_of(node, job) == {f"1.1.{z + 1}" for z in range(SLICES)}
    assert f"heart: analysed over time, {SLICES} series of the study, a slice each" in reasons(node)[f"1.1.{order[-1] + 1}"]


def test_other_cines_and_what_does_not_move_are_no_slices_of_it(node: MiniNode) -> None:
    """A long axis, a cine of more phases, one of another matrix, and late enhancement: none is in the job, and none is a job of its own."""
    node.configure(routes=(ROUTE,))
    for z in range(SLICES):
        came(node, z)
    came(node, 1, number=11, ImageOrientationPatient=(0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    came(node, 1, number=12, phases=12)
    came(node, 1, number=13, Rows=128)
    came(node, 1, number=14, phases=1)
    route(node)
    queued = [job for job in live(node) if job.state is JobState.QUEUED]
    assert [series_of(node, job) for job in queued] == [{f"1.1.{z + 1}" for z in range(SLICES)}]
    assert all(job.state is JobState.NOT_APPLICABLE for job in live(node) if job not in queued)


def test_too_few_slices_are_not_applicable_and_the_last_one_that_comes_makes_the_job(node: MiniNode) -> None:
    node.configure(routes=(ROUTE,))
    for z in range(3):
        came(node, z)
    route(node)
    (early,) = live(node)
    assert early.state is JobState.NOT_APPLICABLE
    assert early.reason is not None
    assert "3 slices, at least 4 are needed" in early.reason
    came(node, 3)
    route(node)
    (job,) = live(node)
    assert (job.state, job.predecessor) == (JobState.QUEUED, early.id)


@pytest.mark.parametrize("phases", [1, PHASES - 1, PHASES + 1])
@pytest.mark.parametrize("odd", [0, SLICES - 1])
def test_a_slice_with_other_images_is_not_left_out(node: MiniNode, odd: int, phases: int) -> None:
    """The apex with an image too few, or but one, the base with one too many: without it the heart would be measured too small."""
    node.configure(routes=(ROUTE,))
    for z in range(SLICES):
        came(node, z, phases=phases if z == odd else PHASES)
    route(node)
    (job,) = live(node)
    assert series_of(node, job) == {f"1.1.{z + 1}" for z in range(SLICES)}
    said = "; ".join(one.found for each in node.journal.routing.decisions(1) for one in each.tried if one.application)
    assert f"1 of {SLICES} slices have not {PHASES} images as the others, but {phases} at" in said


PLAIN: dict[str, Any] = {"SequenceName": "*tfi2d1_15", "FlipAngle": 60.0, "ImageType": ("ORIGINAL", "PRIMARY", "M"), "EchoTime": 1.5}


@pytest.mark.parametrize("odd", [0, 2, SLICES - 1])
@pytest.mark.parametrize(
    "other",
    [{"SequenceName": "*tfi2d1_12"}, {"FlipAngle": 52.0}, {"EchoTime": 1.3}],
    ids=["segments", "flip angle", "echo"],
)
def test_a_slice_that_the_scanner_fitted_to_its_breath_hold_is_one_of_it(node: MiniNode, other: dict[str, Any], odd: int) -> None:
    """Fewer segments, or a flip angle that the heat allows: without that slice the heart would be measured too small."""
    node.configure(routes=(ROUTE,))
    for z in range(SLICES):
        came(node, z, **(PLAIN | other if z == odd else PLAIN))
    route(node)
    (job,) = live(node)
    assert (job.state, len(series_of(node, job))) == (JobState.QUEUED, SLICES)


def test_two_slices_that_lack_images_are_not_left_out(node: MiniNode) -> None:
    """A breath-hold was cut short in two of five, and in one that was taken again: none of both is another stack."""
    node.configure(routes=(ROUTE,))
    for z in range(SLICES):
        came(node, z, phases=PHASES - 1 if z > 2 else PHASES)
    came(node, 1, number=11, phases=PHASES - 1)
    route(node)
    said = "; ".join(one.found for each in node.journal.routing.decisions(1) for one in each.tried if one.application)
    assert f"2 of {SLICES} slices have not {PHASES} images as the others" in said


@pytest.mark.parametrize("shift", [0.5, 1.0], ids=["between", "one further"])
def test_a_stack_that_was_repeated_with_other_phases_is_a_subject_of_its_own(node: MiniNode, shift: float) -> None:
    node.configure(routes=(replace(ROUTE, each=True),))
    for z in range(SLICES):
        came(node, z)
        came(node, z, number=11 + z, phases=12, ImagePositionPatient=(0.0, 0.0, 8.0 * (z + shift)))
    route(node)
    queued = [job for job in live(node) if job.state is JobState.QUEUED]
    found = sorted((sorted(series_of(node, job)) for job in queued), key=lambda uids: len(uids[0]))
    assert found == [[f"1.1.{first + z}" for z in range(SLICES)] for first in (1, 11)]


@pytest.mark.parametrize(
    "other",
    [{"SequenceName": "tagging"}, {"FlipAngle": 12.0}, {"ImageType": ("ORIGINAL", "PRIMARY", "P")}, {"EchoTime": 5.0}],
    ids=["sequence", "flip angle", "velocity", "echo"],
)
def test_a_slice_of_another_kind_is_none_of_it(node: MiniNode, other: dict[str, Any]) -> None:
    """One beyond the base, of as many phases, of tagging or of velocities: it is in no job of the heart, and named."""
    node.configure(routes=(ROUTE,))
    for z in range(SLICES):
        came(node, z, **PLAIN)
    came(node, SLICES, **{**PLAIN, **other})
    route(node)
    (job,) = [one for one in live(node) if one.state is JobState.QUEUED]
    assert series_of(node, job) == {f"1.1.{z + 1}" for z in range(SLICES)}
    named = f"not with them, though it lies where the next slice would: 1.1.{SLICES + 1}, by {next(iter(other))}"
    assert (named in reasons(node)["1.1.1"]) == ("ImageType" not in other)


def test_a_slice_that_the_route_does_not_ask_for_says_that_it_is_analysed(node: MiniNode) -> None:
    """A cine is analysed whole: what did not match says both why, and that it is analysed with the others."""
    node.configure(routes=(ROUTE,))
    for z in range(SLICES):
        came(node, z, SeriesDescription="SAX again" if z == 2 else "SAX")
    route(node)
    (job,) = live(node)
    assert len(series_of(node, job)) == SLICES
    (decision,) = [one for one in node.journal.routing.decisions(1) if one.series_instance_uid == "1.1.3"]
    assert not decision.matched
    assert "analysed over time" in decision.reason
    assert "all conditions hold" not in decision.reason


def test_a_replay_of_the_same_routes_tells_no_difference(node: MiniNode) -> None:
    """What was decided of a cine in several series is decided again."""
    node.configure(routes=(ROUTE,))
    for z in range(SLICES):
        came(node, z)
    route(node)
    replay = Replay(node.journal.routing_history, node.config.routes, "the same", application_of)
    assert list(replay.differences(node.clock() - timedelta(days=1))) == []
