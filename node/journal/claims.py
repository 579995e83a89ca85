"""Claims: the job whose turn it is, the leases under which processes get jobs and deliveries, and claims whose answer was lost.

In one queue the peer goes first of which nothing was claimed for longest. A queue is the jobs of one class that have no place in it, the
deliveries of one class to one sink, or the arrivals that are to be routed. What one peer has sent is taken in its own order. Only peers
that have something in the queue are looked at, each by one look into an index: the cost of a turn does not grow with what waits. What waits
behind classes that are always busy moves up, the first of each peer before its others. Nothing is claimed of routes, sinks and engines that
the operator has paused; intake goes on.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    TextClause,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from node.domain.job import RANKS, Priority
from node.journal import schema
from node.journal.database import BUSY, JournalPart, rerun
from node.journal.errors import JournalAway
from node.journal.port import Pausable
from node.journal.rows import PRIORITIES, micros, moment
from node.journal.schema import NEVER, Micros
from node.journal.transitions import JOB, note
from node.settings.config import DEFAULT_ENGINE, Config


class Pauses(JournalPart):
    """What the operator has paused."""

    @rerun
    def add(self, kind: Pausable, name: str, now: datetime) -> None:
        """Pause it; again is no error and keeps the first time."""
        with self._database.writing() as connection:
            if not connection.execute(select(exists().where(schema.pause.c.kind == kind.value, schema.pause.c.name == name))).scalar():
                connection.execute(insert(schema.pause).values(kind=kind.value, name=name, since=micros(now)))

    @rerun
    def remove(self, kind: Pausable, name: str) -> bool:
        """Let it go on; False when it was not paused."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(schema.pause).where(schema.pause.c.kind == kind.value, schema.pause.c.name == name))
            return gone.rowcount == 1

    def find(self) -> list[tuple[Pausable, str, datetime]]:
        """What is paused, since when."""
        with self._database.reading() as connection:
            rows = connection.execute(select(schema.pause).order_by(schema.pause.c.since))
            return [(Pausable(row.kind), row.name, moment(row.since)) for row in rows]


def paused(kind: Pausable) -> Select[tuple[str]]:
    """The names of one kind that the operator has paused."""
    return select(schema.pause.c.name).where(schema.pause.c.kind == kind.value)


def pausable(config: Config) -> dict[Pausable, list[str]]:
    """Names of a configuration that an operator may pause: pausing another would hold back nothing."""
    return {
        Pausable.ROUTE: [route.name for route in config.routes],
        Pausable.SINK: list(config.sinks),
        Pausable.ENGINE: sorted({*config.engines, DEFAULT_ENGINE}),
    }


JOB_WAITS = text("job.state || '' IN ('queued', 'inferred')")
DELIVERY_WAITS = text("delivery.state || '' = 'waiting'")
ARRIVAL_WAITS = text("arrival.state || '' = 'complete'")
"""The very words of the partial indices, or SQLite would not use these."""
A_JOB = timedelta(seconds=10)
"""How much later than its deadline the place of a job is for each job of its peer that goes before it: about what one takes."""

_job = schema.job.c
_delivery = schema.delivery.c
Wanted = Sequence[ColumnElement[bool] | TextClause]


def peers_waiting(table: Table, *queue: ColumnElement[bool] | TextClause) -> Select[str]:
    """The peers of rows in a queue, found by going from one to the next in the index and not by reading all rows."""
    peer = table.c.peer
    # not min(): without statistics PostgreSQL would read all rows for the first of them
    nearest = select(peer).where(*queue).order_by(peer).limit(1)
    first = select(nearest.scalar_subquery().label("peer")).cte("waiting", recursive=True)
    following = nearest.where(peer > first.c.peer).correlate(first).scalar_subquery()
    waiting = first.union_all(select(following).where(first.c.peer.is_not(None)))
    return select(waiting.c.peer).where(waiting.c.peer.is_not(None))


def peers_in_turn(connection: Connection, turns: Table, of: ColumnElement[bool], waiting: Select[str]) -> list[str]:
    """The peers that wait, the one first that had its turn longest ago; `of` is the queue among `turns`."""
    one = waiting.subquery()
    had = and_(turns.c.peer == one.c.peer, of)
    ordered = select(one.c.peer).outerjoin(turns, had).order_by(func.coalesce(turns.c.number, 0), one.c.peer)
    return list(connection.execute(ordered).scalars())


