"""Receiving: instances a second, and CPU an instance, of the whole node against DCMTK's storescp and plain pynetdicom, from one sender.

storescp and pynetdicom flush nothing. The node is measured with either `durability`: with `each`, which promises a rate of bytes that are
durable before their answer, in MB/s. The receivers take turns in every round, so that a noisy minute hits all of them; each is started
anew, and rests. The rate counts from the sender's request for an association to its release (the last one's, where several send at once),
as its own log has it, so that neither side is charged for the sender's start.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import journal
from bench.made import series
from bench.receivers import Receiver, dcmtk, node, pynetdicom, send, storescp
from bench.rows import Row, say
from bench.running import CALLED, CALLING
from node.settings.store import Durability
from tests.lab.loopback import loopback_only

INSTANCES = 400
ROUNDS = 5
ASSOCIATIONS = (1, 4)
_WITH_NAGLE = 40  # of the instances: storescp takes 40 ms and more for each
_IDLE = 50
_PROMISED_MB_S = 300.0
"""Durable, with `each`: more than two links of 1 Gbit/s carry (ADR-0029)."""
_OVER_STORESCP = 1.0
_OVER_PYNETDICOM = 4.0
_OVER_NAGLE = 10.0
_CPU = 1.3
_KEPT = 0.9
"""Of itself: what counts as not falling, on a machine whose rates vary by as much from round to round."""

Kind = Callable[[Path], contextlib.AbstractContextManager[Receiver]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the rounds of one receiver came to: instances a second, milliseconds of its CPU an instance."""

    rate: float
    cpu_ms: float


def _kinds(receivers: int = 1) -> dict[str, Kind]:
    return {one.value: lambda folder, one=one: node(folder, durability=one, receivers=receivers) for one in Durability}  # type: ignore[misc]


def measure() -> list[Row]:
    """Every row; without DCMTK nothing is measured, and that is said."""
    absent = [name for name in ("dcmsend", "storescp", "echoscu") if dcmtk(name) is None]
    if absent:
        say(f"SKIPPED: {', '.join(absent)} not found (Debian package dcmtk)")
        return []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place, loopback_only():
        folder = Path(place)
        files = series(folder / "in", INSTANCES)
        for associations in ASSOCIATIONS:
            rows += _against_others(files, associations, folder)
        rows += _with_nagle(files[:_WITH_NAGLE], folder)
        rows += _beside_a_busy_core(files, folder)
        rows += _beside_idle_associations(files, folder)
        rows += _with_a_long_history(files, folder)
    return rows


# ---- against others
def _against_others(files: Sequence[Path], associations: int, folder: Path) -> list[Row]:
    on = f"receive, {associations} association{'s' if associations > 1 else ''}"
    # as storescp has a process for each association: those that share an interpreter wait for one another
    kinds = {"storescp": storescp, "pynetdicom": pynetdicom, **_kinds(receivers=associations)}
    taken = _turns(on, kinds, files, folder, associations=associations)
    megabytes = sum(file.stat().st_size for file in files) / len(files) / 1e6
    each, theirs = (taken[kind].rate * megabytes for kind in (Durability.EACH.value, "storescp"))
    rows = [
        Row(
            name=f"{on}: each, durable, against storescp, which flushes nothing",
            value=each,
            unit="MB/s",
            baseline=theirs,
            goal=f"at least {_PROMISED_MB_S:.0f} MB/s",
            met=each >= _PROMISED_MB_S,
        ),
        _row(f"{on}: association, against storescp", taken["association"].rate, taken["storescp"].rate, at_least=_OVER_STORESCP),
    ]
    for durability in Durability:
        mine = taken[durability.value]
        rows += [
            _row(f"{on}: {durability}, against pynetdicom", mine.rate, taken["pynetdicom"].rate, at_least=_OVER_PYNETDICOM),
            _row(f"{on}: {durability}, receiver's CPU against storescp's", mine.cpu_ms, taken["storescp"].cpu_ms, at_most=_CPU),
        ]
    return rows


def _with_nagle(files: Sequence[Path], folder: Path) -> list[Row]:
    """A sender that keeps Nagle's algorithm on, to the node and to storescp as it is shipped."""
    kinds: dict[str, Kind] = {"storescp": lambda place: storescp(place, nodelay=False), **_kinds()}
    taken = _turns("receive, sender with Nagle", kinds, files, folder, nodelay=False)
    return [
        _row(
            f"receive, sender with Nagle: {one}, against storescp as shipped",
            taken[one.value].rate,
            taken["storescp"].rate,
            at_least=_OVER_NAGLE,
        )
        for one in Durability
    ]


