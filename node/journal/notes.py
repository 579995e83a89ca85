"""Notes in the journal: jobs that say of a study that an application gave no result, inserted once for each of both; and jobs that withdraw
superseded objects from an archive which has accepted their successor.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, and_, bindparam, exists, insert, or_, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from node.domain.job import JobKind, WhenExcluded
from node.domain.notes import Rejection, Withdrawal, WithdrawnObject
from node.domain.profile import Kind
from node.domain.state import ArrivalState, DeliveryState, JobState
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
            found = connection.execute(_unanswered().limit(limit), asked := _asked(sinks, now)).all()
        if not found:
            return []
        made = []
        with self._database.writing() as connection:
            lock_study(connection, *(row.study_instance_uid for row in found))
            for row in found:
                # again, now that nobody else writes of this study
                study, application = row.study_instance_uid, row.application
                if connection.execute(_unanswered(of_one=True), {**asked, "study": study, "application": application}).first() is not None:
                    made.append(_insert_statement(connection, study, application, sinks, now))
        return made


def _asked(sinks: Collection[str], now: datetime) -> dict[str, object]:
    """What `_unanswered` is asked with."""
    return {"sinks": sorted(sinks), "at": micros(now), "oldest": micros(now - _OLDEST)}


# the flow stage asks at every step: putting the statement together takes ten times what SQLite takes to answer it
@cache
def _unanswered(*, of_one: bool = False) -> Select[tuple[str, str]]:
    """The studies, each with the application, that wait for an answer that does not come; `of_one`: of one `study` and `application`."""
    at: ColumnElement[int] = bindparam("at")
    one, other, arrival, sink = schema.job.alias("one").c, schema.job.alias("other").c, schema.arrival.c, schema.job_sink.c
    same = and_(other.study_instance_uid == one.study_instance_uid, other.application == one.application)
    analyses = and_(same, other.kind == JobKind.ANALYSIS.value)
    late = one.deadline_at < at
    ended = or_(one.state.in_(_STUCK), _told(one))
    coming = exists().where(arrival.study_instance_uid == one.study_instance_uid, arrival.state.in_(_COMING))
    wanted: list[ColumnElement[bool]] = [
        one.kind == JobKind.ANALYSIS.value,
        or_(and_(one.state.in_(_UNDER_WAY), late), and_(ended, one.moved_at >= bindparam("oldest"), ~coming)),
        exists().where(sink.job_id == one.id, sink.sink.in_(bindparam("sinks", expanding=True))),
        ~exists().where(same, other.kind == JobKind.STATEMENT.value, other.state != JobState.SUPERSEDED.value),
        ~exists().where(analyses, other.state.in_(_STANDS)),
        ~exists().where(analyses, other.state.in_(_UNDER_WAY), or_(other.deadline_at.is_(None), other.deadline_at >= at)),
    ]
    if of_one:
        wanted += [one.study_instance_uid == bindparam("study"), one.application == bindparam("application")]
    return select(one.study_instance_uid, one.application).where(*wanted).distinct()


def _insert_statement(connection: Connection, study: str, application: str, sinks: Collection[str], now: datetime) -> int:
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
        "input_digest": _statement_digest(rows),
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


def _statement_digest(rows: Sequence[Row[Any]]) -> str:
    """Of the inputs of all jobs; never that of one of them, whose results would pass for delivered where the statement was."""
    lines = sorted(f"no result of {row.input_digest}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


_ARRIVED = [DeliveryState.DELIVERED.value, DeliveryState.COMMITTED.value]


class Withdrawals(JournalPart):
    """Jobs of kind WITHDRAWAL: which superseded objects still stand in an archive that has their successor."""

    @rerun
    def insert(self, sinks: Collection[str], now: datetime, *, since: datetime, limit: int = 100) -> list[int]:
        """Insert a job of kind WITHDRAWAL, QUEUED, for every job that was superseded after `since` and each of `sinks` that has accepted
        objects of it which no withdrawal names yet; returns them. It is for that sink alone, and names exactly those objects.

        Only where the sink has accepted objects of the successor and has all that it is to get of it: of a result a later one that
        replaces it, or the statement that stands where the later one gave none; of a statement the result. None while objects of the
        superseded job are still on their way to the sink. Idempotent."""
        if not sinks:
            return []
        with self._database.reading() as connection:
            found = connection.execute(_replaced().limit(limit), {"sinks": sorted(sinks), "since": micros(since)}).all()
        if not found:
            return []
        with self._database.writing() as connection:
            lock_study(connection, *(row.study_instance_uid for row in found))
            # again, now that nobody else writes of this study
            return [
                _insert_withdrawal(connection, row.id, row.sink, now)
                for row in found
                if connection.execute(_replaced(of_one=True), {"sinks": [row.sink], "since": micros(since), "superseded": row.id}).first()
                is not None
            ]

    def get(self, job: int) -> Withdrawal:
        """What a job of kind WITHDRAWAL withdraws."""
        named, made = schema.withdrawn_object.c, schema.result_object.c
        statement = select(schema.result_object).join(schema.withdrawn_object, named.object_id == made.id).where(named.job_id == job)
        with self._database.reading() as connection:
            rejection = connection.execute(select(schema.job.c.rejection).where(schema.job.c.id == job)).scalar_one()
            objects = tuple(
                WithdrawnObject(
                    kind=Kind(row.kind),
                    series_instance_uid=row.series_instance_uid,
                    sop_class_uid=row.sop_class_uid,
                    sop_instance_uid=row.sop_instance_uid,
                    blob=row.blob,
                )
                for row in connection.execute(statement.order_by(made.id))
            )
        return Withdrawal(rejection=Rejection(rejection), objects=objects)


def _taken(delivery: Any, made: Any) -> ColumnElement[bool]:
    """Whether the sink of a delivery ever accepted the object."""
    receipt = schema.receipt.alias()
    said = receipt.c
    # of its own tables alone: by itself the library looks no further out than one level for those of others
    return exists().where(said.delivery_id == delivery.id, said.object_id == made.id, said.accepted).correlate_except(receipt)


def _stand_at(delivery: Any) -> ColumnElement[bool]:
    """Whether objects stand at the sink that no withdrawal names."""
    object_ = schema.result_object.alias()
    made = object_.c
    standing = exists().where(made.job_id == delivery.job_id, _taken(delivery, made), ~_withdrawn(made, delivery.sink))
    return standing.correlate_except(object_)


def _withdrawn(made: Any, sink: Any) -> ColumnElement[bool]:
    """Whether a withdrawal from the sink names the object."""
    naming, going = schema.withdrawn_object.alias(), schema.job_sink.alias()
    named, to = naming.c, going.c
    return exists().where(named.object_id == made.id, to.job_id == named.job_id, to.sink == sink).correlate_except(naming, going)


def _accepted(job: ColumnElement[int], sink: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the sink has of a job all that it is to get, and got any of it."""
    delivery, object_ = schema.delivery.alias(), schema.result_object.alias()
    arrived, made = delivery.c, object_.c
    anything = exists().where(made.job_id == arrived.job_id, _taken(arrived, made)).correlate_except(object_)
    here = exists().where(arrived.job_id == job, arrived.sink == sink, arrived.state.in_(_ARRIVED), anything)
    return here.correlate_except(delivery)


