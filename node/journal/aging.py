"""Aging of jobs: what waits behind classes that are always busy moves up, the first of each peer before its others."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Row, and_, case, exists, literal, or_, select, update

from node.domain.job import RANKS, Priority
from node.journal import schema
from node.journal.round_robin import JOB_WAITS, peers_waiting
from node.journal.rows import PRIORITIES, micros
from node.journal.schema import NEVER, Micros
from node.journal.transitions import JOB, note

_job = schema.job.c
_turn = schema.job_turn.c
_OFFPEAK = RANKS[Priority.OFFPEAK]


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
