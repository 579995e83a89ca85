"""From complete arrivals to jobs: one job for each application and series, reasons kept, nothing twice."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from inference.applications.errors import UnknownApplication
from inference.applications.port import Application
from inference.engines.errors import ModelMissing
from inference.imaging.write_series import write_series
from node.dicom.header import read_header
from node.dicom.uid import derive_uid
from node.domain.instance import Standing
from node.domain.job import Priority
from node.domain.route import Condition, ConditionOperator, Route
from node.domain.state import ArrivalState, JobState
from node.flow.route import RouteStage
from node.flow.settle import SettleStage
from node.routing.series import contents
from node.settings.peers import Settle as Rule
from tests.unit.flow.mini import APPLICATION, CT1, CountingPeer, MiniNode

_RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"


def application_of(name: str) -> Application:
    if name == "absent":
        raise UnknownApplication('there is no application "absent"')
    accepts = replace(APPLICATION.accepts, max_thickness_mm=2.5 if name == "thin" else None)
    if name == "axial":
        accepts = replace(accepts, orientation="axial", min_slices=8)
    return replace(APPLICATION, name=name, accepts=accepts)


def without_its_model(name: str) -> Application:
    raise ModelMissing(f"{name}: the repository has no such model")


def route(node: MiniNode, *routes: Route, loaded: Callable[[str], Application] = application_of) -> int:
    """Let the quiet window pass and route what is complete."""
    if routes:
        node.configure(routes=routes)
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    return RouteStage(node.journal, node.config, node.clock, lambda name: f"engine of {name}", loaded, application_of).step()


def purge(node: MiniNode, instances: list[int]) -> None:
    """End the job on them, as retention waits for, and delete their pixels."""
    (job,) = node.jobs()
    node.journal.jobs.end(job.id, None, JobState.CANCELLED, "HLM-0000", "by the operator", node.clock())
    node.journal.retention.tombstone(instances, node.clock())
    assert {instance.standing for instance in node.journal.instances.of_job(job.id)} == {Standing.PURGED}


def is_modality(*values: str) -> tuple[Condition, ...]:
    return (Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=values),)


def test_a_complete_study_becomes_one_job_with_all_of_its_instances(node: MiniNode) -> None:
    """Network case 3: One CT → one job that uses every SOP instance, under the digest that arithmetic by hand gives."""
    node.receive("1.1", "1.1.1", range(1, 25))
    assert route(node) == 1
    (job,) = node.jobs()
    assert (job.state, job.application, job.application_version, job.engine) == (
        JobState.QUEUED,
        "threshold",
        "1.0.0",
        "engine of threshold",
    )
    assert (job.routes, job.sinks, job.priority) == (("all",), ("archive",), Priority.ROUTINE)
    used = node.journal.instances.of_job(job.id)
    assert {instance.sop_instance_uid for instance in used} == {derive_uid("1.1", "1.1.1", str(n)) for n in range(1, 25)}
    lines = "".join(sorted(f"{instance.sop_instance_uid} {instance.digest}\n" for instance in used))
    assert job.input_digest == hashlib.sha256(lines.encode()).hexdigest()
    assert node.arrivals()[0].state is ArrivalState.ROUTED
    assert route(node) == 0


def test_two_routes_that_ask_for_the_same_share_one_job(node: MiniNode) -> None:
    """Network case 11: Two matching routes, two sinks: each sink gets everything once; the more urgent route decides."""
    node.receive("1.1", "1.1.1")
    route(
        node,
        Route(name="day", run=("threshold",), send=("archive", "second"), priority=Priority.ROUTINE),
        Route(name="stroke", run=("threshold", "other"), send=("second", "third"), priority=Priority.URGENT),
    )
    shared, other = node.jobs()
    assert (shared.routes, shared.sinks, shared.priority) == (("day", "stroke"), ("archive", "second", "third"), Priority.URGENT)
    assert (other.application, other.routes, other.sinks) == ("other", ("stroke",), ("second", "third"))


def test_each_series_is_a_job_of_its_own_where_the_route_says_so(node: MiniNode) -> None:
    """Network case 4: Four mammography views in three series, per series → three jobs."""
    for series in ("1.1.1", "1.1.2", "1.1.3"):
        node.receive("1.1", series, Modality="MG")
    route(node, Route(name="mg", run=("threshold",), send=("archive",), each=True))
    assert [job.series_instance_uid for job in node.jobs()] == ["1.1.1", "1.1.2", "1.1.3"]


def test_no_match_is_kept_and_visible_with_the_reason(node: MiniNode) -> None:
    """Network case 12: The study stays, routed to nothing, and says why."""
    node.receive("1.1", "1.1.1", Modality="US")
    assert route(node, Route(name="ct only", when=is_modality("CT"), run=("threshold",))) == 1
    (arrival,) = node.arrivals(ArrivalState.ROUTED)
    (decision,) = node.journal.routing.decisions(arrival.id)
    assert (decision.route, decision.matched, decision.reason) == ("ct only", False, "Modality is US, expected CT")
    assert node.jobs() == []


def test_a_keyword_that_only_some_instances_have_counts_for_the_series(node: MiniNode) -> None:
    """Conditions look at the series: some value of some instance is enough to be equal."""
    node.receive("1.1", "1.1.1", [1], ImageType=("ORIGINAL", "PRIMARY"))
    node.receive("1.1", "1.1.1", [2], ImageType=("DERIVED", "SECONDARY", "MPR"))
    mpr = Condition(keyword="ImageType", operator=ConditionOperator.EQUALS, expected=("MPR",))
    route(node, Route(name="mpr", when=(mpr,), run=("threshold",)), Route(name="no mpr", when=(replace(mpr, negated=True),), run=("x",)))
    assert [job.application for job in node.jobs()] == ["threshold"]


def test_a_late_series_runs_only_what_is_new(node: MiniNode) -> None:
    """A revision re-runs only the jobs whose own series changed."""
    each = Route(name="each", run=("threshold",), send=("archive",), each=True)
    node.receive("1.1", "1.1.1")
    route(node, each)
    node.receive("1.1", "1.1.2")
    route(node)
    assert [(job.series_instance_uid, job.state, job.predecessor) for job in node.jobs()] == [
        ("1.1.1", JobState.QUEUED, None),
        ("1.1.2", JobState.QUEUED, None),
    ]


def test_late_instances_of_a_series_supersede_its_job(node: MiniNode) -> None:
    """The new job names the one that it replaces."""
    node.receive("1.1", "1.1.1")
    route(node)
    node.receive("1.1", "1.1.1", [5])
    route(node)
    old, new = node.jobs()
    assert (old.state, new.state, new.predecessor) == (JobState.SUPERSEDED, JobState.QUEUED, old.id)
    assert len(node.journal.instances.of_job(new.id)) == 5


def test_a_study_that_an_archive_forwards_too_with_its_own_headers_makes_one_job_on_whole_series(node: MiniNode) -> None:
    """The scanner sends four slices, the archive all four again with its own headers, before the scanner's window is over: whichever
    arrival settles first, nobody analyses a part of the series or an empty one."""
    node.configure(peers={**node.config.peers, "pacs": replace(CT1, name="pacs", settle=Rule(quiet=timedelta(seconds=2)))})
    ids = node.receive("1.1", "1.1.1")
    for number, old in enumerate(ids, start=1):
        node.receive("1.1", "1.1.1", [number], peer="pacs", replaces=old, changed="coerced")
        if number == 2:
            route(node)
    route(node)
    route(node)
    used = [{(i.sop_instance_uid, i.peer) for i in node.journal.instances.of_job(job.id)} for job in node.jobs()]
    assert all(len(members) == 4 for members in used), used
    (current,) = [job for job in node.jobs() if job.state is not JobState.SUPERSEDED]
    assert {i.peer for i in node.journal.instances.of_job(current.id)} == {"pacs"}


def test_one_late_slice_by_way_of_another_peer_does_not_leave_the_others_out(node: MiniNode) -> None:
    """Four slices from the scanner are analysed; a fifth comes through the archive: the new job has five, not one."""
    node.configure(peers={**node.config.peers, "pacs": replace(CT1, name="pacs")})
    node.receive("1.1", "1.1.1")
    route(node)
    node.receive("1.1", "1.1.1", [5], peer="pacs")
    route(node)
    old, new = node.jobs()
    assert (old.state, new.state, new.predecessor) == (JobState.SUPERSEDED, JobState.QUEUED, old.id)
    assert len(node.journal.instances.of_job(new.id)) == 5


def test_pixels_that_retention_deleted_change_no_digest(node: MiniNode) -> None:
    """The first series' pixels are long gone when a second one comes: the first job stands, and is not run again."""
    each = Route(name="each", run=("threshold",), send=("archive",), each=True)
    first = node.receive("1.1", "1.1.1")
    route(node, each)
    purge(node, first)
    node.receive("1.1", "1.1.2")
    route(node)
    assert [(job.series_instance_uid, job.state) for job in node.jobs()] == [("1.1.1", JobState.CANCELLED), ("1.1.2", JobState.QUEUED)]


