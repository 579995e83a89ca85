"""Erasure in the journal: exactly what is the patient's goes, in one transaction, whoever else stands beside it."""

import hashlib
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from node.domain.arrival import Completeness
from node.domain.commitment import InstanceReference, Request
from node.domain.instance import Header, Instance
from node.domain.patient import Patient, mark_of, mark_of_all, marks
from node.journal import schema
from node.journal.journal import Journal
from node.journal.port import HeldRows
from tests.unit.journal.story import LEASE, Story

JANE = Patient(patient_id="JANE-4711", issuer="")
WEEK = timedelta(days=7)


def _header(patient: str | None, number: int = 1, **more: str) -> Header:
    named = {} if patient is None else {"PatientID": (patient,), "PatientName": (f"{patient}^NAME",)}
    return {"Modality": ("CT",), "InstanceNumber": (number,), **named, **{key: (value,) for key, value in more.items()}}


def _blob(study: str, patient: str | None, number: int) -> str:
    """A name that tells nothing, as the index makes them."""
    return f"instances/{hashlib.sha256(f'{study} {patient} {number}'.encode()).hexdigest()}.dcm"


def _receive(story: Story, study: str, patient: str | None, *numbers: int, **changes: Any) -> list[int]:
    series = f"{study}.1"
    return [
        story.receive(
            number,
            **{
                "study_instance_uid": study,
                "series_instance_uid": series,
                "sop_instance_uid": f"{series}.{number}",
                "blob": _blob(study, patient, number),
                "digest": _blob(study, patient, number),
                "header": _header(patient, number),
                **changes,
            },
        )[0]
        for number in numbers
    ]


def _everything(journal: Journal) -> str:
    """Every value of every row there is, in words."""
    found: list[str] = []
    with journal.database.engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            found += [str(tuple(row)) for row in connection.execute(text(f'SELECT * FROM "{table.name}"'))]
    return "\n".join(found)


def _erase(story: Story, held: HeldRows) -> None:
    story.journal.erasure.erase(held, [], [], story.now + WEEK, story.now)


def _sql(story: Story) -> Journal:
    assert isinstance(story.journal, Journal)
    return story.journal


def test_everything_of_a_patient_goes_and_nothing_else(story: Story) -> None:
    """Instances, arrivals, decisions, jobs, objects, deliveries, receipts and history; another patient's line stays as it was."""
    _receive(story, "7.1", JANE.patient_id, 1, 2)
    _receive(story, "7.2", "OTHER", 1, 2)
    (mine,) = story.route(story.job_asked(series_instance_uid="7.1.1"), study="7.1")
    job = story.claim()
    story.infer(job)
    story.encode(job)
    story.deliver()
    (other,) = story.route(story.job_asked(series_instance_uid="7.2.1"), study="7.2")
    before = (story.journal.jobs.get(other), story.journal.instances.of_study("7.2"), story.journal.events.of("job", other))
    held = story.journal.erasure.find(JANE)
    assert (len(held.instances), held.jobs, held.studies, held.shared, held.sinks) == (2, (mine,), ("7.1",), (), ("archive",))
    assert held.size == sum(one.size for one in story.journal.instances.of_study("7.1"))
    _erase(story, held)
    told = _everything(_sql(story))
    for trace in ("JANE-4711", "7.1.1", "'7.1'", f"findings of job {mine}"):
        assert trace not in told, trace
    assert (story.journal.jobs.get(other), story.journal.instances.of_study("7.2"), story.journal.events.of("job", other)) == before
    assert story.journal.erasure.find(JANE).empty
    buried = set(story.journal.retention.purged_blobs().values())
    assert buried == {*held.blobs}
    assert {f"findings/{mine}", f"results/{mine}/seg.dcm", _blob("7.1", JANE.patient_id, 1)} <= buried


def test_a_corrected_patient_is_erased_under_the_old_name_alone(story: Story) -> None:
    """An instance came as Jane's and was corrected to another's: erasing Jane takes the replaced row, and Jane's name from the header
    that the corrected one was written against; the corrected one reads as before."""
    (old,) = _receive(story, "7.1", JANE.patient_id, 1)
    corrected = Instance(
        **{
            **{name: getattr(story.journal.instances.get([old])[0], name) for name in Instance.__slots__ if name != "id"},
            "blob": "instances/corrected.dcm",
            "digest": "corrected",
            "header": _header("RIGHT", 1, StudyDescription="the same study"),
        }
    )
    (new,) = story.journal.instances.record([story.new(corrected, replaces=old)], story.now)
    header = story.journal.instances.get([new])[0].header
    held = story.journal.erasure.find(JANE)
    assert (held.instances, held.studies, held.shared) == ((old,), (), ("7.1",))
    _erase(story, held)
    assert "JANE" not in _everything(_sql(story))
    (left,) = story.journal.instances.of_study("7.1")
    assert (left.id, left.header) == (new, header)
    assert story.journal.erasure.find(Patient(patient_id="RIGHT", issuer="")).instances == (new,)


