"""The load: how an honest sender, a browser and a liveness probe fare while all that can be held is held, and a neighbour's studies wait.

On one node: 1,000 connections from as many loopback addresses that never finish a request (half of them on the port for TLS), 1,000 idle
ones (that say nothing on these ports, and half a request on the console's and that of the metrics), and 500 studies of another peer in
the queue, all at once. Strangers are admitted here, or their connections would be closed at once. Meanwhile an honest peer sends one
study after the other, each timed from before it connects until its results are delivered; and somebody asks again and again for C-ECHO, a
page of the console, and liveness.

It takes about three minutes on two quiet cores, and no more than ten on busy ones: phases end after three minutes.
"""

import contextlib
import shutil
import ssl
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

from pydicom.uid import CTImageStorage

from bench.console import Visitor, let_in
from bench.rows import Row, say
from bench.running import Running, serve
from node.assembly.compose import open_journal
from node.assembly.configuration import load
from node.domain.state import JobState
from node.journal.journal import Journal
from tests.lab.certificates import Authority
from tests.lab.flood import Kind as Flood
from tests.lab.flood import Wave, flooding
from tests.lab.loopback import loopback_only
from tests.soak.modality import VERIFICATION, Association, Gone
from tests.soak.studies import Kind, Study

STUDIES, NEIGHBOURS, ADDRESSES, HALF_OPEN, IDLE = 20, 500, 1000, 1000, 1000
_GOAL_S = 1.0
_QUIET_S = 1.0
_PATIENCE_S = 10.0
_LASTS_S = 180.0
"""A phase ends then, whatever it has come to."""
_PAUSE_S = 0.1
_HONEST, _NEIGHBOUR = "HONEST", "NEIGHBOUR"
_SMALL = Kind(name="CT", sop_class_uid=CTImageStorage, instances=4, rows=64, columns=64, share=100)
_CONFIG = """\
node:
  {{ae_title: HILUM, listen: "127.0.0.1:0", max_associations: 64, strangers: true, metrics: "127.0.0.1:0",
    tls: {{listen: "127.0.0.1:0", certificate: "{certificate}", key: "{key}", authorities: "{authority}"}}}}
peers:
  honest: {{ae_title: HONEST, address: "127.0.0.1:104", may: [store, echo], settle: {{scope: study, quiet: {quiet_s}s}}}}
  neighbour: {{ae_title: NEIGHBOUR, address: "127.0.0.1:104", may: [store, echo], settle: {{scope: study, quiet: {quiet_s}s}}}}
store: {{journal: "sqlite:hilum.db", blobs: "file:blobs", min_free: 100MB}}
console: {{listen: "127.0.0.1:0"}}
models: {{repository: models, applications: ["{applications}"]}}
sinks: {{results: {{kind: folder, path: results}}}}
routes: [{{name: all, run: [bench-threshold], send: [results]}}]
"""


@dataclass(slots=True)
class _Visits:
    """What was asked for, and how long each answer took; `lost` counts those that did not come."""

    took_s: dict[str, list[float]] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    def worst(self, name: str) -> float:
        return max(self.took_s.get(name, [_PATIENCE_S]))


def measure() -> list[Row]:
    """Every row; without openssl nothing is measured, and that is said."""
    if shutil.which("openssl") is None:
        say("SKIPPED: openssl not found (Debian package openssl)")
        return []
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place, loopback_only():
        authority = Authority(Path(place) / "authority")
        own, sender = authority.signs("hilum"), authority.signs("sender")
        context = ssl.create_default_context(cafile=authority.certificate)
        context.load_cert_chain(sender.certificate, sender.key)
        (Path(place) / "models").mkdir()
        config = Path(place) / "hilum.yaml"
        config.write_text(
            _CONFIG.format(
                certificate=own.certificate,
                key=own.key,
                authority=authority.certificate,
                quiet_s=_QUIET_S,
                applications=Path(__file__).with_name("applications"),
            ),
            encoding="utf-8",
        )
        with serve(config) as running, contextlib.closing(open_journal(load(config))) as journal:
            return _loaded(running, journal, context)


