"""Claims: the job whose turn it is, the leases under which processes get jobs and deliveries, and claims whose answer was lost."""

import contextlib
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    exists,
    func,
    or_,
    select,
    text,
    update,
)

from node.domain.job import RANKS, Priority
from node.journal import schema
from node.journal.errors import JournalAway
from node.journal.pauses import paused
from node.journal.port import Pausable
from node.journal.round_robin import JOB_WAITS, job_of_turn
from node.journal.rows import micros
from node.journal.schema import NEVER

_job = schema.job.c
_delivery = schema.delivery.c
_OFFPEAK = RANKS[Priority.OFFPEAK]
_UNSURE_S = 60.0


class LostClaims:
    """Claims of this process whose commit got no answer: the next claims of the same owner look whether they have one of them."""

    def __init__(self) -> None:
        self._unsure: dict[str, float] = {}
        """Their leases, and when."""
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def looked_for(self, token: str) -> Iterator[set[str]]:
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
        except BaseException:  # raised again: what was not answered may have been taken, whatever broke off
            unsure = set(taken)
            raise
        finally:
            # a server that was cut off may commit a little later than it is asked again
            with self._guard:
                self._unsure |= {one: taken[one] for one in unsure if now - taken[one] < _UNSURE_S}


def new_lease(owner: str) -> str:
    """A fence that no earlier claim had."""
    return f"{owner}/{secrets.token_hex(8)}"


def given_before(
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


def in_order(connection: Connection, lock: str) -> None:
    """Have PostgreSQL read candidates in the order of their index until the first that will do. Where it has no statistics yet of a queue
    that has just filled, it would take all of them and sort. No other claim that takes the same lock runs at the same time: two that look
    at the same instant would give one peer two turns, or both find a place that only one may take."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT set_config('enable_sort', 'off', true), {lock}"))


def at_most(connection: Connection, at_once: Mapping[str, int], at: int) -> list[str]:
    """The applications of which as many jobs are at work, on all nodes, as may be."""
    held = (_job.lease.is_not(None), _job.lease_until >= at, _job.application.in_(sorted(at_once)))
    rows = connection.execute(select(_job.application, func.count()).where(*held).group_by(_job.application)).all()
    at_work: dict[str, int] = {row[0]: row[1] for row in rows}
    return sorted(application for application, bound in at_once.items() if at_work.get(application, 0) >= bound)


def next_job(connection: Connection, at: int, away_engines: Collection[str], full: Collection[str], offpeak: bool) -> int | None:
    """The job whose turn it is: of the first class that has one that may run, the one with the earliest place, else by turns of peers."""
    route = schema.job_route.c
    wanted: list[ColumnElement[bool]] = [
        _job.due_at <= at,
        or_(_job.lease.is_(None), _job.lease_until < at),
        _job.engine.not_in(sorted(away_engines)),
        _job.engine.not_in(paused(Pausable.ENGINE)),
        exists().where(and_(route.job_id == _job.id, route.route.not_in(paused(Pausable.ROUTE)))),
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
