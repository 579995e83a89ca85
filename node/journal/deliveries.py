"""Deliveries in the journal: the receipts of each object, and the end of the job that they belong to."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, exists, func, insert, select, update

from node.domain.job import Delivery, ResultObject
from node.domain.state import DeliveryState
from node.journal import schema
from node.journal.commitments import end_delivery
from node.journal.database import Database, repeatable
from node.journal.rows import micros, to_delivery, to_object
from node.journal.transitions import DELIVERY, JOB, held, move, note, state_of

_delivery = schema.delivery.c
_receipt = schema.receipt.c
_object = schema.result_object.c


class Deliveries(Database):
    """The part of the journal that knows deliveries."""

    def undelivered(self, delivery: int) -> list[ResultObject]:
        """See the port."""
        later = schema.receipt.alias("later").c
        # the newest counts: what the sink took and then would not commit to is to be sent again
        overtaken = exists().where(
            later.delivery_id == delivery, later.object_id == _receipt.object_id, later.id > _receipt.id, ~later.accepted
        )
        accepted = exists().where(
            _receipt.delivery_id == delivery,
            _receipt.object_id == _object.id,
            _receipt.round == _delivery.round,
            _receipt.accepted,
            ~overtaken,
        )
        statement = select(schema.result_object).join(schema.delivery, _delivery.job_id == _object.job_id)
        with self._reading() as connection:
            rows = connection.execute(statement.where(_delivery.id == delivery, ~accepted).order_by(_object.id))
            return [to_object(row) for row in rows]

    @repeatable
    def receipt(self, delivery: int, lease: str, object_id: int, accepted: bool, status: int | None, detail: str, now: datetime) -> bool:
        """What the sink said of one object; False when the lease is lost."""
        with self._writing() as connection:
            if not held(connection, schema.delivery, delivery, lease):
                return False
            current = select(_delivery.round).where(_delivery.id == delivery).scalar_subquery()
            values = {"delivery_id": delivery, "object_id": object_id, "round": current, "accepted": accepted, "status": status}
            connection.execute(insert(schema.receipt).values(**values, detail=detail, at=micros(now)))
            return True

    @repeatable
    def choose_form(self, delivery: int, lease: str, form: str, why: str, now: datetime) -> bool:
        """See the port."""
        with self._writing() as connection:
            if not held(connection, schema.delivery, delivery, lease):
                return False
            connection.execute(update(schema.delivery).where(_delivery.id == delivery).values(form=form))
            note(connection, DELIVERY.name, delivery, "delivery.form", f"{form}: {why}" if why else form, now)
            return True

    @repeatable
    def delivered(self, delivery: int, lease: str, now: datetime, *, commits: bool = False) -> bool:
        """See the port."""
        with self._writing() as connection:
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
    def retry_delivery(self, delivery: int, lease: str, due_at: datetime, code: str, reason: str, now: datetime) -> bool:
        """Stay WAITING, not before `due_at`; False when the lease is lost."""
        with self._writing() as connection:
            if not held(connection, schema.delivery, delivery, lease):
                return False
            values = {"lease": None, "lease_until": None, "due_at": micros(due_at), "code": code, "reason": reason}
            connection.execute(update(schema.delivery).where(_delivery.id == delivery).values(**values))
            note(connection, DELIVERY.name, delivery, "delivery.retry", f"{code} {reason}", now)
            return True

    @repeatable
    def park_delivery(self, delivery: int, lease: str, code: str, reason: str, now: datetime) -> bool:
        """WAITING → PARKED; False when the lease is lost."""
        with self._writing() as connection:
            if not held(connection, schema.delivery, delivery, lease):
                row = connection.execute(select(schema.delivery).where(_delivery.id == delivery)).one()
                return (row.state, row.code, row.reason) == (DeliveryState.PARKED, code, reason)
            free = {"lease": None, "lease_until": None, "code": code, "reason": reason}
            move(connection, DELIVERY, delivery, DeliveryState.PARKED, now, f"{code} {reason}", **free)
            return True

    def deliveries(self, *, job: int | None = None, states: Collection[DeliveryState] = (), limit: int = 1000) -> list[Delivery]:
        """The oldest first."""
        statement = select(schema.delivery).order_by(_delivery.id).limit(limit)
        if job is not None:
            statement = statement.where(_delivery.job_id == job)
        if states:
            statement = statement.where(_delivery.state.in_([state.value for state in states]))
        with self._reading() as connection:
            return [to_delivery(row) for row in connection.execute(statement)]

    def receipts(self, delivery: int) -> list[tuple[ResultObject, bool, int | None, str]]:
        """The newest receipt of each object of which the sink has said anything, in this round or an earlier one."""
        newest = select(func.max(_receipt.id)).where(_receipt.delivery_id == delivery).group_by(_receipt.object_id)
        statement = (
            select(schema.result_object, _receipt.accepted, _receipt.status, _receipt.detail)
            .join(schema.receipt, _receipt.object_id == _object.id)
            .where(_receipt.id.in_(newest))
            .order_by(_object.id)
        )
        with self._reading() as connection:
            return [(to_object(row), row.accepted, row.status, row.detail) for row in connection.execute(statement)]


def _job_of(connection: Connection, delivery: int) -> int:
    return int(connection.execute(select(_delivery.job_id).where(_delivery.id == delivery)).scalar_one())
