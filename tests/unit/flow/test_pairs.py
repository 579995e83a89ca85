"""Jobs over several series, from arrivals to jobs: a series with its prior, whichever came first, and the views of a study as one."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from inference.applications.port import Accepts, Application, Takes
from node.domain.arrival import Completeness
from node.domain.errors import PixelsGone
from node.domain.instance import Standing
from node.domain.job import Job
from node.domain.route import NeededSeries, Needs, Otherwise, PinnedVersion, Route
from node.domain.state import ArrivalState, JobState
from node.flow.route import PriorMistaken, RouteStage
from node.flow.settle import SettleStage
from node.journal.port import CameAgain
from node.settings.peers import Scope
from node.settings.peers import Settle as Rule
from tests.unit.flow.mini import APPLICATION, CT1, CountingPeer, MiniNode
from tests.unit.flow.test_route import is_modality

ACCEPTS = {
    "compare": Accepts(modality=("MR",), takes=Takes.PAIR),
    "alone too": Accepts(modality=("MR",), takes=Takes.PAIR, without_prior=True),
    "views": Accepts(modality=("MG",), takes=Takes.IMAGES, whole_study=True),
}
PAIRS = Route(name="follow-up", run=("compare",), send=("archive",))
THEN: dict[str, Any] = {"PatientID": "4711", "StudyDate": "20250601", "StudyTime": "101500", "SeriesDescription": "T1"}
NOW: dict[str, Any] = {**THEN, "StudyDate": "20260310"}


def application_of(name: str) -> Application:
    return replace(APPLICATION, name=name, accepts=ACCEPTS.get(name, APPLICATION.accepts))


@pytest.fixture
def pairs(node: MiniNode) -> MiniNode:
    """A node that compares every MR with its prior."""
    node.configure(routes=(PAIRS,))
    return node


def settle(node: MiniNode) -> None:
    """Let every quiet window pass."""
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()


def route(node: MiniNode) -> None:
    """Settle, and route until nothing is left."""
    settle(node)
    stage = RouteStage(node.journal, node.config, node.clock, lambda name: "default", application_of)
    while stage.step():
        pass


def reason(node: MiniNode, study: str) -> str:
    """What the newest revision of the study says of its only series."""
    arrival = node.journal.arrivals.latest(study, None, "ct1")
    assert arrival is not None
    assert arrival.state is ArrivalState.ROUTED
    (decision,) = node.journal.routing.decisions(arrival.id)
    return decision.reason


def series_of(node: MiniNode, job: Job) -> set[str]:
    return {instance.series_instance_uid for instance in node.journal.instances.of_job(job.id)}


def pixels_go(node: MiniNode, ids: Sequence[int]) -> None:
    """Retention deletes the pixels."""
    node.journal.retention.tombstone(ids, node.clock())
    assert {row.standing for row in node.journal.instances.of_study("1.1") if row.id in ids} == {Standing.PURGED}


def come_back(node: MiniNode, ids: Sequence[int]) -> None:
    """The purged instances are received again, with the same bytes."""
    rows = [row for row in node.journal.instances.of_study("1.1") if row.id in ids]
    for row in rows:
        node.journal.instances.restore(row.id, row.blob.replace(".dcm", "-1.dcm"), row.header, node.clock())
    due = node.clock()
    again = [CameAgain(instance=one, peer="ct1", called_ae="HILUM", scope_series=False, due_at=due, restored=True) for one in ids]
    node.journal.instances.came_again(again, node.config.digest, node.clock())


def test_a_series_is_analysed_with_its_prior(pairs: MiniNode) -> None:
    """One job that holds both, for the current series, under a digest over both that arithmetic by hand gives; the prior has none."""
    prior = pairs.receive("1.1", "1.1.1", **THEN)
    route(pairs)
    assert pairs.jobs() == []
    assert reason(pairs, "1.1").endswith("compare: no prior: no earlier study of this patient is here")
    current = pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    (job,) = pairs.jobs()
    used = pairs.journal.instances.of_job(job.id)
    assert (job.study_instance_uid, job.series_instance_uid, {one.id for one in used}) == ("2.1", "2.1.1", {*prior, *current})
    roles = {"1.1.1": "prior", "2.1.1": "current"}
    lines = "".join(sorted(f"{one.sop_instance_uid} {one.digest} {roles[one.series_instance_uid]}\n" for one in used))
    assert job.input_digest == hashlib.sha256(lines.encode()).hexdigest()
    assert pairs.journal.instances.roles_of_job(job.id) == {one.id: roles[one.series_instance_uid] for one in used}
    assert reason(pairs, "2.1").endswith("compare: compared with series 1.1.1 of 2025-06-01 (T1)")


def test_a_prior_that_comes_later_makes_the_pair_then(pairs: MiniNode) -> None:
    """The archive forwards last year's study after today's: today's is routed again, once, and says why."""
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    assert pairs.jobs() == []
    pairs.receive("1.1", "1.1.1", **THEN)
    route(pairs)
    (job,) = pairs.jobs()
    assert (job.series_instance_uid, series_of(pairs, job)) == ("2.1.1", {"1.1.1", "2.1.1"})
    again = pairs.journal.arrivals.latest("2.1", None, "ct1")
    assert again is not None
    assert (again.revision, again.completed_by, job.arrival) == (2, Completeness.PRIOR, again.id)
    events = [event.detail for event in pairs.journal.events.of("arrival", again.id)]
    assert "study 1.1 came, which it is compared with" in events
    route(pairs)
    assert len(pairs.jobs()) == 1


