"""Retention: deletes pixels and results that are old enough, or pixels early when the disk fills; headers and history later. People are
told well before a disk refuses anything, and make room at the console.

Delivery marks go with headers. What ages is measured by a clock that nobody makes jump ahead (`node.upkeep.monotonic_clock`).
"""

import os
import shutil
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from node.blobs.port import Blobs
from node.domain.instance import Instance
from node.domain.job import DELIVERY_MARKS
from node.domain.notice import About, Item
from node.domain.stage import Clock
from node.journal.retention import RetainedRows
from node.observe.events import alarm, event
from node.settings.config import Config
from node.settings.kinds import sizes
from node.settings.store import CROWDED, Store
from node.upkeep.monotonic_clock import MonotonicClock

if TYPE_CHECKING:
    from node.journal.journal import Journal


_BATCH = 500
_MARKS_AT_ONCE = 200
_AT_ONCE = 50
"""Instances that go before the disk is looked at again: some ten megabytes, so that hardly more is deleted than need be."""
_PRUNE_S = 2.0
"""For how long a step looks at the history: what else ticks on the same thread waits meanwhile."""
_PASSED_OVER_S = 86_400.0
"""How long lines that a clock which was ahead has dated are not looked at again."""


class Retention:
    """Stage: tombstones in the journal first, then the bytes, then the tombstones go.

    Parameters
    ----------
    followers
        Says who follows the history now: what one of them has not told yet stays in it.
    seconds
        A clock that only goes forward: nothing grows old because the other one was set.
    """

    name = "retention"

    def __init__(
        self,
        rows: RetainedRows,
        blobs: Blobs,
        config: Config,
        clock: Clock,
        *,
        followers: Callable[[], Collection[str]] = tuple,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._blobs = blobs
        self._store = config.store
        self._clock = MonotonicClock(clock, seconds=seconds)
        self._seconds = seconds
        self._followers = followers
        self._pruned_upto = 0
        self._pruning_since = seconds()
        self._alarmed = False

    def step(self) -> int:
        """One batch of each, and of the history what there is time for; how many blobs were deleted, headers and lines forgotten."""
        now = self._clock()
        swept = self._sweep()  # what a crash left between a tombstone and its blob
        before = now - self._store.keep
        # what this node committed to stays as long as if it had come when it did
        old = self._rows.purgeable(before, _BATCH, parked=True, promised_before=before)
        self._bury(old, "old", now, parked=True)
        results = self._rows.purge_results(before, now, _BATCH)
        swept += self._sweep()
        if not old and not results:
            swept += self._relieve(now)
        swept += self._rows.forget_headers(now - self._store.keep_headers, _BATCH)
        return swept + self._prune(now)

    def _prune(self, now: datetime) -> int:
        """Delete lines of the history that are old enough, page by page; the next step goes on behind them."""
        began = self._seconds()
        if began - self._pruning_since >= _PASSED_OVER_S:
            self._pruned_upto, self._pruning_since = 0, began
        pruned, before = 0, now - self._store.history_kept
        while True:
            page = self._rows.prune_history(before, now, _BATCH, after=self._pruned_upto, followers=self._followers())
            pruned += page.lines
            self._pruned_upto = page.reached
            if page.last or self._seconds() - began >= _PRUNE_S:
                return pruned

    def make_room(self, enough: Callable[[], bool]) -> int:
        """Delete the oldest pixels that nothing needs, as a person asks for it, until there is enough or nothing more; how many instances
        were deleted. What waits, is parked, is held or was committed to stays."""
        now, gone = self._clock(), 0
        while not enough() and (oldest := self._oldest(now)):
            self._bury(oldest, "a person made room", now)
            gone += self._sweep()
        return gone

    def _oldest(self, now: datetime) -> list[Instance]:
        return self._rows.purgeable(now, _AT_ONCE, promised_before=now - self._store.keep)

    def _relieve(self, now: datetime) -> int:
        """Delete the oldest pixels that nothing needs while the disk is fuller than it may be."""
        swept = 0
        while (used := self._blobs.used_share()) > self._store.high_water:
            oldest = self._oldest(now)
            if not oldest:
                if not self._alarmed:
                    alarm("retention.disk_full", used_share=round(used, 3), high_water=self._store.high_water)
                self._alarmed = True
                return swept
            self._bury(oldest, "the disk is full", now)
            swept += self._sweep()
        self._alarmed = False
        return swept

    def _bury(self, instances: Sequence[Instance], why: str, now: datetime, *, parked: bool = False) -> None:
        if instances:
            rows = [instance.id for instance in instances]
            self._rows.tombstone(rows, now, parked=parked, promised_before=now - self._store.keep)
            event("retention.purged", instances=len(instances), bytes=sum(instance.size for instance in instances), why=why)

    def _sweep(self) -> int:
        """Delete what tombstones stand for."""
        blobs = self._rows.purged_blobs()
        for blob in blobs.values():
            self._blobs.delete(blob)
        if blobs:
            self._rows.swept(blobs)
        return len(blobs)


class OldDeliveryMarks:
    """Stage: deletes the marks that are older than headers are kept; what is so old is not sent again."""

    name = "marks"

    def __init__(self, blobs: Blobs, clock: Clock, *, keep: timedelta) -> None:
        self._blobs = blobs
        self._clock = clock
        self._keep = keep
        self._old: Iterator[str] | None = None

    def step(self) -> int:
        """Delete some; 0 when all have been looked at, and the next step begins anew."""
        if self._old is None:
            self._old = self._blobs.names(DELIVERY_MARKS, written_before=self._clock() - self._keep)
        deleted = 0
        for name in self._old:
            self._blobs.delete(name)
            deleted += 1
            if deleted == _MARKS_AT_ONCE:
                return deleted
        self._old = None
        return deleted


_FILLS, _ROOMY = 2.0, 2.5
"""Of `min_free`: with less than so much a disk fills, well before anything is refused; with so much it has room again."""


class DiskWatch:
    """Tells of the spool's disk while it fills; one that cannot be asked is told of by others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fills = False

    def look(self, now: datetime) -> Mapping[str, Item]:
        """What is wrong with it, under the key by which people were told; empty: it has room."""
        found = self._filling(_ROOMY if self._fills else _FILLS)
        self._fills = bool(found)
        return found

    def _filling(self, mark: float) -> dict[str, Item]:
        spool, least = self._store.spooled, self._store.min_free_bytes
        try:
            status = os.statvfs(spool)
        except OSError:
            return {}
        free = status.f_bavail * status.f_frsize
        if free >= mark * least:
            return {}
        there, crowded = sizes(free, int(CROWDED * least))
        says = f"The disk of {socket.gethostname()} fills: {there} are free in {spool}. Below {crowded} no association is admitted."
        mend = "Make room: `hilum doctor` says what uses it, `store: {keep: …}` deletes sooner. Senders keep what they are refused."
        return {"disk": Item(about=About.DISK, says=says, remedy=mend)}


def make_room(config: "Config", journal: "Journal", blobs: "Blobs") -> int:
    """Delete the oldest pixels that nothing needs until the disk is roomy again; how many instances. Of a bucket none, nor of a disk that
    is not mounted: the one in its place gains nothing."""
    if config.store.bucket is not None or not config.store.blobs.is_dir():
        return 0
    wanted = _ROOMY * config.store.min_free_bytes
    return Retention(journal.retention, blobs, config, journal.now).make_room(lambda: shutil.disk_usage(config.store.blobs).free >= wanted)
