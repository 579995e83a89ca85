"""The history as those see it who follow it event by event, and the rows that an event is about, should they still be there."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from node.journal import schema
from node.journal.database import JournalPart, rerun
from node.journal.port import Event, NumberedEvent
from node.journal.rows import moment
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
        return settled(told, after, now) if self._database.shared else told

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


def to_event(row: Row[Any]) -> Event:
    """One line of the history."""
    return Event(at=moment(row.at), subject=row.subject, subject_id=row.subject_id, name=row.name, detail=row.detail, code=row.code)


def settled(told: list[NumberedEvent], after: int, now: datetime) -> list[NumberedEvent]:
    """Those of which nothing earlier can still come: a number that is missing may be of a transaction that has not committed yet, and is
    waited for as long as one may last."""
    for place, one in enumerate(told):
        if one.number != after + 1 and now - one.event.at < _LONGEST_TRANSACTION:
            return told[:place]
        after = one.number
    return told
