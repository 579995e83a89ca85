"""What the node adds: from the last C-STORE's answer to the results' C-STORE, without quiet window and model time, by stage."""

import contextlib
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench.made import series
from bench.rows import Row, say
from bench.running import ARCHIVE, CALLED, CALLING, Running, configuration, serve
from node.domain.instance import Reception
from node.domain.state import JobState
from node.journal.journal import Journal
from node.settings.config import Config
from node.settings.node import Node
from node.settings.peers import Peer
from node.settings.store import Store

SLICES = (24, 200, 400)
ROUNDS = 3
QUIET_S = 0.5
NICENESS = 5
_PATIENCE_S = 120.0
_LOOK_EVERY_S = 0.1

STAGES = {
    "settle": "from the answer to `complete`, beyond the quiet window",
    "route": "`complete` to jobs",
    "claim": "job queued to job claimed",
    "assemble": "files to volume",
    "findings": "findings durable and journaled",
    "encode": "headers, SEG, SR and summary page, each checked",
    "keep": "objects durable",
    "journal": "objects and deliveries journaled",
    "wake": "delivery waiting to claimed",
    "first": "delivery claimed to the first object's C-STORE",
    "deliver": "first object to the last object's C-STORE",
}


class Archive:
    """An archive that remembers when each object came, and keeps none."""

    def __init__(self) -> None:
        self.came: list[float] = []

    def crowded(self) -> str | None:
        """Never."""
        return None

    def begin(self, reception: Reception) -> "Archive":
        """Only the end of an instance counts."""
        return self

    def write(self, *fragments: bytes | memoryview) -> None:
        """Let them go."""

    def keep(self) -> None:
        """Note the moment."""
        self.came.append(time.time())

    def abandon(self) -> None:
        """Nothing was kept."""

    def expect(self, association: str) -> None:
        """Nothing is made ahead."""

    def ended(self, association: str) -> bool:
        """Nothing is left to do."""
        return True


@contextlib.contextmanager
def archive(folder: Path) -> Iterator[tuple[Archive, int]]:
    """The archive and its port."""
    from node.dimse.listener import Listener
    from node.observe.events import start_events

    start_events("archive", logging.ERROR)
    archive = Archive()
    node = Node(ae_titles=(ARCHIVE,), port=0, strangers=True)
    listener = Listener(Config(path=folder, digest="", node=node, store=Store(journal="", blobs=folder), models=folder), archive)
    listener.start()
    try:
        yield archive, listener.port
    finally:
        listener.stop(1.0)


def _study(files: Sequence[Path], running: Running, journal: Journal, archive: Archive) -> dict[str, float]:
    """Send one study; seconds by stage until the archive has its results."""
    from node.dimse.requestor.peer import PeerRequestor

    archive.came.clear()
    before = {job.id for job in journal.jobs.find()}
    peer = Peer(name="node", ae_title=CALLED, host="127.0.0.1", port=running.port)
    answers: list[float] = []
    cpu_s = running.cpu_s("work")
    requestor = PeerRequestor(peer, calling_ae=CALLING)
    statuses = requestor.store([str(path) for path in files], on_status=lambda _: answers.append(time.time()))
    answered = answers[-1]
    assert all(status.accepted for status in statuses), statuses[0]
    deadline = time.monotonic() + _PATIENCE_S
    while not (done := [job for job in journal.jobs.find(states=(JobState.DONE,)) if job.id not in before]):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no results: {[(job.state, job.reason) for job in journal.jobs.find() if job.id not in before]}")
        time.sleep(_LOOK_EVERY_S)
    (job,) = done
    (arrival,) = [arrival for arrival in journal.arrivals.find() if arrival.id == job.arrival]
    (delivery,) = journal.deliveries.find(job=job.id)
    at: dict[str, float] = {}
    took: dict[str, float] = {}
    for subject, number in (("job", job.id), ("delivery", delivery.id)):
        for line in journal.events.of(subject, number):
            at[line.name] = line.at.timestamp()
            if line.detail.startswith("{"):
                took |= json.loads(line.detail).get("took_s", {})
    assert arrival.completed_at is not None, "a routed arrival is complete"
    complete = arrival.completed_at.timestamp()
    claimed, inferred, encoded = at["job.claimed"], at["job.inferred"], at["job.encoded"]
    first, last = min(archive.came), max(archive.came)
    return {
        "total": last - answered - QUIET_S - took["infer"],
        # the threshold's own time is processor time on one thread
        "work process's CPU": running.cpu_s("work") - cpu_s - took["infer"],
        "settle": complete - answered - QUIET_S,
        "route": at["job.queued"] - complete,
        "claim": claimed - at["job.queued"],
        "assemble": took["assemble"],
        "findings": inferred - claimed - took["assemble"] - took["infer"],
        "encode": took["encode"],
        "keep": took["keep"],
        "journal": encoded - inferred - took["encode"] - took["keep"],
        "wake": at["delivery.claimed"] - encoded,
        "first": first - at["delivery.claimed"],
        "deliver": last - first,
    }


def _direct(files: Sequence[Path]) -> dict[str, float]:
    """The floor: read, assemble and encode a plain segmentation in this process; no report, no picture, no journal, no flush."""
    from bench.applications.bench_threshold import analyse
    from bench.plain import NoModel, plain_seg
    from inference.imaging.assemble import assemble

    clocks = {"total": time.perf_counter, "work process's CPU": time.process_time}
    took = dict.fromkeys(clocks, 0.0)

    @contextlib.contextmanager
    def counted() -> Iterator[None]:
        began = {name: clock() for name, clock in clocks.items()}
        yield
        for name, clock in clocks.items():
            took[name] += clock() - began[name]

    with counted():
        volume = assemble(files)
    mask = analyse(volume, NoModel()).segments[0].mask
    with counted():
        plain_seg(files, volume, mask)
    return took


def _as_nice_as_the_worker() -> None:
    """This thread yields to others as the work process does: on a busy machine the floor must not have it better."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def measure() -> list[Row]:
    """Medians over studies through one node; a study before them is not counted, but shown as the first after a start."""
    from node.assembly.compose import open_journal
    from node.assembly.configuration import load

    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hilum-bench-")))
        kept, archive_port = stack.enter_context(archive(folder / "archive"))
        config = configuration(folder / "node", quiet_s=QUIET_S, archive_port=archive_port)
        running = stack.enter_context(serve(config))
        journal = stack.enter_context(contextlib.closing(open_journal(load(config))))
        nice = stack.enter_context(ThreadPoolExecutor(1, initializer=_as_nice_as_the_worker))

        def through(slices: int, number: int) -> tuple[dict[str, float], dict[str, float]]:
            files = series(folder / "in", slices, number)
            took = _study(files, running, journal, kept)
            floor = nice.submit(_direct, files).result()
            shutil.rmtree(folder / "in")
            return took, floor

        first, _ = through(SLICES[0], 0)
        rows.append(Row(name=f"overhead, {SLICES[0]} slices, first study after the start: total", value=first["total"], unit="s"))
        for slices in SLICES:
            say(f"{slices} slices, {ROUNDS} studies")
            rounds = [through(slices, number) for number in range(1, ROUNDS + 1)]
            for stage in ("total", "work process's CPU", *STAGES):
                value = median(took[stage] for took, _ in rounds)
                baseline = median(floor[stage] for _, floor in rounds) if stage in rounds[0][1] else None
                rows.append(Row(name=f"overhead, {slices} slices: {stage}", value=value, unit="s", baseline=baseline))
    return rows
