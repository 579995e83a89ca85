"""Connections by the hundred that say nothing, or half of what they should: who is a peer gets in all the same, plain and with TLS.

The attacker comes from addresses of his own (127.1.0.1 and on) and holds what the node does not close; nothing here times out by itself.
"""

import contextlib
import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from unittest.mock import Mock

import pytest

from node.observe import metrics
from node.settings.kinds import TrustedProxies
from node.settings.node import Node
from node.settings.peers import Peer
from node.settings.tls import ClientCertificate, TlsListener
from tests.dimse.conftest import PACS, Listen, Listening
from tests.lab.certificates import Authority
from tests.lab.flood import Kind, Wave, address, flooding
from tests.lab.program import wait_until
from tests.soak.modality import Association, Gone

_LONG = timedelta(minutes=10)
_MORE_THAN_SEATS = 140
_FIRST, _SECOND = address(0), address(1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def patient(authority: Authority) -> Node:
    """Both ports; a connection that nobody displaces stays for ten minutes."""
    own = authority.signs("hilum")
    tls = TlsListener(
        host="127.0.0.1",
        port=0,
        certificate=own.certificate,
        key=own.key,
        authorities=authority.certificate,
        client_certificate=ClientCertificate.OPTIONAL,
    )
    return Node(port=0, tls=tls, acse_timeout=_LONG, dimse_timeout=_LONG, idle_timeout=_LONG)


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.certificate)


def _waves(running: Listening, count: int = _MORE_THAN_SEATS) -> Sequence[Wave]:
    half = count // 2
    return [
        Wave(port=running.port, kind=Kind.SILENT, count=half),
        Wave(port=running.port, kind=Kind.HALF_REQUEST, count=half),
        Wave(port=running.listener.tls_port, kind=Kind.SILENT, count=half),
        Wave(port=running.listener.tls_port, kind=Kind.HALF_HELLO, count=half),
    ]


def _is_served(running: Listening, trusting: ssl.SSLContext) -> None:
    """C-ECHO without TLS and with it, a few times: each of them is answered."""
    for _ in range(5):
        for port, context in ((running.port, None), (running.listener.tls_port, trusting)):
            with Association(port, calling="PACS", context=context) as association:
                assert association.echo() == 0


def _connections() -> int:
    """Threads that serve a connection in this process."""
    return sum(one.name.startswith("connection ") for one in threading.enumerate())


def _hold_no_more_than(bound: int) -> None:
    """Ten times in a row: on a busy machine a thread whose connection was displaced is seen for a moment."""
    there: deque[int] = deque(maxlen=10)

    def held() -> bool:
        there.append(_connections())
        return len(there) == there.maxlen and max(there) <= bound

    wait_until(held, 60, f"no more than {bound} connections are served", every_s=0.05)


def test_silence_from_two_addresses_of_nobody_locks_no_peer_out(listen: Listen, patient: Node, trusting: ssl.SSLContext) -> None:
    """Where strangers are refused: closed at once, without a word and without a thread."""
    running = listen(node=patient)
    with flooding(_waves(running), addresses=2):
        _is_served(running, trusting)
        wait_until(lambda: _connections() == 0, 60, "no thread serves the silent", every_s=0.01)
    assert {one["address"] for one in running.said("association.unknown_address")} == {_FIRST, _SECOND}


@pytest.mark.parametrize("addresses", [2, 280])
def test_silence_of_strangers_who_would_be_admitted_locks_no_peer_out(
    listen: Listen, patient: Node, trusting: ssl.SSLContext, addresses: int
) -> None:
    """They hold half of the seats, from two addresses or from 280, and a peer has the other half."""
    running = listen(node=replace(patient, strangers=True))
    with flooding(_waves(running), addresses=addresses):
        _is_served(running, trusting)
        _hold_no_more_than(64 + 10)


def test_silence_from_the_addresses_of_peers_locks_no_other_peer_out(listen: Listen, patient: Node, trusting: ssl.SSLContext) -> None:
    """Two modalities gone wild: there is no bound of an address for them, and their oldest connections make room."""
    wild = [Peer(name=f"wild{n}", ae_title="WILD", host=host, port=0) for n, host in enumerate((_FIRST, _SECOND))]
    running = listen(node=patient, peers=(PACS, *wild))
    with flooding(_waves(running), addresses=2):
        _is_served(running, trusting)
        _hold_no_more_than(128 + 10)
    assert running.said("association.too_many_connections")


def test_strangers_displace_each_other_and_none_is_locked_out(listen: Listen, patient: Node, trusting: ssl.SSLContext) -> None:
    """No peer at all: from an address of few connections one comes in, while 140 from two others stand."""
    running = listen(node=replace(patient, strangers=True), peers=())
    with flooding([replace(one, count=_MORE_THAN_SEATS) for one in _waves(running)[::2]], addresses=2):
        wait_until(lambda: _answers(running.port, "NOBODY"), 60, "it finds a seat")


def _answers(port: int, calling: str) -> bool:
    try:
        with Association(port, calling=calling) as association:
            return association.echo() == 0
    except Gone:
        return False


