"""The one way a state changes: checked against node.domain.state, compare-and-set, its event row in the same transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Connection, Table, func, insert, select, update

from node.domain.commitment import RequestState, TransactionState
from node.domain.instance import Standing
from node.domain.state import (
    ARRIVAL_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    JOB_TRANSITIONS,
    REQUEST_TRANSITIONS,
    STANDING_TRANSITIONS,
    TRANSACTION_TRANSITIONS,
    ArrivalState,
    DeliveryState,
    JobState,
)
from node.journal import schema
from node.journal.errors import NoSuchRow, TransitionRefused
from node.journal.rows import micros

S = TypeVar("S", ArrivalState, JobState, DeliveryState, TransactionState, RequestState, Standing)


@dataclass(frozen=True, slots=True)
class StateMachine(Generic[S]):
    """What has states: its name in events, its table, its states, which may follow which, and what their column is called."""

    name: str
    table: Table
    states: type[S]
    allowed: Mapping[S, frozenset[S]]
    column: str = "state"

    @property
    def state(self) -> Column[str]:
        """The column that has the state."""
        return self.table.c[self.column]


ARRIVAL = StateMachine("arrival", schema.arrival, ArrivalState, ARRIVAL_TRANSITIONS)
JOB = StateMachine("job", schema.job, JobState, JOB_TRANSITIONS)
DELIVERY = StateMachine("delivery", schema.delivery, DeliveryState, DELIVERY_TRANSITIONS)
COMMITMENT = StateMachine("commitment", schema.commitment, TransactionState, TRANSACTION_TRANSITIONS)
REQUEST = StateMachine("request", schema.promise_asked, RequestState, REQUEST_TRANSITIONS)
INSTANCE = StateMachine("instance", schema.instance, Standing, STANDING_TRANSITIONS, column="standing")
_FIRST: Mapping[tuple[str, StrEnum], Column[int]] = {
    (ARRIVAL.name, ArrivalState.ROUTED): schema.arrival.c.routed_at,
    (JOB.name, JobState.DONE): schema.job.c.done_at,
    (DELIVERY.name, DeliveryState.DELIVERED): schema.delivery.c.delivered_at,
}
"""When a state was first reached, where that is asked for later."""


def note(
    connection: Connection,
    subject: str,
    subject_id: int,
    name: str,
    detail: str,
    now: datetime,
    *,
    code: str | None = None,
    sop_instance_uid: str | None = None,
) -> None:
    """Append one event. `code` is of what went wrong; `sop_instance_uid` names an instance that has no row."""
    told = {"at": micros(now), "subject": subject, "subject_id": subject_id, "name": name, "detail": detail}
    connection.execute(insert(schema.event), {**told, "code": code or None, "sop_instance_uid": sop_instance_uid})


def state_of(connection: Connection, subject: StateMachine[S], row: int) -> S:
    """The present state.

    Raises
    ------
    NoSuchRow
        There is no such row.
    """
    # the row stays as it is read until the transaction ends: on PostgreSQL by its lock, on SQLite because there is one writer
    found = connection.execute(select(subject.state).where(subject.table.c.id == row).with_for_update()).scalar()
    if found is None:
        raise NoSuchRow(f"there is no {subject.name} {row}")
    return subject.states(found)


def held(connection: Connection, table: Table, row: int, lease: str) -> bool:
    """Whether `lease` still fences the row: nobody claimed or ended it since."""
    return connection.execute(select(table.c.id).where(table.c.id == row, table.c.lease == lease).with_for_update()).scalar() is not None


def move(connection: Connection, subject: StateMachine[S], row: int, after: S, now: datetime, told: str = "", /, **values: Any) -> S:
    """Change the state of one row, set `values` with it, append its event, `<subject>.<after>` but for instances; returns the state before.

    The caller holds the write lock, so the state that is read here is the state that is left.

    Raises
    ------
    TransitionRefused
        The transition table does not allow it; nothing is changed.
    """
    before = state_of(connection, subject, row)
    if after not in subject.allowed[before]:
        raise TransitionRefused(f"{subject.name} {row} is {before}, which {after} may not follow")
    if subject.table is schema.job:
        values["moved_at"] = micros(now)
    if (first := _FIRST.get((subject.name, after))) is not None:
        values[first.name] = func.coalesce(first, micros(now))
    connection.execute(update(subject.table).where(subject.table.c.id == row).values({subject.column: after.value, **values}))
    note(connection, subject.name, row, f"{subject.name}.{_happened(before, after)}", told, now, code=values.get("code"))
    return before


def _happened(before: StrEnum, after: StrEnum) -> str:
    """What an event calls a change: the new state, but for instances, of which it says how they came to it."""
    if not isinstance(before, Standing):  # states of two machines may be equal words
        return after.value
    if before is Standing.PURGED:
        return "restored"
    if after is Standing.REFUSED:
        return "held_refused"
    if before in (Standing.HELD, Standing.REFUSED) and after is not Standing.PURGED:
        return "accepted"
    return after.value
