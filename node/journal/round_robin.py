"""Turns of peers in the journal: in one queue, the peer goes first of which nothing was claimed for longest.

A queue is the jobs of one class that have no place in it, the deliveries of one class to one sink, or the arrivals that are to be
routed. What one peer has sent is taken in its own order. Only peers that have something in the queue are looked at, each by one look into
an index: the cost of a turn does not grow with what waits.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, Table, TextClause, and_, func, insert, select, text, update

from node.journal import schema
from node.journal.rows import PRIORITIES, micros
from node.journal.schema import NEVER

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


def job_of_turn(connection: Connection, turn: int, wanted: Wanted) -> int | None:
    """Of the jobs of one class that have no place in it, the first of the peer whose turn it is; None where another has them."""
    turns = schema.job_turn.c
    of = and_(turns.turn == turn, turns.placed.is_(False))
    for peer in peers_in_turn(connection, schema.job_turn, of, peers_waiting(schema.job, JOB_WAITS, _job.turn == turn)):
        mine = (_job.turn == turn, _job.peer == peer, _job.place == NEVER)
        first = select(_job.id).where(JOB_WAITS, *mine, *wanted).order_by(_job.due_at, _job.id)
        found = connection.execute(first.limit(1).with_for_update(skip_locked=True)).scalar()
        if found is not None:
            return int(found)
    return None


def delivery_of_turn(connection: Connection, sink: str, wanted: Wanted) -> int | None:
    """Of the deliveries to a sink, in the first class that has one, the first of the peer whose turn it is; None where another has them."""
    turns = schema.delivery_turn.c
    for turn in PRIORITIES:
        queue = (_delivery.sink == sink, _delivery.turn == turn)
        of = and_(turns.sink == sink, turns.turn == turn)
        for peer in peers_in_turn(connection, schema.delivery_turn, of, peers_waiting(schema.delivery, DELIVERY_WAITS, *queue)):
            first = select(_delivery.id).where(DELIVERY_WAITS, *queue, _delivery.peer == peer, *wanted)
            found = connection.execute(first.order_by(_delivery.due_at, _delivery.id).limit(1).with_for_update(skip_locked=True)).scalar()
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
