"""Figures that are looked up for metrics and health: what the journal counts, what the disks hold, and what waits in the spool.

A page asks at any time: a journal or disk that is slow or away holds up one thread, and what was found before is told meanwhile.
"""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from inference.errors import HilumError
from node.domain.errors import JournalError
from node.domain.job import Census
from node.journal.journal import Journal
from node.observe import metrics
from node.observe.instruments import Sample
from node.settings.store import Store
from node.spool.backlog import instances_aside, waiting

_LEAST_S = 5.0
_SHARE = 20
"""Looking up takes one twentieth of the time at most."""
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What was looked up, `at` a moment of the monotonic clock. `away` says why the journal did not answer, `disk_away` the disk."""

    at: float
    took_s: float
    away: str
    disk_away: str
    samples: tuple[Sample, ...]
    beats: Mapping[str, datetime]
    free_bytes: int


class Facts:
    """Looks up, not oftener than is good for the node, and remembers.

    Parameters
    ----------
    open_journal
        Is called again where the journal did not answer.
    """

    def __init__(self, store: Store, open_journal: Callable[[], Journal], *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._open_journal = open_journal
        self._seconds = seconds
        self._journal: Journal | None = None
        self._found: NodeFacts | None = None
        self._looking: threading.Thread | None = None
        self._guard = threading.Lock()

    def latest(self) -> NodeFacts | None:
        """What is known; looked up anew when that is old, unless it takes too long. None before anything was ever found."""
        with self._guard:
            looking = self._looking
            if (looking is None or not looking.is_alive()) and self._due():
                looking = self._looking = threading.Thread(target=self._look, name="facts", daemon=True)
                looking.start()
        if looking is not None:
            looking.join(_PATIENCE_S)
        return self._found

    def age_s(self, found: NodeFacts) -> float:
        """How old it is."""
        return self._seconds() - found.at

    def _due(self) -> bool:
        return self._found is None or self.age_s(self._found) >= max(_LEAST_S, _SHARE * self._found.took_s)

    def _look(self) -> None:
        began = self._seconds()
        away, census, beats = "", None, {}
        try:
            if self._journal is None:
                self._journal = self._open_journal()
            census = self._journal.census.take(self._journal.now())
            beats = {process: at for process, (at, _) in self._journal.processes.beats().items()}
            paused = [metrics.PAUSED.of(1, kind=kind.value, name=name) for kind, name, _ in self._journal.pauses.find()]
        except HilumError as error:
            away, paused = f"{error} [{error.code}]", []
            journal, self._journal = self._journal, None
            if journal is not None:
                with suppress(JournalError):
                    journal.close()
        free, disk, disk_away = 0, list[Sample](), ""
        try:
            free, disk = _disk(self._store)
        except OSError as error:
            disk_away = f"{error.filename or self._store.blobs}: {error.strerror}"
        self._found = NodeFacts(
            at=began,
            took_s=self._seconds() - began,
            away=away,
            disk_away=disk_away,
            samples=(*(_counted(census) if census else ()), *paused, *disk),
            beats=beats,
            free_bytes=free,
        )


def _counted(census: Census) -> list[Sample]:
    now = datetime.now(UTC)

    def age_s(since: datetime) -> float:
        return max(0.0, (now - since).total_seconds())

    samples = [
        metrics.LEASES.of(census.jobs_held, subject="job"),
        metrics.LEASES.of(census.deliveries_held, subject="delivery"),
        metrics.JOURNAL_BYTES.of(census.size_bytes),
        metrics.INSTANCES_HELD.of(census.instances_held),
    ]
    for jobs in census.jobs:
        state, priority, application = jobs.state.value, jobs.priority.value, jobs.application
        samples += [
            metrics.JOBS.of(jobs.count, state=state, priority=priority, application=application),
            metrics.JOBS_OLDEST.of(age_s(jobs.since), state=state, priority=priority, application=application),
        ]
    for arrivals in census.arrivals:
        state = arrivals.state.value
        samples += [metrics.ARRIVALS.of(arrivals.count, state=state), metrics.ARRIVALS_OLDEST.of(age_s(arrivals.since), state=state)]
    for deliveries in census.deliveries:
        sink, state = deliveries.sink, deliveries.state.value
        samples += [
            metrics.WAITING.of(deliveries.count, sink=sink, state=state),
            metrics.WAITING_OLDEST.of(age_s(deliveries.since), sink=sink, state=state),
        ]
    return samples


def _disk(store: Store) -> tuple[int, list[Sample]]:
    """Free bytes where instances come in, and what there is to say of the disks and of the folders that received files wait in."""
    spool = store.spooled
    samples = []
    free = 0
    for name, folder in {"blobs": store.blobs, **({} if spool == store.blobs else {"spool": spool})}.items():
        usage = shutil.disk_usage(next(there for there in (folder, *folder.parents) if there.exists()))
        samples += [metrics.DISK_USED.of(usage.used / usage.total if usage.total else 0.0, folder=name)]
        samples += [metrics.DISK_FREE.of(usage.free, folder=name)]
        free = usage.free  # the last is where they come in
    waits, since_ns = waiting(spool)
    age_s = max(0.0, (time.time_ns() - since_ns) / 1e9) if since_ns else 0.0
    return free, [*samples, metrics.INBOX.of(waits), metrics.INBOX_OLDEST.of(age_s), metrics.ASIDE.of(instances_aside(spool))]
