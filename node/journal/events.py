"""The history as those see it who follow it event by event, and the rows that an event is about, should they still be there."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, func, insert, or_, select, update

from node.journal import schema
from node.journal.database import JournalPart, rerun
from node.journal.port import Event, EventFilter, LocatedEvent, NumberedEvent
from node.journal.rows import micros, moment
from node.journal.transitions import note

_event = schema.event.c
_follower = schema.follower.c
_LONGEST_TRANSACTION = timedelta(seconds=60)


class Events(JournalPart):
    """The history, and how far its followers have come: lines are added, never changed, and go after `keep_history`."""

    def behind(self, after: int, now: datetime, limit: int = 500) -> list[NumberedEvent]:
        """Events behind number `after` in their order, each when nothing earlier can come any more: a follower misses none."""
        statement = select(schema.event).where(_event.id > after).order_by(_event.id).limit(limit)
        with self._database.reading() as connection:
            told = [NumberedEvent(number=row.id, event=to_event(row)) for row in connection.execute(statement)]
        # SQLite has one writer: what is missing there was erased
        return without_gaps(told, after, now) if self._database.shared else told

    def newest(self) -> int:
        """The number of the last event; 0: there is none."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.coalesce(func.max(_event.id), 0))).scalar_one())

    @rerun
    def position(self, name: str) -> int:
        """Up to which number the follower of this name has come; one that is new begins with what happens from now on."""
        with self._database.writing() as connection:
            position = connection.execute(select(_follower.position).where(_follower.name == name)).scalar()
            if position is None:
                position = connection.execute(select(func.coalesce(func.max(_event.id), 0))).scalar_one()
                connection.execute(insert(schema.follower).values(name=name, position=position))
            return int(position)

    @rerun
    def advance(self, name: str, position: int) -> None:
        """The follower has come to `position`; it never goes back."""
        with self._database.writing() as connection:
            further = (_follower.name == name, _follower.position < position)
            connection.execute(update(schema.follower).where(*further).values(position=position))

    @rerun
    def note(self, subject: str, subject_id: int, name: str, detail: str, now: datetime, *, sop_instance_uid: str | None = None) -> None:
        """An event without a state change (a duplicate, a conflict, a file set aside); `sop_instance_uid` of an instance without a row."""
        with self._database.writing() as connection:
            note(connection, subject, subject_id, name, detail, now, sop_instance_uid=sop_instance_uid)

    def of(self, subject: str, subject_id: int) -> list[Event]:
        """The history of one subject, oldest first."""
        table = schema.event
        statement = select(table).where(table.c.subject == subject, table.c.subject_id == subject_id).order_by(table.c.id)
        with self._database.reading() as connection:
            return [to_event(row) for row in connection.execute(statement)]

    def find(self, wanted: EventFilter, *, after: int = 0, upto: int | None = None, limit: int = 100) -> list[LocatedEvent]:
        """The newest `limit` that are asked for, oldest first, behind number `after` and up to `upto`."""
        with self._database.reading() as connection:
            if wanted.since is not None:
                after = max(after, _last_before(connection, micros(wanted.since)))
            numbered = [_event.id > after, *([] if upto is None else [_event.id <= upto]), *_asked(wanted)]
            statement = _LOCATED.where(*numbered).order_by(_event.id.desc()).limit(limit)
            return [_located(row) for row in reversed(connection.execute(statement).all())]


