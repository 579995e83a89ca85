"""Hostile peers: how long an honest sender waits for its answer while others stall, send half a request, connect and close, or say
nothing to TLS.

The sender comes again and again, each time with a new association, without TLS and with it in turn, and sends C-ECHO or one CT slice of
512 KiB. Counted from before it connects until it has the answer. The node flushes each instance before it answers, and indexes it. First
there are no hostile peers, then one kind after the other, on the same node; they are strangers, who are admitted here, and come from
another address, unless it is said that they share the sender's.
"""

import contextlib
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

from bench.hostile_peers_process import CONNECTS, HALF_OPEN, STALLED, HostilePeer
from bench.rows import Row, say
from bench.running import CALLING, Running, configuration, serve
from tests.lab.certificates import Authority, Identity
from tests.lab.loopback import loopback_only
from tests.soak.modality import VERIFICATION, Association, Gone
from tests.soak.studies import KINDS, Study

_GOAL_S = 1.0
_LASTS_S = 15.0
"""Longer than the ten seconds after which the node lets go who does not ask for an association: some leave and come again."""
_ASSOCIATIONS = 150
"""At least so many, however slow the machine is just now."""
_PAUSE_S = 0.05
_STOOD_STILL_S = 0.5
_NEVER_S = 600
_GONE_S = 120.0
_NODE, _OTHER = "127.0.0.1", "127.0.0.9"
_KINDS: dict[str, tuple[str, tuple[HostilePeer, ...]]] = {
    f"{STALLED} stalled peers": (_OTHER, (HostilePeer.STALLED,)),
    f"{HALF_OPEN} half-open requests": (_OTHER, (HostilePeer.HALF_OPEN,)),
    f"{CONNECTS:,} and more that connect and close": (_OTHER, (HostilePeer.CONNECTS,)),
    "one silent TLS client": (_OTHER, (HostilePeer.SILENT_TLS,)),
    "all of them at once": (_OTHER, tuple(HostilePeer)),
    "all at once, from the sender's address": (_NODE, tuple(HostilePeer)),
}
_SLICE = KINDS[0]
# a process that only sleeps: what it sleeps for longer than it asked, the machine stood still
_SLEEPER = """
import sys, time
before = time.monotonic()
while True:
    time.sleep(0.02)
    now = time.monotonic()
    if now - before > float(sys.argv[1]):
        print(before, now, flush=True)
    before = now
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedAssociation:
    """One association of the honest sender; `status` None: it was not served."""

    began: float
    took_s: float
    secure: bool
    stored: bool
    status: int | None


@dataclass(slots=True)
class Stillness:
    """When the machine stood still, by the monotonic clock."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def touched(self, association: TimedAssociation) -> bool:
        """Whether it did during an association."""
        return any(since < association.began + association.took_s and association.began < until for since, until in self.spans)


def measure() -> list[Row]:
    """Every row; without openssl nothing is measured, and that is said."""
    if shutil.which("openssl") is None:
        say("SKIPPED: openssl not found (Debian package openssl)")
        return []
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place, loopback_only():
        folder = Path(place)
        authority = Authority(folder / "authority")
        own, sender = authority.signs("hilum"), authority.signs("sender")
        tls = {
            "listen": "127.0.0.1:0",
            "certificate": str(own.certificate),
            "key": str(own.key),
            "authorities": str(authority.certificate),
        }
        with serve(configuration(folder / "node", quiet_s=_NEVER_S, node={"tls": tls, "strangers": True})) as running:
            return _beside_hostile_peers(running, _context(authority, sender))


