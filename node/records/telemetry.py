"""What a node says of itself over HTTP: `/metrics` for Prometheus, `/health/live` and `/health/ready` for whoever keeps it running.

A page asks at any time: a journal or disk that is slow or away holds up one thread, and what was found before is told meanwhile.
"""

import contextlib
import math
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from inference.errors import HilumError
from node.dimse.validity import Certificates
from node.domain.errors import JournalError
from node.domain.job import Census
from node.journal.journal import Journal
from node.observe import exposition, metrics
from node.observe.endpoint import Endpoint, EndpointPage, as_json
from node.observe.events import alarm
from node.observe.instruments import Sample, samples
from node.observe.pulse import ENDED_S, SILENT_S, StandstillWatch, Watchdog, WatchedProcess
from node.settings.config import Config
from node.settings.store import Store
from node.spool.backlog import instances_aside, waiting

_TRY_AGAIN_S = 30.0
_STUCK_S = 10.0
_STALE_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


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
    patience_s
        For how long a page waits for what is being looked up.
    least_s
        How old what was found may be before it is looked up anew.
    share
        Looking up takes at most one part of so many of the time: what took 2 s is kept for 40 s.
    """

    def __init__(
        self,
        store: Store,
        open_journal: Callable[[], Journal],
        *,
        patience_s: float = 2.0,
        least_s: float = 5.0,
        share: float = 20.0,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.patience_s = patience_s
        self._least_s = least_s
        self._share = share
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
            looking.join(self.patience_s)
        return self._found

    def age_s(self, found: NodeFacts) -> float:
        """How old it is."""
        return self._seconds() - found.at

    def _due(self) -> bool:
        return self._found is None or self.age_s(self._found) >= max(self._least_s, self._share * self._found.took_s)

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


class Telemetry:
    """Answers for the node. `turn` is called by the supervisor's loop: that it is called is what "live" means.

    Parameters
    ----------
    facts
        Of the same store.
    lost, waits
        What of the store is gone, and what of the spool waits; "" for nothing.
    """

    def __init__(
        self,
        config: Config,
        processes: Sequence[WatchedProcess],
        facts: Facts,
        lost: Callable[[], str] = lambda: "",
        waits: Callable[[], str] = lambda: "",
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._lost = lost
        self._waits = waits
        self._processes = processes
        self._facts = facts
        self._seconds = seconds
        self._certificates = Certificates(config)
        self._endpoint: Endpoint | None = None
        self._open_at = 0.0
        self._turned = seconds()
        self._draining = False
        self._awake = StandstillWatch()
        self._watchdog = Watchdog()

    @property
    def port(self) -> int | None:
        """The port of the pages; None when they are off, or the port is taken."""
        return None if self._endpoint is None else self._endpoint.port

    def turn(self) -> None:
        """A sign of life of the supervisor; opens the pages when they are wanted and not there."""
        self._turned = self._seconds()
        self._awake.turn(self._turned)
        self._watchdog.turn()
        self._certificates.turn()
        host = self._config.node.metrics_host
        if host is None or self._endpoint is not None or self._turned < self._open_at:
            return
        pages = {"/metrics": self.metrics_page, "/health/live": self.liveness_page, "/health/ready": self.readiness_page}
        try:
            self._endpoint = Endpoint(host, self._config.node.metrics_port, pages)
        except OSError as taken:
            # studies come first: a node without metrics is better than none
            self._open_at = self._turned + _TRY_AGAIN_S
            address = f"{host}:{self._config.node.metrics_port}"
            alarm("metrics.unavailable", address=address, reason=str(taken.strerror), again_in_s=_TRY_AGAIN_S)

    def silent_s(self, process: WatchedProcess) -> float:
        """How long one process has given no sign of life."""
        return process.silent_s(self._awake.since)

    def stays(self) -> None:
        """A sign of life of the supervisor while it ends."""
        self._watchdog.turn()

    def adopt(self, config: Config) -> None:
        """Name this one as the one in force, and look after the certificates that it names."""
        self._config = config
        self._certificates.adopt(config)

    def drain(self) -> None:
        """The node ends: not ready any more."""
        self._draining = True

    def close(self) -> None:
        """Answer no more."""
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None

    # ---- the pages, each from a thread of the endpoint

    def metrics_page(self) -> EndpointPage:
        """All metrics, in the text format."""
        found = self._facts.latest()
        said = [*self._processes_now(found), *self._journal_now(found), *self._certificates.samples(), _build(self._config)]
        said.append(metrics.REFUSED.of(sum(one.cells.refused for one in self._processes)))
        body = exposition.text([one.cells for one in self._processes], said)
        return EndpointPage(status=HTTPStatus.OK, content_type=exposition.CONTENT_TYPE, body=body)

    def liveness_page(self) -> EndpointPage:
        """Live means that the supervisor turns; who is not is started again."""
        silent_s = self._seconds() - self._turned
        live = self._draining or silent_s < _STUCK_S
        status = HTTPStatus.OK if live else HTTPStatus.SERVICE_UNAVAILABLE
        return as_json(status, {"live": live} if live else {"live": live, "why": f"the supervisor has not turned for {silent_s:.0f} s"})

    def readiness_page(self) -> EndpointPage:
        """Ready means that studies are taken in: work that has to wait for an engine, a sink or the journal is kept, and degraded."""
        intake, rest = self._parts()
        ready = not self._draining and all(why == "" for why in intake.values())
        parts = {name: {"ready": why == "", **({"why": why} if why else {})} for name, why in {**intake, **rest}.items()}
        told: dict[str, object] = {"ready": ready, "degraded": [name for name, why in rest.items() if why], "parts": parts}
        if self._draining:
            told["why"] = "the node is ending"
        return as_json(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, told)

    def _parts(self) -> tuple[dict[str, str], dict[str, str]]:
        """Why each part is not ready ("" when it is): those that intake needs, and the rest."""
        processes = {one.name: self._why(one) for one in self._processes}
        receives = [name for name in processes if name.startswith("receive")]
        intake = {name: processes[name] for name in (receives or processes)}
        rest = {name: why for name, why in processes.items() if name not in intake}
        intake["store"] = self._lost()
        rest["spool"] = self._waits()
        found = self._facts.latest()
        if found is None or self._facts.age_s(found) > _STALE_S:
            intake["disk"] = rest["journal"] = "no answer"
        else:
            intake["disk"] = found.disk_away or self._room(found.free_bytes)
            rest["journal"] = found.away
        for name, up in self._engines().items():
            rest[f"engine {name}"] = "" if up else "it does not answer; its jobs wait"
        return intake, rest

    def _why(self, process: WatchedProcess) -> str:
        """Why a process is not ready; "" when it is."""
        if not process.ready:
            return process.why
        silent_s = self.silent_s(process)
        return "" if silent_s < SILENT_S else f"no sign of life for {silent_s:.0f} s; after {ENDED_S:.0f} s it is ended and started again"

    def _room(self, free: int) -> str:
        least = self._config.store.min_free_bytes
        return "" if free >= least else f"{free} bytes are free, senders are refused below {least}"

    def _engines(self) -> dict[str, bool]:
        said: dict[str, bool] = {}
        for one in self._processes:
            for sample in samples(one.cells):
                if sample.name == metrics.ENGINE_UP.name and not math.isnan(sample.values[0]):
                    said[sample.labels[0]] = said.get(sample.labels[0], True) and sample.values[0] > 0
        return said

    # ---- what is looked up

    def _processes_now(self, found: NodeFacts | None) -> Iterator[Sample]:
        for one in self._processes:
            yield metrics.PROCESS_UP.of(self._why(one) == "", process=one.name)
            yield metrics.PROCESS_RESTARTS.of(one.ended, process=one.name)
            if one.pid is None:
                continue
            yield from _used(one.name, one.pid)
            for process, at in found.beats.items() if found is not None else ():
                if process.endswith(f" {one.owner}"):
                    yield metrics.PROCESS_BEAT.of(max(0.0, time.time() - at.timestamp()), process=one.name)

    def _journal_now(self, found: NodeFacts | None) -> Iterator[Sample]:
        answers = found is not None and found.away == "" and self._facts.age_s(found) <= _STALE_S
        yield metrics.JOURNAL_UP.of(answers)
        if found is not None:
            yield metrics.FACTS_AGE.of(self._facts.age_s(found))
            yield metrics.FACTS_TOOK.of(found.took_s)
            yield from found.samples


def _used(name: str, pid: int) -> Iterator[Sample]:
    """Memory and processor time by the proc file system, where there is one."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        yield metrics.PROCESS_MEMORY.of(pages * _PAGE_BYTES, process=name)
        # the second field is the program's name in parentheses, which may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        yield metrics.PROCESS_CPU.of((int(fields[11]) + int(fields[12])) / _TICKS_PER_S, process=name)


def _build(config: Config) -> Sample:
    try:
        installed = version("hilum")
    except PackageNotFoundError:
        installed = "unpackaged"
    return metrics.BUILD.of(1, version=installed, python=platform.python_version(), config=config.digest[:12])
