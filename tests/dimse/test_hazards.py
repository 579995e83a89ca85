"""Peers that stall, lie about lengths, or never say what they want: none of them holds up anybody else."""

import socket
import ssl
import struct
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pydicom.uid import MRImageStorage
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import build_context

from node.dimse.acceptor.accepted import AcceptedAssociation
from node.dimse.association_policy import AssociationPolicy
from node.dimse.listener import ConnectionServer
from node.dimse.services.kinds import Services
from node.dimse.sockets import bind
from node.observe import metrics
from node.settings.config import Config
from node.settings.node import Node
from node.settings.peers import Limits
from node.settings.store import Store
from tests.dimse.conftest import PACS, Listen, Listening, instance, offer
from tests.lab.program import wait_until
from tests.lab.wire import Sender

_MOMENT = timedelta(seconds=0.4)
_LONG = timedelta(minutes=10)
_PATIENT = Node(port=0, acse_timeout=_LONG, dimse_timeout=_LONG, idle_timeout=_LONG)


def _request() -> bytes:
    """An A-ASSOCIATE-RQ of PACS to HILUM for MR images."""
    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = "PACS", "HILUM"
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, implementation.implementation_class_uid = 16384, "1.2.3"
    asked.user_information = [length, implementation]
    context = build_context(MRImageStorage)
    context.context_id = 1
    asked.presentation_context_definition_list = [context]
    return bytes(A_ASSOCIATE_RQ(asked).encode())


def _connect(running: Listening) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=60)


def _associated(running: Listening) -> socket.socket:
    connection = _connect(running)
    connection.sendall(_request())
    assert _read_pdu(connection)[0] == 0x02
    return connection


def _read_pdu(connection: socket.socket) -> bytes:
    """One PDU; empty when the node closed the connection."""
    with connection.makefile("rb") as stream:
        head = stream.read(6)
        return head + stream.read(int.from_bytes(head[2:6], "big")) if len(head) == 6 else b""


def _served(running: Listening) -> bool:
    one = offer()
    with Sender(running.port, [one]) as sender:
        return sender.store(one) == 0x0000


def test_a_pdu_longer_than_negotiated_is_not_read(listen: Listen) -> None:
    """A PDU that claims 600 MB: an abort by the service provider, reason 6 (invalid parameter), at once and before its bytes come."""
    running = listen(peers=(replace(PACS, limits=Limits(max_pdu=16384)),))
    with _associated(running) as connection:
        connection.sendall(struct.pack(">BBL", 0x04, 0, 600 * 2**20) + b"x" * 4096)
        assert _read_pdu(connection) == bytes.fromhex("07 00 00000004 00 00 02 06")
    assert running.said("association.pdu_too_long")
    assert _served(running)


def test_an_association_request_of_any_length_is_not_read(listen: Listen) -> None:
    """The cap holds before anybody is known."""
    running = listen()
    with _connect(running) as connection:
        connection.sendall(struct.pack(">BBL", 0x01, 0, 600 * 2**20))
        assert _read_pdu(connection)[:1] in (b"", b"\x07")
    assert _served(running)


def test_a_pdu_as_long_as_negotiated_is_read(listen: Listen) -> None:
    """The cap lets pass what the node itself announced: a sender that fills its PDUs to the byte."""
    running = listen(peers=(replace(PACS, limits=Limits(max_pdu=4096)),))
    big = offer(instance(pixels=b"\3" * 64_000))
    with Sender(running.port, [big]) as sender:
        assert sender.store(big) == 0x0000


