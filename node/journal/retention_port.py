"""The part of the journal port that retention asks for; tests/contract/test_journal_retention.py holds every journal to it.

What is deleted gets a tombstone first, in the transaction that says that its bytes are not wanted any more.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from node.domain.instance import Instance


class RetentionJournal(Protocol):
    """What is old enough to go, and which bytes no row wants."""

    def purgeable(
        self, received_before: datetime, limit: int = 500, *, parked: bool = False, promised_before: datetime | None = None
    ) -> list[Instance]:
        """Instances with pixels, oldest first, of arrivals that are ROUTED and whose jobs are all ended and delivered. With `parked`
        also those of jobs (and deliveries) that are PARKED or FAILED: nobody decided for as long as pixels are kept. With
        `promised_before` none that this node committed to since: their sender may have deleted them."""
        ...

    def purge_results(self, moved_before: datetime, now: datetime, limit: int = 500) -> int:
        """Tombstone the objects and findings of jobs that ended (and were delivered) before; returns how many blobs. The rows stay."""
        ...

    def tombstone(self, instances: Iterable[int], now: datetime, *, promised_before: datetime | None = None) -> None:
        """Standing PURGED and a tombstone for the blob, committed before it is deleted; the row stays. Instances that something has
        come to need since `purgeable`, or that this node committed to since `promised_before`, are left alone."""
        ...

    def forget_headers(self, received_before: datetime, limit: int = 500) -> int: ...
    def purged_blobs(self, limit: int = 1000) -> Mapping[int, str]:
        """Tombstone → blob that may still lie there (deleted again after a crash); `swept` ends it."""
        ...

    def swept(self, tombstones: Iterable[int]) -> None: ...

    def bytes_gone(self, blobs: Collection[str], now: datetime) -> None:
        """Say of these blobs that their bytes are not there any more, as retention would have."""
        ...

    def kept_blobs(self, blobs: Collection[str]) -> Mapping[str, bool]:
        """Of those that a row names: whether their bytes are still wanted (False: they were purged)."""
        ...

    def bury(self, blobs: Collection[str], now: datetime) -> list[str]:
        """Tombstones for those that no row wants, which are returned; they are deleted as `purged_blobs` are. A row that would name one
        from now on is refused (`JournalError`, to be tried again) until `swept`."""
        ...
