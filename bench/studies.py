"""Studies through the whole node: the latency of one, studies an hour out of a queue, how much of that time the server computes, and what
more workers cost on one PostgreSQL journal."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.rows import Row, say
from bench.running import CALLED, CALLING, Running, serve
from bench.soften import write_soften
from node.domain.state import JobState
from node.journal.journal import Journal
from node.settings.peers import Peer

QUIET_S = 0.5
ROUNDS = 3
QUEUE = 12
WORKERS = (1, 2, 4)
CHEAP_QUEUE = 32
_LAYERS = 40
_SLOW_LAYERS = 200
_PATIENCE_S = 900.0
_LOOK_EVERY_S = 0.1
_ENDED = (JobState.DONE, JobState.PARKED, JobState.FAILED)

_CONFIG = """\
node: {{ae_title: HILUM, listen: "127.0.0.1:0", max_associations: 16, workers: {workers}}}
peers:
  modality: {{ae_title: BENCHSCU, address: "127.0.0.1:104", may: [store, echo], settle: {{scope: study, quiet: {quiet_s}s}}}}
store: {{journal: "{journal}", blobs: "file:blobs", min_free: 100MB}}
models: {{repository: "{models}", applications: ["{applications}"]}}
engines: {{default: {{{engine}}}}}
sinks: {{results: {{kind: folder, path: results}}}}
routes: [{{name: bench, from: [modality], run: [{application}], send: [results]}}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """A queue of studies, from its first job's claim to its last job's objects: seconds, and the server's computing seconds in them."""

    wall_s: float
    computed_s: float
    cpu_s: float


def measure() -> list[Row]:
    """mr-brain over each engine; one model of one instance on a server; a cheap model over one, two and four workers."""
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as scratch:
        folder = Path(scratch)
        return [*_engines(folder), _share(folder), *_workers(folder)]


def _engines(folder: Path) -> list[Row]:
    from inference.engines.triton.server import LocalTriton
    from node.cli.demo_needs import ensure_models

    models = folder / "models"
    ensure_models("mr-brain", models)
    rows: list[Row] = []
    baseline: dict[str, float] = {}
    for name, transport in (("embedded", None), ("Triton, gRPC", "off"), ("Triton, shared memory", "on")):
        with contextlib.ExitStack() as stack:
            engine = "kind: embedded"
            if transport is not None:
                server = stack.enter_context(LocalTriton(models))
                engine = f'kind: triton, url: "{server.url}", shared_memory: "{transport}"'
            # two workers: one assembles or encodes while the other's call is computed
            home = folder / name.replace(", ", "-").replace(" ", "-")
            running, journal = stack.enter_context(_node(home, engine=engine, workers=2, models=models, application="mr-brain"))
            say(f"{name}: {ROUNDS} studies one by one, then {QUEUE} at once")
            _through(running, journal, _heads(home / "warm", 2))
            latencies = [_through(running, journal, _heads(home / f"one-{index}", 1)) for index in range(ROUNDS)]
            drained = _drain(running, journal, _heads(home / "queue", QUEUE))
        figures = {"latency": median(latencies) - QUIET_S, "studies an hour": QUEUE / drained.wall_s * 3600}
        baseline = baseline or figures
        rows += [
            Row(name=f"{name}: head MR, last answer to results", value=figures["latency"], unit="s", baseline=baseline["latency"]),
            Row(
                name=f"{name}: studies an hour, {QUEUE} queued",
                value=figures["studies an hour"],
                unit="/h",
                baseline=baseline["studies an hour"],
            ),
        ]
    return rows


def _share(folder: Path) -> Row:
    """How much of a queue's time a server computes: with one model of one instance that share cannot be more than one."""
    from inference.engines.triton.server import LocalTriton

    models, home = folder / "slow", folder / "share"
    write_soften(models, layers=_SLOW_LAYERS)
    say(f"the share of the time in which the server computes: two workers, {CHEAP_QUEUE} studies")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(LocalTriton(models))
        computed_s = _Statistics(server.url)
        node = _node(home, engine=f'kind: triton, url: "{server.url}"', workers=2, models=models, application="bench-soften")
        running, journal = stack.enter_context(node)
        _drain(running, journal, _blocks(home / "warm", 4))
        drained = _drain(running, journal, _blocks(home / "queue", CHEAP_QUEUE), computed_s)
    share = drained.computed_s / drained.wall_s
    each = f"{drained.computed_s / CHEAP_QUEUE:.2f} s a study"
    return Row(name=f"the server computes ({each})", value=share, unit="of wall", goal="≥ 0.9 of the wall time", met=share >= 0.9)


def _workers(folder: Path) -> list[Row]:
    """CPU seconds of the whole node (not of PostgreSQL) for each study, with one, two and four workers."""
    from tests.lab.postgres import Postgres

    models = folder / "cheap"
    write_soften(models, layers=_LAYERS)
    rows: list[Row] = []
    for workers in WORKERS:
        say(f"{workers} workers on PostgreSQL, {CHEAP_QUEUE} studies")
        home = folder / f"workers-{workers}"
        with contextlib.ExitStack() as stack:
            postgres = stack.enter_context(Postgres(home / "postgres"))
            node = _node(
                home,
                engine="kind: embedded, threads: 1",
                workers=workers,
                models=models,
                application="bench-soften",
                journal=postgres.url,
            )
            running, journal = stack.enter_context(node)
            # every worker has imported its libraries and loaded the model before anything is counted
            _drain(running, journal, _blocks(home / "warm", 4 * workers))
            drained = _drain(running, journal, _blocks(home / "queue", CHEAP_QUEUE))
        each = drained.cpu_s / CHEAP_QUEUE
        first = rows[0].value if rows else each
        met = None if not rows else each <= 1.1 * first
        goal = "" if not rows else "flat within 10 %"
        rows.append(Row(name=f"CPU a study, {workers} workers on PostgreSQL", value=each, unit="s", baseline=first, goal=goal, met=met))
    return rows


class _Statistics:
    """How long a server has computed since it started, over all models, by its own statistics."""

    def __init__(self, url: str) -> None:
        from tritonclient.grpc import InferenceServerClient

        self._client = InferenceServerClient(url.removeprefix("grpc://"))

    def __call__(self) -> float:
        listed: Any = self._client.get_inference_statistics()
        return sum(int(model.inference_stats.compute_infer.ns) for model in listed.model_stats) / 1e9


@contextlib.contextmanager
def _node(
    home: Path, *, engine: str, workers: int, models: Path, application: str, journal: str = "sqlite:hilum.db"
) -> Iterator[tuple[Running, Journal]]:
    from node.assembly.compose import open_journal
    from node.assembly.configuration import load

    home.mkdir(parents=True, exist_ok=True)
    path = home / "hilum.yaml"
    said: Mapping[str, object] = {
        "workers": workers,
        "quiet_s": QUIET_S,
        "journal": journal,
        "models": models,
        "applications": Path(__file__).with_name("applications"),
        "engine": engine,
        "application": application,
    }
    path.write_text(_CONFIG.format(**said), encoding="utf-8")
    with serve(path) as running, contextlib.closing(open_journal(load(path))) as opened:
        yield running, opened


def _heads(folder: Path, count: int) -> list[Path]:
    """The published head as so many patients."""
    from inference.engines.registry import fetch_member
    from inference.imaging.write_series import from_nifti, write_series
    from node.cli import demo_needs as head

    voxels, affine = from_nifti(fetch_member(head.HEAD_REQUIREMENT, head.HEAD_MEMBER, head.HEAD_SHA256))
    files: list[Path] = []
    for number in range(count):
        files += write_series(
            voxels, affine, folder / str(number), modality="MR", patient_id=f"{folder.parent.name}-{folder.name}-{number}"
        )
    return files


def _blocks(folder: Path, count: int) -> list[Path]:
    """Small CTs with a block of soft tissue, each another patient."""
    from inference.imaging.write_series import write_series

    voxels = np.full((8, 64, 64), -1000, np.int16)
    voxels[:, 10:30, 10:30] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    files: list[Path] = []
    for number in range(count):
        files += write_series(
            voxels, affine, folder / str(number), modality="CT", patient_id=f"{folder.parent.name}-{folder.name}-{number}"
        )
    return files


def _send(running: Running, files: list[Path]) -> float:
    """Send in one association; when the last answer came."""
    from node.dimse.requestor.peer import PeerRequestor

    answers: list[float] = []
    requestor = PeerRequestor(Peer(name="node", ae_title=CALLED, host="127.0.0.1", port=running.port), calling_ae=CALLING)
    statuses = requestor.store([str(path) for path in files], on_status=lambda _: answers.append(time.time()))
    assert all(status.accepted for status in statuses), statuses[0]
    return answers[-1]


def _wait(journal: Journal, before: set[int], count: int) -> list[int]:
    """The new jobs, once so many of them are done."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        new = [job for job in journal.jobs.find() if job.id not in before]
        ended = [job for job in new if job.state in _ENDED]
        if len(ended) == count:
            assert all(job.state is JobState.DONE for job in ended), [(job.state, job.reason) for job in ended]
            return [job.id for job in ended]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(ended)} of {count} jobs ended: {[(job.state, job.reason) for job in new]}")
        time.sleep(_LOOK_EVERY_S)


def _through(running: Running, journal: Journal, files: list[Path]) -> float:
    """Seconds from the last answer until every result is delivered, of the studies that `files` hold."""
    before = {job.id for job in journal.jobs.find()}
    studies = len({path.parent for path in files})
    answered = _send(running, files)
    jobs = _wait(journal, before, studies)
    delivered = [
        line.at.timestamp()
        for job in jobs
        for delivery in journal.deliveries.find(job=job)
        for line in journal.events.of("delivery", delivery.id)
    ]
    return max(delivered) - answered


def _drain(running: Running, journal: Journal, files: list[Path], computed_s: "_Statistics | None" = None) -> Drained:
    before = {job.id for job in journal.jobs.find()}
    studies = len({path.parent for path in files})
    cpu_s, computed = running.family_cpu_s(), computed_s() if computed_s else 0.0
    _send(running, files)
    jobs = _wait(journal, before, studies)
    at = [(line.name, line.at.timestamp()) for job in jobs for line in journal.events.of("job", job)]
    first = min(when for name, when in at if name == "job.claimed")
    last = max(when for name, when in at if name == "job.encoded")
    return Drained(
        wall_s=last - first,
        computed_s=(computed_s() if computed_s else 0.0) - computed,
        cpu_s=running.family_cpu_s() - cpu_s,
    )
