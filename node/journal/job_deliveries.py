"""What becomes of deliveries when their job moves: they are inserted, cancelled, or sent again; and work that a person has done once more,
jobs that ended queued again, objects that stand sent again.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, or_, select, update

from node.domain.state import DELIVERY_TRANSITIONS, DeliveryState, JobState
from node.journal import schema
from node.journal.errors import BytesForgotten, TransitionRefused
from node.journal.rows import micros
from node.journal.transitions import DELIVERY, JOB, move, note, state_of

_delivery = schema.delivery.c


def arrived() -> ColumnElement[bool]:
    """Whether a sink has what a delivery brought, and its commitment where that is asked for."""
    delivered = and_(_delivery.state == DeliveryState.DELIVERED.value, ~_delivery.awaits_commitment)
    return or_(_delivery.state == DeliveryState.COMMITTED.value, delivered)


def insert_deliveries(connection: Connection, job: int, sinks: Iterable[str], now: datetime) -> list[int]:
    """One WAITING delivery for each sink."""
    at = micros(now)
    made = []
    of = connection.execute(select(schema.job.c.peer, schema.job.c.turn).where(schema.job.c.id == job)).one()
    for sink in sinks:
        values = {
            "job_id": job,
            "sink": sink,
            "state": DeliveryState.WAITING.value,
            "round": 1,
            "attempts": 0,
            "due_at": at,
            "waiting_since": at,
            "peer": of.peer,
            "turn": of.turn,
        }
        delivery = int(connection.execute(insert(schema.delivery).values(**values).returning(_delivery.id)).scalar_one())
        note(connection, DELIVERY.name, delivery, f"delivery.{DeliveryState.WAITING}", sink, now)
        made.append(delivery)
    return made


def cancel_deliveries(connection: Connection, job: int, why: str, now: datetime, *, begun_too: bool) -> None:
    """Cancel what waits or is parked; without `begun_too` those alone of which no object has left and nobody is sending one now."""
    statement = select(_delivery.id).where(
        _delivery.job_id == job, _delivery.state.in_([DeliveryState.WAITING.value, DeliveryState.PARKED.value])
    )
    if not begun_too:
        receipt = schema.receipt.c
        begun = exists().where(receipt.delivery_id == _delivery.id, receipt.round == _delivery.round, receipt.accepted)
        statement = statement.where(func.coalesce(_delivery.lease_until, 0) < micros(now), ~begun)
    for delivery in connection.execute(statement).scalars().all():
        move(connection, DELIVERY, delivery, DeliveryState.CANCELLED, now, why, lease=None, lease_until=None)


def send_again(connection: Connection, job: int, sinks: Iterable[str] | None, now: datetime) -> list[int]:
    """A new round, in which every object is sent, to each of `sinks` (None: all of the job's); returns the deliveries.

    Raises
    ------
    BytesForgotten
        Retention has deleted an object.
    """
    made = schema.result_object.c
    if connection.execute(select(exists().where(made.job_id == job, made.purged_at.is_not(None)))).scalar():
        raise BytesForgotten(f"the objects of job {job} were deleted by retention")
    wanted = connection.execute(
        select(schema.job_sink.c.sink).where(schema.job_sink.c.job_id == job).order_by(schema.job_sink.c.position)
    ).scalars()
    names = list(wanted) if sinks is None else list(sinks)
    have = {row.sink: row.id for row in connection.execute(select(_delivery.id, _delivery.sink).where(_delivery.job_id == job))}
    again = [have[name] for name in names if name in have]
    at = micros(now)
    for delivery in again:
        fresh = {
            "round": _delivery.round + 1,
            "awaits_commitment": False,
            "attempts": 0,
            "form": "",
            "lease": None,
            "lease_until": None,
            "due_at": at,
            "waiting_since": at,
            "code": None,
            "reason": None,
        }
        state = state_of(connection, DELIVERY, delivery)
        if DeliveryState.WAITING in DELIVERY_TRANSITIONS[state]:
            move(connection, DELIVERY, delivery, DeliveryState.WAITING, now, "again, every object", **fresh)
        else:
            connection.execute(update(schema.delivery).where(_delivery.id == delivery).values(**fresh))
            note(connection, DELIVERY.name, delivery, "delivery.again", "every object", now)
    again += insert_deliveries(connection, job, [name for name in names if name not in have], now)
    if again and state_of(connection, JOB, job) is JobState.DONE:
        move(connection, JOB, job, JobState.ENCODED, now, "sent again")
    return again


def end_delivered_job(connection: Connection, job: int, now: datetime) -> None:
    """ENCODED → DONE when nothing of the job is still to arrive."""
    if state_of(connection, JOB, job) is not JobState.ENCODED:
        return
    outstanding = exists().where(_delivery.job_id == job, _delivery.state != DeliveryState.CANCELLED.value, ~arrived())
    if not connection.execute(select(outstanding)).scalar():
        move(connection, JOB, job, JobState.DONE, now)


_job = schema.job.c
_OBJECTS_STAND = (JobState.ENCODED, JobState.DONE)


def revive(connection: Connection, job: int, now: datetime, *, afresh: bool) -> JobState:
    """Bring a job that ended to its furthest durable state; see `Jobs.revive`."""
    state = state_of(connection, JOB, job)
    if state is JobState.SUPERSEDED:
        _finish_superseded(connection, job, None, now)
        return state
    row = connection.execute(select(_job.findings_blob, _job.inferred_at).where(_job.id == job)).one()
    successor = connection.execute(select(_job.id).where(_job.predecessor == job)).scalar()
    # what has findings, and is neither cancelled nor superseded, stands until its routes have what they ask by now (node.journal.placing)
    stands = state is not JobState.CANCELLED and row.inferred_at is not None
    if successor is not None and not stands:
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
