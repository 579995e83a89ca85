"""How fast studies went through, for whoever looks: read from the rows of arrivals and jobs by their indexes."""

from datetime import datetime

from sqlalchemy import select

from node.domain.job import JobKind
from node.domain.state import ArrivalState, JobState
from node.journal import schema
from node.journal.console_port import Ended
from node.journal.database import Database
from node.journal.rows import micros, moment

_arrival, _job = schema.arrival.c, schema.job.c
_CLOSED = [ArrivalState.COMPLETE.value, ArrivalState.ROUTED.value, ArrivalState.PARKED.value]


class Pace(Database):
    """The part of the journal that tells how fast."""

    def ended(self, since: datetime, limit: int) -> list[Ended]:
        """See the port."""
        columns = (_job.application, _job.created_at, _job.moved_at, _arrival.last_instance_at)
        done = (
            select(*columns)
            .join(schema.arrival, _arrival.id == _job.arrival_id)
            .where(_job.state == JobState.DONE.value, _job.kind == JobKind.ANALYSIS.value)
        )
        with self._reading() as connection:
            rows = connection.execute(done.where(_job.moved_at >= micros(since)).order_by(_job.moved_at.desc()).limit(limit))
            return [
                Ended(
                    application=row.application,
                    last_instance_at=moment(row.last_instance_at),
                    queued_at=moment(row.created_at),
                    done_at=moment(row.moved_at),
                )
                for row in rows
            ]

    def settled(self, since: datetime, limit: int) -> list[datetime]:
        """See the port."""
        # nothing is due before its last instance: so the index on what is due serves
        closed = select(_arrival.last_instance_at).where(_arrival.state.in_(_CLOSED), _arrival.due_at >= micros(since))
        with self._reading() as connection:
            rows = connection.execute(
                closed.where(_arrival.last_instance_at >= micros(since)).order_by(_arrival.due_at.desc()).limit(limit)
            )
            return [moment(row.last_instance_at) for row in rows]
