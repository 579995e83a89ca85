"""The census: the counts that metrics are made of, each by an index and over what has not ended, however long the history is."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Table, func, select, text

from node.domain.instance import Standing
from node.domain.job import ArrivalsIn, Census, DeliveriesIn, JobsIn
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal import schema
from node.journal.database import JournalPart
from node.journal.rows import PRIORITIES, micros, moment

_job = schema.job.c
_arrival = schema.arrival.c
_delivery = schema.delivery.c
_instance = schema.instance.c
_HELD = (JobState.QUEUED, JobState.INFERRED)
_JOBS = (JobState.QUEUED, JobState.INFERRED, JobState.ENCODED, JobState.PARKED, JobState.FAILED)
_ARRIVALS = (ArrivalState.RECEIVED, ArrivalState.COMPLETE, ArrivalState.PARKED)
_DELIVERIES = (DeliveryState.WAITING, DeliveryState.PARKED)


class CensusCounts(JournalPart):
    """How much waits, is held, or ended badly."""

    def take(self, now: datetime) -> Census:
        """How much waits, is held, or ended badly, in one moment; as quick with a long history as with a short one."""
        with self._database.reading() as connection:
            return Census(
                jobs=_jobs(connection),
                arrivals=_arrivals(connection),
                deliveries=_deliveries(connection),
                jobs_held=_held(connection, schema.job, _HELD, now),
                deliveries_held=_held(connection, schema.delivery, (DeliveryState.WAITING,), now),
                size_bytes=_size(connection),
                instances_held=int(connection.execute(select(func.count()).where(_instance.standing == Standing.HELD.value)).scalar_one()),
                uncommitted=_uncommitted(connection),
            )


def _jobs(connection: Connection) -> tuple[JobsIn, ...]:
    groups = (_job.state, _job.rank, _job.application)
    counted = select(*groups, func.count().label("many"), func.min(_job.moved_at).label("since"))
    rows = connection.execute(counted.where(_job.state.in_([state.value for state in _JOBS])).group_by(*groups))
    return tuple(
        JobsIn(
            state=JobState(row.state), priority=PRIORITIES[row.rank], application=row.application, count=row.many, since=moment(row.since)
        )
        for row in rows
    )


def _arrivals(connection: Connection) -> tuple[ArrivalsIn, ...]:
    counted = select(_arrival.state, func.count().label("many"), func.min(_arrival.opened_at).label("since"))
    rows = connection.execute(counted.where(_arrival.state.in_([state.value for state in _ARRIVALS])).group_by(_arrival.state))
    return tuple(ArrivalsIn(state=ArrivalState(row.state), count=row.many, since=moment(row.since)) for row in rows)


def _deliveries(connection: Connection) -> tuple[DeliveriesIn, ...]:
    groups = (_delivery.sink, _delivery.state)
    counted = select(*groups, func.count().label("many"), func.min(_delivery.waiting_since).label("since"))
    rows = connection.execute(counted.where(_delivery.state.in_([state.value for state in _DELIVERIES])).group_by(*groups))
    return tuple(DeliveriesIn(sink=row.sink, state=DeliveryState(row.state), count=row.many, since=moment(row.since)) for row in rows)


def _uncommitted(connection: Connection) -> dict[str, int]:
    counted = select(_delivery.sink, func.count().label("many")).where(_delivery.awaits_commitment).group_by(_delivery.sink)
    return {row.sink: row.many for row in connection.execute(counted)}


def _held(connection: Connection, table: Table, states: Sequence[StrEnum], now: datetime) -> int:
    live = table.c.lease.is_not(None) & (table.c.lease_until >= micros(now))
    return int(connection.execute(select(func.count()).where(table.c.state.in_([state.value for state in states]), live)).scalar_one())


def _size(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    pages, bytes_each = (int(connection.execute(text(f"PRAGMA {what}")).scalar_one()) for what in ("page_count", "page_size"))
    return pages * bytes_each
