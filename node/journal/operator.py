"""What people and the supervisor do to the journal: pause, revive, send again, release, note, look."""

from datetime import datetime

from sqlalchemy import Connection, delete, exists, insert, select, true, update

from node.domain.state import DeliveryState, JobState
from node.journal import schema
from node.journal.database import Database, rerun
from node.journal.errors import TransitionRefused
from node.journal.port import Event, Pausable
from node.journal.rows import micros, moment
from node.journal.sending import send_again
from node.journal.transitions import DELIVERY, JOB, Subject, move, note, state_of

_job = schema.job.c
_delivery = schema.delivery.c
_OBJECTS_STAND = (JobState.ENCODED, JobState.DONE)


class Operator(Database):
    """The part of the journal that people use."""

    @rerun
    def revive_job(self, job: int, now: datetime, *, afresh: bool = False) -> JobState:
        """See the port. `afresh` forgets the findings of a job that has no objects yet; a job that waits for its retry is due at once."""
        with self._writing() as connection:
            state = state_of(connection, JOB, job)
            if state is JobState.SUPERSEDED:
                _finish_superseded(connection, job, None, now)
                return state
            row = connection.execute(select(_job.findings_blob).where(_job.id == job)).one()
            successor = connection.execute(select(_job.id).where(_job.predecessor == job)).scalar()
            if successor is not None:
                # it was cancelled before its inputs changed: its results would stand beside those of the newer ones
                raise TransitionRefused(f"job {job} is {state}, and job {successor} has taken its place with newer inputs")
            fresh = {
                "attempts": 0,
                "due_at": micros(now),
                "code": None,
                "reason": None,
                "declined": False,
                "turn": _job.rank,
                "waits_since": micros(now),
            }
            if _has_objects(connection, job):
                if afresh:
                    raise TransitionRefused(
                        f"job {job} is {state}: its results are made, and are not made again; `hilum jobs resend {job}` sends them again. "
                        "To have it analysed anew, serve another version of the application or its model, and have the study sent again"
                    )
                return _revive_encoded(connection, job, state, now)
            if afresh:
                fresh |= {"findings_blob": None, "model_digest": None, "inferred_at": None}
            after = JobState.QUEUED if afresh or row.findings_blob is None else JobState.INFERRED
            if state is after:
                connection.execute(update(schema.job).where(_job.id == job).values(**fresh))
                note(connection, JOB.name, job, "job.hastened", "by the operator", now)
            else:
                move(connection, JOB, job, after, now, "by the operator", **fresh)
            return after

    @rerun
    def resend(self, job: int, sink: str | None, now: datetime) -> list[int]:
        """See the port."""
        with self._writing() as connection:
            state = state_of(connection, JOB, job)
            if state is JobState.SUPERSEDED:
                return _finish_superseded(connection, job, sink, now)
            if state not in _OBJECTS_STAND:
                raise TransitionRefused(f"job {job} is {state}: only objects that stand can be sent again")
            return send_again(connection, job, None if sink is None else [sink], now)

    @rerun
    def release(self, owner: str, now: datetime, *, count_attempt: bool = True) -> int:
        """See the port."""
        with self._writing() as connection:
            # nobody shall miss the signs of life of the dead
            process = schema.beat.c.process
            connection.execute(delete(schema.beat).where(true() if owner == "" else process.endswith(f" {owner}", autoescape=True)))
            return sum(_release(connection, subject, owner, now, count_attempt) for subject in (JOB, DELIVERY))

    @rerun
    def pause(self, kind: Pausable, name: str, now: datetime) -> None:
        """Pause it; again is no error and keeps the first time."""
        with self._writing() as connection:
            if not connection.execute(select(exists().where(schema.pause.c.kind == kind.value, schema.pause.c.name == name))).scalar():
                connection.execute(insert(schema.pause).values(kind=kind.value, name=name, since=micros(now)))

    @rerun
    def resume(self, kind: Pausable, name: str, now: datetime) -> bool:
        """Let it go on; False when it was not paused."""
        with self._writing() as connection:
            gone = connection.execute(delete(schema.pause).where(schema.pause.c.kind == kind.value, schema.pause.c.name == name))
            return gone.rowcount == 1

    def paused(self) -> list[tuple[Pausable, str, datetime]]:
        """What is paused, since when."""
        with self._reading() as connection:
            rows = connection.execute(select(schema.pause).order_by(schema.pause.c.since))
            return [(Pausable(row.kind), row.name, moment(row.since)) for row in rows]

    @rerun
    def note(self, subject: str, subject_id: int, name: str, detail: str, now: datetime) -> None:
        """See the port."""
        with self._writing() as connection:
            note(connection, subject, subject_id, name, detail, now)

    def events(self, subject: str, subject_id: int) -> list[Event]:
        """The history of one subject, oldest first."""
        table = schema.event
        statement = select(table).where(table.c.subject == subject, table.c.subject_id == subject_id).order_by(table.c.id)
        with self._reading() as connection:
            return [
                Event(at=moment(row.at), subject=row.subject, subject_id=row.subject_id, name=row.name, detail=row.detail)
                for row in connection.execute(statement)
            ]

    @rerun
    def beat(self, process: str, state: str, now: datetime) -> None:
        """A sign of life."""
        table = schema.beat
        with self._writing() as connection:
            at = micros(now)
            if connection.execute(update(table).where(table.c.process == process).values(at=at, state=state)).rowcount == 0:
                connection.execute(insert(table).values(process=process, at=at, state=state))

    def beats(self) -> dict[str, tuple[datetime, str]]:
        """The last sign of life of every process."""
        with self._reading() as connection:
            return {row.process: (moment(row.at), row.state) for row in connection.execute(select(schema.beat))}


