"""Jobs in the journal: the steps that only the holder of the lease may take. A step whose answer was lost knows itself again."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, exists, insert, select, update

from node.domain.job import Job, JobKind, ResultObject
from node.domain.measured import Measured
from node.domain.state import JobState
from node.journal import schema
from node.journal.arrivals import revise_askers
from node.journal.buried import refuse_buried
from node.journal.database import Database, lock_study, repeatable
from node.journal.errors import NoSuchRow, TransitionRefused
from node.journal.measurements import keep_measured
from node.journal.routing import supersede
from node.journal.rows import micros, to_job, to_object
from node.journal.sending import cancel_deliveries, insert_deliveries
from node.journal.transitions import JOB, held, move, note

_job = schema.job.c
_ENDS = (JobState.PARKED, JobState.FAILED, JobState.NOT_APPLICABLE, JobState.CANCELLED, JobState.SUPERSEDED)


def read_jobs(connection: Connection, statement: Select[Any]) -> list[Job]:
    """The jobs that `statement` selects, with their routes and sinks."""
    rows = connection.execute(statement).all()
    ids = [row.id for row in rows]
    routes = _names(connection, schema.job_route, "route", ids)
    sinks = _names(connection, schema.job_sink, "sink", ids)
    return [to_job(row, routes, sinks) for row in rows]


def _names(connection: Connection, table: Table, column: str, jobs: Sequence[int]) -> dict[int, tuple[str, ...]]:
    if not jobs:
        return {}
    found: dict[int, list[str]] = {}
    for row in connection.execute(select(table).where(table.c.job_id.in_(jobs)).order_by(table.c.job_id, table.c.position)):
        found.setdefault(row.job_id, []).append(getattr(row, column))
    return {job: tuple(names) for job, names in found.items()}


class Jobs(Database):
    """The part of the journal that knows jobs."""

    @repeatable
    def renew(self, job: int, lease: str, until: datetime) -> bool:
        """Hold the lease longer; False when it is lost."""
        with self._writing() as connection:
            renewed = update(schema.job).where(_job.id == job, _job.lease == lease).values(lease_until=micros(until))
            return connection.execute(renewed).rowcount == 1

    @repeatable
    def inferred(
        self, job: int, lease: str, findings_blob: str, model_digest: str, now: datetime, *, measured: Sequence[Measured] = ()
    ) -> bool:
        """See the port."""
        with self._writing() as connection:
            if not held(connection, schema.job, job, lease):
                return False
            row = _row(connection, job)
            if row.state == JobState.INFERRED and (row.findings_blob, row.model_digest) == (findings_blob, model_digest):
                return True
            refuse_buried(connection, [findings_blob])
            keep_measured(connection, job, measured)
            facts = {"findings_blob": findings_blob, "model_digest": model_digest, "inferred_at": micros(now), "code": None, "reason": None}
            move(connection, JOB, job, JobState.INFERRED, now, f"model {model_digest}", **facts)
            return True

    @repeatable
    def encoded(self, job: int, lease: str, objects: Sequence[ResultObject], now: datetime) -> bool:
        """See the port. A job without sinks has nobody to wait for and is DONE at once."""
        with self._writing() as connection:
            if not held(connection, schema.job, job, lease):
                # these very objects stand: it was this call, before its answer was lost, or another that made the same
                return bool(objects) and [one.blob for one in _objects(connection, job)] == [one.blob for one in objects]
            if objects:
                refuse_buried(connection, [one.blob for one in objects])
                connection.execute(insert(schema.result_object), [_object_values(job, one) for one in objects])
            free = {"lease": None, "lease_until": None, "code": None, "reason": None}
            move(connection, JOB, job, JobState.ENCODED, now, f"{len(objects)} objects", **free)
            _supersede_statements(connection, job, now)
            sinks = _names(connection, schema.job_sink, "sink", [job]).get(job, ())
            if not insert_deliveries(connection, job, sinks, now):
                move(connection, JOB, job, JobState.DONE, now, "no sinks")
            return True

    @repeatable
    def retry_job(self, job: int, lease: str, due_at: datetime, code: str, reason: str, now: datetime, *, count_attempt: bool) -> bool:
        """See the port."""
        with self._writing() as connection:
            if not held(connection, schema.job, job, lease):
                return False
            attempts = _job.attempts if count_attempt else _job.attempts - 1
            values = {"lease": None, "lease_until": None, "due_at": micros(due_at), "code": code, "reason": reason, "attempts": attempts}
            connection.execute(update(schema.job).where(_job.id == job).values(**values))
            note(connection, JOB.name, job, "job.retry", f"{code} {reason}", now)
            return True

    @repeatable
    def end_job(
        self,
        job: int,
        lease: str | None,
        state: JobState,
        code: str,
        reason: str,
        now: datetime,
        *,
        again: str | None = None,
        declined: bool = False,
    ) -> bool:
        """See the port. A cancelled job's waiting deliveries are cancelled with it."""
        if state not in _ENDS:
            raise TransitionRefused(f"job {job}: end_job leads to parked, failed, not_applicable, cancelled or superseded, not to {state}")
        with self._writing() as connection:
            if again is not None:
                lock_study(connection, _row(connection, job).study_instance_uid)  # first, as whoever routes does
            if lease is not None and not held(connection, schema.job, job, lease):
                row = _row(connection, job)
                return (row.state, row.code, row.reason) == (state, code, reason)
            free = {"lease": None, "lease_until": None, "code": code, "reason": reason, "declined": declined}
            move(connection, JOB, job, state, now, f"{code} {reason}", **free)
            if state is JobState.CANCELLED:
                cancel_deliveries(connection, job, reason, now, begun_too=True)
            if again is not None:
                revise_askers(connection, _row(connection, job), again, now)
            return True

    def jobs(
        self,
        *,
        states: Collection[JobState] = (),
        arrival: int | None = None,
        study: str | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> list[Job]:
        """See the port."""
        statement = select(schema.job).order_by(_job.id.desc() if newest else _job.id).limit(limit)
        if states:
            statement = statement.where(_job.state.in_([state.value for state in states]))
        if arrival is not None:
            statement = statement.where(_job.arrival_id == arrival)
        if study is not None:
            statement = statement.where(_job.study_instance_uid == study)
        with self._reading() as connection:
            return read_jobs(connection, statement)

    def job(self, job: int) -> Job:
        """One job; NoSuchRow when there is none."""
        with self._reading() as connection:
            found = read_jobs(connection, select(schema.job).where(_job.id == job))
            if not found:
                raise NoSuchRow(f"there is no job {job}")
            return found[0]

    def objects(self, job: int) -> list[ResultObject]:
        """The objects of a job, in the order in which they were encoded."""
        with self._reading() as connection:
            return _objects(connection, job)

    def predecessor_objects(self, job: int) -> list[ResultObject]:
        """See the port."""
        receipt, made = schema.receipt.c, schema.result_object.c
        with self._reading() as connection:
            before = connection.execute(select(_job.predecessor).where(_job.id == job)).scalar()
            while before is not None:
                left = exists().where(receipt.object_id == made.id, made.job_id == before, receipt.accepted)
                if connection.execute(select(left)).scalar():
                    return _objects(connection, before)
                before = connection.execute(select(_job.predecessor).where(_job.id == before)).scalar()
        return []


def _supersede_statements(connection: Connection, job: int, now: datetime) -> None:
    """There is a result now: what said that there was none, of the same study and application, is superseded."""
    row = _row(connection, job)
    if JobKind(row.kind) is not JobKind.ANALYSIS:
        return
    stands = _job.state.not_in([JobState.SUPERSEDED.value, JobState.CANCELLED.value])
    said = (_job.study_instance_uid == row.study_instance_uid, _job.application == row.application, _job.kind == JobKind.STATEMENT.value)
    for statement in connection.execute(select(_job.id).where(*said, stands).order_by(_job.id)).scalars().all():
        supersede(connection, statement, f"job {job} gave a result", now)


def _row(connection: Connection, job: int) -> Row[Any]:
    return connection.execute(select(schema.job).where(_job.id == job)).one()


def _objects(connection: Connection, job: int) -> list[ResultObject]:
    made = schema.result_object
    return [to_object(row) for row in connection.execute(select(made).where(made.c.job_id == job).order_by(made.c.id))]


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
    }
