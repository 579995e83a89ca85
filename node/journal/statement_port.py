"""The journal port of statements: which studies wait for an answer that no application gives."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol


class StatementJournal(Protocol):
    """Part of node.journal.port.Journal."""

    def state_no_results(self, sinks: Collection[str], now: datetime, *, limit: int = 100) -> list[int]:
        """Insert a job of kind STATEMENT, QUEUED, for every study and application of which every job that was asked for is parked, has
        failed, or is later than its deadline, so that no series gave a result; returns them.

        None where an analysis is under way that is not late, or, unless one is, where something of the study is still to be routed; where
        a result stands (ENCODED or DONE), or a statement that nothing superseded; where none of the jobs was for one of `sinks`; where
        all of them ended more than three days ago. Its sinks are those of `sinks` that the jobs were for, its instances theirs. Idempotent.
        """
        ...
