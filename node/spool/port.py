"""The inbox port: instances that were acknowledged and are not in the journal yet."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Inbox(Protocol):
    """Part 10 files that are durable and not yet in the journal. The listener's `Intake` writes them, flow's index takes them out.

    The file meta information says who sent what to whom (PS3.10 7.1: Source, Sending, Receiving Application Entity Title,
    presentation addresses), so that a file alone can be indexed after a crash.
    """

    def waiting(self, limit: int) -> list[Path]: ...

    def association_of(self, entry: Path) -> str:
        """What events call the association that an entry came over; "" where that is not known."""
        ...

    def opened(self, entry: Path) -> AbstractContextManager[Path]:
        """A file with the content of an entry, or of what was set aside, as old as that, for the time of the block; `InputError` where its
        bytes do not prove themselves. Where entries lie as they came it is the entry."""
        ...

    def oldest(self) -> Path | None:
        """The oldest instance that was acknowledged and is no blob yet, whether it waits already or is still to be flushed."""
        ...

    def acknowledged(self) -> list[Path]:
        """What was acknowledged and is no entry yet, the oldest first; it is one within seconds, while its receiver and the disk work."""
        ...

    def publish(self, moves: Sequence[tuple[Path, str]]) -> None:
        """Bring entries, under their blob names, to where every node reads them, before a row names them; nothing to do where moving
        is a rename. The entries stay. Idempotent; `JournalError` when the place is away."""
        ...

    def move_to_blobs(self, entry: Path, name: str) -> None:
        """Let an indexed entry become blob `name` (idempotent); it was published, and its journal row is committed already."""
        ...

    def set_aside(self, entry: Path, reason: str) -> Path:
        """Keep an entry that cannot be indexed, with its reason beside it, out of the way."""
        ...

    def asides(self) -> list[Path]:
        """What was set aside on this host, without the reasons."""
        ...

    def drop_aside(self, kept: Path) -> None:
        """Delete what was set aside, with its reason; an absent one is no error."""
        ...

    def take_back(self, file: Path) -> None:
        """Make a copy of a blob's file an entry, durable as if it had been received now."""
        ...

    def drop(self, entry: Path) -> None:
        """Delete an entry whose bytes the node already has (the same instance again)."""
        ...