def test_two_patients_under_one_study_uid(story: Story) -> None:
    """Only the erased one's instances go; the arrival that both share stays with what is left; the job that used both goes."""
    first = _receive(story, "7.1", JANE.patient_id, 1, 2)
    second = _receive(story, "7.1", "OTHER", 3)
    (both,) = story.route(story.job_asked(series_instance_uid="7.1.1"), study="7.1")
    held = story.journal.erasure.find(JANE)
    assert (set(held.instances), held.jobs, held.arrivals, held.shared) == ({*first}, (both,), (), ("7.1",))
    _erase(story, held)
    arrival = story.arrival("7.1")
    assert (arrival.instances, [one.id for one in story.journal.instances.of_arrival(arrival.id)]) == (1, second)
    assert "JANE" not in _everything(_sql(story))
    header = story.journal.instances.get(second)[0].header
    assert (header["PatientID"], header["InstanceNumber"]) == (("OTHER",), (3,))


def test_how_many_patients_a_study_names_is_told(story: Story) -> None:
    """Whoever is about to erase by the study's UID learns that it is two people's; what names nobody counts for nobody."""
    _receive(story, "7.1", JANE.patient_id, 1, 2)
    _receive(story, "7.1", None, 3)
    assert story.journal.erasure.find(None, ["7.1"]).patients == 1
    _receive(story, "7.1", "OTHER", 4)
    assert story.journal.erasure.find(None, ["7.1"]).patients == 2
    assert story.journal.erasure.find(JANE).patients == 1


def test_what_names_nobody_goes_with_the_only_patient_of_its_study(story: Story) -> None:
    """An instance without an ID, and one whose header was forgotten, are the patient's where nobody else is named; else they stay."""
    named, nameless = _receive(story, "7.1", JANE.patient_id, 1), _receive(story, "7.1", None, 2)
    assert set(story.journal.erasure.find(JANE).instances) == {*named, *nameless}
    _receive(story, "7.1", "OTHER", 3)
    assert story.journal.erasure.find(JANE).instances == tuple(named)


def test_a_study_by_its_uid_whosever_it_is(story: Story) -> None:
    """Also one of which nothing is known any more but UIDs."""
    _receive(story, "7.1", None, 1)
    _receive(story, "7.2", "OTHER", 1)
    held = story.journal.erasure.find(None, ["7.1"])
    assert (len(held.instances), held.studies) == (1, ("7.1",))
    _erase(story, held)
    assert "7.1.1" not in _everything(_sql(story))
    assert len(story.journal.instances.of_study("7.2")) == 1


def test_a_request_to_commit_to_what_was_erased_goes_with_its_history(story: Story) -> None:
    """One that names somebody else's instance too stays, for that one; the number of the other may be the next request's."""
    journal = _sql(story)
    _receive(story, "7.1", JANE.patient_id, 1)
    _receive(story, "7.2", "OTHER", 1)
    for transaction, uids in (("2.25.1", ("7.1.1.1", "7.2.1.1")), ("2.25.2", ("7.1.1.1",))):
        references = tuple(InstanceReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid=uid) for uid in uids)
        journal.commitment_requests.receive(
            Request(peer="ct1", transaction_uid=transaction, references=references, received_at=story.now), story.now
        )
    both, alone = journal.commitment_requests.due(story.now)
    assert story.names("request", alone.id) == ["request.received"]
    _erase(story, journal.erasure.find(JANE))
    (left,) = journal.commitment_requests.due(story.now)
    assert (left.id, [one.sop_instance_uid for one in left.request.references]) == (both.id, ["7.2.1.1"])
    assert story.names("request", both.id) == ["request.received"]
    assert story.names("request", alone.id) == []


def test_work_is_withdrawn_and_what_is_under_way_is_counted(story: Story) -> None:
    """Queued jobs are cancelled, waiting deliveries withdrawn; a job under a live lease, and a delivery that is being sent, are told."""
    _receive(story, "7.1", JANE.patient_id, 1)
    (first,) = story.route(story.job_asked(series_instance_uid="7.1.1"), study="7.1")
    held = story.journal.erasure.find(JANE)
    job = story.claim()
    assert job.lease is not None
    assert story.journal.erasure.cancel_work(held, story.now) == 1
    assert story.journal.jobs.get(first).state == "queued"
    story.now += 2 * LEASE
    assert story.journal.erasure.cancel_work(held, story.now) == 0
    assert story.journal.jobs.get(first).state == "cancelled"
    assert not story.journal.jobs.inferred(first, job.lease, "findings/late", "model", story.now)
    story.journal.jobs.revive(first, story.now)
    again = story.claim()
    story.infer(again)
    story.encode(again)
    story.take()
    assert story.journal.erasure.cancel_work(held, story.now) == 1
    assert story.journal.erasure.cancel_work(held, story.now + 2 * LEASE) == 0
    assert [one.state for one in story.journal.deliveries.find(job=first)] == ["cancelled"]