def ssl_hello() -> bytes:
    """What a client of TLS says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="hilum").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("sent", [b"", _request()[:30], b"GET / HTTP/1.1\r\nHost: hilum\r\n\r\n"], ids=["silent", "half a request", "HTTP"])
def test_who_never_associates_is_dropped(listen: Listen, sent: bytes) -> None:
    """Silence, half a request, another protocol: the connection is closed after the ACSE time-out."""
    running = listen(node=replace(_PATIENT, acse_timeout=_MOMENT))
    # what comes in the very moment in which the node closes is not read: that resets the connection
    with suppress(ConnectionResetError), _connect(running) as connection:
        connection.sendall(sent)
        assert _read_pdu(connection)[:1] in (b"", b"\x07")
    wait_until(lambda: _served(running), 60, "another is served, which has as little time")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (ssl_hello(), "TLS was begun, and this port has none"),
        (b"GET / HTTP/1.1\r\nHost: hilum\r\n\r\n", "what came is HTTP"),
        (b"\x05\0\0\0\0\x04\0\0\0\0", "what came begins no association"),
        (b"\x01\0\0\0\0\x04\0\x01\0\0", "its request for an association cannot be read: "),
        (_request()[:6] + b"\0\2" + _request()[8:], "its request is for another version of the protocol than 1"),
    ],
    ids=["TLS", "HTTP", "a release", "a request that is too short", "another version"],
)
def test_who_speaks_something_else_is_told_of(listen: Listen, monkeypatch: pytest.MonkeyPatch, sent: bytes, reason: str) -> None:
    """A scanner that was set to TLS calls the port without it: its technician is asked, and the node says what came, and counts it."""
    monkeypatch.setattr(metrics, "CONNECTIONS_CLOSED", closed := Mock())
    running = listen()
    with _connect(running) as connection:
        connection.sendall(sent)
        assert _read_pdu(connection)[:1] in (b"", b"\x03", b"\x07")
    wait_until(lambda: running.said("association.not_requested"), 60, "it is told")
    (told,) = running.said("association.not_requested")
    assert str(told["reason"]).startswith(reason)
    assert told["address"] == "127.0.0.1"
    wait_until(lambda: closed.add.called, 60, "it is counted")
    closed.add.assert_called_once_with(reason="not_requested")


@pytest.mark.parametrize("sent", [_request()[:3], _request()[:-1]], ids=["half a head", "all but a byte"])
def test_half_a_request_and_then_nothing_is_told_of(listen: Listen, sent: bytes) -> None:
    """A network that loses large packets looks so: it is said what came of the request, and until when the rest was waited for. Who says
    nothing at all, as a monitor does that only connects, is not told of."""
    running = listen(node=replace(_PATIENT, acse_timeout=_MOMENT))
    with _connect(running) as connection:
        assert _read_pdu(connection) == b""
    assert running.said("association.not_requested") == []

    def told() -> bool:
        # once more, should it be later than that moment when it comes to send, or that very moment: what is not read resets the connection
        with suppress(ConnectionResetError), _connect(running) as connection:
            connection.sendall(sent)
            assert _read_pdu(connection) == b""
        return bool(running.said("association.not_requested"))

    wait_until(told, 60, "it is told")
    (one,) = running.said("association.not_requested")
    assert one["reason"] == "its request for an association did not come whole in 0.4 s"


def test_who_stalls_in_a_pdu_is_dropped(listen: Listen) -> None:
    """Half a PDU and then nothing: the slot is free again after the time-out."""
    running = listen(node=replace(_PATIENT, dimse_timeout=_MOMENT))
    with _associated(running) as connection:
        connection.sendall(struct.pack(">BBL", 0x04, 0, 1000) + b"x" * 10)
        wait_until(lambda: running.said("association.ended"), 10, "it is dropped", every_s=0.01)
    assert running.left() == []


def test_who_drips_a_pdu_byte_by_byte_is_dropped(listen: Listen) -> None:
    """A byte now and then does not start the clock again: a PDU has its time as a whole."""
    running = listen(node=replace(_PATIENT, dimse_timeout=_MOMENT))
    over = threading.Event()
    with _associated(running) as connection:
        connection.sendall(struct.pack(">BBL", 0x04, 0, 1000))

        def drip() -> None:
            try:
                while not over.wait(0.05):
                    connection.send(b"x")
            except OSError:
                return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            wait_until(lambda: running.said("association.ended"), 10, "it is dropped", every_s=0.01)
        finally:
            over.set()
            thread.join()


def test_an_idle_association_is_aborted(listen: Listen) -> None:
    """Established, then silent: aborted after the idle time-out, and the peer is told so."""
    running = listen(node=replace(_PATIENT, idle_timeout=_MOMENT))
    with _associated(running) as connection:
        assert _read_pdu(connection)[:1] == b"\x07"
    wait_until(lambda: running.said("association.ended"), 10, "it ends", every_s=0.005)


def test_ten_stalled_peers_lock_nobody_out(listen: Listen) -> None:
    """Ten associations and thirty half-sent requests stand still; another peer is served all the same."""
    running = listen(node=_PATIENT, peers=(PACS, replace(PACS, name="ct", ae_title="CT")))
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(_associated(running)).sendall(struct.pack(">BBL", 0x04, 0, 1000))
        for _ in range(30):
            stack.enter_context(_connect(running)).sendall(_request()[:20])
        one = offer()
        with Sender(running.port, [one], calling="CT") as sender:
            assert sender.store(one) == 0x0000


def _store_command(data_set_type: int) -> bytes:
    """A C-STORE-RQ in context 1 (PS3.7 9.3.1.1, implicit little endian); type 0x0101 says that there is no data set."""

    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHL", 0x0000, number, len(value)) + value

    body = (
        element(0x0002, MRImageStorage.encode() + b"\0" * (len(MRImageStorage) % 2))
        + element(0x0100, struct.pack("<H", 1))
        + element(0x0110, struct.pack("<H", 7))
        + element(0x0700, struct.pack("<H", 2))
        + element(0x0800, struct.pack("<H", data_set_type))
        + element(0x1000, b"1.2.3.4\0")
    )
    return _fragment(0x03, element(0x0000, struct.pack("<L", len(body))) + body)


def _fragment(control: int, data: bytes) -> bytes:
    item = struct.pack(">LBB", len(data) + 2, 1, control) + data
    return struct.pack(">BBL", 0x04, 0, len(item)) + item


@pytest.mark.parametrize("sent", [_store_command(0x0101), _store_command(0x0001) + _fragment(0x02, b"")], ids=["absent", "empty"])
def test_a_store_without_a_data_set_keeps_nothing(listen: Listen, sent: bytes) -> None:
    """Absent: no request that could be answered, so the association is aborted. Empty: 0xC000, cannot understand. The node goes on."""
    running = listen()
    with _associated(running) as connection:
        connection.sendall(sent)
        answer = _read_pdu(connection)
    if answer[0] == 0x04:
        status = answer[answer.index(struct.pack("<HHL", 0x0000, 0x0900, 2)) + 8 :][:2]
        assert status == struct.pack("<H", 0xC000)
    else:
        assert answer[0] == 0x07
    assert running.left() == []
    assert _served(running)


def test_who_hangs_up_before_a_request_is_forgotten_at_once(listen: Listen) -> None:
    """A health check that only connects does not hold a slot until the ACSE time-out (ten minutes here)."""
    running = listen(node=replace(_PATIENT, max_associations=2))
    for _ in range(100):
        _connect(running).close()
    assert _served(running)


def test_who_has_hung_up_when_its_turn_comes_costs_no_thread(tmp_path: Path) -> None:
    """Fifty that were closed while they waited to be accepted stand before one that was not: it alone is let in."""
    node = Node(port=0)
    config = Config(path=tmp_path, digest="", node=node, store=Store(journal="", blobs=tmp_path), models=tmp_path, peers={"pacs": PACS})
    sockets = bind(node)
    port = sockets.ports["port"]
    came: list[object] = []
    for _ in range(50):
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as honest:
        wait_until(lambda: _closed_by_peers(port) == 50, 30, "the kernel knows that they have hung up")
        server = ConnectionServer(sockets, AssociationPolicy(config), lambda caller: came.append(caller.connection.getpeername()))
        server.start()
        try:
            wait_until(lambda: came, 30, "one is let in")
        finally:
            server.stop(0)
        assert came == [honest.getsockname()]


def _closed_by_peers(port: int) -> int:
    """Connections to a port of this host that their peer has closed: CLOSE_WAIT, which is 08 (include/net/tcp_states.h)."""
    rows = [line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "08" for row in rows)


def test_stopping_lets_an_association_end_and_takes_no_new_one(listen: Listen) -> None:
    """A drain: what was begun is finished and acknowledged; who comes later is not answered."""
    running = listen()
    first, second = offer(), offer()
    with Sender(running.port, [first, second]) as sender:
        assert sender.store(first) == 0x0000
        stopping = threading.Thread(target=running.listener.stop, args=(60,))
        stopping.start()
        wait_until(lambda: _refuses(running.port), 5, "it stops listening", every_s=0.01)
        assert sender.store(second) == 0x0000
    stopping.join(60)
    assert not stopping.is_alive()
    assert len(running.kept()) == 2


def _refuses(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return False
    except OSError:
        return True


def test_stopping_aborts_who_stays_too_long(listen: Listen) -> None:
    """After the drain the rest is aborted; the process can end."""
    running = listen()
    with _associated(running) as connection:
        running.listener.stop(0.1)
        assert _read_pdu(connection)[:1] == b"\x07"


def test_a_port_in_use_is_said_at_start(listen: Listen) -> None:
    """Two nodes on one port: the second one fails, at once."""
    running = listen()
    with pytest.raises(OSError):
        listen(node=Node(port=running.port))


@pytest.mark.slow
def test_two_thousand_that_only_connect_lock_nobody_out(listen: Listen) -> None:
    """Health checks and port scans: 2,000 connections that are closed at once, and then an honest sender is served."""
    running = listen()
    for _ in range(2000):
        _connect(running).close()
    assert _served(running)
    wait_until(lambda: not _threads(), 60, "no thread is left", every_s=0.01)


def test_a_defect_in_letting_in_leaves_nobody_out_after(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails before a connection has a thread of its own costs that connection; the node goes on to accept others."""
    running = listen()
    server = running.listener.server
    assert server is not None
    connect = server.policy.connect
    failures: list[Exception] = [ZeroDivisionError()]

    def once(*given: Any) -> object:
        if failures:
            raise failures.pop()
        return connect(*given)

    monkeypatch.setattr(server.policy, "connect", once)
    with _connect(running) as connection:
        assert _read_pdu(connection) == b""
    assert _served(running)
    assert [one["reason"] for one in running.said("listener.cannot_accept")] == ["ZeroDivisionError"]


