"""What the node adds: from the last C-STORE's answer to the first result's C-STORE, without quiet window and model time, by stage."""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.rows import Row
from node.dimse.port import Reception

_SLICES = (24, 200, 400)
_ROUNDS = 3
_QUIET_S = 1.0
_PATIENCE_S = 180.0
_OBJECTS = 3
_CONFIG = """\
node: {{ae_title: HILUM, listen: "127.0.0.1:0"}}
peers:
  modality: {{ae_title: BENCHSCU, address: "127.0.0.1:0", may: [store], settle: {{scope: study, quiet: {quiet}s}}}}
  archive: {{ae_title: ARCHIVE, address: "127.0.0.1:{archive_port}", may: [store, echo]}}
store: {{journal: "sqlite:hilum.db", blobs: "file:blobs", min_free: 100MB}}
models: {{repository: models, applications: ["{applications}"]}}
sinks: {{archive: {{kind: dimse, peer: archive}}}}
routes: [{{name: bench, from: [modality], run: [bench-threshold], send: [archive]}}]
"""


class _Archive:
    """An archive that remembers when each object came."""

    def __init__(self) -> None:
        self.came: list[float] = []
        self.all_came = threading.Event()

    def keep(self, reception: Reception) -> None:
        self.came.append(time.time())
        if len(self.came) >= _OBJECTS:
            self.all_came.set()


def _series(folder: Path, slices: int, round_number: int) -> list[Path]:
    """A made thorax-like CT of 512 × 512: a bright ellipsoid in air, noise in every voxel, so that nothing compresses away."""
    from inference.imaging.write_series import write_series

    rng = np.random.default_rng(slices * 10 + round_number)
    y, x = np.ogrid[-1:1:512j, -1:1:512j]
    voxels = np.empty((slices, 512, 512), np.int16)
    for index, z in enumerate(np.linspace(-1, 1, slices)):
        body = (x / 0.8) ** 2 + (y / 0.6) ** 2 + (z / 1.2) ** 2 < 1
        voxels[index] = np.where(body, 60, -1000) + rng.integers(-20, 20, (512, 512))
    affine = np.array([[0, 0, 0.7, -179], [0, 0.7, 0, -179], [1.0, 0, 0, 0], [0, 0, 0, 1]])
    # axes (z, y, x) → LPS: z steps along S, rows along P, columns along L
    return write_series(voxels, affine, folder, modality="CT", patient_id=f"BENCH-{slices}-{round_number}")


@contextlib.contextmanager
def _node(folder: Path, archive_port: int) -> Iterator[int]:
    config = folder / "hilum.yaml"
    applications = Path(__file__).with_name("applications")
    config.write_text(_CONFIG.format(quiet=_QUIET_S, archive_port=archive_port, applications=applications), encoding="utf-8")
    with (folder / "events.log").open("w") as events:
        process = subprocess.Popen(
            [sys.executable, "-m", "node.cli.main", "serve", "--config", str(config)], stdout=subprocess.PIPE, stderr=events, text=True
        )
        try:
            assert process.stdout is not None
            yield int(json.loads(process.stdout.readline())["port"])
        finally:
            process.terminate()
            process.wait(60)


def _round(files: list[Path], folder: Path) -> dict[str, float]:
    """Seconds by stage of one study through a fresh node."""
    from node.assembly.compose import open_journal
    from node.dimse.listener import Listener
    from node.dimse.requestor import PeerRequestor
    from node.settings.config import Config, Node, Peer, Store
    from node.settings.load import load

    folder.mkdir(parents=True)
    archive = _Archive()
    settings = Config(
        path=folder,
        digest="",
        node=Node(ae_titles=("ARCHIVE",), port=0, strangers=True),
        store=Store(journal="", blobs=folder),
        models=folder,
    )
    listener = Listener(settings, archive)
    listener.start()
    try:
        with _node(folder, listener.port) as port:
            peer = Peer(name="node", ae_title="HILUM", host="127.0.0.1", port=port)
            began = time.time()
            statuses = PeerRequestor(peer, calling_ae="BENCHSCU").store([str(path) for path in files])
            answered = time.time()
            assert all(status.accepted for status in statuses), statuses[0]
            assert archive.all_came.wait(_PATIENCE_S), f"no results; see {folder / 'events.log'}"
            with contextlib.closing(open_journal(load(folder / "hilum.yaml"))) as journal:
                job = journal.jobs()[0]
                arrival = journal.arrivals()[0]
                took = {
                    stage: float(value)
                    for line in journal.events("job", job.id)
                    if line.detail.startswith("{")
                    for stage, value in json.loads(line.detail).get("took_s", {}).items()
                }
    finally:
        listener.stop(1.0)
    assert arrival.completed_at is not None
    complete = arrival.completed_at.timestamp()
    total = min(archive.came) - answered - _QUIET_S - took.pop("analyse", 0.0)
    settle = max(0.0, complete - answered - _QUIET_S)
    route = job.created_at.timestamp() - complete
    rest = total - settle - route - sum(took.values())
    return {"total": total, "send": answered - began, "settle": settle, "route": route, **took, "wake and deliver": rest}


def _direct(files: list[Path]) -> float:
    """The floor in the same run: read, assemble and threshold in this process, without network, journal or encoding."""
    from bench.applications.bench_threshold import analyse
    from inference.imaging.assemble import assemble

    began = time.perf_counter()
    analyse(assemble(files), lambda model, tensors: {})
    return time.perf_counter() - began


def measure() -> list[Row]:
    """Medians over rounds of a fresh node each."""
    rows: list[Row] = []
    folder = Path(tempfile.mkdtemp(prefix="hilum-bench-"))
    try:
        for slices in _SLICES:
            rounds = []
            floors = []
            for number in range(_ROUNDS):
                files = _series(folder / f"in-{slices}-{number}", slices, number)
                rounds.append(_round(files, folder / f"node-{slices}-{number}"))
                floors.append(_direct(files))
                shutil.rmtree(folder / f"in-{slices}-{number}")
            floor = float(np.median(floors))
            for stage in rounds[0]:
                value = float(np.median([one[stage] for one in rounds]))
                baseline = floor if stage == "total" else None
                rows.append(Row(name=f"overhead {slices} slices: {stage}", value=value, unit="s", baseline=baseline))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows
