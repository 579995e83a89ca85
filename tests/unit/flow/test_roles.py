"""Several series in roles, from four scenes of a hospital: in any order, late, missing, doubled; and with the newest prior."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from inference.applications.port import Accepts, Application, Role, Takes
from node.domain.job import Job
from node.domain.route import Condition, ConditionOperator, Needs, Otherwise, Preferred, RoleConditions, Route
from node.domain.state import JobState
from node.flow.route import PriorMistaken
from node.routing.replay import Replay
from node.settings.peers import Scope
from node.settings.peers import Settle as Rule
from tests.unit.flow.mini import APPLICATION, CT1, MiniNode, live, reasons, settle_and_route
from tests.unit.flow.test_pairs import deliver

FOUR = ("T1", "T1c", "T2", "FLAIR")
MR = Accepts(modality=("MR",), takes=Takes.VOLUMES)
APPLICATIONS = {
    "glioma": (Role(name="T1"), Role(name="T1c"), Role(name="T2"), Role(name="FLAIR", optional=True)),
    "sclerosis": (
        Role(name="FLAIR"),
        Role(name="T1"),
        Role(name="FLAIR before", prior_of="FLAIR"),
        Role(name="T1 before", prior_of="T1", optional=True),
    ),
    "planning": (Role(name="T1"), Role(name="CT before", prior_of="T1", accepts=Accepts(modality=("CT",)))),
}
TODAY: dict[str, Any] = {"PatientID": "4711", "StudyDate": "20260310", "StudyTime": "101500"}


def application_of(name: str) -> Application:
    return replace(APPLICATION, name=name, accepts=MR, roles=APPLICATIONS[name])


def called(name: str) -> RoleConditions:
    when = Condition(keyword="SeriesDescription", operator=ConditionOperator.EQUALS, expected=(name,))
    return RoleConditions(name=name, when=(when,))


WAITS = Needs(series=(), within=timedelta(minutes=10), otherwise=Otherwise.PARK)
GLIOMA = Route(name="glioma", run=("glioma",), send=("archive",), roles=tuple(map(called, FOUR)), needs=WAITS)
SCLEROSIS = Route(
    name="sclerosis",
    run=("sclerosis",),
    send=("archive",),
    roles=(called("FLAIR"), called("T1"), RoleConditions(name="FLAIR before", within=timedelta(days=1096))),
    needs=WAITS,
)


def came(node: MiniNode, name: str, *, study: str = "1.1", number: int = 0, **header: Any) -> list[int]:
    uid = f"{study}.{number or FOUR.index(name) + 1}"
    return node.receive(study, uid, SeriesDescription=name, SeriesNumber=int(uid.rpartition(".")[2]), **{**TODAY, **header})


route = partial(settle_and_route, applications=application_of)


def in_roles(node: MiniNode, job: Job) -> dict[str, str]:
    """The series by its role."""
    roles = node.journal.instances.roles_of_job(job.id)
    return {roles[one.id]: one.series_instance_uid for one in node.journal.instances.of_job(job.id)}


@pytest.mark.parametrize("order", list(itertools.permutations(FOUR))[::5], ids="-".join)
@pytest.mark.parametrize("scope", [Scope.STUDY, Scope.SERIES])
def test_four_series_in_any_order_are_one_job(node: MiniNode, order: Sequence[str], scope: Scope) -> None:
    """Each comes ten seconds after the one before, and settles alone or with its study: one job in the end, each series in its role."""
    node.configure(routes=(GLIOMA,), peers={"ct1": replace(CT1, settle=Rule(scope=scope, quiet=timedelta(seconds=15)))})
    for name in order:
        came(node, name)
        route(node, 16)
        assert len(live(node)) <= 1
    route(node)
    (job,) = node.jobs()
    assert (job.state, job.series_instance_uid) == (JobState.QUEUED, "1.1.1")
    assert in_roles(node, job) == {name: f"1.1.{n}" for n, name in enumerate(FOUR, start=1)}
    assert "glioma: fills the role T2" in reasons(node)["1.1.3"]


def test_an_optional_role_is_waited_for_and_then_done_without_and_a_late_one_opens_a_revision(node: MiniNode) -> None:
    """Without FLAIR the job is made when the wait is over; FLAIR then supersedes it."""
    node.configure(routes=(GLIOMA,))
    for name in FOUR[:3]:
        came(node, name)
    route(node)
    assert node.jobs() == []
    assert "waits until" in reasons(node)["1.1.1"]
    route(node, 700)
    (first,) = node.jobs()
    assert list(in_roles(node, first)) == ["T1", "T1c", "T2"]
    assert "is run without: no series for FLAIR (none fits)" in reasons(node)["1.1.1"]
    came(node, "FLAIR")
    route(node)
    (second,) = live(node)
    assert (second.predecessor, len(in_roles(node, second))) == (first.id, 4)


def test_a_required_role_that_stays_empty_parks_the_job_which_its_series_revives(node: MiniNode) -> None:
    node.configure(routes=(GLIOMA,))
    for name in ("T1", "T1c", "FLAIR"):
        came(node, name)
    route(node)
    route(node, 700)
    (parked,) = node.jobs()
    assert (parked.state, parked.code, parked.reason) == (JobState.PARKED, "HLM-3085", "no series for T2 (none fits)")
    came(node, "T2")
    route(node)
    (job,) = live(node)
    assert (job.state, len(in_roles(node, job))) == (JobState.QUEUED, 4)


def test_a_doubled_role_is_refused_unless_the_route_prefers_one(node: MiniNode) -> None:
    """Two T2: nobody guesses; where the route prefers the thinnest, that is it."""
    for name in FOUR:
        came(node, name, SliceThickness=5.0)
    came(node, "T2", number=9, SliceThickness=2.0)
    node.configure(routes=(GLIOMA,))
    route(node)
    (parked,) = node.jobs()
    assert (parked.state, parked.code) == (JobState.PARKED, "HLM-3095")
    assert parked.reason == "no series for T2 (2 series fit alike: series 3, series 9; say with `prefer` which it is)"
    node.configure(routes=(replace(GLIOMA, prefer=(Preferred.THINNEST,)),))
    came(node, "T2", number=9, SliceThickness=2.0, numbers=(5,))
    route(node)
    (job,) = live(node)
    assert (job.state, in_roles(node, job)["T2"]) == (JobState.QUEUED, "1.1.9")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"PatientID": "0815"}, "series 3 is of another patient than series 1"),
        ({"SeriesDate": "20260301"}, "series 3 was taken on 2026-03-01, series 1 on 2026-03-10"),
        ({"Modality": "CT"}, "series 3: modality is CT, not MR"),
    ],
)
def test_what_does_not_belong_to_the_others_fills_no_role(node: MiniNode, header: dict[str, Any], said: str) -> None:
    """Another patient, another day, another modality: the role stays empty, and the sentence says why."""
    node.configure(routes=(GLIOMA,))
    for name in FOUR:
        came(node, name, **(header if name == "T2" else {}))
    route(node)
    route(node, 700)
    (parked,) = node.jobs()
    assert (parked.state, parked.reason) == (JobState.PARKED, f"no series for T2 ({said})")


def test_today_is_analysed_with_the_newest_prior_that_is_not_too_old(node: MiniNode) -> None:
    """No prior, no job; one of four years ago is too old; one of last year makes the job, though it comes later; both earlier series are
    of one study."""
    node.configure(routes=(SCLEROSIS,))
    for name in ("FLAIR", "T1"):
        came(node, name)
    route(node)
    assert node.jobs() == []
    assert "sclerosis: FLAIR before: no prior: no earlier study of this patient is here" in reasons(node)["1.1.4"]
    for name in ("FLAIR", "T1"):
        came(node, name, study="1.2", StudyDate="20211231")
    route(node)
    assert live(node) == []
    assert "is more than 1096 days older" in reasons(node)["1.1.4"]
    for name in ("FLAIR", "T1"):
        came(node, name, study="1.3", StudyDate="20250301")
    route(node)
    (job,) = live(node)
    assert in_roles(node, job) == {"FLAIR": "1.1.4", "T1": "1.1.1", "FLAIR before": "1.3.4", "T1 before": "1.3.1"}
    assert (job.study_instance_uid, job.series_instance_uid) == ("1.1", "1.1.4")
    came(node, "FLAIR", study="1.4", StudyDate="20251001")
    route(node)
    (newer,) = live(node)
    assert in_roles(node, newer) == {"FLAIR": "1.1.4", "T1": "1.1.1", "FLAIR before": "1.4.4"}


@pytest.mark.parametrize("delivered", [False, True])
def test_priors_that_turn_out_to_be_anothers_end_the_job(node: MiniNode, delivered: bool) -> None:
    """Somebody corrects the patient ID of last year's study: the comparison of two people is cancelled, or, where its results left already,
    told to a person; as it is for a pair."""
    node.configure(routes=(SCLEROSIS,))
    for name in ("FLAIR", "T1"):
        came(node, name)
    before = {name: came(node, name, study="1.3", StudyDate="20250301") for name in ("FLAIR", "T1")}
    route(node)
    assert len(live(node)) == 1
    if delivered:
        deliver(node)
    for name, ids in before.items():
        for number, old in enumerate(ids, start=1):
            came(node, name, study="1.3", numbers=(number,), replaces=old, changed="corrected", PatientID="9999", StudyDate="20250301")
    route(node)
    (job,) = node.jobs()
    assert job.state is (JobState.DONE if delivered else JobState.CANCELLED)
    if delivered:
        assert "job.prior_mistaken" in [event.name for event in node.journal.events.of("job", job.id)]
    else:
        assert (job.code, "another patient's" in str(job.reason)) == (PriorMistaken.code, True)
    assert "sclerosis: FLAIR before: no prior: no earlier study of this patient is here" in reasons(node)["1.1.4"]


def test_a_prior_of_another_modality_is_what_the_route_says_it_is(node: MiniNode) -> None:
    """Its name and its slices are another's: the conditions of its role hold for it, and none of today's series. Whether it comes before
    the series of today or behind it, there is one job."""
    bone = RoleConditions(
        name="CT before", when=(Condition(keyword="SeriesDescription", operator=ConditionOperator.EQUALS, expected=("bone",)),)
    )
    node.configure(routes=(Route(name="planning", run=("planning",), send=("archive",), roles=(called("T1"), bone), needs=WAITS),))
    ct: dict[str, Any] = {"Modality": "CT", "StudyDate": "20250301", "ImageOrientationPatient": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)}
    came(node, "T1")
    route(node)
    assert live(node) == []
    came(node, "lung", study="1.2", number=1, **ct)
    route(node)
    assert live(node) == []
    assert "has no series that the route asks for" in reasons(node)["1.1.1"]
    came(node, "bone", study="1.3", number=1, **ct)
    route(node)
    (job,) = live(node)
    assert in_roles(node, job) == {"T1": "1.1.1", "CT before": "1.3.1"}
    came(node, "T1", study="1.4", StudyDate="20260601")
    route(node)
    assert [in_roles(node, one) for one in live(node) if one.study_instance_uid == "1.4"] == [{"T1": "1.4.1", "CT before": "1.3.1"}]


def replayed(node: MiniNode, edited: Route) -> list[tuple[str, tuple[bool, bool], tuple[bool, bool]]]:
    """What an edited route would have come to otherwise: the series, and whether it was, and would be, chosen and parked."""
    found = Replay(node.journal.routing_history, (edited,), "edited", application_of).differences(node.clock() - timedelta(days=1))
    return [(one.series_instance_uid, (one.before.chosen, one.before.parks), (one.after.chosen, one.after.parks)) for one in found]


RUNS, PARKS, NOT_RUN = (True, False), (True, True), (False, False)


def test_a_replay_tells_what_other_roles_would_have_come_to(node: MiniNode) -> None:
    """The same route differs in nothing. Without the optional role its series fills none; a role that none fills parks all of them; and
    one that another series fills has that one."""
    node.configure(routes=(GLIOMA,))
    for name in FOUR:
        came(node, name)
    route(node)
    assert live(node)[0].state is JobState.QUEUED
    assert replayed(node, GLIOMA) == []
    assert replayed(node, replace(GLIOMA, roles=GLIOMA.roles[:3])) == [("1.1.4", RUNS, NOT_RUN)]
    absent = replace(GLIOMA, roles=(*GLIOMA.roles[:2], replace(called("T2w"), name="T2"), GLIOMA.roles[3]))
    assert {uid: after for uid, before, after in replayed(node, absent) if before == RUNS} == {
        "1.1.1": PARKS,
        "1.1.2": PARKS,
        "1.1.3": NOT_RUN,
        "1.1.4": PARKS,
    }
