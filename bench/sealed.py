"""Receiving with encryption at rest against receiving without it: instances a second, and CPU an instance, of the whole node.

The two take turns in every round, with either `durability`, from DCMTK's sender; what lies on the disk afterwards is what it should be.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.made import series
from bench.receivers import dcmtk, node, send
from bench.rows import Row, say
from node.blobs.encryption.encrypted_file import MAGIC
from node.settings.store import Durability
from tests.lab.loopback import loopback_only

INSTANCES = 400
ROUNDS = 3


def measure() -> list[Row]:
    """Every row; without DCMTK nothing is measured, and that is said."""
    if dcmtk("dcmsend") is None or dcmtk("echoscu") is None:
        say("SKIPPED: dcmsend or echoscu not found (Debian package dcmtk)")
        return []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place, loopback_only():
        files = series(Path(place) / "in", INSTANCES)
        for durability in Durability:
            rows += _with_and_without(files, durability, Path(place))
    return rows


def _with_and_without(files: list[Path], durability: Durability, folder: Path) -> list[Row]:
    kinds: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        for number in range(ROUNDS):
            say(f"receive, {durability}, round {number + 1} of {ROUNDS}")
            for encrypted, taken in kinds.items():
                taken.append(_once(files, durability, Path(tempfile.mkdtemp(dir=kept)), encrypted=encrypted))
    rate, cpu_ms = ({kind: median(one[at] for one in taken) for kind, taken in kinds.items()} for at in (0, 1))
    name = f"receive, encrypted at rest: {durability}"
    return [
        Row(name=f"{name}, against the same in the clear", value=rate[True], unit="instances/s", baseline=rate[False]),
        Row(name=f"{name}, receiver's CPU against the same in the clear", value=cpu_ms[True], unit="ms/instance", baseline=cpu_ms[False]),
    ]


def _once(files: list[Path], durability: Durability, place: Path, *, encrypted: bool) -> tuple[float, float]:
    """Instances a second, and milliseconds of the receiver's CPU an instance."""
    prepare: Callable[[Path], None] = _encrypt if encrypted else _leave
    with node(place, durability=durability, prepare=prepare) as receiver:
        os.sync()  # what came before is not this round's to write
        before = receiver.cpu_s()
        wire_s = send(files, receiver.port, 1, place / "log.cfg")
        cpu_ms = (receiver.cpu_s() - before) * 1000 / len(files)
    kept = [path for path in (place / "blobs").rglob("*.dcm") if path.read_bytes()[: len(MAGIC)] == MAGIC]
    if len(kept) != (len(files) if encrypted else 0):
        raise RuntimeError(f"{len(kept)} of {len(files)} instances are encrypted")
    return len(files) / wire_s, cpu_ms


def _leave(_: Path) -> None:
    """In the clear: as the configuration comes."""


def _encrypt(place: Path) -> None:
    key, config = place / "at-rest.key", place / "hilum.yaml"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    text = config.read_text(encoding="utf-8").replace("store: {", "store: {encryption: {key_file: at-rest.key, memory: 64MiB}, ", 1)
    config.write_text(text, encoding="utf-8")