def _beside_hostile_peers(running: Running, context: ssl.SSLContext) -> list[Row]:
    numbers = count(1)
    _associations(running, context, numbers, lasts_s=0, at_least=20)  # the first of everything
    alone, _ = _watched(running, context, numbers)
    rows = []
    for name, (address, kinds) in _KINDS.items():
        say(f"hostile peers: {name}")
        with _hostile_peers(address, running, kinds) as came:
            associations, lost = _watched(running, context, numbers)
        say(f"they came {came[0]:,} times; {len(associations)} associations, {lost} not counted: the machine stood still")
        for secure in (False, True):
            on = f"hostile peers, {name}: {'TLS' if secure else 'plain'}"
            worst, usual = _took(associations, secure)
            calm_worst, calm = _took(alone, secure)
            unserved = sum(association.status != 0 for association in associations if association.secure is secure)
            rows += [
                Row(
                    name=f"{on}, worst",
                    value=worst,
                    unit="s",
                    baseline=calm_worst,
                    goal=f"< {_GOAL_S:g} s, all served",
                    met=worst < _GOAL_S and not unserved,
                ),
                Row(name=f"{on}, C-STORE, median", value=usual, unit="s", baseline=calm),
            ]
            if unserved:
                rows.append(Row(name=f"{on}, not served", value=unserved, unit="of associations", goal="0", met=False))
    return rows


def _took(associations: Sequence[TimedAssociation], secure: bool) -> tuple[float, float]:
    """The worst of all, and the median of those that stored; seconds."""
    of_kind = [association for association in associations if association.secure is secure]
    return max(association.took_s for association in of_kind), median(association.took_s for association in of_kind if association.stored)


# ---- the honest sender
def _watched(running: Running, context: ssl.SSLContext, numbers: Iterator[int]) -> tuple[list[TimedAssociation], int]:
    """Associations, and how many of them do not count because the whole machine stood still meanwhile."""
    with _sleeper() as still:
        associations = _associations(running, context, numbers, lasts_s=_LASTS_S, at_least=_ASSOCIATIONS)
    counted = [association for association in associations if not still.touched(association)]
    return counted, len(associations) - len(counted)


def _associations(
    running: Running, context: ssl.SSLContext, numbers: Iterator[int], *, lasts_s: float, at_least: int
) -> list[TimedAssociation]:
    made: list[TimedAssociation] = []
    until = time.monotonic() + lasts_s
    while time.monotonic() < until or len(made) < at_least:
        for secure in (False, True):
            port, given = (running.tls_port, context) if secure else (running.port, None)
            made += [_association(port, given, None), _association(port, given, Study(next(numbers), _SLICE))]
            time.sleep(_PAUSE_S)
    return made


def _association(port: int, context: ssl.SSLContext | None, study: Study | None) -> TimedAssociation:
    """C-ECHO, or C-STORE of the first slice of a study."""
    content = study.instance(0) if study else ()
    status: int | None = None
    began = time.monotonic()
    try:
        with Association(port, study.kind.sop_class_uid if study else VERIFICATION, calling=CALLING, context=context) as association:
            status = association.store(study.kind.sop_class_uid, study.instance_uid(0), content) if study else association.echo()
            took_s = time.monotonic() - began
    except Gone:
        took_s = time.monotonic() - began
    return TimedAssociation(began=began, took_s=took_s, secure=context is not None, stored=study is not None, status=status)


def _context(authority: Authority, sender: Identity) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=authority.certificate)
    made.load_cert_chain(sender.certificate, sender.key)
    return made


# ---- processes beside it
@contextlib.contextmanager
def _hostile_peers(address: str, running: Running, kinds: Sequence[HostilePeer]) -> Iterator[list[int]]:
    """They stand when this returns; how often they came is in the list once they have gone."""
    command = [sys.executable, "-m", "bench.hostile_peers_process", address, str(running.port), str(running.tls_port), *kinds]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    came: list[int] = []
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"no hostile peers: {kinds}")
        yield came
    finally:
        said, _ = process.communicate(timeout=_GONE_S)
    came.append(int(json.loads(said)["came"]))


@contextlib.contextmanager
def _sleeper() -> Iterator[Stillness]:
    """Watch for the machine itself standing still; the spans are there once this has ended."""
    process = subprocess.Popen([sys.executable, "-c", _SLEEPER, str(_STOOD_STILL_S)], stdout=subprocess.PIPE, text=True)
    still = Stillness()
    try:
        yield still
        time.sleep(_STOOD_STILL_S)
    finally:
        process.terminate()
        said, _ = process.communicate()
    for line in said.splitlines():
        since, until = map(float, line.split())
        still.spans.append((since, until))