def _loaded(running: Running, journal: Journal, context: ssl.SSLContext) -> list[Row]:
    numbers = count(1)
    let_in(journal)
    console = running.console_port()
    asked = _asked(running, Visitor(console, patience_s=_PATIENCE_S), context)
    _through(running, journal, Study(next(numbers), _SMALL))  # the first of everything
    say("load: nobody else is there")
    calm, idle = _honest(running, journal, asked, numbers)
    say(f"load: {NEIGHBOURS} studies of a neighbour, {HALF_OPEN} half-open and {IDLE} silent connections")
    _send(running, [Study(next(numbers), _SMALL) for _ in range(NEIGHBOURS)], _NEIGHBOUR)
    half, silent = HALF_OPEN // 2, IDLE // 4
    waves = [
        Wave(port=running.port, kind=Flood.HALF_REQUEST, count=half),
        Wave(port=running.tls_port, kind=Flood.HALF_HELLO, count=half),
        *(Wave(port=port, kind=Flood.SILENT, count=silent) for port in (running.port, running.tls_port)),
        *(Wave(port=port, kind=Flood.HALF_HTTP, count=silent) for port in (console, running.metrics_port)),
    ]
    with flooding(waves, addresses=ADDRESSES) as came:
        visits, took = _honest(running, journal, asked, numbers)
        left = len(journal.jobs.find(states=(JobState.QUEUED, JobState.INFERRED)))
    job_s = _job_s(journal)
    say(f"connections came {came[0].came:,} times, {came[0].most:,} stood at most; a job takes {job_s:.2f} s; {left} jobs wait at the end")
    on = "load"
    usual, alone = (median(each) if each else _LASTS_S for each in (took, idle))
    bound = job_s + 2 * alone
    rows = [
        Row(
            name=f"{on}: a study, median of {len(took)}",
            value=usual,
            unit="s",
            baseline=alone,
            goal=f"≤ {bound:.2f} s (a job and twice its idle time)",
            met=usual <= bound and len(took) == STUDIES and left > 0,
        )
    ]
    for name in asked:
        worst, lost = visits.worst(name), visits.lost.get(name, 0)
        rows.append(
            Row(
                name=f"{on}: {name}, worst of {len(visits.took_s.get(name, ())) + lost}",
                value=worst,
                unit="s",
                baseline=calm.worst(name),
                goal=f"≤ {_GOAL_S:g} s, all answered",
                met=worst <= _GOAL_S and not lost,
            )
        )
        if lost:
            rows.append(Row(name=f"{on}: {name}, not answered", value=lost, unit="of visits", goal="0", met=False))
    return rows


# ---- who is timed
def _asked(running: Running, visitor: Visitor, context: ssl.SSLContext) -> dict[str, Callable[[], object]]:
    def echo(port: int, tls: ssl.SSLContext | None) -> None:
        with Association(port, VERIFICATION, calling=_HONEST, context=tls, patience_s=_PATIENCE_S) as association:
            if association.echo() != 0:
                raise Gone("the status is not Success")

    def live() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{running.metrics_port}/health/live", timeout=_PATIENCE_S) as answer:
            answer.read()

    return {
        "C-ECHO": lambda: echo(running.port, None),
        "C-ECHO, TLS": lambda: echo(running.tls_port, context),
        "a page of the console": lambda: visitor.get("/studies"),
        "liveness": live,
    }


def _honest(
    running: Running, journal: Journal, asked: dict[str, Callable[[], object]], numbers: Iterator[int]
) -> tuple[_Visits, list[float]]:
    """Studies one after the other, each with its seconds, and what the visits took meanwhile."""
    visits, over = _Visits(), threading.Event()
    took: list[float] = []
    visitor = threading.Thread(target=_visit, args=(asked, visits, over))
    visitor.start()
    until = time.monotonic() + _LASTS_S
    try:
        while len(took) < STUDIES and time.monotonic() < until:
            with contextlib.suppress(Gone, TimeoutError):
                took.append(_through(running, journal, Study(next(numbers), _SMALL)))
    finally:
        over.set()
        visitor.join()
    return visits, took


def _visit(asked: dict[str, Callable[[], object]], visits: _Visits, over: threading.Event) -> None:
    while not over.wait(_PAUSE_S):
        for name, ask in asked.items():
            began = time.monotonic()
            try:
                ask()
            except (Gone, OSError, RuntimeError):
                visits.lost[name] = visits.lost.get(name, 0) + 1
            else:
                visits.took_s.setdefault(name, []).append(time.monotonic() - began)


def _send(running: Running, studies: list[Study], calling: str) -> None:
    with Association(running.port, _SMALL.sop_class_uid, calling=calling) as association:
        for study in studies:
            for index in range(_SMALL.instances):
                if association.store(_SMALL.sop_class_uid, study.instance_uid(index), study.instance(index)) != 0:
                    raise Gone("the status is not Success")


def _through(running: Running, journal: Journal, study: Study) -> float:
    """Seconds from before it connects until its results are delivered.

    Raises
    ------
    TimeoutError
        They are not, for longer than a phase lasts.
    """
    began = journal.now()
    _send(running, [study], _HONEST)
    until = time.monotonic() + _LASTS_S
    while time.monotonic() < until:
        for job in journal.jobs.find(study=study.uid):
            if job.state is JobState.DONE:
                done = next(event.at for event in journal.events.of("job", job.id) if event.name == "job.done")
                return (done - began).total_seconds()
        time.sleep(_PAUSE_S / 2)
    raise TimeoutError(f"study {study.uid} has no results")


def _job_s(journal: Journal) -> float:
    """Median seconds that a job of late had the worker, from its claim to its encoded objects."""
    took = []
    for job in journal.jobs.find(states=(JobState.DONE,), limit=50, newest=True):
        at = {event.name: event.at for event in journal.events.of("job", job.id)}
        took.append((at["job.encoded"] - at["job.claimed"]).total_seconds())
    return median(took)
