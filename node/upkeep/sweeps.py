"""Small stages that processes step every few seconds: a sign of life in the journal, sweeps of copies and of what is forgotten with time,
and jobs that have waited for long moved up, so that none waits for ever behind others."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from node.blobs.port import Blobs
from node.domain.patient import STILL_KNOWN
from node.domain.stage import Clock
from node.journal.jobs import Jobs
from node.journal.journal import Journal
from node.observe.events import event
from node.settings.config import Config
from node.settings.kept_text import kept

_FORGOTTEN = timedelta(days=1)
_SHORT = timedelta(days=30)
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


class SweepCopiesStage:
    """A stage that lets the blobs drop this host's copies of what was deleted elsewhere."""

    name = "copies"

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def step(self) -> int:
        """Sweep; how many copies went."""
        return self._blobs.sweep()


class SweepFramesStage:
    """A stage that lets the memory of decoded frames drop what nobody asked for: the pixels of a study do not stay behind it."""

    name = "frames"

    def __init__(self, sweep: Callable[[], None]) -> None:
        self._sweep = sweep

    def step(self) -> int:
        """Sweep; nobody waits for it."""
        with contextlib.suppress(OSError):  # a disk that fails keeps what it has for another minute
            self._sweep()
        return 0


class HeartbeatStage:
    """A sign of life in the journal, so that `hilum doctor` can tell a busy process from a stuck one, and by what it goes."""

    name = "beat"

    def __init__(self, journal: Journal, process: str, clock: Clock, config: Config) -> None:
        self._journal = journal
        self._process = process
        self._clock = clock
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """Say from the next sign on that the process goes by this one: as it is kept, without what may be secret."""
        self._goes_by = sha256(kept(config.text, config.path).encode()).hexdigest()

    def step(self) -> int:
        """Leave a sign of life; never counts as work."""
        self._journal.processes.beat(self._process, self._goes_by, self._clock())
        return 0


class ForgetStage:
    """Forgets the signs of life of processes that have given none for a day (their host is gone, and nobody need be told of it for ever),
    by what erased studies were known again, some days after its time is over, and what series lacked a month ago."""

    name = "forgotten"

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def step(self) -> int:
        """Forget them; how many."""
        now = self._clock()
        gone = [process for process, (at, _) in self._journal.processes.beats().items() if now - at > _FORGOTTEN]
        for process in gone:
            self._journal.processes.release(process.partition(" ")[2], now)
        return len(gone) + self._journal.erasure.forget(now - STILL_KNOWN) + self._journal.shortage.forget(now - _SHORT)


class PriorityAging:
    """Stage: one process of all steps it every few seconds. Off-peak jobs move up among those that may run in their window."""

    name = "patience"

    def __init__(self, jobs: Jobs, config: Config, clock: Clock) -> None:
        self._jobs = jobs
        self._schedule = config.schedule
        self._clock = clock

    def step(self) -> int:
        """Move up a batch; how many."""
        now = self._clock()
        window = self._schedule.offpeak
        since = _ALWAYS if window is None else window.opened_at(now)
        moved = self._jobs.move_up(now, self._schedule.patience, offpeak_since=since)
        if moved:
            event("queue.moved_up", jobs=moved)
        return moved
