"""The backlog of a spool: how much of what was acknowledged waits for the journal or the bucket, and since when; what was set aside."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from node.blobs.folder import ASIDE, INBOX, RECEIVING
from node.domain.notice import About, Item
from node.spool.entries import ACKNOWLEDGED, COMPLETE, acknowledged, received_ns

LATE_S = 60.0
"""What waits longer waits for something that is away: an index that keeps up takes seconds."""
_EVERY_S = 5.0


def named(folder: Path, *endings: str) -> tuple[int, int]:
    """How many files of these endings there are, and when the first of them came, in nanoseconds since 1970; 0: no name tells."""
    count, first = 0, 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(endings):
                count += 1
                came = received_ns(entry.name)
                first = min(first or came, came or first)
    return count, first


def waiting(spool: Path) -> tuple[int, int]:
    """How many instances wait in a spool, and since when, in nanoseconds since 1970; 0: none, or no name tells."""
    entries, oldest = named(spool / INBOX, COMPLETE)
    owing, oldest_owing = named(spool / RECEIVING, ACKNOWLEDGED)
    return entries + owing, min(filter(None, (oldest, oldest_owing)), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolState:
    """What waits in a spool: entries, and acknowledged instances that are none yet; since when the oldest of each does."""

    waiting: int
    oldest_s: float
    owing: int
    owing_s: float


def spool_state(spool: Path) -> SpoolState | None:
    """What waits there now; None: nothing was received yet, or this user may not look."""
    try:
        names, owing = os.listdir(spool / INBOX), acknowledged(spool / RECEIVING)
        oldest_s = time.time() - (spool / INBOX / min(names)).stat().st_mtime if names else 0.0
    except OSError:
        return None
    owing_s = max(0.0, time.time() - received_ns(owing[0].name) / 1e9) if owing else 0.0
    return SpoolState(waiting=len(names), oldest_s=oldest_s, owing=len(owing), owing_s=owing_s)


def set_aside(spool: Path) -> tuple[Path, int]:
    """Where files lie that were set aside, and how many; 0 where this user may not look."""
    folder = spool / ASIDE
    try:
        return folder, sum(not name.endswith(".txt") for name in os.listdir(folder))
    except OSError:
        return folder, 0


def instances_aside(spool: Path) -> int:
    """How many received instances were set aside; what else lies there, such as the reasons, is not counted."""
    return named(spool / ASIDE, COMPLETE, ACKNOWLEDGED)[0]


class BacklogWatch:
    """Looks at the spool of this host from a thread of its own, every few seconds. What it finds is what readiness and people are told: the
    process that tells of everything else may wait for the same database, and a host that only receives has none.

    Parameters
    ----------
    awaited
        For what received instances wait, in words.
    late
        For how long they may wait before people are told.
    """

    def __init__(
        self,
        spool: Path,
        awaited: str,
        late: Callable[[], timedelta],
        tell: Callable[[Item], None],
        *,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._spool = spool
        self._awaited = awaited
        self._late = late
        self._tell = tell
        self._now_ns = now_ns
        self._why = ""
        self._told: Item | None = None

    def begin(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._look_on, name="backlog", daemon=True).start()

    def why(self) -> str:
        """What waits for so long that something must be away; "" while nothing does."""
        return self._why

    def _look_on(self) -> None:
        while True:
            with suppress(OSError):  # a disk that is away is told of by others
                self.look()
            time.sleep(_EVERY_S)

    def look(self) -> None:
        """Look once, and tell people what is new."""
        count, since_ns = waiting(self._spool)
        waits_s = (self._now_ns() - since_ns) / 1e9 if since_ns else 0.0
        late = waits_s >= LATE_S
        self._why = f"received instances wait for {self._awaited}: {count}, the oldest for {waits_s:.0f} s" if late else ""
        if late and self._told is None and waits_s >= self._late().total_seconds():
            since = datetime.fromtimestamp(since_ns / 1e9, UTC)
            says = f"Received instances wait in {self._spool} for {self._awaited}: {count}, the oldest since {since:%Y-%m-%d %H:%M} UTC."
            self._told = Item(about=About.DISK, says=says, remedy=_REMEDY)
            self._tell(self._told)
        elif not late and self._told is not None:
            told, self._told = self._told, None
            self._tell(replace(told, says=f"No more: {told.says}", remedy="", over=True))


_REMEDY = "`hilum doctor` says what does not answer. They are safe on this disk, and go on by themselves when it is back: keep the disk."
