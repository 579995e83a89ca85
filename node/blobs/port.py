"""The blobs port: bytes under opaque names, durable once written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Blobs(Protocol):
    """Contract (tests/contract/test_blobs.py).

    A name is a relative POSIX path made by hilum, never by a sender. `put` is atomic and durable: after it returns, a power loss
    leaves either all of the bytes or, before it, nothing under that name; equal bytes under the same name are accepted, other bytes
    raise `JournalError`. `path` gives a readable local file. `delete` of an absent name is no error.
    """

    def put(self, name: str, data: bytes | memoryview) -> None: ...

    def path(self, name: str) -> Path: ...

    def delete(self, name: str) -> None: ...

    def names(self, prefix: str = "") -> Iterator[str]: ...

    def used_share(self) -> float: ...


class Inbox(Protocol):
    """The receiver's durable spool: Part 10 files not yet in the journal. The listener's `Intake` writes it, flow's index empties it.

    The file meta information says who sent what to whom (PS3.10 7.1: Source, Sending, Receiving Application Entity Title,
    presentation addresses), so that a file alone can be indexed after a crash.
    """

    def waiting(self, limit: int) -> list[Path]: ...

    def settle(self, entry: Path, name: str) -> None:
        """Move an indexed entry to blob `name` (a rename on one file system, idempotent); its journal row is committed already."""
        ...

    def set_aside(self, entry: Path, reason: str) -> Path:
        """Keep an entry that cannot be indexed, with its reason beside it, out of the way."""
        ...

    def drop(self, entry: Path) -> None:
        """Delete an entry whose bytes the node already has (the same instance again)."""
        ...
