"""Results in the journal: encoded objects, and measured values, which are found again for a later study of the same patient."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, exists, func, insert, select

from node.domain.instance import Header, Instance, Standing, first_text
from node.domain.job import Concept, EarlierResult, JobKind, Measured, MeasuredOf, ResultObject
from node.domain.patient import Patient, is_earlier, mark_of, patient_of, studied_at
from node.domain.state import JobState
from node.journal import schema
from node.journal.database import JournalPart
from node.journal.instances import read_instances
from node.journal.rows import to_object

_instance = schema.instance.c
_job = schema.job.c
_known = schema.patient_series.c
_value = schema.measured_value.c
_STANDS = (JobState.ENCODED.value, JobState.DONE.value)
_FIXED = ("PatientBirthDate", "PatientSex")
"""What stays with a person: two that differ are two people behind one ID, or a mistake."""
_DATES = tuple(f"{of}{what}" for of in ("Study", "Series", "Acquisition") for what in ("Date", "Time"))
_READ = ("PatientID", "IssuerOfPatientID", "Modality", *_FIXED, *_DATES)
_MOST = 50
"""Earlier results that are looked into, the newest first."""


class Results(JournalPart):
    """Result objects, and the values that were measured with them."""

    def earlier(self, job: int) -> list[EarlierResult]:
        """What stands of this job's application in earlier studies of the same patient (PatientID with IssuerOfPatientID, by the headers
        that count now; nobody's where there is no ID), of the same modality, the newest study first.

        Left out are results of series that were known to be short, of jobs that were superseded, cancelled or never made objects, and of
        images that were corrected since. Birth dates, or sexes, that differ are two people. The journal forgets with the headers."""
        with self._database.reading() as connection:
            this = connection.execute(select(schema.job).where(_job.id == job)).one()
            own = _instances(connection, job, this.series_instance_uid)
            patients, moments = {patient_of(one.header) for one in own}, {studied_at(one.header) for one in own}
            modalities = {first_text(one.header, "Modality") for one in own}
            patient, when = patients.pop() if len(patients) == 1 else None, min(moments, default="")
            if patient is None or not when or len(modalities) != 1:
                return []
            rows = connection.execute(_candidates(this, patient, modalities.pop())).all()
            before = [row for row in rows if is_earlier(row.studied_at, when)]
            return [_result(connection, row) for row in before if _is_still(connection, row, patient, own[0].header)]

    def own(self, sop_instance_uids: Collection[str]) -> set[str]:
        """Those of them that jobs of this journal made."""
        made = schema.result_object.c.sop_instance_uid
        with self._database.reading() as connection:
            return set(connection.execute(select(made).where(made.in_(list(sop_instance_uids)))).scalars())

    def of_job(self, job: int) -> list[ResultObject]:
        """The objects of a job, in the order in which they were encoded."""
        with self._database.reading() as connection:
            return read_objects(connection, job)

    def of_predecessor(self, job: int) -> list[ResultObject]:
        """The objects of the nearest predecessor of which some sink has accepted any; empty when nothing of earlier inputs ever left."""
        receipt, made = schema.receipt.c, schema.result_object.c
        with self._database.reading() as connection:
            before = connection.execute(select(_job.predecessor).where(_job.id == job)).scalar()
            while before is not None:
                left = exists().where(receipt.object_id == made.id, made.job_id == before, receipt.accepted)
                if connection.execute(select(left)).scalar():
                    return read_objects(connection, before)
                before = connection.execute(select(_job.predecessor).where(_job.id == before)).scalar()
        return []


def read_objects(connection: Connection, job: int) -> list[ResultObject]:
    """The objects of a job, in the order in which they were encoded."""
    made = schema.result_object
    return [to_object(row) for row in connection.execute(select(made).where(made.c.job_id == job).order_by(made.c.id))]


def insert_objects(connection: Connection, job: int, objects: Sequence[ResultObject]) -> None:
    """What a job made, in the order in which it was encoded."""
    connection.execute(insert(schema.result_object), [_object_values(job, one) for one in objects])


def _object_values(job: int, one: ResultObject) -> dict[str, Any]:
    return {
        "job_id": job,
        "kind": one.kind,
        "sop_instance_uid": one.sop_instance_uid,
        "sop_class_uid": one.sop_class_uid,
        "series_instance_uid": one.series_instance_uid,
        "description": one.description,
        "blob": one.blob,
        "size": one.size,
        "digest": one.digest,
        "form": one.form,
        "part": one.part,
        "one_cine": one.one_cine,
    }


def keep_measured(connection: Connection, job: int, measured: Sequence[Measured]) -> None:
    """What the findings of a job measured, in the place of what earlier findings of it did."""
    connection.execute(delete(schema.measured_value).where(_value.job_id == job))
    rows = [
        {"job_id": job, "position": position, "version": one.version, "value": one.value, **asdict(one.concept)}
        for position, one in enumerate(measured)
    ]
    if rows:
        connection.execute(insert(schema.measured_value), rows)


def _candidates(this: Row[Any], patient: Patient, modality: str) -> Select[Any]:
    """What stands of other studies that headers ever called the patient's: whole series, delivered or about to be."""
    of_job = (_job.id, _job.study_instance_uid, _job.series_instance_uid, _job.input_digest, _job.model_digest)
    columns = (*of_job, _known.studied_at)
    same = and_(_known.study_instance_uid == _job.study_instance_uid, _known.series_instance_uid == _job.series_instance_uid)
    theirs = (_known.patient_id == patient.patient_id, _known.issuer == patient.issuer, _known.modality == modality)
    stands = (_job.application == this.application, _job.state.in_(_STANDS), _job.kind == JobKind.ANALYSIS.value, _job.lack.is_(None))
    said = exists().where(_value.job_id == _job.id)
    other = _job.study_instance_uid != this.study_instance_uid
    found = select(*columns).join(schema.patient_series, same).where(*theirs, *stands, other, said)
    return found.order_by(_known.studied_at.desc(), _job.id.desc()).limit(_MOST)


