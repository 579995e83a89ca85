"""Which peer of the configuration sent an instance: the one that it was admitted as, else by calling AE title and network address."""

import socket
from functools import lru_cache

from node.domain.places import plain
from node.settings.config import Config, Peer


class Senders:
    """The peers of one configuration, looked up by how they call."""

    def __init__(self, config: Config) -> None:
        self._by_title: dict[str, list[Peer]] = {}
        for peer in config.peers.values():
            self._by_title.setdefault(peer.ae_title, []).append(peer)

    def peer(self, calling_ae: str, address: str, admitted_as: str = "") -> Peer | None:
        """The peer with this AE title at this address; None for a stranger.

        Several may share both and be told apart by certificate or user, so the name under which admission let it in goes first. It may be
        none any more: the configuration has changed since.
        `address` is as the receiver writes it, an address with or without scheme and port. A peer whose host name cannot be
        resolved now goes by its title alone: admission has checked its address before.
        """
        titled = self._by_title.get(calling_ae, ())
        if admitted_as and (named := next((peer for peer in titled if peer.name == admitted_as), None)):
            return named
        host = host_of(address)
        return next((peer for peer in titled if _same(peer.host, host)), None)


def host_of(address: str) -> str:
    """An address as the receiver writes it, without scheme and port."""
    bare = address.partition("://")[2] or address
    if bare.startswith("["):
        return bare[1:].partition("]")[0]
    return bare.partition(":")[0] if bare.count(":") == 1 else bare


def _same(configured: str, host: str) -> bool:
    if not host:
        return True
    known = _addresses(configured)
    if known and plain(host) not in known:
        _addresses.cache_clear()  # admission, which asks every time, let it in: the name has moved
        known = _addresses(configured)
    return not known or plain(host) in known


@lru_cache(maxsize=1024)
def _addresses(host: str) -> frozenset[str]:
    try:
        return frozenset(plain(str(found[4][0])) for found in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset()
