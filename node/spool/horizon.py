"""How far each receiver has journaled what it received, so that no study settles while a part of it still lies in another host's spool."""

import contextlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from node.domain.errors import JournalError
from node.journal.journal import Journal
from node.observe.events import alarm, event
from node.spool.entries import received_ns
from node.spool.port import Inbox
from node.spool.shortfalls import oldest_shortfall

_SPOOL = "spool "
_TICK_S = 0.01
"""By as much the times of files may lag behind the clock that names them: they are those of the kernel's last tick."""
_GONE = timedelta(seconds=60)
"""A receiver that has said nothing for so long is dead, or cut off: the others go on without it, and what it still has opens a revision
when it returns."""
_UNREAD_S = 60.0
"""A shortfall that was not journaled for so long holds nothing up: the disk does not give it."""
_LOOK_EVERY = timedelta(milliseconds=500)


def journaled_until(journal: Journal, inbox: Inbox, spool: Path) -> datetime | None:
    """The moment before which everything received here is in the journal, and everything refused; None: all of it is."""
    both = _received_until(journal, inbox), _refused_until(journal, spool)
    return min((known for known in both if known is not None), default=None)


def _refused_until(journal: Journal, spool: Path) -> datetime | None:
    """When the oldest refusal, or the oldest transfer that broke off, was written that is not journaled: nothing settles as whole before
    it is known what it lacks."""
    written_s = oldest_shortfall(spool, since=time.time() - _UNREAD_S)
    return None if written_s is None else journal.at(written_s - _TICK_S)


def _received_until(journal: Journal, inbox: Inbox) -> datetime | None:
    """When the oldest entry of the inbox began to come. Not when it ended: another one, which began later and was shorter, may wait
    behind it."""
    while (oldest := inbox.oldest()) is not None:
        with contextlib.suppress(FileNotFoundError):  # it went on meanwhile
            ended_s, began_s = oldest.stat().st_mtime, received_ns(oldest.name) / 1e9
            return journal.at(min(ended_s, began_s - _TICK_S if began_s else ended_s))
    return None


class HorizonStage:
    """The stage that tells the others how far this host's spool is journaled, as a sign of life in the journal."""

    name = "horizon"

    def __init__(self, journal: Journal, inbox: Inbox, spool: Path, host: str) -> None:
        self._journal = journal
        self._inbox = inbox
        self._spool = spool
        self._host = host

    def step(self) -> int:
        """Tell it; never counts as work."""
        now = self._journal.now()  # before the inbox is looked at: what comes later is later than this
        oldest = journaled_until(self._journal, self._inbox, self._spool)
        self._journal.processes.beat(_process(self._host), (oldest or now).isoformat(), now)
        return 0

    def leave(self) -> None:
        """Nobody need wait for a spool that is empty and gets no more; one that is not is waited for, for a while."""
        with contextlib.suppress(JournalError):  # they wait a minute in vain
            if self._inbox.oldest() is None:
                self._journal.processes.release(_process(self._host).removeprefix(_SPOOL), self._journal.now())


class HorizonOfAllHosts:
    """The moment before which everything that any live receiver got is in the journal; what `Settle` takes for its horizon."""

    def __init__(self, journal: Journal, here: Callable[[], datetime | None], host: str) -> None:
        self._journal = journal
        self._here = here
        self._own = _process(host)
        self._others: datetime | None = None
        self._looked_at: datetime | None = None
        self._reachable_since: datetime | None = None
        self._silent: frozenset[str] = frozenset()

    def __call__(self) -> datetime | None:
        """None: everything."""
        now = self._journal.now()
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at < _LOOK_EVERY:
            self._others = self._look(now)
            self._looked_at = now
        return min((known for known in (self._here(), self._others) if known is not None), default=None)

    def _look(self, now: datetime) -> datetime | None:
        try:
            beats = self._journal.processes.beats()
        except JournalError:
            # others could not say anything either: they get their time again once they can
            self._reachable_since = None
            raise
        since = self._reachable_since = self._reachable_since or now
        told, silent = [], set()
        for process, (at, state) in beats.items():
            if not process.startswith(_SPOOL) or process == self._own:
                continue
            if now - max(at, since) > _GONE:
                silent.add(process)
            else:
                told.append(datetime.fromisoformat(state))
        for process in silent - self._silent:
            alarm("receiver.silent", spool=process.removeprefix(_SPOOL), silent_s=round((now - beats[process][0]).total_seconds()))
        for process in self._silent - silent:
            event("receiver.back", spool=process.removeprefix(_SPOOL))
        self._silent = frozenset(silent)
        return min(told, default=None)


def _process(host: str) -> str:
    """As what a spool's horizon stands among the signs of life; no lease begins so."""
    return f"{_SPOOL}{host}/spool"
