"""Deliveries in the journal: the receipts of each object, and the end of the job that they belong to."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, or_, select, update

from node.domain.job import Delivery, ResultObject
from node.domain.state import DeliveryState, HistoryEvent
from node.journal import schema
from node.journal.claims import DELIVERY_WAITS, LostClaims, delivery_of_turn, given_before, had_turn, in_order, new_lease, paused
from node.journal.commitments import end_delivery
from node.journal.database import BUSY, Database, JournalPart, repeatable, rerun
from node.journal.job_deliveries import resend
from node.journal.port import LatestReceipt, Pausable
from node.journal.rows import micros, to_delivery, to_object
from node.journal.transitions import DELIVERY, JOB, held, move, note, state_of

_delivery = schema.delivery.c
_receipt = schema.receipt.c
_object = schema.result_object.c
_ABLE = (
    _delivery.due_at <= bindparam("now"),
    or_(_delivery.lease.is_(None), _delivery.lease_until < bindparam("now")),
    _delivery.sink.not_in(paused(Pausable.SINK)),
    _delivery.sink.not_in(BUSY),
)
_ORDERED = select(_delivery.sink).where(DELIVERY_WAITS, *_ABLE).order_by(_delivery.due_at, _delivery.id)
_FIRST = _ORDERED.limit(1).with_for_update(skip_locked=True)
"""Looked for every second."""


class Deliveries(JournalPart):
    """Deliveries: the objects of a job on their way to a sink, and the proof of each.

    Parameters
    ----------
    lost
        The claims of this process whose answer was lost.
    """

    def __init__(self, database: Database, lost: LostClaims) -> None:
        super().__init__(database)
        self._lost = lost

    def undelivered(self, delivery: int) -> list[ResultObject]:
        """The objects of the delivery that its sink has not accepted yet, and that are not left out."""
        later = schema.receipt.alias("later").c
        # the newest counts: what the sink took and then would not commit to is to be sent again
        overtaken = exists().where(
            later.delivery_id == delivery, later.object_id == _receipt.object_id, later.id > _receipt.id, ~(later.accepted | later.left_out)
        )
        finished = exists().where(
            _receipt.delivery_id == delivery,
            _receipt.object_id == _object.id,
            _receipt.round == _delivery.round,
            _receipt.accepted | _receipt.left_out,
            ~overtaken,
        )
        statement = select(schema.result_object).join(schema.delivery, _delivery.job_id == _object.job_id)
        with self._database.reading() as connection:
            rows = connection.execute(statement.where(_delivery.id == delivery, ~finished).order_by(_object.id))
            return [to_object(row) for row in rows]

    @repeatable
    def receipt(self, delivery: int, lease: str, object_id: int, accepted: bool, status: int | None, detail: str, now: datetime) -> bool:
        """What the sink said of one object; False when the lease is lost."""
        said = {"accepted": accepted, "left_out": False, "status": status, "detail": detail}
        return self._received(delivery, lease, object_id, said, now)

    @repeatable
    def leave_out(self, delivery: int, lease: str, object_id: int, why: str, now: datetime) -> bool:
        """A receipt for an object that the sink does not get: it was not sent. False when the lease is lost."""
        said = {"accepted": False, "left_out": True, "status": None, "detail": why}
        return self._received(delivery, lease, object_id, said, now)

    @repeatable
    def choose_form(self, delivery: int, lease: str, form: str, why: str, now: datetime) -> bool:
        """In which form masks and their reports go from now on, until everything is sent again; `why` where it is not the form that was
        asked for. False when the lease is lost."""
        with self._database.writing() as connection:
            if not held(connection, schema.delivery, delivery, lease):
                return False
            connection.execute(update(schema.delivery).where(_delivery.id == delivery).values(form=form))
            note(connection, DELIVERY.name, delivery, "delivery.form", f"{form}: {why}" if why else form, now)
            return True

    @repeatable
    def delivered(self, delivery: int, lease: str, now: datetime, *, commits: bool = False) -> bool:
        """WAITING → DELIVERED, which is the end, unless the sink `commits`: then it awaits that (`node.journal.commitments`), or is
        COMMITTED where the sink did before. The job is DONE when all its deliveries are over."""
        with self._database.writing() as connection:
            # the job before the delivery, as everybody locks them: nobody waits for one who waits for him
            job = _job_of(connection, delivery)
            state_of(connection, JOB, job)
            if not held(connection, schema.delivery, delivery, lease):
                # the answer was lost, or another sent all
                return state_of(connection, DELIVERY, delivery) in (DeliveryState.DELIVERED, DeliveryState.COMMITTED)
            free = {"lease": None, "lease_until": None, "code": None, "reason": None}
            move(connection, DELIVERY, delivery, DeliveryState.DELIVERED, now, "every object accepted", **free)
            end_delivery(connection, delivery, job, now, commits=commits)
            return True

    @repeatable
    def retry(self, delivery: int, lease: str, due_at: datetime, code: str, reason: str, now: datetime) -> bool:
        """Stay WAITING, not before `due_at`; False when the lease is lost."""
        with self._database.writing() as connection:
            if not held(connection, schema.delivery, delivery, lease):
                return False
            values = {"lease": None, "lease_until": None, "due_at": micros(due_at), "code": code, "reason": reason}
            connection.execute(update(schema.delivery).where(_delivery.id == delivery).values(**values))
            note(connection, DELIVERY.name, delivery, HistoryEvent.DELIVERY_RETRY.value, f"{code} {reason}", now, code=code)
            return True

    @repeatable
    def park(self, delivery: int, lease: str, code: str, reason: str, now: datetime) -> bool:
        """WAITING → PARKED; False when the lease is lost."""
        with self._database.writing() as connection:
            if not held(connection, schema.delivery, delivery, lease):
                # the answer was lost
                row = connection.execute(select(schema.delivery).where(_delivery.id == delivery)).one()
                return bool(row.state == DeliveryState.PARKED and row.ended_lease == lease)
            free = {"lease": None, "lease_until": None, "ended_lease": lease, "code": code, "reason": reason}
            move(connection, DELIVERY, delivery, DeliveryState.PARKED, now, f"{code} {reason}", **free)
            return True

    def find(
        self, *, job: int | None = None, states: Collection[DeliveryState] = (), awaiting: bool = False, limit: int = 1000
    ) -> list[Delivery]:
        """The oldest first; `awaiting`: those alone that await the commitment of their sink."""
        statement = select(schema.delivery).order_by(_delivery.id).limit(limit)
        if job is not None:
            statement = statement.where(_delivery.job_id == job)
        if states:
            statement = statement.where(_delivery.state.in_([state.value for state in states]))
        if awaiting:
            statement = statement.where(_delivery.awaits_commitment)
        with self._database.reading() as connection:
            return [to_delivery(row) for row in connection.execute(statement)]

    def receipts(self, delivery: int) -> list[LatestReceipt]:
        """The newest receipt of each object of which the sink has said anything, in this round or an earlier one."""
        newest = select(func.max(_receipt.id)).where(_receipt.delivery_id == delivery).group_by(_receipt.object_id)
        statement = (
            select(schema.result_object, _receipt.accepted, _receipt.left_out, _receipt.status, _receipt.detail)
            .join(schema.receipt, _receipt.object_id == _object.id)
            .where(_receipt.id.in_(newest))
            .order_by(_object.id)
        )
        with self._database.reading() as connection:
            return [
                LatestReceipt(one=to_object(row), accepted=row.accepted, left_out=row.left_out, status=row.status, detail=row.detail)
                for row in connection.execute(statement)
            ]

    @rerun
    def claim(self, owner: str, now: datetime, lease: timedelta, *, busy_sinks: Collection[str] = ()) -> Delivery | None:
        """Lease the next due WAITING delivery whose sink is neither paused nor among `busy_sinks` (those that the caller is already
        sending to, so that a slow sink holds up nobody else); counts an attempt. To one sink, peers whose studies they are of take
        turns."""
        token, asked = new_lease(owner), {"now": micros(now), "busy": sorted(busy_sinks)}
        with self._lost.looked_for(token) as unsure, self._database.writing() as connection:
            if (
                lost := given_before(connection, schema.delivery, unsure, now, lease, _delivery.sink.not_in(sorted(busy_sinks)))
            ) is not None:
                return to_delivery(connection.execute(select(schema.delivery).where(_delivery.id == lost)).one())
            in_order(connection, "pg_advisory_xact_lock(4711205)")
            sink = connection.execute(_FIRST, asked).scalar()
            chosen = None if sink is None else delivery_of_turn(connection, sink, _ABLE, asked)
            if chosen is None:
                return None
            claim = (
                update(schema.delivery)
                .where(_delivery.id == chosen)
                .values(lease=token, lease_until=micros(now + lease), attempts=_delivery.attempts + 1)
                .returning(*schema.delivery.c)
            )
            row = connection.execute(claim).one()
            had_turn(connection, schema.delivery_turn, {"sink": row.sink, "turn": row.turn, "peer": row.peer})
            note(connection, DELIVERY.name, row.id, HistoryEvent.DELIVERY_CLAIMED.value, f"by {owner}, attempt {row.attempts}", now)
            return to_delivery(row)

    def get(self, delivery: int) -> Delivery | None:
        """The row, if there is one."""
        with self._database.reading() as connection:
            row = connection.execute(select(schema.delivery).where(schema.delivery.c.id == delivery)).one_or_none()
            return None if row is None else to_delivery(row)

    @rerun
    def resend(self, job: int, sink: str | None, now: datetime) -> list[int]:
        """The operator's resend: WAITING again to one sink (inserted if new) or all; every object is sent again. Of a SUPERSEDED job only
        what was parked half-way."""
        with self._database.writing() as connection:
            return resend(connection, job, sink, now)

    def _received(self, delivery: int, lease: str, object_id: int, said: Mapping[str, Any], now: datetime) -> bool:
        with self._database.writing() as connection:
            if not held(connection, schema.delivery, delivery, lease):
                return False
            current = select(_delivery.round).where(_delivery.id == delivery).scalar_subquery()
            values = {"delivery_id": delivery, "object_id": object_id, "round": current, "at": micros(now)}
            connection.execute(insert(schema.receipt).values(**values, **said))
            return True


def _job_of(connection: Connection, delivery: int) -> int:
    return int(connection.execute(select(_delivery.job_id).where(_delivery.id == delivery)).scalar_one())
