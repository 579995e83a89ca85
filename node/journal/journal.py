"""The journal: the node's durable memory on SQLite or PostgreSQL, put together of its subjects, and the door through which it is opened.

Every state change and its event are one transaction. Times are aware UTC datetimes passed in by the caller (a fake clock serves the
tests). A change that the transition table does not allow raises `JournalError`; one made under a lease that is no longer held returns
False and changes nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

from sqlalchemy import text

from node.journal.accounts import Accounts
from node.journal.arrivals import Arrivals
from node.journal.census import CensusCounts
from node.journal.claims import LostClaims, Pauses
from node.journal.commitment_requests import CommitmentRequests
from node.journal.commitments import Commitments
from node.journal.config_revisions import ConfigRevisions
from node.journal.database import Database, connect
from node.journal.deliveries import Deliveries
from node.journal.erasure import ErasedRows
from node.journal.events import Events
from node.journal.held_instances import HeldInstances
from node.journal.instances import Instances, Patients
from node.journal.jobs import Jobs
from node.journal.notes import Statements, Withdrawals
from node.journal.place import server
from node.journal.port import Leader
from node.journal.processes import PostgresLeader, Processes, ServerClock, SoleLeader
from node.journal.results import Results
from node.journal.retention import RetainedRows
from node.journal.routing import Routing
from node.journal.routing_history import RoutingHistory
from node.journal.shortage import ShortSeries
from node.journal.store import StoreIdentity
from node.journal.studies import StudyList


class Journal:
    """One journal; safe in many threads and many processes at once. tests/contract/test_journal*.py holds it to its docstrings on
    each database."""

    def __init__(self, database: Database, url: str) -> None:
        lost = LostClaims()
        self.database = database
        self.instances = Instances(database)
        self.held = HeldInstances(database)
        self.patients = Patients(database)
        self.arrivals = Arrivals(database)
        self.routing = Routing(database)
        self.routing_history = RoutingHistory(database)
        self.jobs = Jobs(database, lost)
        self.results = Results(database)
        self.deliveries = Deliveries(database, lost)
        self.commitments = Commitments(database)
        self.commitment_requests = CommitmentRequests(database)
        self.retention = RetainedRows(database)
        self.erasure = ErasedRows(database)
        self.shortage = ShortSeries(database)
        self.statements = Statements(database)
        self.withdrawals = Withdrawals(database)
        self.store = StoreIdentity(database)
        self.accounts = Accounts(database)
        self.studies = StudyList(database)
        self.census = CensusCounts(database)
        self.events = Events(database)
        self.pauses = Pauses(database)
        self.config_revisions = ConfigRevisions(database)
        self.processes = Processes(database)
        self._url = url
        self._clock = ServerClock(self._asked) if database.shared else None

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
        return cls(Database(*connect(url, making)), url)

    def close(self) -> None:
        """Give back every connection."""
        self.database.close()

    @property
    def name(self) -> str:
        """Which journal it is, without a password."""
        return self.database.name

    # ---- many hosts
    def now(self) -> datetime:
        """The time that all hosts share: the database's, or this host's where only one has the journal. What stages call their clock."""
        return datetime.now(UTC) if self._clock is None else self._clock.now()

    def at(self, timestamp: float) -> datetime:
        """That time when this host's clock showed `timestamp` (seconds since 1970): when a file of this host was written."""
        return datetime.fromtimestamp(timestamp, UTC) if self._clock is None else self._clock.at(timestamp)

    def ahead_s(self) -> float:
        """How many seconds this host's clock is ahead of that time."""
        return 0.0 if self._clock is None else self._clock.off_s()

    def leader(self, name: str) -> Leader:
        """Stand for what is done under `name`: among all processes on this journal one leads, and another soon after its end."""
        return PostgresLeader(server(self._url), name) if self.database.shared else SoleLeader()

    def _asked(self) -> int:
        """The database's clock."""
        with self.database.reading() as connection:
            connection.execute(text("SELECT 1"))  # what may take its time, a new connection, is done before the clock is read
            began = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
            return int(connection.execute(began).scalar_one())
