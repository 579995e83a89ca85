"""The node's own receiver, as the console sends a test study to it: the port that the console's process fills."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one file, or of a zip's: how many instances the receiver took, of which studies; and what did not go, and why."""

    accepted: int
    studies: tuple[str, ...]
    left: tuple[tuple[str, str], ...]


class OwnReceiver(Protocol):
    """The node's receiver, called as a peer would call it."""

    @property
    def titles(self) -> Sequence[str]:
        """AE titles under which it admits a caller from this machine; none: nobody."""
        ...

    def send(self, file: Path, name: str, calling: str, unpacked: Path, most: int) -> Sent:
        """Send what is in a file, called `name`, or in a zip, which is unpacked into a folder, to at most so many bytes.

        Raises
        ------
        ArchiveTooLarge
        DeliveryError
            The receiver is away, or turns the caller away.
        """
        ...
