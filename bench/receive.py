"""Receiving: instances a second and CPU a instance of the whole node against DCMTK's storescp, which flushes nothing, from the same sender.

The rate counts from the sender's request for an association to its release (the last one's, where several send at once), as its own
log has it, so that neither side is charged for the sender's start.
"""

import contextlib
import os
import re
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
from bench.running import CALLED, CALLING, Running, configuration, receive_alone, serve
from tests.lab.loopback import free_port, loopback_only

INSTANCES = 400
ROUNDS = 5
ASSOCIATIONS = (1, 4)
GOAL = 0.7
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
        if sender.returncode != 0 or not re.search(r"with status SUCCESS *: *%d\b" % (len(files[::associations])), text):
            raise RuntimeError(f"dcmsend ended with {sender.returncode}: {text[-1000:]}")
    began = min(_moment(text, "Requesting Association") for text in said)
    return max(_moment(text, "Releasing Association") for text in said) - began


def _moment(text: str, what: str) -> float:
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

        def cpu_s() -> float:
            times = psutil.Process(process.pid).cpu_times()
            children = psutil.Process(process.pid).children()
            alive = sum(sum(child.cpu_times()[:2]) for child in children)
            return float(times.user + times.system + times.children_user + times.children_system + alive)

        yield Receiver(port=port, cpu_s=cpu_s)
    finally:
        process.kill()
        process.wait()


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
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place, loopback_only():
        folder = Path(place)
        files = series(folder / "in", INSTANCES)
        rows: list[Row] = []
        for associations in ASSOCIATIONS:
            rows += _compared(files, associations, folder)
        return rows


def _compared(files: Sequence[Path], associations: int, folder: Path) -> list[Row]:
    kinds: dict[str, Callable[[Path], contextlib.AbstractContextManager[Receiver]]] = {
        "storescp": storescp,
        "node": node,
        "receive process alone": lambda place: node(place, alone=True),
    }
    taken: dict[str, list[Taken]] = {kind: [] for kind in kinds}
    for number in range(ROUNDS):
        say(f"{associations} association(s), round {number + 1} of {ROUNDS}")
        for kind, start in kinds.items():
            with tempfile.TemporaryDirectory(dir=folder) as place, start(Path(place)) as receiver:
                taken[kind].append(_round(receiver, files, associations, folder))
    rate = {kind: median(INSTANCES / one.wire_s for one in rounds) for kind, rounds in taken.items()}
    cpu_ms = {kind: median(one.cpu_s * 1000 / INSTANCES for one in rounds) for kind, rounds in taken.items()}
    on = f"{associations} association{'s' if associations > 1 else ''}"
    of_storescp = f"later: at least {GOAL} of storescp"
    return [
        Row(
            name=f"receive, {on}: node (flush each, index running)",
            value=rate["node"],
            unit="instances/s",
            baseline=rate["storescp"],
            goal=of_storescp,
            met=rate["node"] >= GOAL * rate["storescp"],
        ),
        Row(name=f"receive, {on}: without the index", value=rate["receive process alone"], unit="instances/s", baseline=rate["storescp"]),
        Row(name=f"receive, {on}: CPU of the receiver", value=cpu_ms["node"], unit="ms/instance", baseline=cpu_ms["storescp"]),
        Row(
            name=f"receive, {on}: CPU of the receiver, without the index",
            value=cpu_ms["receive process alone"],
            unit="ms/instance",
            baseline=cpu_ms["storescp"],
        ),
    ]
