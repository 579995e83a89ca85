"""The blobs port: bytes under opaque names, durable once written."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol


class Blobs(Protocol):
    """Contract (tests/contract/test_blobs.py).

    A name is a relative POSIX path made by hilum, never by a sender. `put` is atomic and durable: after it returns, a power loss
    leaves either all of the bytes or, before it, nothing under that name; equal bytes under the same name are accepted (and count as
    written now), other bytes raise `JournalError`. `path` gives a readable local file, which does not exist where the blob does not;
    it stays readable until the `hold` around it ends, or for a minute where there is none. `delete` of an absent name is no error.
    Where the blobs are away every call raises a `JournalError` that asks for a retry: nothing is ever taken for absent because of that.
    """

    def put(self, name: str, data: bytes | memoryview) -> None: ...

    def path(self, name: str) -> Path: ...

    def paths(self, names: Sequence[str]) -> list[Path]:
        """`path` of each; what has to be fetched is fetched several at once."""
        ...

    def has(self, name: str) -> bool:
        """Whether the blob is there; fetches nothing."""
        ...

    def hold(self) -> AbstractContextManager[None]:
        """Whatever this thread asks a `path` of inside the block stays readable until its end."""
        ...

    def flush(self, names: Iterable[str]) -> None:
        """Have these on the disk when it returns, however they came there; what is not there is passed over."""
        ...

    def delete(self, name: str) -> None: ...

    def names(self, prefix: str = "", *, written_before: datetime | None = None) -> Iterator[str]:
        """The names that begin with `prefix`, in no order; with `written_before` only what was last put before then."""
        ...

    def used_share(self) -> float:
        """How full the place is, 0 to 1; 0 where nobody can say."""
        ...

    def sweep(self) -> int:
        """Drop local copies of blobs that were deleted elsewhere; how many."""
        ...


class Inbox(Protocol):
    """The receiver's durable spool: Part 10 files not yet in the journal. The listener's `Intake` writes it, flow's index empties it.

    The file meta information says who sent what to whom (PS3.10 7.1: Source, Sending, Receiving Application Entity Title,
    presentation addresses), so that a file alone can be indexed after a crash.
    """

    def waiting(self, limit: int) -> list[Path]: ...

    def opened(self, entry: Path) -> AbstractContextManager[Path]:
        """A file with the content of an entry, or of what was set aside, as old as that, for the time of the block; `InputError` where its
        bytes do not prove themselves. Where entries lie as they came it is the entry."""
        ...

    def oldest(self) -> Path | None:
        """The oldest instance that was acknowledged and is no blob yet, whether it waits already or is still to be flushed."""
        ...

    def owing(self) -> list[Path]:
        """What was acknowledged and is no entry yet, the oldest first; it is one within seconds, while its receiver and the disk live."""
        ...

    def publish(self, moves: Sequence[tuple[Path, str]]) -> None:
        """Bring entries, under their blob names, to where every node reads them, before a row names them; nothing to do where settling
        is a rename. The entries stay. Idempotent; `JournalError` when the place is away."""
        ...

    def settle(self, entry: Path, name: str) -> None:
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