def _is_still(connection: Connection, row: Row[Any], patient: Patient, header: Header) -> bool:
    """Whether all that the job used is this patient's by what counts now: nothing of it corrected since, nor another person's."""
    member = schema.job_instance.c
    counts = func.coalesce(_instance.standing_kept, _instance.standing)
    used = select(_instance.whose, counts.label("counts")).distinct().join(schema.job_instance, member.instance_id == _instance.id)
    used = used.where(member.job_id == row.id)
    mark = mark_of(row.study_instance_uid, patient)
    here = used.where(_instance.series_instance_uid == row.series_instance_uid)
    if [tuple(one) for one in connection.execute(here)] != [(mark, Standing.CURRENT.value)]:
        return False
    if any(one.counts != Standing.CURRENT for one in connection.execute(used)):
        return False
    first = _instances(connection, row.id, row.series_instance_uid, 1)[0].header
    pairs = [(first_text(header, keyword), first_text(first, keyword)) for keyword in _FIXED]
    return patient_of(first) == patient and all(one == other or not one or not other for one, other in pairs)


def _instances(connection: Connection, job: int, series: str, limit: int | None = None) -> list[Instance]:
    """What a job uses of the series that it is for; of the headers what tells whose it is and when."""
    member = schema.job_instance.c
    joined = select(schema.instance).join(schema.job_instance, member.instance_id == _instance.id)
    wanted = joined.where(member.job_id == job, _instance.series_instance_uid == series).order_by(_instance.id).limit(limit)
    return read_instances(connection, wanted, _READ)


def _result(connection: Connection, row: Row[Any]) -> EarlierResult:
    rows = connection.execute(select(schema.measured_value).where(_value.job_id == row.id).order_by(_value.position)).all()
    return EarlierResult(
        job=row.id,
        study_instance_uid=row.study_instance_uid,
        input_digest=row.input_digest,
        studied_at=row.studied_at,
        model_digest=row.model_digest,
        measured=tuple(Measured(concept=_concept(one), version=one.version, value=one.value) for one in rows),
    )


def _concept(row: Row[Any]) -> Concept:
    return Concept(
        part=row.part,
        of=MeasuredOf(row.of),
        structure=row.structure,
        laterality=row.laterality,
        site=row.site,
        label=row.label,
        name=row.name,
        unit=row.unit,
        derivation=row.derivation,
    )
