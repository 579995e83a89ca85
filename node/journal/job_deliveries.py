"""What becomes of deliveries when their job moves: they are inserted, cancelled, or sent again."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, or_, select, update

from node.domain.state import DELIVERY_TRANSITIONS, DeliveryState, JobState
from node.journal import schema
from node.journal.errors import BytesForgotten
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