@cache
def _replaced(*, of_one: bool = False) -> Select[tuple[int, str, str]]:
    """The jobs superseded after `since`, each with one of `sinks` that has objects of them, and has what came in their place; `of_one`: of
    the job `superseded` alone."""
    one, taken = schema.job.alias("one").c, schema.delivery.alias("taken").c
    superseded = (
        select(one.id, one.study_instance_uid, one.application, one.kind, taken.sink)
        .where(
            *(one.state == JobState.SUPERSEDED.value, one.moved_at >= bindparam("since"), one.kind != JobKind.WITHDRAWAL.value),
            *(taken.job_id == one.id, taken.sink.in_(bindparam("sinks", expanding=True)), taken.state != DeliveryState.WAITING.value),
            _stand_at(taken),
            *((one.id == bindparam("superseded"),) if of_one else ()),
        )
        .cte("superseded")
    )
    before, later = superseded.c, schema.job.alias("later").c
    first = select(before.id.label("first"), before.id.label("job"), before.study_instance_uid.label("study")).cte("line", recursive=True)
    line = first.union(
        select(first.c.first, later.id, first.c.study).where(later.study_instance_uid == first.c.study, later.predecessor == first.c.job)
    )
    other = schema.job.alias("other").c
    same = and_(other.study_instance_uid == before.study_instance_uid, other.application == before.application, other.state.in_(_STANDS))
    of_line = exists().where(line.c.first == before.id, line.c.job != before.id, _accepted(line.c.job, before.sink))
    nothing = exists().where(same, other.kind == JobKind.STATEMENT.value, other.id > before.id, _accepted(other.id, before.sink))
    result = exists().where(same, other.kind == JobKind.ANALYSIS.value, _accepted(other.id, before.sink))
    analysis = before.kind == JobKind.ANALYSIS.value
    return (
        select(before.id, before.study_instance_uid, before.sink)
        .where(or_(and_(analysis, or_(of_line, nothing)), and_(~analysis, result)))
        .order_by(before.id, before.sink)
    )


