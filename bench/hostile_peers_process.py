"""The hostile peers of a node: `python -m bench.hostile_peers_process ADDRESS PORT TLS_PORT KIND…`.

A process of its own, so that nothing is taken from the sender that is timed. It prints a line when it stands, goes on until its standard
input ends, and prints how often it came.
"""

import contextlib
import json
import select
import socket
import struct
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from pydicom.uid import CTImageStorage

from tests.soak.modality import request

STALLED, HALF_OPEN, CONNECTS = 10, 30, 2000
_PATIENCE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.05
_FEW: Final = 100
"""Connections in a row, before those that stand are looked after."""
_CALLING: Final = "STALLER"


class HostilePeer(StrEnum):
    """What they do; whom the node lets go comes again."""

    STALLED = "stalled"  # ten associations, each silent in the middle of a PDU
    HALF_OPEN = "half-open"  # thirty connections, each silent in the middle of its A-ASSOCIATE-RQ
    CONNECTS = "connects"  # connections that are closed at once, without a pause
    SILENT_TLS = "silent-tls"  # one connection to the port for TLS that says nothing


class _HostilePeers:
    def __init__(self, address: str, port: int, tls_port: int) -> None:
        self._address = address
        self._ports = (port, tls_port)
        self._standing: dict[socket.socket, Callable[[], socket.socket]] = {}
        self.came = 0

    def connect(self, port: int) -> socket.socket:
        self.came += 1
        return socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S, source_address=(self._address, 0))

    def stalled(self) -> socket.socket:
        """An association of which the peer has sent the first six bytes of a PDU of a thousand."""
        made = self.connect(self._ports[0])
        made.sendall(request(CTImageStorage, calling=_CALLING))
        made.recv(1024)
        made.sendall(struct.pack(">BBI", 0x04, 0, 1000))
        return made

    def half_open(self) -> socket.socket:
        """A connection of which the peer has sent twenty bytes of its request."""
        made = self.connect(self._ports[0])
        made.sendall(request(CTImageStorage, calling=_CALLING)[:20])
        return made

    def silent_tls(self) -> socket.socket:
        """A connection to the port for TLS."""
        return self.connect(self._ports[1])

    def hold(self, count: int, make: Callable[[], socket.socket]) -> None:
        for _ in range(count):
            self._standing[make()] = make

    def look_after(self) -> None:
        """Whoever was let go comes again."""
        for ended in select.select(list(self._standing), [], [], 0)[0]:
            make = self._standing.pop(ended)
            ended.close()
            with contextlib.suppress(OSError):
                self._standing[make()] = make

    def connects(self, count: int) -> None:
        """Connect and close, to the two ports in turn."""
        for number in range(count):
            with contextlib.suppress(OSError):  # the node may close first, and has a backlog that fills
                self.connect(self._ports[number % 2]).close()


def main() -> None:
    """Keep at it until standard input ends."""
    address, port, tls_port, *named = sys.argv[1:]
    kinds = {HostilePeer(name) for name in named}
    peers = _HostilePeers(address, int(port), int(tls_port))
    for kind, count, make in (
        (HostilePeer.STALLED, STALLED, peers.stalled),
        (HostilePeer.HALF_OPEN, HALF_OPEN, peers.half_open),
        (HostilePeer.SILENT_TLS, 1, peers.silent_tls),
    ):
        if kind in kinds:
            peers.hold(count, make)
    print(json.dumps({"standing": True}), flush=True)
    connects = HostilePeer.CONNECTS in kinds
    over = False
    while not over or (connects and peers.came < CONNECTS):
        if connects:
            peers.connects(_FEW)
        over = bool(select.select([sys.stdin], [], [], 0 if connects else _LOOK_EVERY_S)[0])
        peers.look_after()
    print(json.dumps({"came": peers.came}), flush=True)


if __name__ == "__main__":
    main()
