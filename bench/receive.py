"""Receiving: instances a second and CPU an instance of the whole node against DCMTK's storescp, which flushes nothing, from one sender.

Once with the stores on disk, where the flush of every instance counts, and once in memory, where a flush costs nothing and what remains
is the work of the receivers.

The rate counts from the sender's request for an association to its release (the last one's, where several send at once), as its own
log has it, so that neither side is charged for the sender's start.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from bench.made import series
from bench.rows import Row, say
from bench.running import CALLED, CALLING, configuration, receive_alone, serve
from bench.spool import file_fdatasync
from tests.lab.loopback import free_port, loopback_only

INSTANCES = 400
ROUNDS = 3
ASSOCIATIONS = (1, 4)
GOAL = 0.7
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 2 << 30
_NEVER_S = 600  # no study settles while it is measured
_START_S = 10.0
# DCMTK leaves Nagle's algorithm on unless this is in the environment of both sides
_ENVIRONMENT = {"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin"}
_LOG = """\
log4cplus.rootLogger = INFO, out
log4cplus.appender.out = log4cplus::ConsoleAppender
log4cplus.appender.out.layout = log4cplus::PatternLayout
log4cplus.appender.out.layout.ConversionPattern = %D{%s.%q} %m%n
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one round took: seconds on the wire, CPU seconds of the receiver."""

    wire_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Something that listens, how to ask it for the CPU seconds that it has used, and a word before each round."""

    port: int
    cpu_s: Callable[[], float]


def dcmtk(name: str) -> str | None:
    """A DCMTK program; pynetdicom installs scripts of the same names into virtual environments, which are not meant."""
    path = Path("/usr/bin") / name
    return str(path) if path.exists() else None


def send(files: Sequence[Path], port: int, associations: int, log: Path) -> float:
    """Send with dcmsend, over so many associations at once; seconds from the first request to the last release.

    Raises
    ------
    RuntimeError
        Not everything was accepted.
    """
    log.write_text(_LOG, encoding="ascii")
    command = [
        str(dcmtk("dcmsend")),
        "--log-config",
        str(log),
        "--max-pdu",
        "131072",
        "-aet",
        CALLING,
        "-aec",
        CALLED,
        "127.0.0.1",
        str(port),
    ]
    senders = [
        subprocess.Popen(
            [*command, *(str(file) for file in files[number::associations])],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_ENVIRONMENT,
        )
        for number in range(associations)
    ]
    said = [sender.communicate()[0] for sender in senders]
    for sender, text in zip(senders, said, strict=True):
        if sender.returncode != 0 or not re.search(rf"with status SUCCESS *: *{len(files[::associations])}\b", text):
            raise RuntimeError(f"dcmsend ended with {sender.returncode}: {text[-1000:]}")
    began = min(moment(text, "Requesting Association") for text in said)
    return max(moment(text, "Releasing Association") for text in said) - began


def moment(text: str, what: str) -> float:
    """When the sender's log last says `what`, in seconds."""
    found = re.findall(rf"^(\d+\.\d+) .*{what}", text, re.MULTILINE)
    if not found:
        raise RuntimeError(f"dcmsend does not say when it was {what}: {text[-1000:]}")
    return float(found[-1])