def _has_objects(connection: Connection, job: int) -> bool:
    return bool(connection.execute(select(exists().where(schema.result_object.c.job_id == job))).scalar())


def _finish_superseded(connection: Connection, job: int, sink: str | None, now: datetime) -> list[int]:
    """What was begun is finished, so that no report lacks its segments: deliveries that were parked half-way go on, and nothing else."""
    parked = select(_delivery.sink).where(_delivery.job_id == job, _delivery.state == DeliveryState.PARKED.value).order_by(_delivery.id)
    sinks = [one for one in connection.execute(parked).scalars() if sink in (None, one)]
    if not sinks:
        raise TransitionRefused(f"job {job} is superseded: its successor stands for it")
    return send_again(connection, job, sinks, now)


def _revive_encoded(connection: Connection, job: int, state: JobState, now: datetime) -> JobState:
    """Bytes are frozen: what can be revived of a job that has its objects is their way to the sinks."""
    if state is JobState.CANCELLED:
        move(connection, JOB, job, JobState.ENCODED, now, "by the operator", code=None, reason=None)
    sinks = None
    if state is not JobState.DONE:
        arrived = select(_delivery.sink).where(_delivery.job_id == job, _delivery.state == DeliveryState.COMMITTED.value)
        wanted = select(schema.job_sink.c.sink).where(schema.job_sink.c.job_id == job, schema.job_sink.c.sink.not_in(arrived))
        sinks = list(connection.execute(wanted.order_by(schema.job_sink.c.position)).scalars())
    send_again(connection, job, sinks, now)
    return state_of(connection, JOB, job)


def _release(
    connection: Connection, subject: Subject[JobState] | Subject[DeliveryState], owner: str, now: datetime, count_attempt: bool
) -> int:
    table = subject.table
    attempts = table.c.attempts - (0 if count_attempt else 1)
    held = table.c.lease.is_not(None)  # said by itself: SQLite would not see it in the comparison, and read the whole history
    mine = held if owner == "" else held & table.c.lease.startswith(f"{owner}/", autoescape=True)
    rows = connection.execute(select(table.c.id, table.c.lease).where(mine)).all()
    for row in rows:
        connection.execute(update(table).where(table.c.id == row.id).values(lease=None, lease_until=None, attempts=attempts))
        note(connection, subject.name, row.id, f"{subject.name}.released", f"{row.lease.rpartition('/')[0]} is gone", now)
    return len(rows)
