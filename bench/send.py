"""Sending: instances a second of the node's requestor against DCMTK's dcmsend, to the same storescp and to the same Orthanc.

Ours counts from the call to its return: reading what the files hold, association and release are in it. dcmsend's counts from its request
for an association to its release, as its own log has it: start and reading of the files are not.
"""

import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.made import series
from bench.receivers import dcmtk, send, storescp
from bench.rows import Row, say
from bench.running import CALLED, CALLING
from node.settings.peers import Peer
from tests.lab.loopback import loopback_only
from tests.lab.orthanc import Orthanc

INSTANCES = 400
FEW = 100  # with Nagle's algorithm on, dcmsend and storescp manage about twenty a second
ROUNDS = 5
GOAL = 0.8
_ORTHANC = Path("/usr/sbin/Orthanc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Wall-clock and CPU seconds of this process."""

    wall_s: float
    cpu_s: float


def requestor(files: Sequence[Path], port: int) -> Took:
    """What the node's own requestor takes, association and reading of the headers included."""
    from node.dimse.requestor.peer import PeerRequestor

    peer = Peer(name="archive", ae_title=CALLED, host="127.0.0.1", port=port)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    statuses = PeerRequestor(peer, calling_ae=CALLING).store([str(path) for path in files])
    took_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    if not all(status.accepted for status in statuses):
        raise RuntimeError(f"not everything was accepted: {statuses[0]}")
    return Took(wall_s=took_s, cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure() -> list[Row]:
    """Medians; the senders take turns."""
    if dcmtk("storescp") is None or dcmtk("dcmsend") is None:
        say("SKIPPED: dcmsend or storescp not found (Debian package dcmtk)")
        return []
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place, loopback_only():
        files = series(Path(place) / "in", INSTANCES)
        with storescp(Path(place) / "out") as receiver:
            rows = _compared(files, receiver.port, "storescp", Path(place), forget=lambda: None)
        with storescp(Path(place) / "out", nodelay=False) as receiver:
            rows += _compared(files[:FEW], receiver.port, "storescp as shipped", Path(place), forget=lambda: None, nodelay=False)
        if not _ORTHANC.exists():
            say("SKIPPED: Orthanc not found (Debian package orthanc)")
            return rows
        anybody: dict[str, object] = {"DicomAlwaysAllowStore": True, "MaximumPduLength": 131072}
        with Orthanc(Path(place) / "orthanc", node_port=1, aet=CALLED, options=anybody) as archive:

            def forget() -> None:
                # what it has already it does not write again
                for study in archive.get("/studies"):
                    archive.call("DELETE", f"/studies/{study}")

            rows += _compared(files, archive.dicom_port, "Orthanc", Path(place), forget=forget)
    return rows


def _compared(
    files: Sequence[Path], port: int, peer: str, folder: Path, *, forget: Callable[[], object], nodelay: bool = True
) -> list[Row]:
    ours: list[float] = []
    theirs: list[float] = []
    cpu_ms: list[float] = []
    requestor(files[:20], port)  # imports, and the peer's first instance
    for number in range(ROUNDS):
        say(f"to {peer}, round {number + 1} of {ROUNDS}")
        forget()
        theirs.append(len(files) / send(files, port, 1, folder / "log.cfg", nodelay=nodelay))
        forget()
        took = requestor(files, port)
        ours.append(len(files) / took.wall_s)
        cpu_ms.append(took.cpu_s * 1000 / len(files))
    return [
        Row(
            name=f"send, 1 association, to {peer}, against dcmsend",
            value=median(ours),
            unit="instances/s",
            baseline=median(theirs),
            goal=f"at least {GOAL} of dcmsend",
            met=median(ours) >= GOAL * median(theirs),
        ),
        Row(name=f"send, 1 association, to {peer}: CPU", value=median(cpu_ms), unit="ms/instance"),
    ]
