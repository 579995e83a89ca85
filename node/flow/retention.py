"""The retention stage: deletes pixels and results that are old enough, or pixels early when the disk fills; headers live longer."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from node.blobs.port import Blobs
from node.domain.instance import Instance
from node.flow.port import Clock
from node.flow.steady import Steady
from node.journal.port import Journal
from node.observe.events import alarm, event
from node.settings.config import Config

_BATCH = 500
_AT_ONCE = 50
"""Instances that go before the disk is looked at again: some ten megabytes, so that hardly more is deleted than need be."""


class Retention:
    """Stage: tombstones in the journal first, then the bytes, then the tombstones go.

    Parameters
    ----------
    seconds
        A clock that only goes forward: nothing grows old because the other one was set.
    """

    name = "retention"

    def __init__(
        self, journal: Journal, blobs: Blobs, config: Config, clock: Clock, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._journal = journal
        self._blobs = blobs
        self._store = config.store
        self._clock = Steady(clock, seconds=seconds)
        self._alarmed = False

    def step(self) -> int:
        """One batch of each; how many blobs were deleted and headers forgotten."""
        now = self._clock()
        swept = self._sweep()  # what a crash left between a tombstone and its blob
        before = now - self._store.keep
        # what this node committed to stays as long as if it had come when it did
        old = self._journal.purgeable(before, _BATCH, parked=True, promised_before=before)
        self._bury(old, "old", now)
        results = self._journal.purge_results(before, now, _BATCH)
        swept += self._sweep()
        if not old and not results:
            swept += self._relieve(now)
        return swept + self._journal.forget_headers(now - self._store.keep_headers, _BATCH)

    def _relieve(self, now: datetime) -> int:
        """Delete the oldest pixels that nothing needs while the disk is fuller than it may be."""
        swept = 0
        while (used := self._blobs.used_share()) > self._store.high_water:
            oldest = self._journal.purgeable(now, _AT_ONCE, promised_before=now - self._store.keep)
            if not oldest:
                if not self._alarmed:
                    alarm("retention.disk_full", used_share=round(used, 3), high_water=self._store.high_water)
                self._alarmed = True
                return swept
            self._bury(oldest, "the disk is full", now)
            swept += self._sweep()
        self._alarmed = False
        return swept

    def _bury(self, instances: Sequence[Instance], why: str, now: datetime) -> None:
        if instances:
            self._journal.tombstone([instance.id for instance in instances], now, promised_before=now - self._store.keep)
            event("retention.purged", instances=len(instances), bytes=sum(instance.size for instance in instances), why=why)

    def _sweep(self) -> int:
        """Delete what tombstones stand for."""
        blobs = self._journal.purged_blobs()
        for blob in blobs.values():
            self._blobs.delete(blob)
        if blobs:
            self._journal.swept(blobs)
        return len(blobs)
