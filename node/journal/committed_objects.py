"""What reports of storage commitment say of each object of a delivery, and which objects nobody has committed to yet."""

from collections.abc import Mapping

from sqlalchemy import Connection, and_, exists, func, select, update

from node.domain.commitment import REASONS, Reference, Report
from node.domain.selection import LEFT_OUT
from node.journal import schema

_receipt = schema.receipt.c
_object = schema.result_object.c
_commitment = schema.commitment.c
_of = schema.commitment_object.c
COMMITTED = 0
"""What stands for no Failure Reason."""
_MOST_TOLD = 5


def note_objects(connection: Connection, transaction: int, report: Report) -> dict[int, tuple[str, int | None]]:
    """Write down what the report says of each object that was asked for; it may speak of others, which is nobody's business here.

    By object: its SOP Instance UID, and 0 or the Failure Reason; None where the report does not speak of it.
    """
    statement = select(_of.object_id, _object.sop_instance_uid).join(schema.result_object, _object.id == _of.object_id)
    said = dict.fromkeys(report.committed, COMMITTED) | dict(report.failed)  # in both lists: it failed
    told: dict[int, tuple[str, int | None]] = {}
    for row in connection.execute(statement.where(_of.commitment_id == transaction).order_by(_of.object_id)).all():
        told[row.object_id] = (row.sop_instance_uid, reason := said.get(row.sop_instance_uid))
        known = and_(_of.commitment_id == transaction, _of.object_id == row.object_id)
        connection.execute(update(schema.commitment_object).where(known).values(reason=reason))
    return told


def told_of(objects: Mapping[int, tuple[str, int | None]]) -> str:
    """What a report says, as a sentence."""
    by_reason: dict[int | None, list[str]] = {}
    for uid, reason in objects.values():
        by_reason.setdefault(reason, []).append(uid)
    words = [f"committed to {len(by_reason.pop(COMMITTED, []))} of {len(objects)} objects"]
    for reason, uids in by_reason.items():
        why = "not spoken of" if reason is None else f"{REASONS.get(reason, 'unknown reason')} (0x{reason:04X})"
        more = f" and {len(uids) - _MOST_TOLD} more" if len(uids) > _MOST_TOLD else ""
        words.append(f"{why}: {', '.join(uids[:_MOST_TOLD])}{more}")
    return "; ".join(words)


def open_objects(connection: Connection, delivery: int, round_: int) -> dict[int, Reference]:
    """What the sink accepted in this round, as its newest receipts say, and has not committed to since the round began."""
    newest = select(func.max(_receipt.id)).where(_receipt.delivery_id == delivery, _receipt.round == round_).group_by(_receipt.object_id)
    committed = (
        select(_of.object_id)
        .join(schema.commitment, _commitment.id == _of.commitment_id)
        .where(_commitment.delivery_id == delivery, _commitment.round == round_, _of.reason == COMMITTED)
    )
    statement = (
        select(_object.id, _object.sop_class_uid, _object.sop_instance_uid)
        .join(schema.receipt, _receipt.object_id == _object.id)
        .where(
            _receipt.id.in_(newest), _receipt.accepted, ~_receipt.detail.startswith(LEFT_OUT, autoescape=True), _object.id.not_in(committed)
        )
        .order_by(_object.id)
    )
    return {
        row.id: Reference(sop_class_uid=row.sop_class_uid, sop_instance_uid=row.sop_instance_uid) for row in connection.execute(statement)
    }


def failures(connection: Connection, delivery: int, round_: int) -> int:
    """How many reports of this round spoke of an object that is to be sent again, or of one that cannot be helped."""
    failed = exists().where(_of.commitment_id == _commitment.id, _of.reason > COMMITTED)
    statement = select(func.count()).where(_commitment.delivery_id == delivery, _commitment.round == round_, failed)
    return int(connection.execute(statement).scalar_one())