def test_what_needs_no_prior_is_analysed_alone_and_with_it_once_it_comes(node: MiniNode) -> None:
    """Today's alone, under a digest that knows of no role; last year's then comes, is analysed itself, and today's anew with it, in the
    place of the first job. A prior that is another patient's by now is left again."""
    node.configure(routes=(replace(PAIRS, run=("alone too",)),))
    node.receive("2.1", "2.1.1", **NOW)
    route(node)
    (alone,) = node.jobs()
    assert series_of(node, alone) == {"2.1.1"}
    assert node.journal.instances.roles_of_job(alone.id) == {}
    assert reason(node, "2.1").endswith("alone too: no prior: no earlier study of this patient is here")
    node.receive("1.1", "1.1.1", **THEN)
    route(node)
    of_study = {study: [job for job in node.jobs() if job.study_instance_uid == study] for study in ("1.1", "2.1")}
    assert [series_of(node, job) for job in of_study["1.1"]] == [{"1.1.1"}]
    first, second = of_study["2.1"]
    assert (first.id, first.state) == (alone.id, JobState.SUPERSEDED)
    assert series_of(node, second) == {"1.1.1", "2.1.1"}
    assert set(node.journal.instances.roles_of_job(second.id).values()) == {"current", "prior"}
    route(node)
    assert len(node.jobs()) == 3


def test_a_prior_that_comes_late_is_not_lost_behind_films(pairs: MiniNode) -> None:
    """Twelve chest films were taken between the two visits: the MR of today still finds its prior when that comes."""
    for number in range(12):
        pairs.receive(f"3.{number}", f"3.{number}.1", **{**THEN, "StudyDate": f"202507{number + 1:02d}", "Modality": "DX"})
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    pairs.receive("1.1", "1.1.1", **THEN)
    route(pairs)
    (job,) = [job for job in pairs.jobs() if job.study_instance_uid == "2.1"]
    assert series_of(pairs, job) == {"1.1.1", "2.1.1"}


def test_both_at_once_make_one_job_and_no_revision(pairs: MiniNode) -> None:
    """Two studies settle in one step: whichever is routed first, nothing is done twice."""
    pairs.receive("2.1", "2.1.1", **NOW)
    pairs.receive("1.1", "1.1.1", **THEN)
    route(pairs)
    (job,) = pairs.jobs()
    assert series_of(pairs, job) == {"1.1.1", "2.1.1"}
    assert {arrival.revision for arrival in pairs.arrivals()} == {1}


def test_a_prior_in_the_middle_of_arriving_is_waited_for(pairs: MiniNode) -> None:
    """Today's study is complete while last year's still comes: no pair on a part of it, the pair when it is whole."""
    pairs.receive("2.1", "2.1.1", **NOW)
    settle(pairs)
    pairs.receive("1.1", "1.1.1", [1, 2], **THEN)
    RouteStage(pairs.journal, pairs.config, pairs.clock, lambda name: "default", application_of).step()
    assert pairs.jobs() == []
    assert reason(pairs, "2.1").endswith("no prior: the study of 2025-06-01 is still arriving")
    pairs.receive("1.1", "1.1.1", [3, 4], **THEN)
    route(pairs)
    (job,) = pairs.jobs()
    assert len(pairs.journal.instances.of_job(job.id)) == 8