def test_a_series_whose_pixels_are_partly_gone_is_parked_with_the_reason(node: MiniNode) -> None:
    """Late slices of a series of which the rest was deleted: no volume can be made, and a person is told."""
    ids = node.receive("1.1", "1.1.1")
    route(node)
    purge(node, ids)
    node.receive("1.1", "1.1.1", [5])
    route(node)
    parked = node.jobs()[-1]
    assert (parked.state, parked.code) == (JobState.PARKED, "HLM-3081")
    assert parked.reason is not None
    assert parked.reason.startswith("the pixels of 4 instances were deleted by retention: 2.25.")


def test_a_conflict_parks_the_job_and_names_the_instance(node: MiniNode) -> None:
    """Two different images under one UID: neither is used until a person has decided."""
    node.receive("1.1", "1.1.1")
    node.receive("1.1", "1.1.1", [2], standing=Standing.CONFLICT, changed="other pixels")
    route(node)
    (job,) = node.jobs()
    assert (job.state, job.code) == (JobState.PARKED, "HLM-3080")
    assert job.reason == f"two different images came under one SOP Instance UID: {derive_uid('1.1', '1.1.1', '2')}"
    assert len(node.journal.instances.of_job(job.id)) == 4


def test_a_corrected_instance_replaces_the_old_one_in_the_job(node: MiniNode) -> None:
    """Corrected demographics: the job uses the new bytes, and each SOP instance once."""
    ids = node.receive("1.1", "1.1.1")
    corrected = node.receive("1.1", "1.1.1", [1], replaces=ids[0], changed="corrected name")
    route(node)
    (job,) = node.jobs()
    assert {instance.id for instance in node.journal.instances.of_job(job.id)} == {*ids[1:], *corrected}


