"""Statements in the journal: jobs that say of a study that an application gave no result, inserted once for each of both."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, and_, exists, insert, or_, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from node.domain.job import JobKind, WhenExcluded
from node.domain.state import ArrivalState, JobState
from node.journal import schema
from node.journal.database import JournalPart, lock_study, rerun
from node.journal.rows import micros
from node.journal.schema import NEVER
from node.journal.transitions import JOB, note

_STUCK = [JobState.PARKED.value, JobState.FAILED.value]
_UNDER_WAY = [JobState.QUEUED.value, JobState.INFERRED.value]
_STANDS = [JobState.ENCODED.value, JobState.DONE.value]
_COMING = [ArrivalState.RECEIVED.value, ArrivalState.COMPLETE.value]
_OLDEST = timedelta(days=3)
"""What ended longer ago is stated no more: a weekend without the database is bridged, and an upgrade, or a sink that wants statements from
now on, sends none about years of old studies."""


class Statements(JournalPart):
    """Jobs of kind STATEMENT: which studies wait for an answer that no application gives."""

    @rerun
    def insert(self, sinks: Collection[str], now: datetime, *, limit: int = 100) -> list[int]:
        """Insert a job of kind STATEMENT, QUEUED, for every study and application of which every job that was asked for is parked, has
        failed, is later than its deadline, or is not applicable though a route expects a result, so that no series gave one; returns them.

        None where an analysis is under way that is not late, or, unless one is, where something of the study is still to be routed; where
        a result stands (ENCODED or DONE), or a statement that nothing superseded; where none of the jobs was for one of `sinks`; where
        all of them ended more than three days ago. Its sinks are those of `sinks` that the jobs were for, its instances theirs. Idempotent.
        """
        if not sinks:
            return []
        with self._database.reading() as connection:
            found = connection.execute(_unanswered(sinks, now).limit(limit)).all()
        if not found:
            return []
        made = []
        with self._database.writing() as connection:
            lock_study(connection, *(row.study_instance_uid for row in found))
            for row in found:
                # again, now that nobody else writes of this study
                same = (row.study_instance_uid, row.application)
                if connection.execute(_unanswered(sinks, now, same)).first() is not None:
                    made.append(_insert(connection, *same, sinks, now))
        return made


def _unanswered(sinks: Collection[str], now: datetime, of: tuple[str, str] | None = None) -> Select[tuple[str, str]]:
    """The studies, each with the application, that wait for an answer that does not come; `of` one alone."""
    at = micros(now)
    one, other, arrival, sink = schema.job.alias("one").c, schema.job.alias("other").c, schema.arrival.c, schema.job_sink.c
    same = and_(other.study_instance_uid == one.study_instance_uid, other.application == one.application)
    analyses = and_(same, other.kind == JobKind.ANALYSIS.value)
    late = one.deadline_at < at
    ended = or_(one.state.in_(_STUCK), _told(one))
    coming = exists().where(arrival.study_instance_uid == one.study_instance_uid, arrival.state.in_(_COMING))
    wanted: list[ColumnElement[bool]] = [
        one.kind == JobKind.ANALYSIS.value,
        or_(and_(one.state.in_(_UNDER_WAY), late), and_(ended, one.moved_at >= micros(now - _OLDEST), ~coming)),
        exists().where(sink.job_id == one.id, sink.sink.in_(sorted(sinks))),
        ~exists().where(same, other.kind == JobKind.STATEMENT.value, other.state != JobState.SUPERSEDED.value),
        ~exists().where(analyses, other.state.in_(_STANDS)),
        ~exists().where(analyses, other.state.in_(_UNDER_WAY), or_(other.deadline_at.is_(None), other.deadline_at >= at)),
    ]
    if of is not None:
        wanted += [one.study_instance_uid == of[0], one.application == of[1]]
    return select(one.study_instance_uid, one.application).where(*wanted).distinct()


def _insert(connection: Connection, study: str, application: str, sinks: Collection[str], now: datetime) -> int:
    job, used = schema.job, schema.job_instance.c
    about = (job.c.study_instance_uid == study, job.c.application == application, job.c.kind == JobKind.ANALYSIS.value)
    rows = connection.execute(
        select(job).where(*about, or_(job.c.state.in_([*_STUCK, *_UNDER_WAY]), _told(job.c))).order_by(job.c.id)
    ).all()
    ids, at = [row.id for row in rows], micros(now)
    first = rows[0]
    values = {
        "arrival_id": max(row.arrival_id for row in rows),
        "study_instance_uid": study,
        "series_instance_uid": first.series_instance_uid,
        "application": application,
        "application_version": first.application_version,
        "engine": "",
        "rank": (rank := min(row.rank for row in rows)),
        "state": JobState.QUEUED.value,
        "attempts": 0,
        "due_at": at,
        "created_at": at,
        "moved_at": at,
        "input_digest": _digest(rows),
        "turn": rank,
        "place": NEVER,
        "waits_since": at,
        "kind": JobKind.STATEMENT.value,
        "peer": rows[-1].peer,
    }
    made = int(connection.execute(insert(job).values(**values).returning(job.c.id)).scalar_one())
    note(connection, JOB.name, made, f"job.{JobState.QUEUED}", f"no result of jobs {', '.join(map(str, ids))}", now)
    for table, column in ((schema.job_route, "route"), (schema.job_sink, "sink")):
        named = select(table.c[column]).where(table.c.job_id.in_(ids)).order_by(table.c.job_id, table.c.position)
        names = [name for name in dict.fromkeys(connection.execute(named).scalars()) if column == "route" or name in sinks]
        connection.execute(insert(table), [{"job_id": made, column: name, "position": n} for n, name in enumerate(names)])
    instances = (
        connection.execute(select(used.instance_id).where(used.job_id.in_(ids)).distinct().order_by(used.instance_id)).scalars().all()
    )
    if instances:
        connection.execute(insert(schema.job_instance), [{"job_id": made, "instance_id": one} for one in instances])
    return made


def _told(job: ReadOnlyColumnCollection[str, Column[Any]]) -> ColumnElement[bool]:
    """Not applicable, and a route expects a result."""
    return and_(job.state == JobState.NOT_APPLICABLE.value, job.when_excluded == WhenExcluded.TELL.value)


def _digest(rows: Sequence[Row[Any]]) -> str:
    """Of the inputs of all jobs; never that of one of them, whose results would pass for delivered where the statement was."""
    lines = sorted(f"no result of {row.input_digest}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
