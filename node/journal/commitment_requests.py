"""Storage commitment that peers ask of this node: their requests, what each report says, and the promises that retention keeps."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, text, update

from node.domain.commitment import FailureReason, InstanceReference, Pending, Request, RequestState
from node.domain.instance import Instance, Standing
from node.journal import schema
from node.journal.database import BUSY, MOST, JournalPart, repeatable, rerun
from node.journal.rows import micros, moment
from node.journal.transitions import REQUEST, move, note, state_of

_asked = schema.promise_asked.c
_promise = schema.promise.c
_instance = schema.instance.c
# the very words of the partial index
_WANTS = text("promise_asked.state || '' IN ('received', 'judged')")
_DUE = (  # looked at every second
    select(schema.promise_asked)
    .where(_WANTS, _asked.due_at <= bindparam("now"), _asked.peer.not_in(BUSY))
    .order_by(_asked.due_at, _asked.id)
    .limit(MOST)
)
_CHUNK = 500
"""Values in one IN (…): SQLite takes some thousands."""
_FORGOTTEN = timedelta(days=30)
"""For how long an ended request is remembered, so that its transaction is known again."""


class CommitmentRequests(JournalPart):
    """Storage commitment as SCP: what peers ask of this node."""

    @repeatable
    def receive(self, request: Request, now: datetime) -> None:
        """Remember a request. The same one again (its peer, transaction and references) is judged and reported anew; other references
        under a transaction that this peer has used fail with 0131, duplicate transaction UID."""
        key = (_asked.peer == request.peer, _asked.transaction_uid == request.transaction_uid)
        found = digest_of(request.references)
        state = RequestState.RECEIVED
        fresh = {
            "content": _content(request.references, [0] * len(request.references)),
            "received_at": micros(request.received_at),
            "attempts": 0,
            "due_at": micros(now),
            "detail": "",
        }
        with self._database.writing() as connection:
            rows = connection.execute(select(_asked.id, _asked.digest).where(*key).order_by(_asked.id)).all()
            if rows and rows[0].digest != found:
                # the transaction is the first request's
                failed = [FailureReason.DUPLICATE_TRANSACTION.value] * len(request.references)
                state = RequestState.JUDGED
                fresh |= {"content": _content(request.references, failed)}
            told = f"{request.peer}: {request.transaction_uid}"
            same = next((row for row in rows if row.digest == found), None)
            if same is not None:
                _again(connection, same.id, state, now, told, fresh)
                return
            values = {"peer": request.peer, "transaction_uid": request.transaction_uid, "digest": found, "state": state.value}
            asked = insert(schema.promise_asked).values(**values, **fresh).returning(_asked.id)
            note(connection, REQUEST.name, connection.execute(asked).scalar_one(), f"request.{state}", told, now)
            old = (
                _asked.received_at < micros(now - _FORGOTTEN),
                _asked.state.in_([RequestState.REPORTED.value, RequestState.UNREPORTED.value]),
            )
            connection.execute(delete(schema.promise_asked).where(*old))

    def due(self, now: datetime, *, busy_peers: Collection[str] = (), limit: int = 100) -> list[Pending]:
        """Requests that are to be judged or reported now, the oldest first; none of a peer that is busy."""
        with self._database.reading() as connection:
            asked = {"now": micros(now), "busy": sorted(busy_peers), "most": limit}
            return [_pending(row) for row in connection.execute(_DUE, asked)]

    @rerun
    def judge(self, request: int, verdicts: Sequence[int], held: Collection[Instance], now: datetime) -> bool:
        """Make durable what the report will say of each reference, in their order (0: committed), and the promise for `held`. False, and
        nothing is changed, when one of these was purged meanwhile, or the request is judged already."""
        at = micros(now)
        ids = sorted(instance.id for instance in held)
        with self._database.writing() as connection:
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
            failed = sum(verdict != 0 for verdict in verdicts)
            told = f"{row.peer}: {row.transaction_uid}: {len(verdicts) - failed} of {len(verdicts)} instances"
            fresh_values = {"content": _content(references, verdicts), "due_at": at, "attempts": 0}
            move(connection, REQUEST, request, RequestState.JUDGED, now, told, **fresh_values)
            note(connection, "instance", 0, "instance.committed_to", told, now)
            return True

    @repeatable
    def put_off(self, request: int, until: datetime, detail: str) -> None:
        """Look at it again then; of a judged one this counts an attempt."""
        with self._database.writing() as connection:
            wants = update(schema.promise_asked).where(_asked.id == request, _WANTS)
            connection.execute(wants.values(due_at=micros(until), detail=detail, attempts=_asked.attempts + 1))

    @repeatable
    def end(self, request: int, taken: bool, detail: str, now: datetime, *, judged: bool = True) -> None:
        """Its report was `taken`, or nobody took it for too long; without `judged`, nobody will ever judge it. One that its peer asked
        anew meanwhile goes on."""
        state = RequestState.REPORTED if taken else RequestState.UNREPORTED
        before = RequestState.JUDGED if judged else RequestState.RECEIVED
        with self._database.writing() as connection:
            row = connection.execute(select(_asked.state).where(_asked.id == request).with_for_update()).one_or_none()
            if row is not None and row.state == before:
                move(connection, REQUEST, request, state, now, detail, detail=detail)

    def committed(self, instances: Collection[int]) -> Mapping[int, datetime]:
        """Those of them that this node committed to, and when it last did."""
        found: dict[int, datetime] = {}
        with self._database.reading() as connection:
            for some in _chunks(sorted(instances)):
                rows = connection.execute(select(schema.promise).where(_promise.instance_id.in_(some)))
                found |= {row.instance_id: moment(row.at) for row in rows}
        return found


def _again(connection: Connection, request: int, state: RequestState, now: datetime, told: str, fresh: Mapping[str, Any]) -> None:
    """The same request came again: it is looked at anew, wherever it was."""
    if state_of(connection, REQUEST, request) is not state:
        move(connection, REQUEST, request, state, now, told, **fresh)
        return
    connection.execute(update(schema.promise_asked).where(_asked.id == request).values(**fresh))
    note(connection, REQUEST.name, request, "request.again", told, now)


def digest_of(references: Sequence[InstanceReference]) -> str:
    """SHA-256 (hex) of references, whatever their order."""
    lines = sorted(f"{one.sop_class_uid} {one.sop_instance_uid}" for one in references)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _content(references: Sequence[InstanceReference], verdicts: Sequence[int]) -> str:
    return json.dumps([[one.sop_class_uid, one.sop_instance_uid, verdict] for one, verdict in zip(references, verdicts, strict=True)])


def _pending(row: Row[Any]) -> Pending:
    content = [
        (InstanceReference(sop_class_uid=sop_class, sop_instance_uid=uid), verdict) for sop_class, uid, verdict in json.loads(row.content)
    ]
    request = Request(
        peer=row.peer,
        transaction_uid=row.transaction_uid,
        references=tuple(reference for reference, _ in content),
        received_at=moment(row.received_at),
    )
    return Pending(id=row.id, request=request, state=RequestState(row.state), attempts=row.attempts, verdicts=tuple(content))


def _chunks(values: Sequence[int]) -> list[Sequence[int]]:
    return [values[first : first + _CHUNK] for first in range(0, len(values), _CHUNK)]
