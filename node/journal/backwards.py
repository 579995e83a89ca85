"""What stands in the journal for a moment that is too far away to be meant: the clock went back since it was written."""

from datetime import datetime, timedelta

from sqlalchemy import case, exists, or_, update

from node.domain.commitment import RequestState
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal import schema
from node.journal.database import Database, rerun
from node.journal.rows import micros

_WAITING = {
    schema.job: (JobState.QUEUED.value, JobState.INFERRED.value),
    schema.delivery: (DeliveryState.WAITING.value,),
}

_REPORT_MOST = timedelta(days=2)
"""Longer than anybody waits for a report of storage commitment before it is asked for again, unless its sink was given more."""


class BroughtNear(Database):
    """The part of the journal that mends times."""

    @rerun
    def bring_near(self, now: datetime, *, arrivals: timedelta, held: timedelta, retries: timedelta, lease: timedelta) -> int:
        """See the port."""
        arrival = schema.arrival.c
        holds = exists().where(schema.hold.c.arrival_id == arrival.id)
        with self._writing() as connection:
            brought = 0
            for which, most in ((~holds, arrivals), (holds, held)):
                far = (arrival.state == ArrivalState.RECEIVED.value, arrival.due_at > micros(now + most), which)
                brought += connection.execute(update(schema.arrival).where(*far).values(due_at=micros(now + most))).rowcount
            for table, states in _WAITING.items():
                waiting = update(table).where(table.c.state.in_(states))
                due = waiting.where(table.c.due_at > micros(now + retries)).values(due_at=micros(now))
                leased = waiting.where(table.c.lease_until > micros(now + lease)).values(lease_until=micros(now + lease))
                brought += connection.execute(due).rowcount + connection.execute(leased).rowcount
            had = update(schema.job_turn).where(schema.job_turn.c.at > micros(now))
            connection.execute(had.values(at=micros(now)))
            delivery, asked = schema.delivery.c, schema.promise_asked.c
            reports = (delivery.state == DeliveryState.DELIVERED.value, delivery.due_at > micros(now + _REPORT_MOST))
            brought += connection.execute(update(schema.delivery).where(*reports).values(due_at=micros(now))).rowcount
            open_requests = update(schema.promise_asked).where(
                asked.state.in_([RequestState.RECEIVED.value, RequestState.JUDGED.value]),
                or_(asked.due_at > micros(now + retries), asked.received_at > micros(now + retries)),
            )
            # from when it came counts for how long it is offered, and until when what came before it is looked for
            near = {"due_at": micros(now), "received_at": case((asked.received_at > micros(now), micros(now)), else_=asked.received_at)}
            return brought + connection.execute(open_requests.values(**near)).rowcount
