"""A job's objects, and what became of each at each sink."""

from typing import TYPE_CHECKING, Any

from node.domain.commitment import REASONS, Transaction
from node.domain.job import Delivery, ResultObject
from node.domain.selection import LEFT_OUT
from node.records.remedies import remedy
from node.records.words import stamp

if TYPE_CHECKING:
    from node.journal.port import Journal

_NOTES = ("delivery.left_out", "delivery.wanting")


def object_record(one: ResultObject) -> dict[str, Any]:
    """One object for scripts."""
    return {
        "kind": one.kind,
        "form": one.form,
        "description": one.description,
        "sop_uid": one.sop_instance_uid,
        "sop_class_uid": one.sop_class_uid,
        "series_uid": one.series_instance_uid,
        "size": one.size,
        "sha256": one.digest,
    }


def delivery_record(journal: "Journal", one: Delivery) -> dict[str, Any]:
    """One delivery for scripts: `form` is that of the masks and their reports where it had to be chosen; `notes` say why, and what is
    missing at the sink; an object that is `left_out` was not sent."""
    receipts = [
        {
            "kind": item.kind,
            "form": item.form,
            "sop_uid": item.sop_instance_uid,
            "accepted": accepted,
            "left_out": detail.startswith(LEFT_OUT),
            "status": status,
            "detail": detail,
        }
        for item, accepted, status, detail in journal.receipts(one.id)
    ]
    return {
        "sink": one.sink,
        "state": one.state.value,
        "attempts": one.attempts,
        "form": one.form,
        "notes": _notes(journal, one),
        "due_at": stamp(one.due_at),
        "code": one.code,
        "reason": one.reason,
        "remedy": remedy(one.code) if one.code else None,
        "commitment": [_transaction_record(each) for each in journal.transactions(one.id)],
        "objects": receipts,
    }


def _transaction_record(one: Transaction) -> dict[str, Any]:
    """What a sink was asked to commit to, and what it said, for scripts."""
    return {
        "transaction_uid": one.transaction_uid,
        "state": one.state.value,
        "asked_at": stamp(one.asked_at),
        "answered_at": stamp(one.answered_at),
        "asked": one.asked,
        "committed": one.committed,
        "failed": [{"sop_uid": uid, "reason": reason, "words": REASONS.get(reason)} for uid, reason in one.failed],
        "detail": one.detail,
    }


def _notes(journal: "Journal", one: Delivery) -> list[str]:
    """Why masks go in another form than was asked for, and what the sink does not get although its profile asks for it."""
    said: dict[str, str] = {}
    for line in journal.events("delivery", one.id):
        if line.name in ("delivery.waiting", "delivery.again"):
            said = {}  # a new round
        elif line.name == "delivery.form":
            said[line.name] = line.detail.partition(": ")[2]
        elif line.name in _NOTES:
            said[line.name] = line.detail
    return [note for note in said.values() if note]
