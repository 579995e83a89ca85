"""Retention: deletes pixels and results that are old enough, or pixels early when the disk fills; headers and history later.

Delivery marks go with headers. What ages is measured by a clock that nobody makes jump ahead (`node.upkeep.monotonic_clock`).
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta

from node.blobs.port import Blobs
from node.domain.instance import Instance
from node.domain.job import DELIVERY_MARKS
from node.domain.stage import Clock
from node.journal.retention import RetainedRows
from node.observe.events import alarm, event
from node.settings.config import Config
from node.upkeep.monotonic_clock import MonotonicClock

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
        Who follows the history: what one of them has not told yet stays in it.
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
        followers: Collection[str] = (),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._blobs = blobs
        self._store = config.store
        self._clock = MonotonicClock(clock, seconds=seconds)
        self._seconds = seconds
        self._followers = tuple(followers)
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
            page = self._rows.prune_history(before, now, _BATCH, after=self._pruned_upto, followers=self._followers)
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
