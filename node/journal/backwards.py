"""What stands in the journal for a moment that is too far away to be meant: the clock went back since it was written."""

from datetime import datetime, timedelta

from sqlalchemy import update

from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal import schema
from node.journal.database import Database, rerun
from node.journal.rows import micros

_WAITING = {
    schema.job: (JobState.QUEUED.value, JobState.INFERRED.value),
    schema.delivery: (DeliveryState.WAITING.value,),
}


class BroughtNear(Database):
    """The part of the journal that mends times."""

    @rerun
    def bring_near(self, now: datetime, *, arrivals: timedelta, retries: timedelta, lease: timedelta) -> int:
        """See the port."""
        arrival = schema.arrival.c
        open_ones = update(schema.arrival).where(arrival.state == ArrivalState.RECEIVED.value, arrival.due_at > micros(now + arrivals))
        with self._writing() as connection:
            brought = connection.execute(open_ones.values(due_at=micros(now + arrivals))).rowcount
            for table, states in _WAITING.items():
                waiting = update(table).where(table.c.state.in_(states))
                due = waiting.where(table.c.due_at > micros(now + retries)).values(due_at=micros(now))
                held = waiting.where(table.c.lease_until > micros(now + lease)).values(lease_until=micros(now + lease))
                brought += connection.execute(due).rowcount + connection.execute(held).rowcount
            return brought
