"""The journal on SQL: the parts by subject put together, and the door through which it is opened."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

from sqlalchemy import Engine, text

from node.journal.accounts import Accounts
from node.journal.arrivals import Arrivals
from node.journal.backwards import BroughtNear
from node.journal.census import Counted
from node.journal.claims import Claims
from node.journal.clock import ServerClock
from node.journal.commitments import Commitments
from node.journal.database import connect
from node.journal.deliveries import Deliveries
from node.journal.erasing import Erased
from node.journal.examining import Examined
from node.journal.file import JournalFile
from node.journal.finding import Finding
from node.journal.following import Followed
from node.journal.held import HeldBack
from node.journal.identity import Identified
from node.journal.instances import Instances
from node.journal.jobs import Jobs
from node.journal.leader import PostgresLeader, SoleLeader
from node.journal.measurements import Measurements
from node.journal.operator import Operator
from node.journal.pace import Pace
from node.journal.patience import Patience
from node.journal.patients import Patients
from node.journal.port import Leader
from node.journal.promises import Promises
from node.journal.replaying import Replayed
from node.journal.retention import Retained
from node.journal.routing import Routing
from node.journal.scrubbing import Scrubbed
from node.journal.server import server
from node.journal.shortage import Short
from node.journal.statements import Statements
from node.journal.withdrawals import Withdrawals


class SqlJournal(
    Instances,
    HeldBack,
    Patients,
    Arrivals,
    Routing,
    Claims,
    Patience,
    Jobs,
    Measurements,
    Deliveries,
    Commitments,
    Promises,
    Operator,
    Retained,
    Counted,
    Followed,
    Erased,
    Examined,
    Scrubbed,
    BroughtNear,
    Accounts,
    Finding,
    Identified,
    Pace,
    Replayed,
    Short,
    Statements,
    Withdrawals,
):
    """The Journal of node.journal.port on SQLite or PostgreSQL; safe in many threads and many processes at once."""

    def __init__(self, engine: Engine, name: str, file: JournalFile | None, url: str) -> None:
        super().__init__(engine, name, file)
        self._url = url
        self._clock = ServerClock(self._asked) if self._shared else None

    @classmethod
    def open(cls, url: str, making: Callable[[], None] = lambda: None) -> Self:
        """Open the journal at `url` (`sqlite:/absolute/path`), creating it or bringing it to the present schema.

        Parameters
        ----------
        making
            Called before a journal is made where none is; what it raises keeps one from being made.

        Raises
        ------
        JournalError
            It cannot be opened, is damaged, or was written by a newer hilum; the subclass says which.
        """
        engine, name, file = connect(url, making)
        return cls(engine, name, file, url)

    def now(self) -> datetime:
        """See the port."""
        return datetime.now(UTC) if self._clock is None else self._clock.now()

    def at(self, timestamp: float) -> datetime:
        """See the port."""
        return datetime.fromtimestamp(timestamp, UTC) if self._clock is None else self._clock.at(timestamp)

    def ahead_s(self) -> float:
        """See the port."""
        return 0.0 if self._clock is None else self._clock.off_s()

    def leader(self, name: str) -> Leader:
        """See the port."""
        return PostgresLeader(server(self._url), name) if self._shared else SoleLeader()

    def _asked(self) -> int:
        """The database's clock."""
        with self._reading() as connection:
            connection.execute(text("SELECT 1"))  # what may take its time, a new connection, is done before the clock is read
            began = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
            return int(connection.execute(began).scalar_one())