def job_of_turn(connection: Connection, turn: int, wanted: Wanted, asked: Mapping[str, Any]) -> int | None:
    """Of the jobs of one class that are `wanted` (what that asks for is `asked`) and have no place in it, the first of the peer whose turn
    it is; None where another has them."""
    turns = schema.job_turn.c
    of = and_(turns.turn == turn, turns.placed.is_(False))
    for peer in peers_in_turn(connection, schema.job_turn, of, peers_waiting(schema.job, JOB_WAITS, _job.turn == turn)):
        mine = (_job.turn == turn, _job.peer == peer, _job.place == NEVER)
        first = select(_job.id).where(JOB_WAITS, *mine, *wanted).order_by(_job.due_at, _job.id)
        found = connection.execute(first.limit(1).with_for_update(skip_locked=True), asked).scalar()
        if found is not None:
            return int(found)
    return None


def delivery_of_turn(connection: Connection, sink: str, wanted: Wanted, asked: Mapping[str, Any]) -> int | None:
    """Of the deliveries to a sink that are `wanted` (what that asks for is `asked`), in the first class that has one, the first of the peer
    whose turn it is; None where another has them."""
    turns = schema.delivery_turn.c
    for turn in PRIORITIES:
        queue = (_delivery.sink == sink, _delivery.turn == turn)
        of = and_(turns.sink == sink, turns.turn == turn)
        for peer in peers_in_turn(connection, schema.delivery_turn, of, peers_waiting(schema.delivery, DELIVERY_WAITS, *queue)):
            first = select(_delivery.id).where(DELIVERY_WAITS, *queue, _delivery.peer == peer, *wanted)
            ordered = first.order_by(_delivery.due_at, _delivery.id).limit(1).with_for_update(skip_locked=True)
            found = connection.execute(ordered, asked).scalar()
            if found is not None:
                return int(found)
    return None


def had_turn(connection: Connection, turns: Table, key: dict[str, str | int | bool], **values: int) -> None:
    """It is the turn of every other peer of the queue before that of this one comes again; `key` is the queue, and the peer."""
    queue = [turns.c[name] == value for name, value in key.items() if name != "peer"]
    last = connection.execute(select(func.coalesce(func.max(turns.c.number), 0)).where(*queue)).scalar_one()
    values["number"] = int(last) + 1
    had = update(turns).where(*queue, turns.c.peer == key["peer"]).values(**values)
    if connection.execute(had).rowcount == 0:
        connection.execute(insert(turns).values(**key, **values))


