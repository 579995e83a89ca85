"""The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a proxy says before the first byte of a connection.

Read from trusted proxies alone, and only where the configuration says that they send it: the specification forbids to guess, since whoever
is behind a proxy that sends none could send one himself.
"""

import ipaddress
import socket
import struct
import time
from typing import Final

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_VERSION_1: Final = b"PROXY "
_LONGEST_LINE: Final = 107
"""Of version 1, the end of the line included (2.1)."""
_LONGEST_BLOCK: Final = 4096
"""Of version 2: two addresses, and whatever the proxy adds of its own (2.2)."""
_LOCAL, _PROXY = 0x20, 0x21
_IPV4, _IPV6 = 1, 2
_STREAM = 1


class NoHeader(Exception):
    """What came is no header of the PROXY protocol, or it did not come whole in time."""


def read_source(connection: socket.socket, *, timeout_s: float) -> str | None:
    """Read the header that a connection begins with, and nothing behind it: the address that the proxy was connected to from.

    None: the proxy speaks for itself (a health check), or does not know.

    Raises
    ------
    NoHeader
        There is none.
    """
    deadline = time.monotonic() + timeout_s
    try:
        head = _exactly(connection, len(_SIGNATURE), deadline)
        source = _version_2(connection, deadline) if head == _SIGNATURE else _version_1(connection, head, deadline)
        connection.settimeout(None)
    except OSError as failed:
        raise NoHeader(failed.strerror or "it did not come in time") from failed
    return source


def _version_1(connection: socket.socket, head: bytes, deadline: float) -> str | None:
    if not head.startswith(_VERSION_1):
        raise NoHeader("what came first is none")
    line = bytearray(head)
    while not line.endswith(b"\r\n"):
        if len(line) >= _LONGEST_LINE:
            raise NoHeader(f"its line is longer than {_LONGEST_LINE} bytes")
        line += _exactly(connection, 1, deadline)
    words = line.decode("ascii", "replace").split()
    if words[1:2] == ["UNKNOWN"]:
        return None
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise NoHeader("its line is none of version 1")
    try:
        return str((ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address)(words[2]))
    except ValueError as unfit:
        raise NoHeader(f"it names no {words[1]} address") from unfit


def _version_2(connection: socket.socket, deadline: float) -> str | None:
    command, family, length = struct.unpack(">BBH", _exactly(connection, 4, deadline))
    if length > _LONGEST_BLOCK:
        raise NoHeader(f"it is {length} bytes long, more than {_LONGEST_BLOCK}")
    block = _exactly(connection, length, deadline)
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise NoHeader(f"version and command {command:#04x} are unknown")
    kind, transport = family >> 4, family & 0x0F
    if kind not in (_IPV4, _IPV6) or transport != _STREAM:
        return None  # a socket of another kind: it has no address of which the node could know anything
    size = 4 if kind == _IPV4 else 16
    if length < 2 * size + 4:
        raise NoHeader(f"{length} bytes are too few for its addresses")
    return str(ipaddress.ip_address(block[:size]))


def _exactly(connection: socket.socket, count: int, deadline: float) -> bytes:
    got = b""
    while len(got) < count:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise NoHeader("it did not come in time")
        connection.settimeout(remaining_s)
        more = connection.recv(count - len(got))
        if not more:
            raise NoHeader("the connection was closed before it")
        got += more
    return got