def _insert_withdrawal(connection: Connection, superseded: int, sink: str, now: datetime) -> int:
    job, at = schema.job, micros(now)
    before = connection.execute(select(job).where(job.c.id == superseded)).one()
    delivery, made = schema.delivery.c, schema.result_object.c
    standing = (
        select(made.id, made.sop_instance_uid)
        .join(schema.delivery, delivery.job_id == made.job_id)
        .where(made.job_id == superseded, delivery.sink == sink, _taken(delivery, made), ~_withdrawn(made, sink))
        .order_by(made.id)
    )
    objects = connection.execute(standing).all()
    values = {
        "arrival_id": before.arrival_id,
        "study_instance_uid": before.study_instance_uid,
        "series_instance_uid": before.series_instance_uid,
        "application": before.application,
        "application_version": before.application_version,
        "engine": "",
        "rank": before.rank,
        "state": JobState.QUEUED.value,
        "attempts": 0,
        "due_at": at,
        "created_at": at,
        "moved_at": at,
        "input_digest": _withdrawal_digest([one.sop_instance_uid for one in objects]),
        "turn": before.rank,
        "place": NEVER,
        "waits_since": at,
        "kind": JobKind.WITHDRAWAL.value,
        "peer": before.peer,
        "rejection": _rejection(connection, before).value,
    }
    new = int(connection.execute(insert(job).values(**values).returning(job.c.id)).scalar_one())
    note(connection, JOB.name, new, f"job.{JobState.QUEUED}", f"withdraws {len(objects)} objects of job {superseded} from {sink}", now)
    connection.execute(insert(schema.job_sink).values(job_id=new, sink=sink, position=0))
    routes = select(schema.job_route.c.route).where(schema.job_route.c.job_id == superseded).order_by(schema.job_route.c.position)
    names = connection.execute(routes).scalars().all()
    if names:
        connection.execute(insert(schema.job_route), [{"job_id": new, "route": name, "position": n} for n, name in enumerate(names)])
    instances = connection.execute(select(schema.job_instance.c.instance_id).where(schema.job_instance.c.job_id == superseded)).scalars()
    members = [{"job_id": new, "instance_id": one} for one in instances]
    if members:
        connection.execute(insert(schema.job_instance), members)
    connection.execute(insert(schema.withdrawn_object), [{"job_id": new, "object_id": one.id} for one in objects])
    return new


def _rejection(connection: Connection, before: Row[Any]) -> Rejection:
    """A result was wrong where its series was known to be short, or where what replaces it was made from other images of the study."""
    if JobKind(before.kind) is not JobKind.ANALYSIS:
        return Rejection.REPLACED
    next_one = select(schema.job.c.id).where(
        schema.job.c.study_instance_uid == before.study_instance_uid, schema.job.c.predecessor == before.id
    )
    after = connection.execute(next_one.order_by(schema.job.c.id).limit(1)).scalar()
    if before.lack is not None or after is None:
        return Rejection.WRONG
    same = _own_images(connection, before.id, before.study_instance_uid) == _own_images(connection, after, before.study_instance_uid)
    return Rejection.REPLACED if same else Rejection.WRONG


def _own_images(connection: Connection, job: int, study: str) -> set[int]:
    """What a job uses of its own study; priors are of others."""
    used, instance = schema.job_instance.c, schema.instance.c
    statement = select(used.instance_id).join(schema.instance, instance.id == used.instance_id)
    return set(connection.execute(statement.where(used.job_id == job, instance.study_instance_uid == study)).scalars())


def _withdrawal_digest(objects: Sequence[str]) -> str:
    """Of the objects that are withdrawn; never that of the job that made them, whose results would pass for delivered."""
    return hashlib.sha256("".join(sorted(f"withdraw {one}\n" for one in objects)).encode()).hexdigest()