_of_job = schema.job.alias("of_job")
_of_delivery = schema.job.alias("of_delivery")
_STUDY = func.coalesce(
    schema.arrival.c.study_instance_uid,
    _of_job.c.study_instance_uid,
    _of_delivery.c.study_instance_uid,
    schema.instance.c.study_instance_uid,
)
_LOCATED = select(
    schema.event,
    _STUDY.label("study"),
    func.coalesce(_of_job.c.id, _of_delivery.c.id).label("job"),
    func.coalesce(_of_job.c.application, _of_delivery.c.application).label("application"),
    func.coalesce(schema.arrival.c.peer, schema.instance.c.peer, schema.commitment.c.peer, schema.promise_asked.c.peer).label("peer"),
    schema.delivery.c.sink.label("sink"),
).select_from(
    schema.event.outerjoin(schema.arrival, and_(_event.subject == "arrival", schema.arrival.c.id == _event.subject_id))
    .outerjoin(schema.commitment, and_(_event.subject == "commitment", schema.commitment.c.id == _event.subject_id))
    .outerjoin(
        schema.delivery,
        schema.delivery.c.id
        == case((_event.subject == "delivery", _event.subject_id), (_event.subject == "commitment", schema.commitment.c.delivery_id)),
    )
    .outerjoin(_of_job, and_(_event.subject == "job", _of_job.c.id == _event.subject_id))
    .outerjoin(_of_delivery, _of_delivery.c.id == schema.delivery.c.job_id)
    .outerjoin(schema.instance, and_(_event.subject == "instance", schema.instance.c.id == _event.subject_id))
    .outerjoin(schema.promise_asked, and_(_event.subject == "request", schema.promise_asked.c.id == _event.subject_id))
)


def _asked(wanted: EventFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.codes:
        yield _event.code.in_(wanted.codes)
    if wanted.study is not None:
        # of the rows that events lead to: instances have no index by study or by peer, and there are more of them than of events
        yield _STUDY.in_([wanted.study])
    if wanted.job is not None:
        yield _about_jobs(select(schema.job.c.id).where(schema.job.c.id == wanted.job))
    if wanted.peer is not None:
        peers = (schema.arrival, _of_job, _of_delivery, schema.instance, schema.promise_asked, schema.commitment)
        to_it = and_(_event.subject == "delivery", schema.delivery.c.sink.in_(wanted.sinks))
        yield or_(*(one.c.peer == wanted.peer for one in peers), to_it)


def _about(subject: str, ids: Select[tuple[int]]) -> ColumnElement[bool]:
    return and_(_event.subject == subject, _event.subject_id.in_(ids))


def _about_jobs(jobs: Select[tuple[int]]) -> ColumnElement[bool]:
    """Of jobs, their deliveries, and the commitment that was asked for these."""
    deliveries = select(schema.delivery.c.id).where(schema.delivery.c.job_id.in_(jobs))
    commitments = select(schema.commitment.c.id).where(schema.commitment.c.delivery_id.in_(deliveries))
    return or_(_about("job", jobs), _about("delivery", deliveries), _about("commitment", commitments))


def _last_before(connection: Connection, at: int) -> int:
    """The number of the last event before `at`; halved in, for numbers follow the clock, and moments have no index."""
    # one by one: of both at once SQLite reads every line
    low = connection.execute(select(func.coalesce(func.min(_event.id), 1))).scalar_one()
    high = connection.execute(select(func.coalesce(func.max(_event.id), 0))).scalar_one()
    before = low - 1
    while before < high:
        middle = (before + high + 1) // 2
        # numbers are missing where something was erased: the first that is there speaks for its place
        found = connection.execute(select(_event.at).where(_event.id >= middle).order_by(_event.id).limit(1)).scalar_one()
        if found < at:
            before = middle
        else:
            high = middle - 1
    return int(before)


def _located(row: Row[Any]) -> LocatedEvent:
    return LocatedEvent(
        number=row.id,
        event=to_event(row),
        study_instance_uid=row.study,
        job=row.job,
        application=row.application,
        peer=row.peer or None,
        sink=row.sink,
    )


def to_event(row: Row[Any]) -> Event:
    """One line of the history."""
    return Event(at=moment(row.at), subject=row.subject, subject_id=row.subject_id, name=row.name, detail=row.detail, code=row.code)


def without_gaps(told: list[NumberedEvent], after: int, now: datetime) -> list[NumberedEvent]:
    """Those of which nothing earlier can still come: a number that is missing may be of a transaction that has not committed yet, and is
    waited for as long as one may last."""
    for place, one in enumerate(told):
        if one.number != after + 1 and now - one.event.at < _LONGEST_TRANSACTION:
            return told[:place]
        after = one.number
    return told
