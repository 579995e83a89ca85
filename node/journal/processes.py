"""Processes of the node: their signs of life, what a dead one holds, one time for all of them, and which one does what only one should do.

Time is the database's clock, asked now and then, and carried on in between by what no hand can set; what a clock that was set back has put
too far away is brought near. The leader holds an advisory lock of PostgreSQL on a connection of its own: one whose session the server has
ended may believe in itself for a second longer than the lock is its own. Two leaders for that long do no harm, because what leaders do is
idempotent and locks its rows.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, case, delete, exists, func, insert, or_, select, true, union_all, update

from node.domain.commitment import RequestState
from node.domain.errors import JournalError
from node.domain.instance import Standing
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal import schema
from node.journal.database import JournalPart, rerun
from node.journal.place import Server
from node.journal.rows import micros, moment
from node.journal.transitions import DELIVERY, JOB, StateMachine, note
from node.observe.events import alarm, event

if TYPE_CHECKING:
    import psycopg


_ASK_EVERY_S = 10.0
_QUICK_S = 0.1
"""An answer that took longer leaves too much in doubt, as long as an earlier one is not old."""
_OLD_S = 60.0
OFF_S = 1.0
"""How far a host's clock may stand from the database's before people are told."""


def monotonic_s() -> float:
    """Seconds that pass alike whatever is done to the clock; a suspended machine's are counted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ServerClock:
    """The database's time on this host; safe to share by threads.

    Parameters
    ----------
    ask
        Microseconds since 1970 by the database's clock; may raise JournalError.
    monotonic_s, wall
        This host's monotonic seconds, and its clock, which may be wrong.
    """

    def __init__(
        self, ask: Callable[[], int], *, monotonic_s: Callable[[], float] = monotonic_s, wall: Callable[[], float] = time.time
    ) -> None:
        self._ask = ask
        self._monotonic_s = monotonic_s
        self._wall = wall
        self._guard = threading.Lock()
        self._base: datetime | None = None
        """What the database's clock shows when the monotonic one shows zero."""
        self._measured = float("-inf")
        self._asked = float("-inf")
        self._told_off = False

    def now(self) -> datetime:
        """The time by the database's clock.

        Raises
        ------
        JournalError
            The database was never reached; later on its last answer is carried on.
        """
        with self._guard:
            if self._monotonic_s() - self._asked > _ASK_EVERY_S:
                self._measure()
            assert self._base is not None, "measured, or refused"
            return self._base + timedelta(seconds=self._monotonic_s())

    def at(self, timestamp: float) -> datetime:
        """The database's time when this host's clock showed `timestamp` (seconds since 1970), at the latest now."""
        now = self.now()
        return now - timedelta(seconds=max(0.0, self._wall() - timestamp))

    def off_s(self) -> float:
        """How many seconds this host's clock is ahead."""
        now = self.now()
        return self._wall() - now.timestamp()

    def _measure(self) -> None:
        before = self._monotonic_s()
        try:
            told = moment(self._ask())
        except JournalError:
            if self._base is None:
                raise
            self._asked = before
            return
        after = self._monotonic_s()
        self._asked = after
        if after - before <= _QUICK_S or after - self._measured > _OLD_S:
            self._base = told - timedelta(seconds=(before + after) / 2)
            self._measured = after
            self._compare(told.timestamp() - self._wall() + (after - before) / 2)

    def _compare(self, behind_s: float) -> None:
        off = abs(behind_s) > OFF_S
        if off and not self._told_off:
            alarm("clock.off", ahead_s=round(-behind_s, 3))
        elif self._told_off and not off:
            event("clock.right", ahead_s=round(-behind_s, 3))
        self._told_off = off


_EVERY_S = 1.0
_VALID_S = 4.0
"""For how long a confirmation holds: a process that was stopped, or cut off, leads no more when it wakes."""
_SESSION = {
    "statement_timeout": "3s",
    # ends the session, and with it the lock, of a process that has stopped, which by then believes itself no leader any more
    "idle_session_timeout": "10s",
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


class SoleLeader:
    """The leader where one supervisor's processes have the journal to themselves."""

    leads = True

    def close(self) -> None:
        """There is nothing to give up."""


class PostgresLeader:
    """Stands for election under `name` in a thread of its own, from now until `close`; a holder that dies is followed within seconds."""

    def __init__(self, at: Server, name: str) -> None:
        self._server = at
        self._name = name
        self._confirmed = float("-inf")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._stand, name=f"leader of {name}", daemon=True)
        self._thread.start()

    @property
    def leads(self) -> bool:
        """Whether this process leads; answered at once, without the database."""
        return monotonic_s() - self._confirmed < _VALID_S

    def close(self) -> None:
        """Stand no more; another may lead at once."""
        self._over.set()
        self._thread.join(10)

    def _stand(self) -> None:
        import psycopg

        while not self._over.is_set():
            with contextlib.suppress(psycopg.Error, JournalError):
                more: dict[str, Any] = {"autocommit": True, "connect_timeout": 3, "tcp_user_timeout": 3000}
                with contextlib.closing(self._server.connect(session=_SESSION, **more)) as connection:
                    self._hold(connection)
            if self._confirmed != float("-inf"):
                self._confirmed = float("-inf")
                event("leader.ended", sweeps=self._name)
            self._over.wait(_EVERY_S)

    def _hold(self, connection: "psycopg.Connection[Any]") -> None:
        """Try to lock, then confirm again and again that the session with the lock lives."""
        holds = False
        while not self._over.is_set():
            asked = monotonic_s()
            if holds:
                connection.execute("SELECT 1")
            else:
                row = connection.execute("SELECT pg_try_advisory_lock(4711205, hashtext(%s))", [self._name]).fetchone()
                holds = bool(row and row[0])
                if holds:
                    event("leader.began", sweeps=self._name)
            if holds:
                self._confirmed = asked
            self._over.wait(_EVERY_S)


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

    def newest(self) -> datetime | None:
        """The latest time that the journal bears: when an instance was received, or a job came into its state. None: it has neither."""
        kept = (
            (schema.instance.c.received_at, schema.instance.c.standing, Standing),
            (schema.job.c.moved_at, schema.job.c.state, JobState),
        )
        # of each state by itself, as the indices have them
        each = [select(func.max(at).label("at")).where(state == one.value) for at, state, states in kept for one in states]
        with self._database.reading() as connection:
            found = connection.execute(select(func.max(union_all(*each).subquery().c.at))).scalar()
            return None if found is None else moment(found)

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
