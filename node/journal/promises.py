"""Storage commitment that peers ask of this node: their requests, what each report says, and the promises that retention keeps."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, insert, select, text, update

from node.domain.commitment import FailureReason, Pending, Reference, Request, RequestState
from node.domain.instance import Instance, Standing
from node.journal import schema
from node.journal.database import Database, repeatable, rerun
from node.journal.rows import micros, moment
from node.journal.transitions import note

_asked = schema.promise_asked.c
_promise = schema.promise.c
_instance = schema.instance.c
# the very words of the partial index
_WANTS = text("promise_asked.state || '' IN ('received', 'judged')")
_CHUNK = 500
"""Values in one IN (…): SQLite takes some thousands."""
_FORGOTTEN = timedelta(days=30)
"""For how long an ended request is remembered, so that its transaction is known again."""


class Promises(Database):
    """The part of the journal that knows what this node committed to."""

    @repeatable
    def receive_request(self, request: Request, now: datetime) -> None:
        """See the port."""
        key = (_asked.peer == request.peer, _asked.transaction_uid == request.transaction_uid)
        found = digest_of(request.references)
        fresh = {
            "state": RequestState.RECEIVED.value,
            "content": _content(request.references, [0] * len(request.references)),
            "received_at": micros(request.received_at),
            "attempts": 0,
            "due_at": micros(now),
            "detail": "",
        }
        with self._writing() as connection:
            rows = connection.execute(select(_asked.id, _asked.digest).where(*key).order_by(_asked.id)).all()
            if rows and rows[0].digest != found:
                # the transaction is the first request's
                failed = [FailureReason.DUPLICATE_TRANSACTION.value] * len(request.references)
                fresh |= {"state": RequestState.JUDGED.value, "content": _content(request.references, failed)}
            if found in {row.digest for row in rows}:
                connection.execute(update(schema.promise_asked).where(*key, _asked.digest == found).values(**fresh))
                return
            values = {"peer": request.peer, "transaction_uid": request.transaction_uid, "digest": found}
            connection.execute(insert(schema.promise_asked).values(**values, **fresh))
            old = (
                _asked.received_at < micros(now - _FORGOTTEN),
                _asked.state.in_([RequestState.REPORTED.value, RequestState.UNREPORTED.value]),
            )
            connection.execute(delete(schema.promise_asked).where(*old))

    def due_requests(self, now: datetime, *, busy_peers: Collection[str] = (), limit: int = 100) -> list[Pending]:
        """See the port."""
        due = (_WANTS, _asked.due_at <= micros(now), _asked.peer.not_in(sorted(busy_peers)))
        statement = select(schema.promise_asked).where(*due).order_by(_asked.due_at, _asked.id).limit(limit)
        with self._reading() as connection:
            return [_pending(row) for row in connection.execute(statement)]

    @rerun
    def judge(self, request: int, verdicts: Sequence[int], held: Collection[Instance], now: datetime) -> bool:
        """See the port."""
        at = micros(now)
        ids = sorted(instance.id for instance in held)
        with self._writing() as connection:
            row = connection.execute(select(schema.promise_asked).where(_asked.id == request).with_for_update()).one_or_none()
            if row is None or row.state != RequestState.RECEIVED:
                return False
            for some in _chunks(ids):
                # locked: whoever is about to purge one of them waits, and sees the promise
                locked = select(_instance.standing).where(_instance.id.in_(some)).order_by(_instance.id).with_for_update()
                if any(standing == Standing.PURGED for standing in connection.execute(locked).scalars().all()):
                    return False
            for some in _chunks(ids):
                known = set(connection.execute(select(_promise.instance_id).where(_promise.instance_id.in_(some))).scalars())
                connection.execute(update(schema.promise).where(_promise.instance_id.in_(known)).values(at=at))
                fresh = [{"instance_id": one, "at": at} for one in some if one not in known]
                if fresh:
                    connection.execute(insert(schema.promise), fresh)
            references = [reference for reference, _ in _pending(row).verdicts]
            values = {"state": RequestState.JUDGED.value, "content": _content(references, verdicts), "due_at": at, "attempts": 0}
            connection.execute(update(schema.promise_asked).where(_asked.id == request).values(**values))
            failed = sum(verdict != 0 for verdict in verdicts)
            told = f"{row.peer}: {row.transaction_uid}: {len(verdicts) - failed} of {len(verdicts)} instances"
            note(connection, "instance", 0, "instance.committed_to", told, now)
            return True

    @repeatable
    def put_off_request(self, request: int, until: datetime, detail: str, now: datetime) -> None:
        """See the port."""
        with self._writing() as connection:
            wants = update(schema.promise_asked).where(_asked.id == request, _WANTS)
            connection.execute(wants.values(due_at=micros(until), detail=detail, attempts=_asked.attempts + 1))

    @repeatable
    def end_request(self, request: int, taken: bool, detail: str, now: datetime, *, judged: bool = True) -> None:
        """See the port."""
        state = RequestState.REPORTED if taken else RequestState.UNREPORTED
        before = RequestState.JUDGED if judged else RequestState.RECEIVED
        with self._writing() as connection:
            ending = update(schema.promise_asked).where(_asked.id == request, _asked.state == before.value)
            connection.execute(ending.values(state=state.value, detail=detail))

    def promised(self, instances: Collection[int]) -> Mapping[int, datetime]:
        """See the port."""
        found: dict[int, datetime] = {}
        with self._reading() as connection:
            for some in _chunks(sorted(instances)):
                rows = connection.execute(select(schema.promise).where(_promise.instance_id.in_(some)))
                found |= {row.instance_id: moment(row.at) for row in rows}
        return found


def digest_of(references: Sequence[Reference]) -> str:
    """SHA-256 (hex) of references, whatever their order."""
    lines = sorted(f"{one.sop_class_uid} {one.sop_instance_uid}" for one in references)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _content(references: Sequence[Reference], verdicts: Sequence[int]) -> str:
    return json.dumps([[one.sop_class_uid, one.sop_instance_uid, verdict] for one, verdict in zip(references, verdicts, strict=True)])


def _pending(row: Row[Any]) -> Pending:
    content = [(Reference(sop_class_uid=sop_class, sop_instance_uid=uid), verdict) for sop_class, uid, verdict in json.loads(row.content)]
    request = Request(
        peer=row.peer,
        transaction_uid=row.transaction_uid,
        references=tuple(reference for reference, _ in content),
        received_at=moment(row.received_at),
    )
    return Pending(id=row.id, request=request, state=RequestState(row.state), attempts=row.attempts, verdicts=tuple(content))


def _chunks(values: Sequence[int]) -> list[Sequence[int]]:
    return [values[first : first + _CHUNK] for first in range(0, len(values), _CHUNK)]
