"""The sockets on which associations are accepted: bound once, and shared by every receive process."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from node.settings.node import Node

_BACKLOG: Final = 1024
"""Connections that wait to be accepted; the kernel drops what is more, and who connected tries again after a whole second."""
_LOOK_UP_S: Final = 0.05
"""How late a thread that waits for connections notices that it is to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """Bound and listening: a connection waits for whichever process takes it first, so that one which dies refuses nobody.

    `plain` None: associations are accepted with TLS alone; `secure` None: without.
    """

    plain: socket.socket | None = None
    secure: socket.socket | None = None

    @classmethod
    def adopt(cls, *, plain: int | None, secure: int | None) -> "Sockets":
        """Those that a parent process has bound, by the descriptors that were inherited."""
        return cls(
            plain=None if plain is None else socket.socket(fileno=plain), secure=None if secure is None else socket.socket(fileno=secure)
        )

    @property
    def all(self) -> Iterator[socket.socket]:
        """Those that there are."""
        yield from (one for one in (self.plain, self.secure) if one is not None)

    @property
    def ports(self) -> dict[str, int]:
        """`port` without TLS and `tls_port` with it, also when the configuration leaves the choice to the system."""
        named = {"port": self.plain, "tls_port": self.secure}
        return {name: int(one.getsockname()[1]) for name, one in named.items() if one is not None}

    def close(self) -> None:
        """Refuse connections from now on, unless another process has the sockets too."""
        for one in self.all:
            one.close()


def bind(node: Node) -> Sockets:
    """Listen where the configuration says.

    Raises
    ------
    OSError
        A port is taken.
    """
    plain = _bound(node.host, node.port) if node.plain else None
    try:
        return Sockets(plain=plain, secure=None if node.tls is None else _bound(node.tls.host, node.tls.port))
    except OSError:
        if plain is not None:
            plain.close()
        raise


def _bound(host: str, port: int) -> socket.socket:
    ((family, kind, protocol, _, address), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # each process waits in accept() itself: the kernel wakes one of them for a connection, in turns, where poll() would wake them all
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(_LOOK_UP_S * 1e6)))
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made