# ---- against itself
def _beside_a_busy_core(files: Sequence[Path], folder: Path) -> list[Row]:
    """What share of its rate a receiver keeps while another program computes without a pause on one core, as inference does."""
    kinds: dict[str, Kind] = {"storescp": storescp, **_kinds()}
    on = "receive, one core busy"
    alone: dict[str, list[Taken]] = {kind: [] for kind in kinds}
    beside: dict[str, list[Taken]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        for number in range(ROUNDS):
            say(f"{on}, round {number + 1} of {ROUNDS}")
            for kind, start in kinds.items():
                with start(Path(tempfile.mkdtemp(dir=kept))) as receiver:
                    alone[kind].append(_once(receiver, files, folder))
                with start(Path(tempfile.mkdtemp(dir=kept))) as receiver, _computing():
                    beside[kind].append(_once(receiver, files, folder))
    share = {kind: _median(beside[kind]).rate / _median(alone[kind]).rate for kind in kinds}
    return [
        _row(f"{on}: share kept, {one}, against storescp's", share[one.value], share["storescp"], unit="of itself", at_least=1.0)
        for one in Durability
    ]


def _beside_idle_associations(files: Sequence[Path], folder: Path) -> list[Row]:
    on = f"receive, {_IDLE} idle associations"
    without: list[Taken] = []
    beside: list[Taken] = []
    for number in range(ROUNDS):
        say(f"{on}, round {number + 1} of {ROUNDS}")
        for idle, rounds in ((0, without), (_IDLE, beside)):
            with (
                node(Path(tempfile.mkdtemp(dir=folder)), durability=Durability.ASSOCIATION) as receiver,
                _idle(receiver.port, idle),
            ):
                rounds.append(_once(receiver, files, folder))
    return [_row(f"{on}: association, against itself without", _median(beside).rate, _median(without).rate, at_least=_KEPT)]


def _with_a_long_history(files: Sequence[Path], folder: Path) -> list[Row]:
    """The journal holds a million instances before the first one comes."""
    say(f"a journal of {journal.INSTANCES} instances is made")
    filled = folder / "filled"
    filled.mkdir()
    journal.fill(f"sqlite:{filled / 'hilum.db'}")

    def with_history(place: Path) -> None:
        for part in filled.iterdir():
            (place / part.name).write_bytes(part.read_bytes())

    def start(place: Path) -> contextlib.AbstractContextManager[Receiver]:
        return node(place, durability=Durability.EACH, prepare=with_history)

    taken = _turns("receive, long history", {"long": start, "empty": _kinds()[Durability.EACH]}, files, folder)
    name = f"receive, journal of {journal.INSTANCES} instances: each, against itself with an empty one"
    return [_row(name, taken["long"].rate, taken["empty"].rate, at_least=_KEPT)]


# ---- rounds
def _turns(
    on: str, kinds: dict[str, Kind], files: Sequence[Path], folder: Path, *, associations: int = 1, nodelay: bool = True
) -> dict[str, Taken]:
    """Medians of rounds in which the receivers take turns, each started anew; what they kept is deleted when all are done."""
    taken: dict[str, list[Taken]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        for number in range(ROUNDS):
            say(f"{on}, round {number + 1} of {ROUNDS}")
            for kind, start in kinds.items():
                with start(Path(tempfile.mkdtemp(dir=kept))) as receiver:
                    taken[kind].append(_once(receiver, files, folder, associations=associations, nodelay=nodelay))
    return {kind: _median(rounds) for kind, rounds in taken.items()}


def _once(receiver: Receiver, files: Sequence[Path], folder: Path, *, associations: int = 1, nodelay: bool = True) -> Taken:
    os.sync()  # what came before is not this round's to write
    before = receiver.cpu_s()
    wire_s = send(files, receiver.port, associations, folder / "log.cfg", nodelay=nodelay)
    count = len(files)
    return Taken(rate=count / wire_s, cpu_ms=(receiver.cpu_s() - before) * 1000 / count)


def _median(rounds: Sequence[Taken]) -> Taken:
    return Taken(rate=median(one.rate for one in rounds), cpu_ms=median(one.cpu_ms for one in rounds))


def _row(name: str, value: float, baseline: float, *, unit: str = "", at_least: float | None = None, at_most: float | None = None) -> Row:
    if at_most is not None:
        return Row(
            name=name,
            value=value,
            unit=unit or "ms/instance",
            baseline=baseline,
            goal=f"at most {at_most}",
            met=value <= at_most * baseline,
        )
    assert at_least is not None, "every row has a goal"
    met = value >= at_least * baseline
    return Row(name=name, value=value, unit=unit or "instances/s", baseline=baseline, goal=f"at least {at_least}", met=met)


@contextlib.contextmanager
def _computing() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _idle(port: int, associations: int) -> Iterator[None]:
    """So many associations that stand and say nothing."""
    from pynetdicom.pdu import A_ASSOCIATE_RQ  # heavy, and only here
    from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
    from pynetdicom.presentation import build_context
    from pynetdicom.sop_class import Verification

    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = CALLING, CALLED
    longest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received = 16382
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [longest, implementation]
    context = build_context(Verification)
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(primitive)
    with contextlib.ExitStack() as stack:
        for _ in range(associations):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            connection.sendall(request.encode())
            if connection.recv(1) != b"\x02":
                raise RuntimeError("an idle association was not accepted")
        yield
