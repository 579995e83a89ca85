"""Claims in the journal: whose turn it is, and the lease under which a process gets it. One statement chooses and takes."""

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
    Row,
    Select,
    Table,
    TextClause,
    and_,
    case,
    exists,
    func,
    insert,
    literal,
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
from node.journal.rows import PRIORITIES, RANKS, micros, to_delivery
from node.journal.schema import NEVER, Micros
from node.journal.transitions import DELIVERY, JOB, note

_job = schema.job.c
_delivery = schema.delivery.c
# the very words of the partial indices, or SQLite would not use these
_CLAIMABLE = text("job.state || '' IN ('queued', 'inferred')")
_SENDABLE = text("delivery.state || '' = 'waiting'")
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
            # two that count at the same instant would both find a place that only one may take
            _in_order(connection, one_by_one=bool(at_once))
            full = _full(connection, at_once, at) if at_once else []
            claim = (
                update(schema.job)
                .where(_job.id == _next_job(at, away_engines, full, offpeak).scalar_subquery())
                .values(lease=token, lease_until=micros(now + lease), attempts=_job.attempts + 1)
                .returning(_job.id, _job.attempts)
            )
            claimed = connection.execute(claim).one_or_none()
            if claimed is None:
                return None
            note(connection, JOB.name, claimed.id, "job.claimed", f"by {owner}, attempt {claimed.attempts}", now)
            return read_jobs(connection, select(schema.job).where(_job.id == claimed.id))[0]

    @rerun
    def claim_delivery(self, owner: str, now: datetime, lease: timedelta, *, busy_sinks: Collection[str] = ()) -> Delivery | None:
        """See the port."""
        token, at = _new_lease(owner), micros(now)
        candidate = (
            select(_delivery.id)
            .where(
                _SENDABLE,
                _delivery.due_at <= at,
                or_(_delivery.lease.is_(None), _delivery.lease_until < at),
                _delivery.sink.not_in(_paused(Pausable.SINK)),
                _delivery.sink.not_in(sorted(busy_sinks)),
            )
            .order_by(_delivery.due_at, _delivery.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        claim = (
            update(schema.delivery)
            .where(_delivery.id == candidate.scalar_subquery())
            .values(lease=token, lease_until=micros(now + lease), attempts=_delivery.attempts + 1)
            .returning(*schema.delivery.c)
        )
        with self._remembering(token) as unsure, self._writing() as connection:
            if (lost := _mine(connection, schema.delivery, unsure, now, lease, _delivery.sink.not_in(sorted(busy_sinks)))) is not None:
                return to_delivery(connection.execute(select(schema.delivery).where(_delivery.id == lost)).one())
            _in_order(connection)
            row = connection.execute(claim).one_or_none()
            if row is None:
                return None
            note(connection, DELIVERY.name, row.id, "delivery.claimed", f"by {owner}, attempt {row.attempts}", now)
            return to_delivery(row)

    @rerun
    def move_up(self, now: datetime, patience: timedelta, *, offpeak_since: datetime | None, limit: int = 500) -> int:
        """See the port."""
        at, wait = micros(now), micros(now) - micros(now - patience)
        # of an off-peak job counts only what it has waited in this opening of its window
        opened = NEVER if offpeak_since is None else micros(offpeak_since)
        since = case((and_(_job.rank == _OFFPEAK, _job.waits_since < opened), literal(opened, Micros)), else_=_job.waits_since)
        waiting = (
            select(_job.id)
            .where(_CLAIMABLE, _job.waits_since <= at - wait, since <= at - wait, or_(_job.lease.is_(None), _job.lease_until < at))
            .order_by(_job.waits_since)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        top = _job.turn == 0
        moved = (
            update(schema.job)
            .where(_job.id.in_(waiting))
            .values(
                turn=case((top, 0), else_=_job.turn - 1),
                # nothing is above the first class: what has no deadline would wait behind every one that has, for ever
                place=case((and_(top, _job.place == NEVER), literal(at, Micros)), else_=_job.place),
                waits_since=case((top, literal(NEVER, Micros)), else_=since + literal(wait, Micros)),
            )
            .returning(_job.id, _job.turn, _job.waits_since)
        )
        with self._writing() as connection:
            rows = connection.execute(moved).all()
            if rows:
                told = [
                    {"at": at, "subject": JOB.name, "subject_id": row.id, "name": "job.moved_up", "detail": _where(row)} for row in rows
                ]
                connection.execute(insert(schema.event), told)
            return len(rows)

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


def _in_order(connection: Connection, *, one_by_one: bool = False) -> None:
    """Have PostgreSQL read candidates in the order of their index until the first that will do. Where it has no statistics yet of a queue
    that has just filled, it would take all of them and sort. With `one_by_one` no other claim that says so runs at the same time."""
    if connection.dialect.name == "postgresql":
        lock = ", pg_advisory_xact_lock(4711204)" if one_by_one else ""
        connection.execute(text(f"SELECT set_config('enable_sort', 'off', true){lock}"))


def _full(connection: Connection, at_once: Mapping[str, int], at: int) -> list[str]:
    """The applications of which as many jobs are at work, on all nodes, as may be."""
    held = (_job.lease.is_not(None), _job.lease_until >= at, _job.application.in_(sorted(at_once)))
    rows = connection.execute(select(_job.application, func.count()).where(*held).group_by(_job.application)).all()
    at_work: dict[str, int] = {row[0]: row[1] for row in rows}
    return sorted(application for application, bound in at_once.items() if at_work.get(application, 0) >= bound)


def _next_job(at: int, away_engines: Collection[str], full: Collection[str], offpeak: bool) -> Select[tuple[int]]:
    """The job whose turn it is."""
    route = schema.job_route.c
    wanted: list[ColumnElement[bool] | TextClause] = [
        _CLAIMABLE,
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
    # SQLite has no such words and needs none: it has one writer
    return select(_job.id).where(*wanted).order_by(_job.turn, _job.place, _job.due_at, _job.id).limit(1).with_for_update(skip_locked=True)


def _where(row: Row[Any]) -> str:
    if row.waits_since == NEVER:
        return "it has waited long in the first class: to the front"
    return f"it has waited long: among {PRIORITIES[row.turn].value} jobs"