@pytest.mark.parametrize("failed", [MemoryError(), RuntimeError("can't start new thread")], ids=["no memory", "no thread"])
def test_a_connection_without_a_thread_keeps_no_seat(listen: Listen, monkeypatch: pytest.MonkeyPatch, failed: Exception) -> None:
    """It was let in, and there is no memory or no thread to serve it: it is closed, its seat is free, and the next is served."""
    running = listen()
    server = running.listener.server
    assert server is not None
    start = threading.Thread.start
    failures = [failed]

    def once(thread: threading.Thread) -> None:
        if failures and thread.name.startswith("connection "):
            raise failures.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", once)
    with _connect(running) as connection:
        assert _read_pdu(connection) == b""
        assert len(server.policy.half_open) == 0
        assert server.standing() == []
    assert _served(running)
    assert len(running.said("listener.cannot_accept")) == 1


def test_an_association_that_cannot_be_told_of_keeps_no_seat(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Telling that an association stands fails: its seat is free again for the next."""
    running = listen(node=Node(port=0, max_associations=1))
    with monkeypatch.context() as patch:
        patch.setattr(AcceptedAssociation, "accepted", lambda *_, **__: 1 // 0)
        with _connect(running) as connection:
            connection.sendall(_request())
            _read_pdu(connection)
    wait_until(lambda: _served(running), 30, "the seat is free")


def _threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("connection ")]


def test_a_defect_while_an_association_is_negotiated_holds_no_seat(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends and is told; the only seat there is is free again."""
    running = listen(node=Node(port=0, max_associations=1))
    one = offer()
    with monkeypatch.context() as broken:
        broken.setattr(Services, "contexts", lambda *_: 1 / 0)
        with Sender(running.port, [one]) as sender:
            assert not sender.accepted
    assert [told["error"] for told in running.said("association.failed")] == ["ZeroDivisionError"]

    def served() -> bool:
        with Sender(running.port, [one]) as again:
            return again.accepted and again.store(one) == 0x0000

    wait_until(served, 60, "the seat is free")
