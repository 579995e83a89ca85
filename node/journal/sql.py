"""The journal on SQL: the parts by subject put together, and the door through which it is opened."""

from typing import Self

from node.journal.arrivals import Arrivals
from node.journal.census import Counted
from node.journal.database import connect
from node.journal.deliveries import Deliveries
from node.journal.instances import Instances
from node.journal.jobs import Jobs
from node.journal.operator import Operator
from node.journal.retention import Retained
from node.journal.routing import Routing


class SqlJournal(Instances, Arrivals, Routing, Jobs, Deliveries, Operator, Retained, Counted):
    """The Journal of node.journal.port on SQLite or PostgreSQL; safe in many threads and many processes at once."""

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the journal at `url` (`sqlite:/absolute/path`), creating it or bringing it to the present schema.

        Raises
        ------
        JournalError
            It cannot be opened, is damaged, or was written by a newer hilum; the subclass says which.
        """
        engine, name = connect(url)
        return cls(engine, name)