def test_an_application_that_cannot_be_loaded_parks_its_jobs_and_no_others(node: MiniNode) -> None:
    """The route's other application runs."""
    node.receive("1.1", "1.1.1")
    route(node, Route(name="both", run=("absent", "threshold"), send=("archive",)))
    broken, fine = node.jobs()
    assert (broken.state, broken.code, broken.reason) == (JobState.PARKED, "HLM-2801", 'there is no application "absent"')
    assert fine.state is JobState.QUEUED


def test_what_headers_exclude_is_not_applicable_before_any_pixel_is_read(node: MiniNode) -> None:
    """The manifest's bound stands among the conditions; who asks for no bound runs; a series with one thin image is left to its pixels."""
    for series, thickness in (("1.1", (5,)), ("2.2", (2.5,)), ("3.3", (1, 5)), ("4.4", ())):
        node.receive(series, f"{series}.1", SliceThickness=thickness)
    route(node, Route(name="both", run=("thin", "threshold"), send=("archive",)))
    states = {(job.study_instance_uid, job.application): (job.state, job.code) for job in node.jobs()}
    assert states.pop(("1.1", "thin")) == (JobState.NOT_APPLICABLE, "HLM-3101")
    assert set(states.values()) == {(JobState.QUEUED, None)}
    assert len(states) == 7
    (excluded,) = [job for job in node.jobs() if job.state is JobState.NOT_APPLICABLE]
    assert excluded.reason == "thin does not take series 1.1.1: slices are 5 mm thick, at most 2.5 mm are taken"
    told = {}
    for arrival in node.arrivals():
        (decision,) = node.journal.routing.decisions(arrival.id)
        (tried,) = [one for one in decision.tried if one.application == "thin"]
        told[arrival.study_instance_uid] = "slices are 5 mm thick, at most 2.5 mm are taken" in tried.found
        assert ("thin is not applicable: slices are 5 mm thick" in decision.reason) == (arrival.study_instance_uid == "1.1")
    assert told == {"1.1": True, "2.2": False, "3.3": False, "4.4": False}


