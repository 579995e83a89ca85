"""Claims in the journal: the job or delivery whose turn it is, and the lease under which a process gets it. One transaction does both."""

import contextlib
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    exists,
    func,
    or_,
    select,
    text,
    update,
)

from node.domain.job import Delivery, Job, Priority
from node.journal import schema
from node.journal.database import Database, rerun
from node.journal.errors import JournalAway
from node.journal.jobs import read_jobs
from node.journal.port import Pausable
from node.journal.rows import RANKS, micros, to_delivery
from node.journal.schema import NEVER
from node.journal.transitions import DELIVERY, JOB, note
from node.journal.turns import DELIVERY_WAITS, JOB_WAITS, delivery_of_turn, had_turn, job_of_turn

_job = schema.job.c
_delivery = schema.delivery.c
_OFFPEAK = RANKS[Priority.OFFPEAK]
_UNSURE_S = 60.0


class Claims(Database):
    """The part of the journal that hands out work."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._unsure: dict[str, float] = {}
        """Leases of claims whose commit got no answer, and when: the next claims of the same owner look whether it has one of them."""
        self._guard = threading.Lock()

    @rerun
    def claim_job(
        self,
        owner: str,
        now: datetime,
        lease: timedelta,
        *,
        away_engines: Collection[str] = (),
        offpeak: bool = True,
        at_once: Mapping[str, int] | None = None,
    ) -> Job | None:
        """See the port."""
        token, at = _new_lease(owner), micros(now)
        with self._remembering(token) as unsure, self._writing() as connection:
            if (lost := _mine(connection, schema.job, unsure, now, lease)) is not None:
                return read_jobs(connection, select(schema.job).where(_job.id == lost))[0]
            _in_order(connection, "pg_advisory_xact_lock(4711204)")
            full = _full(connection, at_once, at) if at_once else []
            chosen = _next_job(connection, at, away_engines, full, offpeak)
            if chosen is None:
                return None
            claim = (
                update(schema.job)
                .where(_job.id == chosen)
                .values(lease=token, lease_until=micros(now + lease), attempts=_job.attempts + 1)
                .returning(_job.id, _job.attempts, _job.turn, _job.place, _job.peer)
            )
            claimed = connection.execute(claim).one()
            had_turn(
                connection,
                schema.job_turn,
                {"turn": claimed.turn, "placed": claimed.place != NEVER, "peer": claimed.peer},
                at=at,
            )
            note(connection, JOB.name, claimed.id, "job.claimed", f"by {owner}, attempt {claimed.attempts}", now)
            return read_jobs(connection, select(schema.job).where(_job.id == claimed.id))[0]

    @rerun
    def claim_delivery(self, owner: str, now: datetime, lease: timedelta, *, busy_sinks: Collection[str] = ()) -> Delivery | None:
        """See the port."""
        token, at = _new_lease(owner), micros(now)
        able = (
            _delivery.due_at <= at,
            or_(_delivery.lease.is_(None), _delivery.lease_until < at),
            _delivery.sink.not_in(_paused(Pausable.SINK)),
            _delivery.sink.not_in(sorted(busy_sinks)),
        )
        with self._remembering(token) as unsure, self._writing() as connection:
            if (lost := _mine(connection, schema.delivery, unsure, now, lease, _delivery.sink.not_in(sorted(busy_sinks)))) is not None:
                return to_delivery(connection.execute(select(schema.delivery).where(_delivery.id == lost)).one())
            _in_order(connection, "pg_advisory_xact_lock(4711205)")
            first = select(_delivery.sink).where(DELIVERY_WAITS, *able).order_by(_delivery.due_at, _delivery.id).limit(1)
            sink = connection.execute(first.with_for_update(skip_locked=True)).scalar()
            chosen = None if sink is None else delivery_of_turn(connection, sink, able)
            if chosen is None:
                return None
            claim = (
                update(schema.delivery)
                .where(_delivery.id == chosen)
                .values(lease=token, lease_until=micros(now + lease), attempts=_delivery.attempts + 1)
                .returning(*schema.delivery.c)
            )
            row = connection.execute(claim).one()
            had_turn(connection, schema.delivery_turn, {"sink": row.sink, "turn": row.turn, "peer": row.peer})
            note(connection, DELIVERY.name, row.id, "delivery.claimed", f"by {owner}, attempt {row.attempts}", now)
            return to_delivery(row)

    @contextlib.contextmanager
    def _remembering(self, token: str) -> Iterator[set[str]]:
        """The leases of this owner of which nobody knows whether they are held; the body takes out what it gives out. `token` joins them
        when its own commit gets no answer."""
        owner, now = token.rpartition("/")[0], time.monotonic()
        with self._guard:
            # taken while it is looked for: no other thread gives it out too
            taken = {one: self._unsure.pop(one) for one in list(self._unsure) if one.rpartition("/")[0] == owner}
        unsure = set(taken)
        try:
            yield unsure
        except JournalAway:
            unsure, taken = {*taken, token}, {**taken, token: now}
            raise
        except BaseException:
            unsure = set(taken)
            raise
        finally:
            # a server that was cut off may commit a little later than it is asked again
            with self._guard:
                self._unsure |= {one: taken[one] for one in unsure if now - taken[one] < _UNSURE_S}


def _new_lease(owner: str) -> str:
    """A fence that no earlier claim had."""
    return f"{owner}/{secrets.token_hex(8)}"


def _paused(kind: Pausable) -> Select[tuple[str]]:
    """The names of one kind that the operator has paused."""
    return select(schema.pause.c.name).where(schema.pause.c.kind == kind.value)


def _mine(
    connection: Connection, table: Table, unsure: set[str], now: datetime, lease: timedelta, *more: ColumnElement[bool]
) -> int | None:
    """What is held under a lease of a claim whose answer was lost; held anew from now."""
    if not unsure:
        return None
    found = connection.execute(select(table.c.id, table.c.lease).where(table.c.lease.in_(unsure), *more).limit(1).with_for_update()).first()
    if found is None:
        return None
    connection.execute(update(table).where(table.c.id == found.id).values(lease_until=micros(now + lease)))
    unsure.discard(found.lease)
    return int(found.id)


def _in_order(connection: Connection, lock: str) -> None:
    """Have PostgreSQL read candidates in the order of their index until the first that will do. Where it has no statistics yet of a queue
    that has just filled, it would take all of them and sort. No other claim that takes the same lock runs at the same time: two that look
    at the same instant would give one peer two turns, or both find a place that only one may take."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT set_config('enable_sort', 'off', true), {lock}"))