def test_marks_are_known_for_a_while(story: Story) -> None:
    """What comes again of the study, as this patient's or nobody's, is known until its time is over; another patient's never is."""
    _receive(story, "7.1", JANE.patient_id, 1)
    _erase(story, story.journal.erasure.find(JANE))
    same = {mark_of("7.1", JANE), mark_of("7.1", None)}
    others = {mark_of("7.1", Patient(patient_id="OTHER", issuer="")), mark_of("7.2", JANE), mark_of_all("7.1")}
    assert story.journal.erasure.erased(same | others, story.now) == same
    assert marks("7.1", _header(JANE.patient_id)) & same == {mark_of("7.1", JANE)}
    assert story.journal.erasure.erased(same, story.now + WEEK) == set()
    assert story.journal.erasure.forget(story.now) == 0
    assert story.journal.erasure.forget(story.now + WEEK) == 2
    assert not any(mark in _everything(_sql(story)) for mark in same)


def test_equal_ids_of_two_issuers_are_two_patients(story: Story) -> None:
    """Whoever is asked for by ID alone learns that there are two; erasing one leaves the other."""
    _receive(story, "7.1", None, 1, header=_header("4711", IssuerOfPatientID="A"))
    _receive(story, "7.2", None, 1, header=_header("4711", IssuerOfPatientID="B"))
    assert story.journal.erasure.issuers("4711") == ["A", "B"]
    _erase(story, story.journal.erasure.find(Patient(patient_id="4711", issuer="A")))
    assert story.journal.erasure.issuers("4711") == ["B"]
    assert [one.study_instance_uid for one in story.journal.instances.of_study("7.2")] == ["7.2"]
    assert story.journal.instances.of_study("7.1") == []


def test_a_comparison_with_an_erased_prior_goes(story: Story) -> None:
    """A job of another study that used the patient's images holds what was theirs, whoever it was made for."""
    prior = _receive(story, "7.1", JANE.patient_id, 1)
    story.route(study="7.1")
    own = _receive(story, "7.2", "OTHER", 1)
    (job,) = story.route(story.job_asked(series_instance_uid="7.2.1", instances=(*own, *prior)), study="7.2")
    held = story.journal.erasure.find(JANE)
    assert held.jobs == (job,)
    _erase(story, held)
    assert story.journal.jobs.find() == []
    assert [one.id for one in story.journal.instances.of_study("7.2")] == own


def test_a_follower_begins_now_and_never_goes_back(story: Story) -> None:
    """What happened before somebody follows is not told; a position is kept, and only grows."""
    story.receive(1)
    first = story.journal.events.position("audit")
    assert story.journal.events.behind(first, story.now) == []
    story.receive(2)
    assert story.journal.arrivals.complete(story.arrival().id, Completeness.QUIET, story.now)
    told = story.journal.events.behind(first, story.now)
    assert [one.event.name for one in told] == ["arrival.complete"]
    story.journal.events.advance("audit", told[-1].number)
    story.journal.events.advance("audit", first)
    assert story.journal.events.position("audit") == told[-1].number


def test_a_follower_misses_nothing_that_comes_after_an_erasure(story: Story) -> None:
    """The newest events are the patient's and go; the next ones have numbers of their own, beyond what the follower was told."""
    _receive(story, "7.1", "JANE-4711", 1)
    start = story.journal.events.position("audit")
    assert story.journal.arrivals.complete(story.arrival("7.1").id, Completeness.QUIET, story.now)
    story.journal.events.advance("audit", story.journal.events.behind(start, story.now)[-1].number)
    _erase(story, story.journal.erasure.find(JANE))
    _receive(story, "7.2", "JOHN-4712", 1)
    assert story.journal.arrivals.complete(story.arrival("7.2").id, Completeness.QUIET, story.now)
    story.now += timedelta(minutes=2)
    told = story.journal.events.behind(story.journal.events.position("audit"), story.now)
    assert "arrival.complete" in [one.event.name for one in told]
    assert "JANE" not in _everything(_sql(story))


def test_bytes_that_are_gone_read_as_purged(story: Story) -> None:
    """What retention deleted while a backup was made is entered when it is restored."""
    job = story.done()
    (one, *_) = story.journal.instances.of_job(job)
    story.journal.retention.bytes_gone([one.blob, f"results/{job}/seg.dcm", f"findings/{job}"], story.now)
    assert story.journal.instances.get([one.id])[0].standing == "purged"
    assert story.journal.retention.kept_blobs([one.blob]) == {one.blob: False}
    assert story.journal.jobs.get(job).findings_blob is None