@contextlib.contextmanager
def storescp(folder: Path) -> Iterator[Receiver]:
    """DCMTK's receiver; it forks, so that it takes several associations at once."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [str(dcmtk("storescp")), "--fork", "--max-pdu", "131072", "-aet", CALLED, "-od", str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_ENVIRONMENT)
    try:
        deadline = time.monotonic() + _START_S
        while subprocess.run(
            [str(dcmtk("echoscu")), "127.0.0.1", str(port)], capture_output=True, env=_ENVIRONMENT, check=False
        ).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError("storescp does not answer")

        yield Receiver(port=port, cpu_s=lambda: _of_family(psutil.Process(process.pid)))
    finally:
        process.kill()
        process.wait()


def _of_family(parent: psutil.Process) -> float:
    """CPU seconds of a process that forks: its own, of children that it has waited for, and of those that it has not."""
    while True:
        try:
            children = sum(sum(child.cpu_times()[:2]) for child in parent.children())
            return float(sum(parent.cpu_times()[:4]) + children)
        except psutil.NoSuchProcess:
            if not parent.is_running():
                raise
            # a child was waited for between the two looks: look again


@contextlib.contextmanager
def node(folder: Path, *, alone: bool = False) -> Iterator[Receiver]:
    """The whole node, or its receive process alone."""
    config = configuration(folder, quiet_s=_NEVER_S)
    with (receive_alone if alone else serve)(config) as running:
        yield Receiver(port=running.port, cpu_s=lambda: running.cpu_s("receive"))


def _round(receiver: Receiver, files: Sequence[Path], associations: int, folder: Path) -> Taken:
    os.sync()  # what came before is not this round's to write
    before = receiver.cpu_s()
    wire_s = send(files, receiver.port, associations, folder / "log.cfg")
    return Taken(wire_s=wire_s, cpu_s=receiver.cpu_s() - before)


def measure() -> list[Row]:
    """Medians of rounds in which the receivers take turns; without DCMTK nothing is measured, and that is said."""
    absent = [name for name in ("dcmsend", "storescp", "echoscu") if dcmtk(name) is None]
    if absent:
        say(f"SKIPPED: {', '.join(absent)} not found (Debian package dcmtk)")
        return []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as disk, loopback_only():
        files = series(Path(disk) / "in", INSTANCES)
        for associations in ASSOCIATIONS:
            rows += _compared(files, associations, Path(disk), "on disk")
        if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _MEMORY_BYTES:
            say(f"SKIPPED: no room in {_MEMORY} for a store that flushes to nowhere")
            return rows
        with tempfile.TemporaryDirectory(prefix="hilum-bench-", dir=_MEMORY) as memory:
            for associations in ASSOCIATIONS:
                rows += _compared(files, associations, Path(memory), "in memory")
    return rows


def _compared(files: Sequence[Path], associations: int, folder: Path, where: str) -> list[Row]:
    kinds: dict[str, Callable[[Path], contextlib.AbstractContextManager[Receiver]]] = {
        "storescp": storescp,
        "node": node,
        "alone": lambda place: node(place, alone=True),
    }
    taken: dict[str, list[Taken]] = {kind: [] for kind in kinds}
    flushed: list[float] = []
    on = f"{associations} association{'s' if associations > 1 else ''} {where}"
    for number in range(ROUNDS):
        say(f"{on}, round {number + 1} of {ROUNDS}")
        for kind, start in kinds.items():
            with tempfile.TemporaryDirectory(dir=folder) as place, start(Path(place)) as receiver:
                taken[kind].append(_round(receiver, files, associations, folder))
        flushed.append(INSTANCES / _flush_each(files, folder))
    rate = {kind: median(INSTANCES / one.wire_s for one in rounds) for kind, rounds in taken.items()}
    cpu_ms = {kind: median(one.cpu_s * 1000 / INSTANCES for one in rounds) for kind, rounds in taken.items()}
    reached = rate["node"] >= GOAL * rate["storescp"]
    floor = median(flushed)
    rows = [
        Row(
            name=f"receive, {on}: node, against storescp",
            value=rate["node"],
            unit="instances/s",
            baseline=rate["storescp"],
            goal=f"at least {GOAL} of storescp (a later goal)",
            met=reached,
        ),
        Row(name=f"receive, {on}: node, against itself without the index", value=rate["node"], unit="instances/s", baseline=rate["alone"]),
        Row(name=f"receive, {on}: receiver's CPU", value=cpu_ms["node"], unit="ms/instance", baseline=cpu_ms["storescp"]),
    ]
    if where == "on disk" and associations == 1:
        rows.append(Row(name=f"receive, {on}: node, against files flushed", value=rate["node"], unit="instances/s", baseline=floor))
    return rows


def _flush_each(files: Sequence[Path], folder: Path) -> float:
    """Seconds to write as many files of this size, each flushed before the next: what the disk alone asks for at this moment."""
    data = files[0].read_bytes()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        os.sync()
        began = time.perf_counter()
        file_fdatasync(Path(place), data, len(files))
        return time.perf_counter() - began
