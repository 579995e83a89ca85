"""Work that a person has done once more: jobs that ended are queued again, and objects that stand are sent again."""

from datetime import datetime

from sqlalchemy import Connection, exists, select, update

from node.domain.state import DeliveryState, JobState
from node.journal import schema
from node.journal.errors import TransitionRefused
from node.journal.job_deliveries import arrived, send_again
from node.journal.rows import micros
from node.journal.transitions import JOB, move, note, state_of

_job = schema.job.c
_delivery = schema.delivery.c
_OBJECTS_STAND = (JobState.ENCODED, JobState.DONE)


def revive(connection: Connection, job: int, now: datetime, *, afresh: bool) -> JobState:
    """Bring a job that ended to its furthest durable state; see `Jobs.revive`."""
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
        fresh |= {"findings_blob": None, "model_digest": None, "findings_version": None, "inferred_at": None}
    after = JobState.QUEUED if afresh or row.findings_blob is None else JobState.INFERRED
    if state is after:
        connection.execute(update(schema.job).where(_job.id == job).values(**fresh))
        note(connection, JOB.name, job, "job.hastened", "by the operator", now)
    else:
        move(connection, JOB, job, after, now, "by the operator", **fresh)
    return after


def resend(connection: Connection, job: int, sink: str | None, now: datetime) -> list[int]:
    """Have the objects of a job sent again; see `Deliveries.resend`."""
    state = state_of(connection, JOB, job)
    if state is JobState.SUPERSEDED:
        return _finish_superseded(connection, job, sink, now)
    if state not in _OBJECTS_STAND:
        raise TransitionRefused(f"job {job} is {state}: only objects that stand can be sent again")
    return send_again(connection, job, None if sink is None else [sink], now)


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
        have = select(_delivery.sink).where(_delivery.job_id == job, arrived())
        wanted = select(schema.job_sink.c.sink).where(schema.job_sink.c.job_id == job, schema.job_sink.c.sink.not_in(have))
        sinks = list(connection.execute(wanted.order_by(schema.job_sink.c.position)).scalars())
    send_again(connection, job, sinks, now)
    return state_of(connection, JOB, job)