def test_a_prior_whose_series_settle_one_by_one_is_waited_for_to_the_last(pairs: MiniNode) -> None:
    """The archive's series settle by themselves: that of the scout, which nobody compares with, is the last, and makes the pair."""
    rule = Rule(scope=Scope.SERIES, quiet=timedelta(seconds=10))
    pairs.configure(peers={**pairs.config.peers, "ct1": replace(CT1, settle=rule)})
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    pairs.receive("1.1", "1.1.1", **THEN)
    settle(pairs)
    pairs.receive("1.1", "1.1.2", [1], **{**THEN, "SeriesDescription": "scout"})
    RouteStage(pairs.journal, pairs.config, pairs.clock, lambda name: "default", application_of).step()
    assert pairs.jobs() == []
    route(pairs)
    assert [series_of(pairs, job) for job in pairs.jobs()] == [{"1.1.1", "2.1.1"}]


def test_late_instances_of_the_prior_supersede_the_job(pairs: MiniNode) -> None:
    """The prior changed: the job on what it was is replaced, and the new one names it."""
    pairs.receive("1.1", "1.1.1", **THEN)
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    pairs.receive("1.1", "1.1.1", [5], **THEN)
    route(pairs)
    old, new = pairs.jobs()
    assert (old.state, new.state, new.predecessor, new.study_instance_uid) == (JobState.SUPERSEDED, JobState.QUEUED, old.id, "2.1")
    assert len(pairs.journal.instances.of_job(new.id)) == 9


def test_a_newer_prior_that_comes_later_takes_the_place_of_the_older(pairs: MiniNode) -> None:
    """A migration brings 2024 first, then 2025: the comparison ends with 2025, whose job names the one with 2024; 2025 has its own."""
    pairs.receive("2.1", "2.1.1", **NOW)
    pairs.receive("0.1", "0.1.1", **{**THEN, "StudyDate": "20240601"})
    route(pairs)
    pairs.receive("1.1", "1.1.1", **THEN)
    route(pairs)
    live = {job.series_instance_uid: series_of(pairs, job) for job in pairs.jobs() if job.state is not JobState.SUPERSEDED}
    assert live == {"2.1.1": {"2.1.1", "1.1.1"}, "1.1.1": {"1.1.1", "0.1.1"}}


def test_a_prior_of_another_patient_makes_no_job(pairs: MiniNode) -> None:
    """The same name, another ID; the same ID, another issuer."""
    for study, other in (("3.1", {"PatientID": "4712"}), ("4.1", {"IssuerOfPatientID": "ELSEWHERE"})):
        pairs.receive(study, f"{study}.1", **{**THEN, "PatientName": "DOE^JANE", **other})
    pairs.receive("2.1", "2.1.1", **NOW, PatientName="DOE^JANE")
    route(pairs)
    assert pairs.jobs() == []


def test_a_prior_whose_pixels_are_gone_is_named_and_comes_back_with_them(pairs: MiniNode) -> None:
    """No job, and the reason; when the prior is sent again, the pair is made."""
    ids = pairs.receive("1.1", "1.1.1", **THEN)
    route(pairs)
    pixels_go(pairs, ids)
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    assert pairs.jobs() == []
    assert "of 2025-06-01: the pixels of 4 instances were deleted by retention" in reason(pairs, "2.1")
    come_back(pairs, ids)
    route(pairs)
    (job,) = pairs.jobs()
    assert series_of(pairs, job) == {"1.1.1", "2.1.1"}


def test_a_job_stands_when_its_priors_pixels_go(pairs: MiniNode) -> None:
    """Years later today's study is sent again under another configuration: nothing is compared anew with less."""
    ids = pairs.receive("1.1", "1.1.1", **THEN)
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    (job,) = pairs.jobs()
    pairs.journal.jobs.end(job.id, None, JobState.CANCELLED, "HLM-0000", "so that retention may", pairs.clock())
    pixels_go(pairs, ids)
    pairs.journal.jobs.revive(job.id, pairs.clock())
    pairs.receive("2.1", "2.1.2", **{**NOW, "SeriesDescription": "scout"}, SeriesNumber=9)
    route(pairs)
    assert [(one.id, one.state) for one in pairs.jobs()] == [(job.id, JobState.QUEUED)]


