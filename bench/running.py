"""A real node for the benchmarks: `hilum serve` on loopback with a store of its own, and the CPU time of each of its processes."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from bench.made import SIDE
from node.settings.store import Durability

READY_S = 60.0
_LOOK_S = 1.0
_IDLE = 0.05
"""Of one core: what a node that nobody uses takes for its sweeps and signs of life."""
CALLING, CALLED, ARCHIVE = "BENCHSCU", "HILUM", "ARCHIVE"
SLICE_BYTES = SIDE * SIDE * 2

_CONFIG = """\
node: {{ae_title: HILUM, listen: "127.0.0.1:0", max_associations: 80{node}}}
peers:
  modality:
    {{ae_title: BENCHSCU, address: "127.0.0.1:104", may: [store, echo], limits: {{associations: 80}},
      settle: {{scope: study, quiet: {quiet_s}s}}}}
  archive: {{ae_title: ARCHIVE, address: "127.0.0.1:{archive_port}", may: [store, echo]}}
store: {{journal: "sqlite:hilum.db", blobs: "file:blobs", min_free: 100MB, durability: {durability}}}
models: {{repository: models, applications: ["{applications}"]}}
sinks: {{archive: {{kind: dimse, peer: archive}}}}
routes: [{{name: bench, from: [modality], run: [bench-threshold], send: [archive]}}]
"""


def configuration(
    folder: Path,
    *,
    quiet_s: float,
    archive_port: int = 104,
    durability: Durability = Durability.EACH,
    node: Mapping[str, object] = MappingProxyType({}),
) -> Path:
    """Write a configuration whose one route runs the threshold application on whatever comes from the sender; `node` is what `node:` has
    besides."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    path = folder / "hilum.yaml"
    applications = Path(__file__).with_name("applications")
    more = "".join(f", {key}: {json.dumps(value)}" for key, value in node.items())  # JSON is YAML
    text = _CONFIG.format(quiet_s=quiet_s, archive_port=archive_port, applications=applications, durability=durability, node=more)
    path.write_text(text, encoding="utf-8")
    return path


class Running:
    """A node, or one of its processes alone, that accepts associations on `port`, and with TLS, where that is configured, on `tls_port`."""

    def __init__(self, process: "subprocess.Popen[str]", ready: Mapping[str, Any], events: Path) -> None:
        self.port = int(ready["port"])
        self.tls_port = int(ready.get("tls_port", 0))
        self.metrics_port = int(ready.get("metrics_port", 0))
        self.events = events
        self._process = psutil.Process(process.pid)

    def cpu_s(self, stage: str) -> float:
        """CPU seconds that the processes of a stage ("receive", "flow", "work") have used so far."""
        found = [process.cpu_times() for process in (self._process, *self._process.children()) if stage in process.cmdline()]
        if not found:
            raise LookupError(f"no process runs {stage}")
        return float(sum(times.user + times.system for times in found))

    def console_port(self) -> int:
        """Where the console listens, once it does."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            for process in self._process.children():
                with contextlib.suppress(psutil.Error):  # one that has just ended
                    found = [one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
                    if "console" in process.cmdline() and found:
                        return int(found[0])
            time.sleep(_LOOK_S)
        raise RuntimeError("the console does not listen")

    def settle(self) -> None:
        """Return when the node does nothing: a worker loads its libraries for seconds after the node is ready.

        Raises
        ------
        RuntimeError
            It is never idle.
        """
        deadline = time.monotonic() + READY_S
        while True:
            before = self.family_cpu_s()
            time.sleep(_LOOK_S)
            if self.family_cpu_s() - before <= _IDLE * _LOOK_S:
                return
            if time.monotonic() > deadline:
                raise RuntimeError("the node does not come to rest")

    def family_cpu_s(self) -> float:
        """CPU seconds that every process of the node has used so far; those that have ended are not counted."""
        all_times = [process.cpu_times() for process in (self._process, *self._process.children())]
        return float(sum(times.user + times.system for times in all_times))


@contextlib.contextmanager
def serve(config: Path) -> Iterator[Running]:
    """The whole node: receive, flow and work."""
    with _running([sys.executable, "-m", "node.cli.main", "serve", "--config", str(config)], config.parent) as running:
        yield running


@contextlib.contextmanager
def receive_alone(config: Path) -> Iterator[Running]:
    """The receive process without the others: nobody indexes what it keeps."""
    with _running([sys.executable, "-m", "node.assembly.process", str(config), "receive"], config.parent) as running:
        yield running


@contextlib.contextmanager
def _running(command: list[str], folder: Path) -> Iterator[Running]:
    events = folder / "events.log"
    with events.open("a") as said:
        # stdin stays open: a process whose parent's end of it closes drains and ends
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the node did not start: {events.read_text()[-2000:]}")
            yield Running(process, json.loads(line), events)
        finally:
            process.terminate()
            process.communicate(timeout=READY_S)
