"""Where connections come from: addresses of peers, of trusted proxies, and unknown ones. No socket is touched here.

A peer may be configured by name. Names are resolved in a thread of their own, never by the one that accepts connections: a name server that
does not answer must not keep anybody waiting.
"""

import ipaddress
import socket
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