def test_a_configuration_edited_between_studies_is_used_from_then_on(node: MiniNode) -> None:
    """Network case 17: The old study keeps the decision of its day; the new one is decided by the new routes, never the old."""
    node.receive("1.1", "1.1.1")
    route(node, Route(name="old", run=("threshold",), send=("archive",)))
    before = node.config.digest
    node.receive("2.2", "2.2.1")
    route(node, Route(name="new", run=("other",), send=("second",)))
    assert [(job.study_instance_uid, job.routes) for job in node.jobs()] == [("1.1", ("old",)), ("2.2", ("new",))]
    assert [node.journal.routing.config_digest(arrival.id) for arrival in node.arrivals()] == [before, node.config.digest]
    assert before != node.config.digest


def test_the_sender_and_the_called_title_decide(node: MiniNode) -> None:
    """`from` and `to` of the route against what the association said."""
    node.receive("1.1", "1.1.1", called="HILUM_STAT")
    node.receive("2.2", "2.2.1", peer=None)
    route(
        node,
        Route(name="stat", called=("HILUM_STAT",), run=("threshold",), send=("archive",)),
        Route(name="known", peers=("ct1",), run=("other",), send=("archive",)),
    )
    assert [(job.study_instance_uid, job.application) for job in node.jobs()] == [("1.1", "threshold"), ("1.1", "other")]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_urgent_before_routine_before_offpeak_in_every_order_of_arrival(node: MiniNode, order: tuple[int, int, int]) -> None:
    """Claims follow the priority, not the order in which studies came."""
    priorities = (Priority.URGENT, Priority.ROUTINE, Priority.OFFPEAK)
    node.configure(
        routes=tuple(Route(name=p.value, called=(p.value,), run=("threshold",), send=("archive",), priority=p) for p in priorities)
    )
    for place in order:
        node.receive(f"1.{place}", f"1.{place}.1", called=priorities[place].value)
        node.clock.advance(1)
    route(node)
    claimed = [node.journal.jobs.claim("test", node.clock(), timedelta(minutes=1)) for _ in order]
    assert [job.priority for job in claimed if job is not None] == list(priorities)


SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("numbers", "header", "why"),
    [
        (range(1, 9), {"Modality": "CT"}, "modality is CT, not MR"),
        (range(1, 9), {"ImageOrientationPatient": SAGITTAL}, "slices are sagittal, not axial"),
        (range(1, 4), {"ImageOrientationPatient": AXIAL}, "3 slices, at least 8 are needed"),
        (range(1, 9), {"ImageOrientationPatient": AXIAL}, None),
        # a localizer among the slices: the volume tells
        (range(1, 9), {"ImageOrientationPatient": (*AXIAL, *SAGITTAL)}, None),
        # one image may be a mosaic of all slices
        (range(1, 2), {"ImageType": ("ORIGINAL", "PRIMARY", "MOSAIC")}, None),
        (range(1, 2), {"ImageType": ("ORIGINAL", "PRIMARY", "M", "VFRAME")}, None),
    ],
)
def test_what_declared_headers_exclude(
    node: MiniNode, numbers: range, header: dict[str, Any], why: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Modality, plane and number of slices end the job where it begins, with its reason and no alarm; what headers cannot tell runs."""
    node.receive("1.1", "1.1.1", numbers, **header)
    route(node, Route(name="axial", run=("axial",), send=("archive",)))
    (job,) = node.jobs()
    if why is None:
        assert job.state is JobState.QUEUED
    else:
        assert (job.state, job.code) == (JobState.NOT_APPLICABLE, "HLM-3101")
        assert job.reason == f"axial does not take series 1.1.1: {why}"
        assert "[error" not in capsys.readouterr().out


def test_a_series_that_its_corrected_headers_make_fit_is_run(node: MiniNode) -> None:
    """Corrected instances make a revision: the job of the wrong modality is superseded by one that runs."""
    ids = node.receive("1.1", "1.1.1", range(1, 9), Modality="CT", ImageOrientationPatient=AXIAL)
    route(node, Route(name="axial", run=("axial",), send=("archive",)))
    for number, wrong in zip(range(1, 9), ids, strict=True):
        node.receive("1.1", "1.1.1", [number], replaces=wrong, changed="modality", Modality="MR", ImageOrientationPatient=AXIAL)
    route(node, Route(name="axial", run=("axial",), send=("archive",)))
    old, new = node.jobs()
    assert (old.state, new.state, new.predecessor) == (JobState.SUPERSEDED, JobState.QUEUED, old.id)


def test_raw_data_that_come_late_are_no_other_input(node: MiniNode) -> None:
    """The job that has run on the images stands: raw data change nothing about them, conflicts among raw data park nothing."""
    node.receive("1.1", "1.1.1", range(1, 5))
    images = node.journal.instances.of_study("1.1")
    raw = [replace(images[0], id=99 + n, sop_instance_uid="9.9", sop_class_uid=_RAW_DATA, digest=f"{n}") for n in range(2)]
    (alone,) = contents(images)
    (beside,) = contents([*images, raw[0], replace(raw[1], standing=Standing.CONFLICT)])
    assert beside.input_digest == alone.input_digest
    assert len(beside.current) == 5
    assert beside.unfit is None


def test_an_application_without_its_model_judges_headers_by_its_manifest(node: MiniNode) -> None:
    """What its manifest excludes is not applicable, as if the model were there; what it would take is parked, and names the version that
    the manifest has: "unknown" is none."""
    node.receive("1.1", "1.1.1", Modality="US")
    node.receive("1.1", "1.1.2", Modality="MR")
    route(node, Route(name="all", run=("threshold",), send=("archive",), each=True), loaded=without_its_model)
    excluded, taken = node.jobs()
    assert (excluded.state, excluded.application_version) == (JobState.NOT_APPLICABLE, "1.0.0")
    assert (taken.state, taken.code, taken.application_version) == (JobState.PARKED, ModelMissing.code, "1.0.0")


def test_an_application_that_is_not_there_has_no_version(node: MiniNode) -> None:
    """Nothing stands where people read one."""
    node.receive("1.1", "1.1.1")
    route(node, Route(name="all", run=("absent",), send=("archive",)), loaded=application_of)
    (job,) = node.jobs()
    assert (job.state, job.application_version) == (JobState.PARKED, "")


@pytest.mark.parametrize("blank", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_series_that_names_no_study_or_no_series_is_parked_before_any_analysis(node: MiniNode, tmp_path: Path, blank: str) -> None:
    """No result of it would have a place in an archive: the reason stands there at once, and nothing is claimed for minutes first."""
    files = write_series(np.full((4, 8, 8), 5, np.int16), np.diag([1.0, 1, 2, 1]), tmp_path, modality="MR")
    for path in files:
        dataset = dcmread(path)
        dataset[blank].value = ""
        dataset.save_as(path)
    identity, _ = read_header(files[0])
    node.receive_files(identity.study_instance_uid, identity.series_instance_uid, files)
    route(node, Route(name="all", run=("threshold",), send=("archive",)))
    (job,) = node.jobs()
    assert (job.state, job.code, job.attempts, job.declined) == (JobState.PARKED, "HLM-5011", 0, False)
    assert node.journal.jobs.claim("host:1", node.clock(), timedelta(minutes=1)) is None