class _Relay:
    """A TCP proxy on an address of its own; with `says`, it begins each connection with that, made of the sender's address."""

    def __init__(self, port: int, *, source: str, says: str = "") -> None:
        self._target, self._source, self._says = port, source, says
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                came, (host, port) = self._listening.accept()
            except OSError:
                return
            onward = socket.create_connection(("127.0.0.1", self._target), timeout=60, source_address=(self._source, 0))
            onward.sendall(self._says.format(host=host, port=port).encode())
            for one, other in ((came, onward), (onward, came)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()

    def close(self) -> None:
        self._listening.close()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


@pytest.fixture
def relays() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


_PROXY = "127.9.9.9"
_BEHIND = (replace(PACS, host="10.0.0.5"), Peer(name="ct", ae_title="CT", host="10.0.0.21", port=0))


def test_two_senders_behind_one_address_are_both_served_beside_a_flood_from_there(
    listen: Listen, patient: Node, trusting: ssl.SSLContext, relays: ExitStack
) -> None:
    """NAT: everybody is the proxy. No bound of an address holds, each is known by its AE title, and silence makes room."""
    running = listen(
        node=replace(patient, connections_per_address=1, trusted_proxies=TrustedProxies(networks=(ip_network(_PROXY),))), peers=_BEHIND
    )
    plain, secure = (_Relay(port, source=_PROXY) for port in (running.port, running.listener.tls_port))
    relays.callback(plain.close)
    relays.callback(secure.close)
    with flooding([Wave(port=plain.port, kind=Kind.SILENT, count=_MORE_THAN_SEATS)], addresses=2):
        wait_until(lambda: _answers(plain.port, "CT"), 60, "the flood has stood for a moment")
        for calling in ("PACS", "CT"):
            for port, context in ((plain.port, None), (secure.port, trusting)):
                with Association(port, calling=calling, context=context) as association:
                    assert association.echo() == 0
    assert {(one["peer"], one["address"]) for one in running.said("association.accepted")} == {("pacs", _PROXY), ("ct", _PROXY)}


def test_without_being_trusted_an_address_of_many_is_nobodys(listen: Listen, patient: Node) -> None:
    """What `trusted_proxies` changes: the same senders through the same proxy are turned away."""
    running = listen(node=patient, peers=_BEHIND)
    with socket.create_connection(("127.0.0.1", running.port), timeout=60, source_address=(_PROXY, 0)) as connection:
        assert connection.recv(1) == b""
    assert [one["address"] for one in running.said("association.unknown_address")] == [_PROXY]


def test_a_proxy_that_tells_the_senders_address_hides_nobody(
    listen: Listen, patient: Node, trusting: ssl.SSLContext, relays: ExitStack
) -> None:
    """PROXY protocol, before TLS too: the sender is where the header says, and who is no peer's is turned away as without a proxy."""
    node = replace(patient, trusted_proxies=TrustedProxies(networks=(ip_network(_PROXY),)), proxy_protocol=True)
    running = listen(node=node, peers=(replace(PACS, host="10.0.0.5"),))
    tells = "PROXY TCP4 {source} 127.0.0.1 {{port}} 104\r\n"
    for port, context in ((running.port, None), (running.listener.tls_port, trusting)):
        there = _Relay(port, source=_PROXY, says=tells.format(source="10.0.0.5"))
        elsewhere = _Relay(port, source=_PROXY, says=tells.format(source="10.0.0.6"))
        silent = _Relay(port, source=_PROXY)
        for one in (there, elsewhere, silent):
            relays.callback(one.close)
        with Association(there.port, calling="PACS", context=context) as association:
            assert association.echo() == 0
        for one in (elsewhere, silent):
            with socket.create_connection(("127.0.0.1", one.port), timeout=60) as connection:
                connection.sendall(b"what is no header")
                assert connection.recv(1) == b""
    assert {one["address"] for one in running.said("association.accepted")} == {"10.0.0.5"}
    assert [one["address"] for one in running.said("association.unknown_address")] == ["10.0.0.6"] * 2
    assert [one["reason"] for one in running.said("association.no_proxy_header")] == ["what came first is none"] * 2


def test_descriptors_and_threads_stay_bounded_while_three_hundred_come_again_and_again(
    listen: Listen, patient: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many are on their way out as may stand: no more threads, no more descriptors, whatever comes."""
    monkeypatch.setattr(metrics, "CONNECTIONS_CLOSED", closed := Mock())
    running = listen(node=replace(patient, strangers=True))
    before = len(os.listdir("/proc/self/fd"))
    seen: list[int] = []

    def watched_for_long_enough() -> bool:
        seen.append(len(os.listdir("/proc/self/fd")) - before)
        # more than twice as many closed as there are: some have come again
        return len(seen) >= 100 and closed.add.call_count > 2 * 300

    with flooding([Wave(port=running.port, kind=Kind.HALF_REQUEST, count=300)], addresses=300) as came:
        wait_until(watched_for_long_enough, 60, "who was closed comes again and again", every_s=0.02)
        assert _connections() <= 2 * 128
    assert max(seen) <= 2 * 128 + 20
    assert came[0].came > 300, "who was closed came again"