def test_a_current_series_whose_pixels_are_gone_parks(pairs: MiniNode) -> None:
    """As any job on it would; its prior makes no difference."""
    pairs.receive("1.1", "1.1.1", **THEN)
    ids = pairs.receive("2.1", "2.1.1", **NOW)
    settle(pairs)
    route(pairs)
    (job,) = pairs.jobs()
    pairs.journal.jobs.end(job.id, None, JobState.CANCELLED, "HLM-0000", "so that retention may", pairs.clock())
    pairs.journal.retention.tombstone(ids, pairs.clock())
    pairs.receive("1.1", "1.1.1", [5], **THEN)
    route(pairs)
    assert [one.state for one in pairs.jobs()] == [JobState.CANCELLED]
    pairs.receive("2.1", "2.1.1", [5], **NOW)
    route(pairs)
    assert [(one.state, one.code) for one in pairs.jobs()][1:] == [(JobState.PARKED, PixelsGone.code)]


def correct(node: MiniNode, study: str, ids: Sequence[int], **header: Any) -> None:
    """The sender corrects headers and sends every instance again."""
    for number, old in enumerate(ids, start=1):
        node.receive(study, f"{study}.1", [number], replaces=old, changed="corrected", **header)


def deliver(node: MiniNode) -> None:
    """The job that waits is analysed, and its results are delivered."""
    job = node.journal.jobs.claim("work", node.clock(), timedelta(minutes=1))
    assert job is not None
    assert job.lease is not None
    node.journal.jobs.inferred(job.id, job.lease, "findings", "model", node.clock())
    node.journal.jobs.encoded(job.id, job.lease, [], node.clock())
    delivery = node.journal.deliveries.claim("flow", node.clock(), timedelta(minutes=1))
    assert delivery is not None
    assert delivery.lease is not None
    node.journal.deliveries.delivered(delivery.id, delivery.lease, node.clock())


@pytest.mark.parametrize("delivered", [False, True])
def test_a_prior_that_turns_out_to_be_anothers_ends_the_job(pairs: MiniNode, delivered: bool) -> None:
    """Somebody corrects the patient ID of last year's study: the comparison of two people is cancelled, or, where its results left
    already, told to a person; the reason of the decision is new."""
    ids = pairs.receive("1.1", "1.1.1", **THEN)
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    if delivered:
        deliver(pairs)
    correct(pairs, "1.1", ids, **{**THEN, "PatientID": "4712"})
    route(pairs)
    (job,) = pairs.jobs()
    assert job.state is (JobState.DONE if delivered else JobState.CANCELLED)
    if delivered:
        assert "job.prior_mistaken" in [event.name for event in pairs.journal.events.of("job", job.id)]
    else:
        assert (job.code, "another patient's" in str(job.reason)) == (PriorMistaken.code, True)
    assert reason(pairs, "2.1").endswith("no prior: no earlier study of this patient is here")


def test_a_prior_that_turns_out_to_be_anothers_ends_the_job_of_each_route(pairs: MiniNode) -> None:
    """Of routes that ask otherwise of the application, one has a job that was delivered and the other one that is parked."""
    pinned = replace(PAIRS, name="pinned", send=("copies",), pinned=(PinnedVersion(application="compare", version="9"),))
    pairs.configure(routes=(PAIRS, pinned))
    ids = pairs.receive("1.1", "1.1.1", **THEN)
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    deliver(pairs)
    correct(pairs, "1.1", ids, **{**THEN, "PatientID": "4712"})
    route(pairs)
    done, parked = pairs.jobs()
    assert "job.prior_mistaken" in [event.name for event in pairs.journal.events.of("job", done.id)]
    assert (done.state, parked.state, parked.code) == (JobState.DONE, JobState.CANCELLED, PriorMistaken.code)


