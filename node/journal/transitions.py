"""The one way a state changes: checked against node.domain.state, compare-and-set, its event row in the same transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Table, insert, select, update

from node.domain.state import (
    ARRIVAL_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    JOB_TRANSITIONS,
    ArrivalState,
    DeliveryState,
    JobState,
)
from node.journal import schema
from node.journal.errors import NoSuchRow, TransitionRefused
from node.journal.rows import micros

S = TypeVar("S", ArrivalState, JobState, DeliveryState)


@dataclass(frozen=True, slots=True)
class Subject(Generic[S]):
    """What has states: its name in events, its table, its states and which may follow which."""

    name: str
    table: Table
    states: type[S]
    allowed: Mapping[S, frozenset[S]]


ARRIVAL = Subject("arrival", schema.arrival, ArrivalState, ARRIVAL_TRANSITIONS)
JOB = Subject("job", schema.job, JobState, JOB_TRANSITIONS)
DELIVERY = Subject("delivery", schema.delivery, DeliveryState, DELIVERY_TRANSITIONS)


def note(connection: Connection, subject: str, subject_id: int, name: str, detail: str, now: datetime) -> None:
    """Append one event."""
    connection.execute(
        insert(schema.event), {"at": micros(now), "subject": subject, "subject_id": subject_id, "name": name, "detail": detail}
    )


def state_of(connection: Connection, subject: Subject[S], row: int) -> S:
    """The present state.

    Raises
    ------
    NoSuchRow
        There is no such row.
    """
    # the row stays as it is read until the transaction ends: on PostgreSQL by its lock, on SQLite because there is one writer
    found = connection.execute(select(subject.table.c.state).where(subject.table.c.id == row).with_for_update()).scalar()
    if found is None:
        raise NoSuchRow(f"there is no {subject.name} {row}")
    return subject.states(found)


def held(connection: Connection, table: Table, row: int, lease: str) -> bool:
    """Whether `lease` still fences the row: nobody claimed or ended it since."""
    return connection.execute(select(table.c.id).where(table.c.id == row, table.c.lease == lease).with_for_update()).scalar() is not None


def move(connection: Connection, subject: Subject[S], row: int, after: S, now: datetime, detail: str = "", **values: Any) -> S:
    """Change the state of one row, set `values` with it, append its event `<subject>.<after>`; returns the state before.

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
    connection.execute(update(subject.table).where(subject.table.c.id == row).values(state=after.value, **values))
    note(connection, subject.name, row, f"{subject.name}.{after}", detail, now)
    return before
