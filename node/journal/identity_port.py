"""The journal port, continued: which store a journal is of, and whether it is whole."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from node.domain.store import Known, NamedBlob


class IdentityJournal(Protocol):
    """Contract (tests/unit/assembly/test_identity.py and tests/unit/journal/test_damaged.py; on PostgreSQL
    tests/peers/test_store_identity.py)."""

    def known_store(self) -> Known | None:
        """Which store it is of; None: it was never said."""
        ...

    def belong(self, identity: str) -> Known:
        """Be of the store `identity`, unless it is of one already; of which it is."""
        ...

    def belong_anew(self, identity: str, now: datetime) -> None:
        """Be of the store `identity`, whose blobs bear it, whatever it was of before."""
        ...

    def signed(self, now: datetime) -> None:
        """The blobs bear its identity."""
        ...

    def knows_anything(self) -> bool:
        """Whether anything was ever received, deleted or noted under it."""
        ...

    def wanted_blobs(self, limit: int) -> list[str]:
        """Names of blobs that its rows want, the oldest and the newest instances' first of all."""
        ...

    def damage(self) -> Iterator[str]:
        """What the database itself finds damaged, a sentence each, at most a few; may raise `JournalCorrupt` as well."""
        ...

    def unreadable(self) -> Iterator[str]:
        """Read every row: a sentence for each table with one that holds what no hilum writes. Quotes no value."""
        ...

    def named_blobs(self) -> Iterator[NamedBlob]:
        """Every blob that a row wants, as they are asked for; what is purged meanwhile may still be named."""
        ...
