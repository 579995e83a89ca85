"""Where connections come from: addresses of peers, of trusted proxies, and unknown ones; and the PROXY protocol, versions 1 and 2
(haproxy.org, proxy-protocol.txt), by which a proxy says it before the first byte of a connection.

A peer may be configured by name. Names are resolved in a thread of their own, never by the one that accepts connections: a name server that
does not answer must not keep anybody waiting. The PROXY protocol is read from trusted proxies alone, and only where the configuration says
that they send it: the specification forbids to guess, since whoever is behind a proxy that sends none could send one himself.
"""

import ipaddress
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Final, TypeAlias

from node.domain.places import plain
from node.settings.config import Config

Resolve: TypeAlias = Callable[[str], Collection[str]]

_GOOD_FOR_S: Final = 5.0
"""How long what names resolved to is taken for certain."""


class Whose(Enum):
    """What the address of a connection says about who may be there."""

    PEER = "peer"
    PROXY = "proxy"  # many senders are one address
    STRANGER = "stranger"  # strangers are admitted, or the names of peers are not resolved yet
    UNKNOWN = "unknown"  # strangers are refused, and no peer is there

    @property
    def is_known(self) -> bool:
        """Whether seats are kept for it, and no bound of an address holds."""
        return self in (Whose.PEER, Whose.PROXY)


def resolved(name: str) -> Collection[str]:
    """The addresses of a host, as `plain` writes them. OSError where it cannot be resolved now."""
    return {plain(str(one[4][0])) for one in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}


class AddressBook:
    """Says whose an address is. Called from many threads at once; it never waits for a name server."""

    def __init__(self, config: Config, *, resolve: Resolve = resolved, clock: Callable[[], float] = time.monotonic) -> None:
        hosts = {plain(peer.host) for peer in config.peers.values()}
        self._peers = frozenset(host for host in hosts if _is_address(host))
        self._names: Sequence[str] = sorted(hosts - self._peers)
        self._proxies = config.node.trusted_proxies
        self._strangers = config.node.strangers
        self._resolve = resolve
        self._clock = clock
        self._lock = threading.Lock()
        self._found: dict[str, Collection[str]] = {}
        self._asked_at = float("-inf")
        self._certain_at = float("-inf")
        self._asking = False

    def whose(self, address: str) -> Whose:
        """Whose an address is, as a socket reports it."""
        text = plain(address)
        if text in self._peers or any(text in found for found in tuple(self._found.values())):
            return Whose.PEER
        if text in self._proxies:
            return Whose.PROXY
        if self._strangers:
            return Whose.STRANGER
        return Whose.UNKNOWN if self._is_certain() else Whose.STRANGER

    def _is_certain(self) -> bool:
        """Whether every name of a peer was resolved a moment ago; if not, they are resolved again, beside the caller."""
        if not self._names:
            return True
        with self._lock:
            now = self._clock()
            if now - self._certain_at <= _GOOD_FOR_S:
                return True
            if self._asking or now - self._asked_at <= _GOOD_FOR_S:
                return False
            self._asking, self._asked_at = True, now
        try:
            threading.Thread(target=self._ask, name="resolve peers", daemon=True).start()
        except RuntimeError:  # no more threads: another connection tries again
            self._asking = False
        return False

    def _ask(self) -> None:
        began, found, failed = self._clock(), dict(self._found), False
        for name in self._names:
            try:
                found[name] = self._resolve(name)
            except (OSError, UnicodeError):
                failed = True  # what it was before still stands
        with self._lock:
            self._found, self._asking = found, False
            if not failed:
                self._certain_at = began


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
