"""Processes of the node: their signs of life, what a dead one holds, and times that a clock that was set back has put too far away."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, exists, insert, or_, select, true, update

from node.domain.commitment import RequestState
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal import schema
from node.journal.database import JournalPart, rerun
from node.journal.rows import micros, moment
from node.journal.transitions import DELIVERY, JOB, StateMachine, note

_job = schema.job.c
_delivery = schema.delivery.c

_WAITING = {
    schema.job: (JobState.QUEUED.value, JobState.INFERRED.value),
    schema.delivery: (DeliveryState.WAITING.value,),
}

_REPORT_MOST = timedelta(days=2)
"""Longer than anybody waits for a report of storage commitment before it is asked for again, unless its sink was given more."""


class Processes(JournalPart):
    """Signs of life of the node's processes, and the leases that they hold."""

    @rerun
    def release(self, owner: str, now: datetime, *, count_attempt: bool = True) -> int:
        """Make what a dead process holds (jobs and deliveries whose lease begins with `owner`; "" means all) claimable at once.
        A lease token is `<owner>/<random>`. Its signs of life (`<stage> <owner>`) are forgotten. Attempts stay counted, so that a study
        that kills its worker ends parked; a process that was stopped on purpose gives the attempt back (`count_attempt` False)."""
        with self._database.writing() as connection:
            # nobody shall miss the signs of life of the dead
            process = schema.beat.c.process
            connection.execute(delete(schema.beat).where(true() if owner == "" else process.endswith(f" {owner}", autoescape=True)))
            return sum(_release(connection, subject, owner, now, count_attempt) for subject in (JOB, DELIVERY))

    @rerun
    def beat(self, process: str, state: str, now: datetime) -> None:
        """A sign of life."""
        table = schema.beat
        with self._database.writing() as connection:
            at = micros(now)
            if connection.execute(update(table).where(table.c.process == process).values(at=at, state=state)).rowcount == 0:
                connection.execute(insert(table).values(process=process, at=at, state=state))

    def beats(self) -> dict[str, tuple[datetime, str]]:
        """The last sign of life of every process."""
        with self._database.reading() as connection:
            return {row.process: (moment(row.at), row.state) for row in connection.execute(select(schema.beat))}

    @rerun
    def bring_near(self, now: datetime, *, arrivals: timedelta, held: timedelta, retries: timedelta, lease: timedelta) -> int:
        """The clock went back: an open arrival that is due later than `arrivals` (one that waits for the rest of a series: `held`) from
        now is due then, a job or delivery that waits for longer than `retries` is due now, a lease that is longer than `lease` ends then.
        Returns how many; nothing else moves."""
        arrival = schema.arrival.c
        holds = exists().where(schema.hold.c.arrival_id == arrival.id)
        with self._database.writing() as connection:
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
            reports = (delivery.awaits_commitment, delivery.due_at > micros(now + _REPORT_MOST))
            brought += connection.execute(update(schema.delivery).where(*reports).values(due_at=micros(now))).rowcount
            open_requests = update(schema.promise_asked).where(
                asked.state.in_([RequestState.RECEIVED.value, RequestState.JUDGED.value]),
                or_(asked.due_at > micros(now + retries), asked.received_at > micros(now + retries)),
            )
            # from when it came counts for how long it is offered, and until when what came before it is looked for
            near = {"due_at": micros(now), "received_at": case((asked.received_at > micros(now), micros(now)), else_=asked.received_at)}
            return brought + connection.execute(open_requests.values(**near)).rowcount


def _release(
    connection: Connection, subject: StateMachine[JobState] | StateMachine[DeliveryState], owner: str, now: datetime, count_attempt: bool
) -> int:
    table = subject.table
    attempts = table.c.attempts - (0 if count_attempt else 1)
    held = table.c.lease.is_not(None)  # said by itself: SQLite would not see it in the comparison, and read the whole history
    mine = held if owner == "" else held & table.c.lease.startswith(f"{owner}/", autoescape=True)
    rows = connection.execute(select(table.c.id, table.c.lease).where(mine)).all()
    for row in rows:
        connection.execute(update(table).where(table.c.id == row.id).values(lease=None, lease_until=None, attempts=attempts))
        note(connection, subject.name, row.id, f"{subject.name}.released", f"{row.lease.rpartition('/')[0]} is gone", now)
    return len(rows)
