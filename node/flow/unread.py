"""Entries of the inbox that the disk does not give: tried again for a minute, beside everything else, then set aside."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from node.flow.errors import NotRead
from node.observe.events import alarm

_AGAIN = timedelta(seconds=10)
_TRIES = 7
"""Over a minute: a disk, or a mount, that comes back within it sets nothing aside."""


@dataclass(slots=True)
class _Failure:
    at: datetime
    times: int = 1


class Unread:
    """Which entries rest, and how often each was tried."""

    def __init__(self) -> None:
        self._failures: dict[Path, _Failure] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def without(self, waiting: Sequence[Path], now: datetime) -> Iterator[Path]:
        """Those that are to be tried now; what no longer waits is forgotten."""
        for gone in self._failures.keys() - set(waiting):
            del self._failures[gone]
        for entry in waiting:
            failure = self._failures.get(entry)
            if failure is None or not timedelta(0) <= now - failure.at < _AGAIN:
                yield entry

    def failed(self, entry: Path, reason: OSError, now: datetime) -> NotRead | None:
        """It could not be read (again); why it is to be set aside, once that has been tried often enough."""
        why = NotRead(f"it cannot be read: {reason.strerror}")
        failure = self._failures.get(entry)
        if failure is None:
            self._failures[entry] = _Failure(at=now)
            alarm("index.unreadable", entry=entry.name, code=why.code, reason=str(why))
            return None
        failure.at, failure.times = now, failure.times + 1
        if failure.times < _TRIES:
            return None
        del self._failures[entry]
        return why
