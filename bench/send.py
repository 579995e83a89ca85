"""Sending: instances a second of the node's requestor against DCMTK's dcmsend, to the same storescp."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.made import series
from bench.receive import dcmtk, send, storescp
from bench.rows import Row, say
from bench.running import CALLED, CALLING
from node.settings.config import Peer
from tests.lab.loopback import loopback_only

INSTANCES = 400
ROUNDS = 5


def requestor(files: Sequence[Path], port: int) -> float:
    """Seconds that the node's own requestor takes, association and reading of the headers included."""
    from node.dimse.requestor import PeerRequestor

    peer = Peer(name="archive", ae_title=CALLED, host="127.0.0.1", port=port)
    began = time.perf_counter()
    statuses = PeerRequestor(peer, calling_ae=CALLING).store([str(path) for path in files])
    took_s = time.perf_counter() - began
    if not all(status.accepted for status in statuses):
        raise RuntimeError(f"storescp refused: {statuses[0]}")
    return took_s


def measure() -> list[Row]:
    """Medians; the senders take turns."""
    if dcmtk("storescp") is None or dcmtk("dcmsend") is None:
        say("SKIPPED: dcmsend or storescp not found (Debian package dcmtk)")
        return []
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place, loopback_only():
        files = series(Path(place) / "in", INSTANCES)
        with storescp(Path(place) / "out") as receiver:
            for _ in range(ROUNDS):
                theirs.append(INSTANCES / send(files, receiver.port, 1, Path(place) / "log.cfg"))
                ours.append(INSTANCES / requestor(files, receiver.port))
    return [Row(name="send, 1 association, against dcmsend", value=median(ours), unit="instances/s", baseline=median(theirs))]
