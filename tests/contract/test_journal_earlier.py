"""The contract of node.journal.journal, on every database: what was measured is kept with the findings, and found for a later study of the
same patient alone."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from node.domain.job import Concept, EarlierResult, Measured, MeasuredOf
from node.domain.patient import Patient
from node.domain.shortage import Lack, Shortage
from node.domain.state import JobState
from node.journal import schema
from node.journal.journal import Journal
from tests.contract.test_journal_patients import DAY, came
from tests.unit.journal.story import Story

VOLUME = Concept(
    part="",
    of=MeasuredOf.SEGMENT,
    structure="12738006 SCT",
    laterality="",
    site="",
    label="brain",
    name="118565006 SCT",
    unit="cm3 UCUM",
    derivation="",
)


def measured(value: float, version: str = "1.0.0") -> Measured:
    return Measured(concept=VOLUME, version=version, value=value)


def result(story: Story, study: str, value: float, *, ends: bool = True, header: dict[str, Any] | None = None, **job: Any) -> int:
    """A study comes, is analysed, and `value` is measured; `ends`: with objects that were delivered."""
    came(story, study, **(header or {}))
    (wanted,) = story.route(story.job_asked(series_instance_uid=f"{study}.1", **job), study=study)
    claimed = story.claim()
    assert claimed.id == wanted
    assert claimed.lease is not None
    said = [measured(value)]
    assert story.journal.jobs.inferred(wanted, claimed.lease, f"findings/{wanted}", f"model of {study}", story.now, measured=said)
    if ends:
        story.encode(claimed)
        story.deliver()
    return wanted


def today(story: Story, study: str = "1.9", **header: Any) -> int:
    """A job of a study of 2026, which is under a lease."""
    came(story, study, **{"StudyDate": "20260310", **header})
    story.route(story.job_asked(series_instance_uid=f"{study}.1"), study=study)
    return story.claim().id


def found(story: Story, job: int) -> list[float]:
    return [one.value for each in story.journal.results.earlier(job) for one in each.measured]


def test_earlier_results_of_the_patient_are_found_the_newest_first(story: Story) -> None:
    """With the study, its moment, the model and the value, bit by bit; a later study's result is none."""
    old = result(story, "1.1", 1450.12345, header={"StudyDate": "20240101"})
    new = result(story, "1.2", 0.1 + 0.2)
    result(story, "1.3", 3.0, header={"StudyDate": "20260401"})
    assert story.journal.results.earlier(today(story)) == [
        EarlierResult(
            job=new,
            study_instance_uid="1.2",
            input_digest="inputs 1",
            studied_at="20250601101500",
            model_digest="model of 1.2",
            measured=(measured(0.1 + 0.2),),
        ),
        EarlierResult(
            job=old,
            study_instance_uid="1.1",
            input_digest="inputs 1",
            studied_at="20240101101500",
            model_digest="model of 1.1",
            measured=(measured(1450.12345),),
        ),
    ]


@pytest.mark.parametrize(
    "header",
    [
        {"PatientID": "4712"},
        {"PatientID": ()},
        {"PatientID": " "},
        {"IssuerOfPatientID": "ELSEWHERE"},
        {"PatientBirthDate": "19500101"},
        {"PatientSex": "M"},
        {"StudyDate": ()},
        {"StudyDate": "20250601", "StudyTime": ()},
        {"StudyDate": "20240101"},
        {"Modality": "CT"},
    ],
    ids=str,
)
def test_nothing_of_another_patient_or_of_no_known_moment_is_found(story: Story, header: dict[str, Any]) -> None:
    """Another ID, none, another issuer, birth date or sex; no date; the same day without a time; a later one; another modality."""
    result(story, "1.1", 1450.0, header={"PatientBirthDate": "19600101", "PatientSex": "F"})
    assert found(story, today(story, **header)) == []


@pytest.mark.parametrize("header", [{}, {"PatientID": ()}], ids=["a patient", "nobody"])
def test_no_patient_id_is_nobodys(story: Story, header: dict[str, Any]) -> None:
    """Two studies without an ID are not one patient's; with an ID they are."""
    result(story, "1.1", 1450.0, header=header)
    assert found(story, today(story, **header)) == ([] if header else [1450.0])


def test_only_what_stands_is_found(story: Story) -> None:
    """Not of another application, of a series that was short, of a job without objects, cancelled, or superseded by late images."""
    result(story, "1.1", 1.0, application="ct-lung")
    short = Shortage(lack=Lack.COUNT, came=2, expected=3)
    result(story, "1.2", 2.0, shortage=short, marked=True)
    cancelled = result(story, "1.3", 3.0, ends=False)
    story.journal.jobs.end(cancelled, None, JobState.CANCELLED, "", "by the operator", story.now)
    parked = result(story, "1.4", 4.0, ends=False)
    story.journal.jobs.end(parked, None, JobState.PARKED, "HLM-5001", "malformed", story.now)
    superseded = result(story, "1.5", 5.0)
    came(story, "1.5", 3)
    (again,) = story.route(story.job_asked(series_instance_uid="1.5.1", input_digest="more"), study="1.5")
    assert story.journal.jobs.get(superseded).state is JobState.SUPERSEDED
    assert story.claim().id == again
    assert found(story, today(story)) == []


def test_a_corrected_patient_id_is_another_patient_at_once(story: Story) -> None:
    """The earlier study turned out to be another's: its value is not found any more, before anybody analyses it again."""
    result(story, "1.1", 1450.0)
    job = today(story)
    assert found(story, job) == [1450.0]
    (first, _) = story.journal.instances.of_study("1.1")
    corrected = story.instance(
        1,
        sop_instance_uid=first.sop_instance_uid,
        study_instance_uid="1.1",
        series_instance_uid="1.1.1",
        blob="instances/corrected.dcm",
        digest="corrected",
        header={**DAY, "PatientID": ("4712",)},
    )
    story.journal.instances.record([story.new(corrected, replaces=first.id)], story.now)
    assert found(story, job) == []


def test_later_findings_of_a_job_replace_what_earlier_ones_measured(story: Story) -> None:
    """A job that is analysed afresh leaves the values of its last findings, each once."""
    job = result(story, "1.1", 1.0, ends=False)
    story.journal.jobs.end(job, None, JobState.PARKED, "HLM-5001", "malformed", story.now)
    story.journal.jobs.revive(job, story.now, afresh=True)
    claimed = story.claim()
    assert claimed.lease is not None
    assert story.journal.jobs.inferred(job, claimed.lease, "findings/again", "model 2", story.now, measured=[measured(2.0)])
    story.encode(claimed)
    story.deliver()
    assert found(story, today(story)) == [2.0]


def test_values_go_with_their_patient(story: Story) -> None:
    """Erased: not a row is left of hers, and those of another patient stay."""
    result(story, "1.1", 1450.0)
    result(story, "1.2", 1200.0, header={"PatientID": "4712"})
    journal = story.journal
    assert isinstance(journal, Journal)
    held = journal.erasure.find(Patient(patient_id="4711", issuer=""))
    journal.erasure.erase(held, [], [], story.now + timedelta(days=7), story.now)
    with journal.database.engine.connect() as connection:
        assert connection.execute(select(schema.measured_value.c.value)).scalars().all() == [1200.0]
        assert connection.execute(select(func.count()).select_from(schema.job)).scalar() == 1
