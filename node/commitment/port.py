"""What storage commitment needs of the network and of the receiver's spool."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from node.domain.commitment import AskedCommitment, InstanceReference, Report, Request


class Committer(Protocol):
    """Storage commitment with one peer. `DeliveryError` when it does not answer as one would wish; its `retry` says whether it ever may."""

    def ask(self, asked: AskedCommitment, on_report: Callable[[Report], None]) -> None:
        """Ask it to commit. It has taken the question when this returns; a report that comes at once goes to `on_report`, which makes it
        durable."""
        ...

    def report(self, request: Request, verdicts: Sequence[tuple[InstanceReference, int]]) -> None:
        """Tell it what this node commits to (0), and what not (Failure Reason). It knows when this returns."""
        ...


class CommitmentInbox(Protocol):
    """Requests and reports that were made durable on this host and are not in the journal yet."""

    def keep(self, slip: Request | Report) -> None: ...

    def waiting(self, limit: int) -> list[Path]: ...

    def read(self, entry: Path) -> tuple[Request | Report, float] | None:
        """What it says, and when it was written (seconds since 1970, this host's clock); None: it is gone, or nothing."""
        ...

    def drop(self, entry: Path) -> None: ...