def _full(connection: Connection, at_once: Mapping[str, int], at: int) -> list[str]:
    """The applications of which as many jobs are at work, on all nodes, as may be."""
    held = (_job.lease.is_not(None), _job.lease_until >= at, _job.application.in_(sorted(at_once)))
    rows = connection.execute(select(_job.application, func.count()).where(*held).group_by(_job.application)).all()
    at_work: dict[str, int] = {row[0]: row[1] for row in rows}
    return sorted(application for application, bound in at_once.items() if at_work.get(application, 0) >= bound)


def _next_job(connection: Connection, at: int, away_engines: Collection[str], full: Collection[str], offpeak: bool) -> int | None:
    """The job whose turn it is: of the first class that has one that may run, the one with the earliest place, else by turns of peers."""
    route = schema.job_route.c
    wanted: list[ColumnElement[bool]] = [
        _job.due_at <= at,
        or_(_job.lease.is_(None), _job.lease_until < at),
        _job.engine.not_in(sorted(away_engines)),
        _job.engine.not_in(_paused(Pausable.ENGINE)),
        exists().where(and_(route.job_id == _job.id, route.route.not_in(_paused(Pausable.ROUTE)))),
    ]
    if full:
        wanted.append(_job.application.not_in(sorted(full)))
    if not offpeak:
        # the first bound is the index's: those that have not moved up need not even be read
        wanted += [_job.turn < _OFFPEAK, _job.rank < _OFFPEAK]
    # SQLite has no such words as SKIP LOCKED and needs none: it has one writer
    earliest = select(_job.id, _job.turn, _job.place).where(JOB_WAITS, *wanted).order_by(_job.turn, _job.place, _job.due_at, _job.id)
    first = connection.execute(earliest.limit(1).with_for_update(skip_locked=True)).one_or_none()
    if first is None or first.place != NEVER:
        return None if first is None else int(first.id)
    return job_of_turn(connection, first.turn, wanted)
