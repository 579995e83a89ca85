"""What receives in the benchmarks, the node and others, and DCMTK's sender before them."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.running import CALLED, CALLING, configuration, serve
from node.settings.store import Durability
from tests.lab.loopback import free_port

_NEVER_S = 600  # no study settles while it is measured
_START_S = 30.0
_ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
_LOG = """\
log4cplus.rootLogger = INFO, out
log4cplus.appender.out = log4cplus::ConsoleAppender
log4cplus.appender.out.layout = log4cplus::PatternLayout
log4cplus.appender.out.layout.ConversionPattern = %D{%s.%q} %m%n
"""
# the plainest receiver that one writes with pynetdicom
_PYNETDICOM = """
import sys
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification
folder = sys.argv[2]
def stored(event):
    dataset = event.dataset
    dataset.file_meta = event.file_meta
    dataset.save_as(f"{folder}/{dataset.SOPInstanceUID}.dcm", enforce_file_format=True)
    return 0x0000
ae = AE(sys.argv[3])
ae.maximum_pdu_size = 131072
ae.supported_contexts = AllStoragePresentationContexts
ae.add_supported_context(Verification)
ae.start_server(("127.0.0.1", int(sys.argv[1])), evt_handlers=[(evt.EVT_C_STORE, stored)])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Something that listens, and how to ask it for the CPU seconds that it has used."""

    port: int
    cpu_s: Callable[[], float]


def environment(*, nodelay: bool) -> dict[str, str]:
    """DCMTK leaves Nagle's algorithm on unless this is in the environment; each side minds its own."""
    return {**_ENVIRONMENT, "TCP_NODELAY": "1"} if nodelay else _ENVIRONMENT


def dcmtk(name: str) -> str | None:
    """A DCMTK program; pynetdicom installs scripts of the same names into virtual environments, which are not meant."""
    path = Path("/usr/bin") / name
    return str(path) if path.exists() else None


def send(files: Sequence[Path], port: int, associations: int, log: Path, *, nodelay: bool = True) -> float:
    """Send with dcmsend, over so many associations at once; seconds from the first request to the last release.

    Raises
    ------
    RuntimeError
        Not everything was accepted.
    """
    log.write_text(_LOG, encoding="ascii")
    command = [str(dcmtk("dcmsend")), "--log-config", str(log), "--max-pdu", "131072", "-aet", CALLING, "-aec", CALLED]
    senders = [
        subprocess.Popen(
            [*command, "127.0.0.1", str(port), *(str(file) for file in files[number::associations])],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(nodelay=nodelay),
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
def storescp(folder: Path, *, nodelay: bool = True) -> Iterator[Receiver]:
    """DCMTK's receiver, which flushes nothing; it forks, so that it takes several associations at once."""
    port = free_port()
    command = [str(dcmtk("storescp")), "--fork", "--max-pdu", "131072", "-aet", CALLED, "-od", str(folder), str(port)]
    with _listening(command, folder, port, environment(nodelay=nodelay)) as receiver:
        yield receiver


@contextlib.contextmanager
def pynetdicom(folder: Path) -> Iterator[Receiver]:
    """pynetdicom as its documentation shows it: `event.dataset.save_as`."""
    port = free_port()
    command = [sys.executable, "-c", _PYNETDICOM, str(port), str(folder), CALLED]
    with _listening(command, folder, port, dict(os.environ)) as receiver:
        yield receiver


@contextlib.contextmanager
def node(
    folder: Path, *, durability: Durability, receivers: int = 1, prepare: Callable[[Path], None] = lambda _: None
) -> Iterator[Receiver]:
    """The whole node, its index running, with so many receive processes; `prepare` is given its folder before it starts."""
    config = configuration(folder, quiet_s=_NEVER_S, durability=durability, node={"receivers": receivers})
    prepare(folder)
    with serve(config) as running:
        running.settle()
        yield Receiver(port=running.port, cpu_s=lambda: running.cpu_s("receive"))


@contextlib.contextmanager
def _listening(command: list[str], folder: Path, port: int, given: dict[str, str]) -> Iterator[Receiver]:
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=given)
    echo = [str(dcmtk("echoscu")), "127.0.0.1", str(port)]
    try:
        deadline = time.monotonic() + _START_S
        while subprocess.run(echo, capture_output=True, env=environment(nodelay=True), check=False).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer")
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
