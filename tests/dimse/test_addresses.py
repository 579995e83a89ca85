"""Whose an address is; names that resolve late, never, or to somewhere else than before."""

import threading
from collections.abc import Collection
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from node.dimse.addresses import AddressBook, Whose
from node.settings.config import Config
from node.settings.kinds import TrustedProxies
from node.settings.node import Node
from node.settings.peers import Peer
from node.settings.store import Store
from tests.lab.program import wait_until


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class _Names:
    """A name server whose answers a test changes; None: it does not answer."""

    def __init__(self, **known: str | None) -> None:
        self.known = known
        self.asked = 0

    def __call__(self, name: str) -> Collection[str]:
        self.asked += 1
        found = self.known[name]
        if found is None:
            raise OSError("no answer")
        return {found}


def _book(*hosts: str, names: _Names | None = None, clock: _Clock | None = None, **node: Any) -> AddressBook:
    peers = {host: Peer(name=host, ae_title="PACS", host=host, port=0) for host in hosts}
    config = Config(path=Path(), digest="", node=Node(**node), store=Store(journal="", blobs=Path()), models=Path(), peers=peers)
    return AddressBook(config, resolve=names or _Names(), clock=clock or _Clock())


def _resolving() -> bool:
    return any(one.name == "resolve peers" for one in threading.enumerate())


def _whose(book: AddressBook, address: str) -> Whose:
    """What the book says once it has asked the name server, where it does."""
    said = book.whose(address)
    wait_until(lambda: not _resolving(), 30, "names are resolved", every_s=0.001)
    return said


def test_addresses_of_peers_and_proxies_are_known_and_others_nobodys() -> None:
    """IPv4 the same on a socket for both families; proxies by address and by network."""
    book = _book("10.0.0.5", "fd00::5", trusted_proxies=TrustedProxies(networks=(ip_network("172.18.0.0/24"), ip_network("10.9.9.9"))))
    for address in ("10.0.0.5", "::ffff:10.0.0.5", "fd00::5", "fd00:0::5"):
        assert book.whose(address) is Whose.PEER
    for address in ("172.18.0.1", "::ffff:172.18.0.77", "10.9.9.9"):
        assert book.whose(address) is Whose.PROXY
    for address in ("10.0.0.6", "172.18.1.1", "fd00::6"):
        assert book.whose(address) is Whose.UNKNOWN


def test_with_strangers_admitted_an_unknown_address_is_anybodys() -> None:
    """It may come in, and has no seat of those that are kept for peers."""
    book = _book("10.0.0.5", strangers=True)
    assert (book.whose("10.0.0.5"), book.whose("10.0.0.6")) == (Whose.PEER, Whose.STRANGER)


def test_nobody_is_turned_away_before_the_names_of_peers_are_resolved() -> None:
    """The first connection may be the peer's, and is decided upon when it asks; the next are told at accept()."""
    names = _Names(pacs="10.0.0.5")
    book = _book("pacs", names=names)
    assert _whose(book, "10.0.0.5") is Whose.STRANGER
    assert _whose(book, "10.0.0.5") is Whose.PEER
    assert _whose(book, "10.0.0.6") is Whose.UNKNOWN
    assert names.asked == 1


def test_a_peer_that_has_moved_is_found_again() -> None:
    """After five seconds an unknown address is a reason to ask again; until the answer is there nobody is turned away."""
    names, clock = _Names(pacs="10.0.0.5"), _Clock()
    book = _book("pacs", names=names, clock=clock)
    _whose(book, "10.0.0.5")
    names.known["pacs"] = "10.0.0.7"
    clock.now_s += 5.1
    assert _whose(book, "10.0.0.7") is Whose.STRANGER
    assert _whose(book, "10.0.0.7") is Whose.PEER


def test_a_name_that_cannot_be_resolved_turns_nobody_away_and_is_asked_for_now_and_then() -> None:
    """What it was before still stands; a flood of unknown addresses is no flood of questions."""
    names, clock = _Names(pacs="10.0.0.5", ct="10.0.0.6"), _Clock()
    book = _book("pacs", "ct", names=names, clock=clock)
    _whose(book, "10.0.0.1")
    names.known["ct"] = None
    clock.now_s += 5.1
    for _ in range(100):
        assert _whose(book, "10.0.0.1") is Whose.STRANGER
    assert _whose(book, "10.0.0.6") is Whose.PEER
    assert names.asked == 4
