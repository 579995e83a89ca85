"""Storage commitment that this node asks for: transactions, what reports say of each object, and where that leaves the delivery."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, exists, func, insert, select, update

from node.domain.commitment import (
    REASONS,
    Applied,
    AskedCommitment,
    Cure,
    Due,
    InstanceReference,
    Report,
    Transaction,
    TransactionState,
    cure_of,
)
from node.domain.state import DeliveryState
from node.journal import schema
from node.journal.claims import paused
from node.journal.database import BUSY, MOST, JournalPart, repeatable, rerun
from node.journal.errors import NoSuchRow
from node.journal.job_deliveries import end_delivered_job
from node.journal.port import Pausable
from node.journal.rows import micros, moment
from node.journal.transitions import COMMITMENT, DELIVERY, JOB, move, note, state_of

_delivery = schema.delivery.c
_object = schema.result_object.c
_commitment = schema.commitment.c
_of = schema.commitment_object.c
_receipt = schema.receipt.c
_begun = select(func.count()).where(_commitment.delivery_id == _delivery.id, _commitment.round == _delivery.round)
_refused = _begun.where(_commitment.state == TransactionState.REFUSED.value)
_DUE = (  # looked at every second
    select(schema.delivery, _begun.scalar_subquery().label("begun"), _refused.scalar_subquery().label("refused"))
    .where(
        _delivery.awaits_commitment,
        _delivery.due_at <= bindparam("now"),
        _delivery.sink.not_in(BUSY),
        _delivery.sink.not_in(paused(Pausable.SINK)),
    )
    .order_by(_delivery.due_at, _delivery.id)
    .limit(MOST)
)
_COMMITTED = 0
"""What stands for no Failure Reason."""
_MOST_TOLD = 5
_FREE: dict[str, Any] = {"code": None, "reason": None}
_NOT_AWAITED: dict[str, Any] = {"awaits_commitment": False}
_Bounds = tuple[datetime, int, str]
"""When to try again, how many reports may ask for that, and the code of what gives up."""


class Commitments(JournalPart):
    """Storage commitment as SCU: what this node asks of those that hold its results. A delivery that awaits it is DELIVERED, and
    `due_at` is when to ask again."""

    def due(self, now: datetime, *, busy_sinks: Collection[str] = (), limit: int = 100) -> list[Due]:
        """Deliveries that await it, and whose sinks should be asked now; none to a sink that is paused or busy. The oldest first."""
        asked = {"now": micros(now), "busy": sorted(busy_sinks), "most": limit}
        with self._database.reading() as connection:
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
                for row in connection.execute(_DUE, asked)
            ]

    @rerun
    def begin(self, due: Due, transaction_uid: str, peer: str, until: datetime, now: datetime) -> AskedCommitment | None:
        """Make a transaction durable, before it is sent, for every object that the sink accepted and has not committed to in this round.

        Until `until` nobody asks again. None when somebody was faster, or the delivery moved on; COMMITTED where nothing is left to ask.
        """
        with self._database.writing() as connection:
            row = _lock(connection, due.delivery)
            # whoever asked in between moved `due_at`
            if not row.awaits_commitment or row.due_at != micros(due.due_at):
                return None
            left = _open_objects(connection, due.delivery, row.round)
            if not left:
                _commit(connection, row, now)
                return None
            values = {"transaction_uid": transaction_uid, "delivery_id": due.delivery, "round": row.round, "peer": peer}
            begun = insert(schema.commitment).values(**values, state=TransactionState.BEGUN.value, asked_at=micros(now))
            number = connection.execute(begun.returning(_commitment.id)).scalar_one()
            note(connection, COMMITMENT.name, number, f"commitment.{TransactionState.BEGUN}", transaction_uid, now)
            connection.execute(insert(schema.commitment_object), [{"commitment_id": number, "object_id": one} for one in left])
            connection.execute(update(schema.delivery).where(_delivery.id == due.delivery).values(due_at=micros(until)))
            note(connection, DELIVERY.name, due.delivery, "delivery.asked", f"commitment to {len(left)} objects: {transaction_uid}", now)
            return AskedCommitment(transaction_uid=transaction_uid, references=tuple(left.values()))

    @repeatable
    def accepted(self, transaction_uid: str, until: datetime, now: datetime) -> None:
        """The peer answered the N-ACTION with success: its report is waited for until `until`. A report that was faster stands."""
        with self._database.writing() as connection:
            row = _locked(connection, transaction_uid)
            if row is None or row.state != TransactionState.BEGUN:
                return
            move(connection, COMMITMENT, row.id, TransactionState.ACCEPTED, now)
            if _is_newest(connection, row):
                _wait(connection, row.delivery_id, until, **_FREE)

    @repeatable
    def refused(self, transaction_uid: str, code: str, reason: str, again_at: datetime, now: datetime) -> None:
        """The N-ACTION failed, or never arrived: the peer is asked again then, under another transaction."""
        with self._database.writing() as connection:
            row = _locked(connection, transaction_uid)
            if row is None or row.state != TransactionState.BEGUN:
                return
            move(connection, COMMITMENT, row.id, TransactionState.REFUSED, now, f"{code} {reason}", detail=reason)
            if _is_newest(connection, row):
                _wait(connection, row.delivery_id, again_at, code=code, reason=reason)

    @rerun
    def park(self, delivery: int, code: str, reason: str, now: datetime) -> bool:
        """DELIVERED → PARKED; False when it awaits no commitment any more."""
        with self._database.writing() as connection:
            if not _lock(connection, delivery).awaits_commitment:
                return False
            move(connection, DELIVERY, delivery, DeliveryState.PARKED, now, f"{code} {reason}", code=code, reason=reason, **_NOT_AWAITED)
            return True

    @rerun
    def leave(self, delivery: int, why: str, now: datetime) -> bool:
        """DELIVERED is its end, though nobody committed to it; False when it awaits no commitment any more."""
        with self._database.writing() as connection:
            row = _lock(connection, delivery)
            if not row.awaits_commitment:
                return False
            connection.execute(update(schema.delivery).where(_delivery.id == delivery).values(**_NOT_AWAITED, **_FREE))
            note(connection, DELIVERY.name, delivery, "delivery.uncommitted", why, now)
            end_delivered_job(connection, row.job_id, now)
            return True

    @rerun
    def apply(self, report: Report, again_at: datetime, most_rounds: int, code: str, now: datetime) -> Applied:
        """What a report means for its delivery, in one transaction; idempotent.

        COMMITTED when the peer has committed to every object of the round, in this transaction or in another. Objects whose reason says
        that they are to be sent again are undelivered from now on, and the delivery WAITING until `again_at`; after `most_rounds` such
        reports, or for a reason that sending cannot cure, it is PARKED under `code`.
        """
        with self._database.writing() as connection:
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
            objects = _note_objects(connection, row.id, report)
            told = _told_of(objects)
            answered = {"answered_at": micros(report.received_at), "detail": told}
            move(connection, COMMITMENT, row.id, TransactionState.REPORTED, now, told, **answered)
            note(connection, DELIVERY.name, row.delivery_id, "delivery.reported", f"{row.transaction_uid}: {told}", now)
            if delivery.round != row.round or not delivery.awaits_commitment:
                return Applied.LATE
            return _judge(connection, delivery, objects, (again_at, most_rounds, code), now)

    @repeatable
    def ask_anew(self, now: datetime) -> int:
        """The journal is an older copy of itself: a report may have come since. Whatever waits for one is asked for now, and its sink has
        all its patience again. Returns how many."""
        with self._database.writing() as connection:
            waiting = update(schema.delivery).where(_delivery.awaits_commitment)
            return int(connection.execute(waiting.values(due_at=micros(now), waiting_since=micros(now))).rowcount)

    def transactions(self, delivery: int) -> list[Transaction]:
        """Every transaction of a delivery, in the order in which they were begun."""
        with self._database.reading() as connection:
            rows = connection.execute(select(schema.commitment).where(_commitment.delivery_id == delivery).order_by(_commitment.id)).all()
            uids = (
                select(_of.commitment_id, _of.failure_reason, _object.sop_instance_uid)
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
                committed=sum(one.failure_reason == _COMMITTED for one in objects.get(row.id, ())),
                failed=tuple((one.sop_instance_uid, one.failure_reason) for one in objects.get(row.id, ()) if one.failure_reason),
                detail=row.detail,
            )
            for row in rows
        ]


def end_delivery(connection: Connection, delivery: int, job: int, now: datetime, *, commits: bool) -> None:
    """What becomes of a delivery that is DELIVERED: over, unless the sink is to be asked to commit; COMMITTED where it did so before."""
    row = _lock(connection, delivery)
    if commits and _open_objects(connection, delivery, row.round):
        # the sink was away before this: its patience for a report begins when it has everything
        awaited = {"awaits_commitment": True, "due_at": micros(now), "waiting_since": micros(now)}
        connection.execute(update(schema.delivery).where(_delivery.id == delivery).values(**awaited))
    elif commits and _took_any(connection, delivery, row.round):
        _commit(connection, row, now)
    else:
        end_delivered_job(connection, job, now)


def _commit(connection: Connection, delivery: Row[Any], now: datetime) -> None:
    told = "the sink committed to every object"
    move(connection, DELIVERY, delivery.id, DeliveryState.COMMITTED, now, told, **_NOT_AWAITED, **_FREE)
    end_delivered_job(connection, delivery.job_id, now)


def _judge(
    connection: Connection, delivery: Row[Any], objects: Mapping[int, tuple[str, int | None]], bounds: _Bounds, now: datetime
) -> Applied:
    """Where a report leaves a delivery that waits for it."""
    told = _told_of(objects)
    again_at, most_rounds, code = bounds
    left = _open_objects(connection, delivery.id, delivery.round)
    if not left:
        _commit(connection, delivery, now)
        return Applied.COMMITTED
    reasons = {one: reason for one, (_, reason) in objects.items() if reason and one in left}
    cures = {one: cure_of(reason) for one, reason in reasons.items()}
    again = [one for one, cure in cures.items() if cure is Cure.SEND]
    if Cure.NONE in cures.values() or (again and _failures(connection, delivery.id, delivery.round) > most_rounds):
        move(connection, DELIVERY, delivery.id, DeliveryState.PARKED, now, f"{code} {told}", code=code, reason=told, **_NOT_AWAITED)
        return Applied.PARKED
    if not again:
        _wait(connection, delivery.id, again_at, reason=told, code=code)
        return Applied.WAITS
    for one in again:
        values = {"delivery_id": delivery.id, "object_id": one, "round": delivery.round, "accepted": False, "status": reasons[one]}
        detail = f"not committed to: {REASONS.get(reasons[one], 'unknown reason')}"
        connection.execute(insert(schema.receipt).values(**values, detail=detail, at=micros(now)))
    fresh = {"attempts": 0, "due_at": micros(again_at), "code": code, "reason": told, **_NOT_AWAITED}
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


def _wait(connection: Connection, delivery: int, until: datetime, **values: Any) -> None:
    """Ask again then, if it still waits for that."""
    waits = (_delivery.id == delivery, _delivery.awaits_commitment)
    connection.execute(update(schema.delivery).where(*waits).values(due_at=micros(until), **values))


def _note_objects(connection: Connection, transaction: int, report: Report) -> dict[int, tuple[str, int | None]]:
    """Write down what the report says of each object that was asked for; it may speak of others, which is nobody's business here.

    By object: its SOP Instance UID, and 0 or the Failure Reason; None where the report does not speak of it.
    """
    statement = select(_of.object_id, _object.sop_instance_uid).join(schema.result_object, _object.id == _of.object_id)
    said = dict.fromkeys(report.committed, _COMMITTED) | dict(report.failed)  # in both lists: it failed
    told: dict[int, tuple[str, int | None]] = {}
    for row in connection.execute(statement.where(_of.commitment_id == transaction).order_by(_of.object_id)).all():
        told[row.object_id] = (row.sop_instance_uid, reason := said.get(row.sop_instance_uid))
        known = and_(_of.commitment_id == transaction, _of.object_id == row.object_id)
        connection.execute(update(schema.commitment_object).where(known).values(failure_reason=reason))
    return told


def _told_of(objects: Mapping[int, tuple[str, int | None]]) -> str:
    """What a report says, as a sentence."""
    by_reason: dict[int | None, list[str]] = {}
    for uid, reason in objects.values():
        by_reason.setdefault(reason, []).append(uid)
    words = [f"committed to {len(by_reason.pop(_COMMITTED, []))} of {len(objects)} objects"]
    for reason, uids in by_reason.items():
        why = "not spoken of" if reason is None else f"{REASONS.get(reason, 'unknown reason')} (0x{reason:04X})"
        more = f" and {len(uids) - _MOST_TOLD} more" if len(uids) > _MOST_TOLD else ""
        words.append(f"{why}: {', '.join(uids[:_MOST_TOLD])}{more}")
    return "; ".join(words)


def _open_objects(connection: Connection, delivery: int, round_: int) -> dict[int, InstanceReference]:
    """What the sink accepted in this round, as its newest receipts say, and has not committed to since the round began."""
    newest = select(func.max(_receipt.id)).where(_receipt.delivery_id == delivery, _receipt.round == round_).group_by(_receipt.object_id)
    committed = (
        select(_of.object_id)
        .join(schema.commitment, _commitment.id == _of.commitment_id)
        .where(_commitment.delivery_id == delivery, _commitment.round == round_, _of.failure_reason == _COMMITTED)
    )
    statement = (
        select(_object.id, _object.sop_class_uid, _object.sop_instance_uid)
        .join(schema.receipt, _receipt.object_id == _object.id)
        .where(_receipt.id.in_(newest), _receipt.accepted, _object.id.not_in(committed))
        .order_by(_object.id)
    )
    return {
        row.id: InstanceReference(sop_class_uid=row.sop_class_uid, sop_instance_uid=row.sop_instance_uid)
        for row in connection.execute(statement)
    }


def _took_any(connection: Connection, delivery: int, round_: int) -> bool:
    """Whether the sink accepted any object in this round."""
    took = exists().where(_receipt.delivery_id == delivery, _receipt.round == round_, _receipt.accepted)
    return bool(connection.execute(select(took)).scalar())


def _failures(connection: Connection, delivery: int, round_: int) -> int:
    """How many reports of this round spoke of an object that is to be sent again, or of one that cannot be helped."""
    failed = exists().where(_of.commitment_id == _commitment.id, _of.failure_reason > _COMMITTED)
    statement = select(func.count()).where(_commitment.delivery_id == delivery, _commitment.round == round_, failed)
    return int(connection.execute(statement).scalar_one())
