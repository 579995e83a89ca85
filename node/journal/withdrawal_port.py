"""The journal port of withdrawals: which superseded objects still stand in an archive that has their successor."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from node.domain.withdrawal import Withdrawal


class WithdrawalJournal(Protocol):
    """Part of node.journal.port.Journal."""

    def withdraw_superseded(self, sinks: Collection[str], now: datetime, *, since: datetime, limit: int = 100) -> list[int]:
        """Insert a job of kind WITHDRAWAL, QUEUED, for every job that was superseded after `since` and each of `sinks` that has accepted
        objects of it which no withdrawal names yet; returns them. It is for that sink alone, and names exactly those objects.

        Only where the sink has accepted objects of the successor and has all that it is to get of it: of a result a later one that
        replaces it, or the statement that stands where the later one gave none; of a statement the result. None while objects of the
        superseded job are still on their way to the sink. Idempotent."""
        ...

    def withdrawal(self, job: int) -> Withdrawal:
        """What a job of kind WITHDRAWAL withdraws."""
        ...