def place_of(connection: Connection, peer: str, turn: int, deadline: datetime | None) -> int:
    """Where a new job stands among those of its class: at its deadline, but behind what its peer has waiting with an earlier one by as much
    as that takes, so that hundreds of one peer do not all go before the first of another."""
    if deadline is None:
        return NEVER
    at = micros(deadline)
    before = (
        select(_job.place)
        .where(JOB_WAITS, _job.turn == turn, _job.peer == peer, _job.place < NEVER, _job.deadline_at <= at)
        .order_by(_job.place.desc())
        .limit(1)
    )
    last = connection.execute(before).scalar()
    return at if last is None else max(at, int(last) + A_JOB // timedelta(microseconds=1))


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


def full_applications(connection: Connection, at_once: Mapping[str, int], at: int) -> list[str]:
    """The applications of which as many jobs are at work, on all nodes, as may be."""
    held = (_job.lease.is_not(None), _job.lease_until >= at, _job.application.in_(sorted(at_once)))
    rows = connection.execute(select(_job.application, func.count()).where(*held).group_by(_job.application)).all()
    at_work: dict[str, int] = {row[0]: row[1] for row in rows}
    return sorted(application for application, bound in at_once.items() if at_work.get(application, 0) >= bound)


@cache
def _runnable(*, full: bool, offpeak: bool) -> tuple[ColumnElement[bool], ...]:
    """What a job is that may run now: not one of an engine that is `busy` (away) nor, with `full`, of an application that is."""
    route = schema.job_route.c
    wanted = [
        _job.due_at <= bindparam("now"),
        or_(_job.lease.is_(None), _job.lease_until < bindparam("now")),
        _job.engine.not_in(BUSY),
        _job.engine.not_in(paused(Pausable.ENGINE)),
        exists().where(and_(route.job_id == _job.id, route.route.not_in(paused(Pausable.ROUTE)))),
    ]
    if full:
        wanted.append(_job.application.not_in(bindparam("full", expanding=True)))
    if not offpeak:
        # the first bound is the index's: those that have not moved up need not even be read
        wanted += [_job.turn < _OFFPEAK, _job.rank < _OFFPEAK]
    return tuple(wanted)


@cache
def _earliest(*, full: bool, offpeak: bool) -> Select[Any]:
    # SQLite has no such words as SKIP LOCKED and needs none: it has one writer
    runs = select(_job.id, _job.turn, _job.place).where(JOB_WAITS, *_runnable(full=full, offpeak=offpeak))
    return runs.order_by(_job.turn, _job.place, _job.due_at, _job.id).limit(1).with_for_update(skip_locked=True)


def next_job(connection: Connection, at: int, away_engines: Collection[str], full: Collection[str], offpeak: bool) -> int | None:
    """The job whose turn it is: of the first class that has one that may run, the one with the earliest place, else by turns of peers."""
    asked: dict[str, Any] = {"now": at, "busy": sorted(away_engines)} | ({"full": sorted(full)} if full else {})
    first = connection.execute(_earliest(full=bool(full), offpeak=offpeak), asked).one_or_none()
    if first is None or first.place != NEVER:
        return None if first is None else int(first.id)
    return job_of_turn(connection, first.turn, _runnable(full=bool(full), offpeak=offpeak), asked)


_turn = schema.job_turn.c


def move_up(connection: Connection, now: datetime, patience: timedelta, offpeak_since: datetime | None) -> int:
    """Move the first waiting job of each peer and class that has waited for `patience` one class up; see `Jobs.move_up`."""
    at, since = micros(now), micros(now - patience)
    # of an off-peak job counts only what it has waited in this opening of its window
    opened = NEVER if offpeak_since is None else micros(offpeak_since)
    began = case((and_(_job.rank == _OFFPEAK, _job.waits_since < opened), literal(opened, Micros)), else_=_job.waits_since)
    free = or_(_job.lease.is_(None), _job.lease_until < at)
    long = (_job.waits_since <= since, began <= since, free, _job.due_at <= at)
    if connection.execute(select(_job.id).where(JOB_WAITS, _job.waits_since <= since).limit(1)).first() is None:
        return 0
    found = [
        _first(connection, turn, peer, placed, long)
        for turn in PRIORITIES
        for peer in connection.scalars(peers_waiting(schema.job, JOB_WAITS, _job.turn == turn)).all()
        for placed in (False, True)
        if (turn or not placed) and not _had_turn(connection, turn, peer, placed, since)
        if not _goes_before(connection, turn, peer, placed, since, free)
    ]
    moved = [job for job in found if job is not None]
    for job in moved:
        _move(connection, job, began, at, at - since, now)
    return len(moved)


def _of(peer: str, placed: bool) -> ColumnElement[bool]:
    return and_(_job.peer == peer, _job.place < NEVER if placed else _job.place == NEVER)


def _had_turn(connection: Connection, turn: int, peer: str, placed: bool, since: int) -> bool:
    """Whether a job of this peer was claimed in this class meanwhile: then others of it wait for their own kind, not for higher classes."""
    had = exists().where(_turn.turn == turn, _turn.peer == peer, _turn.placed == placed, _turn.at > since)
    return bool(connection.execute(select(had)).scalar())


def _goes_before(connection: Connection, turn: int, peer: str, placed: bool, since: int, free: ColumnElement[bool]) -> bool:
    """Whether one that moved up already waits there still; for no longer than patience, since nobody may run it perhaps."""
    if turn:
        moved = and_(_of(peer, placed), _job.turn == turn - 1, _job.rank >= turn, _job.waits_since > since)
    else:
        moved = and_(_job.peer == peer, _job.turn == 0, _job.deadline_at.is_(None), _job.waits_since == NEVER, _job.place > since)
    return connection.execute(select(_job.id).where(JOB_WAITS, moved, free).limit(1)).first() is not None


def _first(connection: Connection, turn: int, peer: str, placed: bool, long: tuple[ColumnElement[bool], ...]) -> int | None:
    waiting = select(_job.id).where(JOB_WAITS, _job.turn == turn, _of(peer, placed), *long)
    first = waiting.order_by(_job.place, _job.due_at, _job.id).limit(1).with_for_update(skip_locked=True)
    return connection.scalars(first).first()


def _move(connection: Connection, job: int, began: ColumnElement[int], at: int, wait: int, now: datetime) -> None:
    top = _job.turn == 0
    moved = (
        update(schema.job)
        .where(_job.id == job)
        .values(
            turn=case((top, 0), else_=_job.turn - 1),
            # nothing is above the first class: what has no deadline would wait behind every one that has, for ever
            place=case((and_(top, _job.place == NEVER), literal(at, Micros)), else_=_job.place),
            waits_since=case((top, literal(NEVER, Micros)), else_=began + literal(wait, Micros)),
        )
        .returning(_job.turn, _job.waits_since)
    )
    note(connection, JOB.name, job, "job.moved_up", _where(connection.execute(moved).one()), now)


def _where(row: Row[tuple[int, int]]) -> str:
    if row.waits_since == NEVER:
        return "it has waited long in the first class: to the front"
    return f"it has waited long: among {PRIORITIES[row.turn].value} jobs"