def test_a_prior_that_turns_out_to_be_anothers_is_replaced_where_there_is_another(pairs: MiniNode) -> None:
    """The study before it is compared with instead, and the job says what it replaces."""
    pairs.receive("0.1", "0.1.1", **{**THEN, "StudyDate": "20240601"})
    ids = pairs.receive("1.1", "1.1.1", **THEN)
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    correct(pairs, "1.1", ids, **{**THEN, "PatientID": "4712"})
    route(pairs)
    last = pairs.jobs()[-1]
    assert (last.series_instance_uid, series_of(pairs, last), last.state) == ("2.1.1", {"2.1.1", "0.1.1"}, JobState.QUEUED)
    assert last.predecessor is not None


def test_an_older_study_that_comes_later_changes_nothing(pairs: MiniNode) -> None:
    """A migration from new to old: what has a newer prior is not routed again."""
    pairs.receive("1.1", "1.1.1", **THEN)
    pairs.receive("2.1", "2.1.1", **NOW)
    route(pairs)
    pairs.receive("0.1", "0.1.1", **{**THEN, "StudyDate": "20240601"})
    route(pairs)
    revisions = {arrival.study_instance_uid: arrival.revision for arrival in pairs.arrivals()}
    assert revisions == {"1.1": 2, "2.1": 1, "0.1": 1}, "1.1 had no prior before"


# ---- whole studies


@pytest.fixture
def mammography(node: MiniNode) -> MiniNode:
    """A node that analyses all views of an examination together."""
    node.configure(routes=(Route(name="mammography", run=("views",), send=("archive",)),))
    return node


def views(node: MiniNode, *numbers: int, **header: Any) -> None:
    for number in numbers:
        node.receive("1.1", f"1.1.{number}", [1], **{"Modality": "MG", "SeriesNumber": number, **header})


def test_the_views_of_a_study_are_one_job(mammography: MiniNode) -> None:
    """Four views in four series, and a report beside them: one job with the four images, named by the first series."""
    views(mammography, 2, 1, 4, 3)
    mammography.receive("1.1", "1.1.9", [1], Modality="SR")
    route(mammography)
    (job,) = mammography.jobs()
    assert (job.series_instance_uid, series_of(mammography, job)) == ("1.1.1", {"1.1.1", "1.1.2", "1.1.3", "1.1.4"})
    arrival = mammography.journal.arrivals.latest("1.1", None, "ct1")
    assert arrival is not None
    decisions = {one.series_instance_uid: one for one in mammography.journal.routing.decisions(arrival.id)}
    assert [decisions[f"1.1.{n}"].chosen for n in (1, 2, 3, 4, 9)] == [True, True, True, True, False]
    assert decisions["1.1.2"].reason == "all conditions hold; views: analysed as a whole, 4 series of the study"


def test_a_late_view_supersedes_even_where_it_comes_to_name_the_job(mammography: MiniNode) -> None:
    """The fourth view comes late, with the lowest number: one job stands, and names the one on three views."""
    views(mammography, 2, 3, 4)
    route(mammography)
    views(mammography, 1)
    route(mammography)
    old, new = mammography.jobs()
    assert (old.series_instance_uid, new.series_instance_uid, new.predecessor, old.state) == ("1.1.2", "1.1.1", old.id, JobState.SUPERSEDED)
    assert len(mammography.journal.instances.of_job(new.id)) == 4


def test_a_view_that_the_route_does_not_take_stays_out(node: MiniNode) -> None:
    """Only what matches belongs to the whole."""
    node.configure(routes=(Route(name="mammography", run=("views",), when=is_modality("MG"), send=("archive",)),))
    views(node, 1, 2)
    node.receive("1.1", "1.1.5", [1], Modality="US", SeriesNumber=5)
    route(node)
    (job,) = node.jobs()
    assert series_of(node, job) == {"1.1.1", "1.1.2"}


def test_a_study_that_waits_for_a_series_is_a_prior_meanwhile(pairs: MiniNode) -> None:
    """It is complete but for what a route would like besides; nobody who is compared with it waits too."""
    wanted = NeededSeries(name="never", when=is_modality("PT"))
    needs = Needs(series=(wanted,), within=timedelta(hours=1), otherwise=Otherwise.IGNORE)
    pairs.configure(routes=(PAIRS, Route(name="needs", needs=needs, run=("other",), send=("archive",))))
    pairs.receive("1.1", "1.1.1", **THEN)
    route(pairs)
    pairs.receive("1.2", "1.2.1", **NOW)
    route(pairs)
    assert [series_of(pairs, job) for job in pairs.jobs()] == [{"1.1.1", "1.2.1"}]
