"""Jobs in the journal: claiming under a lease, and the steps that only the holder of the lease may take."""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, exists, insert, or_, select, text, update

from node.domain.job import Job, ResultObject
from node.domain.state import JobState
from node.journal import schema
from node.journal.database import Database
from node.journal.errors import NoSuchRow, TransitionRefused
from node.journal.port import Pausable
from node.journal.rows import micros, to_job, to_object
from node.journal.sending import cancel_deliveries, insert_deliveries
from node.journal.transitions import JOB, held, move, note

_job = schema.job.c
_CLAIMABLE = text("job.state || '' IN ('queued', 'inferred')")  # the very words of ix_job_claim, or SQLite would not use it
_ENDED_BY_HAND = (JobState.PARKED, JobState.FAILED, JobState.CANCELLED)


def new_lease(owner: str) -> str:
    """A fence that no earlier claim had."""
    return f"{owner}/{secrets.token_hex(8)}"


def paused_names(kind: Pausable) -> Select[tuple[str]]:
    """The names of one kind that the operator has paused."""
    return select(schema.pause.c.name).where(schema.pause.c.kind == kind.value)


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

    def claim_job(self, owner: str, now: datetime, lease: timedelta, *, away_engines: Collection[str] = ()) -> Job | None:
        """See the port."""
        route = schema.job_route.c
        at = micros(now)
        candidate = (
            select(_job.id)
            .where(
                _CLAIMABLE,
                _job.due_at <= at,
                or_(_job.lease.is_(None), _job.lease_until < at),
                _job.engine.not_in(list(away_engines)),
                _job.engine.not_in(paused_names(Pausable.ENGINE)),
                exists().where(and_(route.job_id == _job.id, route.route.not_in(paused_names(Pausable.ROUTE)))),
            )
            .order_by(_job.rank, _job.due_at, _job.id)
            .limit(1)
            .with_for_update(skip_locked=True)  # SQLite has no such words and needs none: it has one writer
        )
        claim = (
            update(schema.job)
            .where(_job.id == candidate.scalar_subquery())
            .values(lease=new_lease(owner), lease_until=micros(now + lease), attempts=_job.attempts + 1)
            .returning(_job.id, _job.attempts)
        )
        with self._writing() as connection:
            claimed = connection.execute(claim).one_or_none()
            if claimed is None:
                return None
            note(connection, JOB.name, claimed.id, "job.claimed", f"by {owner}, attempt {claimed.attempts}", now)
            return read_jobs(connection, select(schema.job).where(_job.id == claimed.id))[0]

    def renew(self, job: int, lease: str, until: datetime) -> bool:
        """Hold the lease longer; False when it is lost."""
        with self._writing() as connection:
            renewed = update(schema.job).where(_job.id == job, _job.lease == lease).values(lease_until=micros(until))
            return connection.execute(renewed).rowcount == 1

    def inferred(self, job: int, lease: str, findings_blob: str, model_digest: str, now: datetime) -> bool:
        """QUEUED → INFERRED; the lease stays held."""
        with self._writing() as connection:
            if not held(connection, schema.job, job, lease):
                return False
            facts = {"findings_blob": findings_blob, "model_digest": model_digest, "inferred_at": micros(now), "code": None, "reason": None}
            move(connection, JOB, job, JobState.INFERRED, now, f"model {model_digest}", **facts)
            return True

    def encoded(self, job: int, lease: str, objects: Sequence[ResultObject], now: datetime) -> bool:
        """See the port. A job without sinks has nobody to wait for and is DONE at once."""
        with self._writing() as connection:
            if not held(connection, schema.job, job, lease):
                return False
            if objects:
                connection.execute(insert(schema.result_object), [_object_values(job, one) for one in objects])
            free = {"lease": None, "lease_until": None, "code": None, "reason": None}
            move(connection, JOB, job, JobState.ENCODED, now, f"{len(objects)} objects", **free)
            sinks = _names(connection, schema.job_sink, "sink", [job]).get(job, ())
            if not insert_deliveries(connection, job, sinks, now):
                move(connection, JOB, job, JobState.DONE, now, "no sinks")
            return True

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

    def end_job(self, job: int, lease: str | None, state: JobState, code: str, reason: str, now: datetime) -> bool:
        """See the port. A cancelled job's waiting deliveries are cancelled with it."""
        if state not in _ENDED_BY_HAND:
            raise TransitionRefused(f"job {job}: end_job leads to parked, failed or cancelled, not to {state}")
        with self._writing() as connection:
            if lease is not None and not held(connection, schema.job, job, lease):
                return False
            free = {"lease": None, "lease_until": None, "code": code, "reason": reason}
            move(connection, JOB, job, state, now, f"{code} {reason}", **free)
            if state is JobState.CANCELLED:
                cancel_deliveries(connection, job, reason, now, begun_too=True)
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
    }
