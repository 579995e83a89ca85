"""Shortfalls are taken from the receiver's spool into the journal: instances that were refused, and transfers that broke off."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from node.domain.errors import JournalError
from node.domain.shortage import RefusedInstance, TornSeries
from node.domain.stage import Clock
from node.journal.journal import Journal
from node.observe.events import event

_BATCH = 500


class ShortfallEntries(Protocol):
    """What was kept on this host and is not in the journal yet (node.spool.shortfalls)."""

    def waiting(self, limit: int) -> list[Path]: ...

    def read(self, entry: Path) -> tuple[Sequence[RefusedInstance], Sequence[TornSeries]] | None:
        """What it says, each with when it was written by this host's clock; None: it is gone, or nothing. JournalError: it cannot be
        read."""
        ...

    def drop(self, entry: Path) -> None: ...


class ShortfallStage:
    """Stage: the journal first, then the files go; what is taken twice changes nothing the second time."""

    name = "owed"

    def __init__(self, journal: Journal, entries: ShortfallEntries, clock: Clock) -> None:
        self._journal = journal
        self._entries = entries
        self._clock = clock

    def step(self) -> int:
        """Take some; how many. JournalError when there is nothing but what cannot be read."""
        refused: list[RefusedInstance] = []
        torn: list[TornSeries] = []
        taken = []
        unread: JournalError | None = None
        for entry in self._entries.waiting(_BATCH):
            try:
                found = self._entries.read(entry)
            except JournalError as failed:  # the disk does not give it: the others need not wait for it
                unread = failed
                continue
            if found is None:
                continue
            # by the clock that all hosts share
            refused += [replace(one, at=self._journal.at(one.at.timestamp())) for one in found[0]]
            torn += [replace(one, at=self._journal.at(one.at.timestamp())) for one in found[1]]
            taken.append(entry)
        if taken:
            self._journal.shortage.owe(sorted(refused, key=lambda one: one.at), torn)
            event("owed.journaled", refused=len(refused), torn=len(torn))
        for entry in taken:
            self._entries.drop(entry)
        if unread is not None and not taken:
            raise unread
        return len(taken)
