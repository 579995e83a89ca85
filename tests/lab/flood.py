"""An attacker who holds connections that fall silent: `python -m tests.lab.flood ADDRESSES PORT:KIND:COUNT…`, or `flooding` from Python.
HTTP requests that drip on for ever, or break its rules, are in `half_requests`; what both attackers have in common stands here.

Connections come from so many addresses of the loopback network (127.1.0.1, 127.1.0.2, …) in turns and are held; one that the node closes
is made again after a pause. It is a process of its own, so that nothing is taken from the sender that is timed beside it. It prints a line
when every connection was made once, goes on until its standard input ends, and prints how often it came and how many it held at most.
"""

import contextlib
import heapq
import json
import resource
import select
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydicom.uid import CTImageStorage

from tests.soak.modality import request

ROOT: Final = Path(__file__).parents[2]
AGAIN_S: Final = 0.5
"""After so long a connection that was closed is made again."""
_GONE_S: Final = 60.0
_LOOK_S: Final = 0.02
_AT_ONCE: Final = 200
"""Connections that are begun between two looks at those that stand."""
HALF_HELLO: Final = bytes.fromhex("16 03 01 02 00 01 00 01 fc 03 03")
"""The first eleven bytes of a ClientHello of 512 bytes (RFC 8446 4.1.2), of which the rest never comes."""
HALF_HEADER: Final = b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


class Kind(StrEnum):
    """What is said on a connection before it falls silent."""

    SILENT = "silent"
    HALF_REQUEST = "half-request"  # twenty bytes of an A-ASSOCIATE-RQ
    HALF_HELLO = "half-hello"  # eleven bytes of TLS
    HALF_HTTP = "half-http"  # a request line and half a header


_SAID: Final = {
    Kind.SILENT: b"",
    Kind.HALF_REQUEST: request(CTImageStorage, calling="FLOOD")[:20],
    Kind.HALF_HELLO: HALF_HELLO,
    Kind.HALF_HTTP: HALF_HEADER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """So many connections of one kind to one port."""

    port: int
    kind: Kind
    count: int

    @property
    def argument(self) -> str:
        """As the command line has it."""
        return f"{self.port}:{self.kind}:{self.count}"

    @classmethod
    def of(cls, argument: str) -> "Wave":
        """From the command line."""
        port, kind, count = argument.split(":")
        return cls(port=int(port), kind=Kind(kind), count=int(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What the attacker did: connections that were made, again included, and how many stood at the same time."""

    came: int
    most: int


def address(number: int) -> str:
    """One of 16,000 loopback addresses, none of which is 127.0.0.1."""
    return f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"


def take_descriptors() -> None:
    """Let this process hold as many connections as it may."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))


@contextlib.contextmanager
def flooding(waves: Sequence[Wave], *, addresses: int) -> Iterator[list[Came]]:
    """The connections stand, or were closed by the node, when this is entered; what came of it is in the list once it is left."""
    command = [sys.executable, "-m", "tests.lab.flood", str(addresses), *(wave.argument for wave in waves)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    came: list[Came] = []
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("the attacker did not come")
        yield came
    finally:
        said, _ = process.communicate(timeout=_GONE_S)
    came.append(Came(**json.loads(said)))


@dataclass(slots=True)
class _Attacker:
    """The connections that stand, and those that are to be made when their moment has come."""

    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    due: list[tuple[float, int, str, Wave]] = field(default_factory=list)
    standing: int = 0
    came: int = 0
    most: int = 0

    def begin(self) -> None:
        """Connect whatever is due, a few at once."""
        for _ in range(_AT_ONCE):
            if not self.due or self.due[0][0] > time.monotonic():
                return
            _, number, source, wave = heapq.heappop(self.due)
            made = socket.socket()
            made.setblocking(False)
            try:
                made.bind((source, 0))
                made.connect_ex(("127.0.0.1", wave.port))
            except OSError:
                made.close()
                self.again(number, source, wave)
                continue
            self.selector.register(made, selectors.EVENT_WRITE, (number, source, wave))

    def look(self, patience_s: float) -> None:
        """Speak on what stands now, and forget what the node has closed."""
        for key, events in self.selector.select(patience_s):
            made = key.fileobj
            assert isinstance(made, socket.socket)
            number, source, wave = key.data
            if events & selectors.EVENT_WRITE:
                with contextlib.suppress(OSError):
                    made.send(_SAID[wave.kind])
                self.came += 1
                self.standing += 1
                self.most = max(self.most, self.standing)
                self.selector.modify(made, selectors.EVENT_READ, key.data)
                continue
            try:
                over = not made.recv(4096)
            except BlockingIOError:
                over = False
            except OSError:
                over = True
            if over:
                self.standing -= 1
                self.selector.unregister(made)
                made.close()
                self.again(number, source, wave)

    def again(self, number: int, source: str, wave: Wave) -> None:
        """Come again after a pause."""
        heapq.heappush(self.due, (time.monotonic() + AGAIN_S, number, source, wave))


def main() -> None:
    """Attack until standard input ends."""
    take_descriptors()
    addresses, *named = sys.argv[1:]
    waves = [Wave.of(one) for one in named]
    attacker = _Attacker()
    number = 0
    for wave in waves:
        for _ in range(wave.count):
            heapq.heappush(attacker.due, (0.0, number, address(number % int(addresses)), wave))
            number += 1
    told = False
    while True:
        attacker.begin()
        if not told and attacker.came >= number:
            print(json.dumps({"standing": attacker.standing}), flush=True)
            told = True
        if select.select([sys.stdin], [], [], 0)[0]:
            break
        attacker.look(_LOOK_S)
    print(json.dumps({"came": attacker.came, "most": attacker.most}), flush=True)


if __name__ == "__main__":
    main()
