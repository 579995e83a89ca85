"""The history as those see it who follow it event by event, and the rows that an event is about, should they still be there."""

from datetime import datetime, timedelta

from sqlalchemy import func, insert, select, update

from node.domain.arrival import Arrival
from node.domain.instance import Instance
from node.domain.job import Delivery
from node.journal import schema
from node.journal.database import Database, rerun
from node.journal.instances import read_instances
from node.journal.port import Event, Told
from node.journal.rows import moment, to_arrival, to_delivery

_event = schema.event.c
_follower = schema.follower.c
_LONGEST_TRANSACTION = timedelta(seconds=60)


class Followed(Database):
    """The part of the journal that lets somebody follow it."""

    def history(self, after: int, now: datetime, limit: int = 500) -> list[Told]:
        """See the port."""
        statement = select(schema.event).where(_event.id > after).order_by(_event.id).limit(limit)
        with self._reading() as connection:
            told = [
                Told(
                    number=row.id,
                    event=Event(at=moment(row.at), subject=row.subject, subject_id=row.subject_id, name=row.name, detail=row.detail),
                )
                for row in connection.execute(statement)
            ]
        # SQLite has one writer: what is missing there was erased
        return settled(told, after, now) if self._shared else told

    @rerun
    def followed(self, name: str) -> int:
        """See the port."""
        with self._writing() as connection:
            position = connection.execute(select(_follower.position).where(_follower.name == name)).scalar()
            if position is None:
                position = connection.execute(select(func.coalesce(func.max(_event.id), 0))).scalar_one()
                connection.execute(insert(schema.follower).values(name=name, position=position))
            return int(position)

    @rerun
    def follow(self, name: str, position: int) -> None:
        """See the port."""
        with self._writing() as connection:
            further = (_follower.name == name, _follower.position < position)
            connection.execute(update(schema.follower).where(*further).values(position=position))

    def arrival(self, arrival: int) -> Arrival | None:
        """See the port."""
        with self._reading() as connection:
            row = connection.execute(select(schema.arrival).where(schema.arrival.c.id == arrival)).one_or_none()
            return None if row is None else to_arrival(row)

    def delivery(self, delivery: int) -> Delivery | None:
        """See the port."""
        with self._reading() as connection:
            row = connection.execute(select(schema.delivery).where(schema.delivery.c.id == delivery)).one_or_none()
            return None if row is None else to_delivery(row)

    def instances(self, instances: list[int]) -> list[Instance]:
        """See the port."""
        wanted = select(schema.instance).where(schema.instance.c.id.in_(instances)).order_by(schema.instance.c.id)
        with self._reading() as connection:
            return read_instances(connection, wanted)


def settled(told: list[Told], after: int, now: datetime) -> list[Told]:
    """Those of which nothing earlier can still come: a number that is missing may be of a transaction that has not committed yet, and is
    waited for as long as one may last."""
    for place, one in enumerate(told):
        if one.number != after + 1 and now - one.event.at < _LONGEST_TRANSACTION:
            return told[:place]
        after = one.number
    return told
