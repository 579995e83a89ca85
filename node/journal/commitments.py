"""Storage commitment that this node asks for: transactions, what reports say of each object, and where that leaves the delivery."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from node.domain.commitment import REASONS, Applied, Asked, Cure, Due, Report, Transaction, TransactionState, cure_of
from node.domain.state import DeliveryState
from node.journal import schema
from node.journal.committed_objects import COMMITTED, failures, note_objects, open_objects, told_of
from node.journal.database import Database, repeatable, rerun
from node.journal.errors import NoSuchRow
from node.journal.port import Pausable
from node.journal.rows import micros, moment
from node.journal.sending import settle_job
from node.journal.transitions import DELIVERY, JOB, move, note, state_of

_delivery = schema.delivery.c
_object = schema.result_object.c
_commitment = schema.commitment.c
_of = schema.commitment_object.c
_FREE: dict[str, Any] = {"code": None, "reason": None}
_Bounds = tuple[datetime, int, str]
"""When to try again, how many reports may ask for that, and the code of what gives up."""


class Commitments(Database):
    """The part of the journal that knows who committed to our results."""

    def due_commitments(self, now: datetime, *, busy_sinks: Collection[str] = (), limit: int = 100) -> list[Due]:
        """See the port."""
        paused = select(schema.pause.c.name).where(schema.pause.c.kind == Pausable.SINK.value)
        begun = select(func.count()).where(_commitment.delivery_id == _delivery.id, _commitment.round == _delivery.round)
        refused = begun.where(_commitment.state == TransactionState.REFUSED.value)
        statement = (
            select(schema.delivery, begun.scalar_subquery().label("begun"), refused.scalar_subquery().label("refused"))
            .where(
                _delivery.state == DeliveryState.DELIVERED.value,
                _delivery.due_at <= micros(now),
                _delivery.sink.not_in(sorted(busy_sinks)),
                _delivery.sink.not_in(paused),
            )
            .order_by(_delivery.due_at, _delivery.id)
            .limit(limit)
        )
        with self._reading() as connection:
            return [
                Due(
                    delivery=row.id,
                    job=row.job_id,
                    sink=row.sink,
                    asked=row.begun - row.refused,
                    refused=row.refused,
                    due_at=moment(row.due_at),
                    waiting_since=moment(row.waiting_since),
                )
                for row in connection.execute(statement)
            ]

    @rerun
    def begin_commitment(self, due: Due, transaction_uid: str, peer: str, until: datetime, now: datetime) -> Asked | None:
        """See the port."""
        with self._writing() as connection:
            row = _lock(connection, due.delivery)
            # whoever asked in between moved `due_at`
            if row.state != DeliveryState.DELIVERED or row.due_at != micros(due.due_at):
                return None
            left = open_objects(connection, due.delivery, row.round)
            if not left:
                _commit(connection, due.delivery, row.job_id, now)
                return None
            values = {"transaction_uid": transaction_uid, "delivery_id": due.delivery, "round": row.round, "peer": peer}
            begun = insert(schema.commitment).values(**values, state=TransactionState.BEGUN.value, asked_at=micros(now))
            number = connection.execute(begun.returning(_commitment.id)).scalar_one()
            connection.execute(insert(schema.commitment_object), [{"commitment_id": number, "object_id": one} for one in left])
            connection.execute(update(schema.delivery).where(_delivery.id == due.delivery).values(due_at=micros(until)))
            note(connection, DELIVERY.name, due.delivery, "delivery.asked", f"commitment to {len(left)} objects: {transaction_uid}", now)
            return Asked(transaction_uid=transaction_uid, references=tuple(left.values()))

    @repeatable
    def commitment_accepted(self, transaction_uid: str, until: datetime, now: datetime) -> None:
        """See the port."""
        with self._writing() as connection:
            row = _locked(connection, transaction_uid)
            if row is None or row.state != TransactionState.BEGUN:
                return
            _set(connection, row.id, state=TransactionState.ACCEPTED.value)
            if _is_newest(connection, row):
                _wait(connection, row.delivery_id, until, **_FREE)

    @repeatable
    def commitment_refused(self, transaction_uid: str, code: str, reason: str, again_at: datetime, now: datetime) -> None:
        """See the port."""
        with self._writing() as connection:
            row = _locked(connection, transaction_uid)
            if row is None or row.state != TransactionState.BEGUN:
                return
            _set(connection, row.id, state=TransactionState.REFUSED.value, detail=reason)
            if _is_newest(connection, row):
                _wait(connection, row.delivery_id, again_at, code=code, reason=reason)

    @rerun
    def park_uncommitted(self, delivery: int, code: str, reason: str, now: datetime) -> bool:
        """See the port."""
        with self._writing() as connection:
            if _lock(connection, delivery).state != DeliveryState.DELIVERED:
                return False
            move(connection, DELIVERY, delivery, DeliveryState.PARKED, now, f"{code} {reason}", code=code, reason=reason)
            return True

    @rerun
    def leave_uncommitted(self, delivery: int, why: str, now: datetime) -> bool:
        """See the port."""
        with self._writing() as connection:
            row = _lock(connection, delivery)
            if row.state != DeliveryState.DELIVERED:
                return False
            _commit(connection, delivery, row.job_id, now, why)
            return True

    @rerun
    def apply_report(self, report: Report, again_at: datetime, most_rounds: int, code: str, now: datetime) -> Applied:
        """See the port."""
        with self._writing() as connection:
            found = _transaction(connection, report.transaction_uid)
            if found is None:
                return Applied.UNKNOWN
            if found.peer != report.peer:
                return Applied.STRANGER
            delivery = _lock(connection, found.delivery_id)
            row = _transaction(connection, report.transaction_uid)  # under the lock now
            assert row is not None, "nothing deletes transactions"
            if row.state == TransactionState.REPORTED:
                return Applied.DUPLICATE
            objects = note_objects(connection, row.id, report)
            told = told_of(objects)
            _set(connection, row.id, state=TransactionState.REPORTED.value, answered_at=micros(report.received_at), detail=told)
            note(connection, DELIVERY.name, row.delivery_id, "delivery.reported", f"{row.transaction_uid}: {told}", now)
            if delivery.round != row.round or delivery.state != DeliveryState.DELIVERED:
                return Applied.LATE
            return _judge(connection, delivery, objects, (again_at, most_rounds, code), now)

    @repeatable
    def ask_anew(self, now: datetime) -> int:
        """See the port."""
        with self._writing() as connection:
            waiting = update(schema.delivery).where(_delivery.state == DeliveryState.DELIVERED.value)
            return int(connection.execute(waiting.values(due_at=micros(now), waiting_since=micros(now))).rowcount)

    def transactions(self, delivery: int) -> list[Transaction]:
        """See the port."""
        with self._reading() as connection:
            rows = connection.execute(select(schema.commitment).where(_commitment.delivery_id == delivery).order_by(_commitment.id)).all()
            uids = (
                select(_of.commitment_id, _of.reason, _object.sop_instance_uid)
                .join(schema.result_object, _object.id == _of.object_id)
                .where(_of.commitment_id.in_([row.id for row in rows]))
                .order_by(_of.object_id)
            )
            objects: dict[int, list[Any]] = {}
            for one in connection.execute(uids):
                objects.setdefault(one.commitment_id, []).append(one)
        return [
            Transaction(
                transaction_uid=row.transaction_uid,
                peer=row.peer,
                round=row.round,
                state=TransactionState(row.state),
                asked_at=moment(row.asked_at),
                answered_at=None if row.answered_at is None else moment(row.answered_at),
                asked=len(objects.get(row.id, ())),
                committed=sum(one.reason == COMMITTED for one in objects.get(row.id, ())),
                failed=tuple((one.sop_instance_uid, one.reason) for one in objects.get(row.id, ()) if one.reason),
                detail=row.detail,
            )
            for row in rows
        ]


def end_delivery(connection: Connection, delivery: int, job: int, now: datetime, *, commits: bool) -> None:
    """DELIVERED, and COMMITTED too unless the sink is to be asked and has not committed to every object before."""
    row = _lock(connection, delivery)
    if commits and open_objects(connection, delivery, row.round):
        # the sink was away before this: its patience for a report begins when it has everything
        _wait(connection, delivery, now, waiting_since=micros(now))
    else:
        _commit(connection, delivery, job, now, "" if commits else "commitment not asked for")


def _commit(connection: Connection, delivery: int, job: int, now: datetime, why: str = "") -> None:
    state_of(connection, JOB, job)  # the job before the delivery, as everybody locks them
    move(connection, DELIVERY, delivery, DeliveryState.COMMITTED, now, why or "the sink committed to every object", **_FREE)
    settle_job(connection, job, now)


def _judge(
    connection: Connection, delivery: Row[Any], objects: Mapping[int, tuple[str, int | None]], bounds: _Bounds, now: datetime
) -> Applied:
    """Where a report leaves a delivery that waits for it."""
    told = told_of(objects)
    again_at, most_rounds, code = bounds
    left = open_objects(connection, delivery.id, delivery.round)
    if not left:
        _commit(connection, delivery.id, delivery.job_id, now)
        return Applied.COMMITTED
    reasons = {one: reason for one, (_, reason) in objects.items() if reason and one in left}
    cures = {one: cure_of(reason) for one, reason in reasons.items()}
    again = [one for one, cure in cures.items() if cure is Cure.SEND]
    if Cure.NONE in cures.values() or (again and failures(connection, delivery.id, delivery.round) > most_rounds):
        move(connection, DELIVERY, delivery.id, DeliveryState.PARKED, now, f"{code} {told}", code=code, reason=told)
        return Applied.PARKED
    if not again:
        _wait(connection, delivery.id, again_at, reason=told, code=code)
        return Applied.WAITS
    for one in again:
        values = {"delivery_id": delivery.id, "object_id": one, "round": delivery.round, "accepted": False, "status": reasons[one]}
        detail = f"not committed to: {REASONS.get(reasons[one], 'unknown reason')}"
        connection.execute(insert(schema.receipt).values(**values, detail=detail, at=micros(now)))
    fresh = {"attempts": 0, "due_at": micros(again_at), "code": code, "reason": told}
    move(connection, DELIVERY, delivery.id, DeliveryState.WAITING, now, f"again, {len(again)} objects: {told}", **fresh)
    return Applied.AGAIN


def _transaction(connection: Connection, transaction_uid: str) -> Row[Any] | None:
    return connection.execute(select(schema.commitment).where(_commitment.transaction_uid == transaction_uid)).one_or_none()


def _locked(connection: Connection, transaction_uid: str) -> Row[Any] | None:
    """A transaction as it is while its delivery is locked; None: there is none."""
    found = _transaction(connection, transaction_uid)
    if found is None:
        return None
    _lock(connection, found.delivery_id)
    return _transaction(connection, transaction_uid)


def _lock(connection: Connection, delivery: int) -> Row[Any]:
    """The delivery, locked; the job before it, as everybody locks them: nobody waits for one who waits for him."""
    job = connection.execute(select(_delivery.job_id).where(_delivery.id == delivery)).scalar()
    if job is None:
        raise NoSuchRow(f"there is no delivery {delivery}")
    state_of(connection, JOB, job)
    return connection.execute(select(schema.delivery).where(_delivery.id == delivery).with_for_update()).one()


def _is_newest(connection: Connection, row: Row[Any]) -> bool:
    newest = select(func.max(_commitment.id)).where(_commitment.delivery_id == row.delivery_id)
    return bool(connection.execute(newest).scalar() == row.id)


def _set(connection: Connection, transaction: int, **values: Any) -> None:
    connection.execute(update(schema.commitment).where(_commitment.id == transaction).values(**values))


def _wait(connection: Connection, delivery: int, until: datetime, **values: Any) -> None:
    """Ask again then, if it still waits for that."""
    waits = (_delivery.id == delivery, _delivery.state == DeliveryState.DELIVERED.value)
    connection.execute(update(schema.delivery).where(*waits).values(due_at=micros(until), **values))
