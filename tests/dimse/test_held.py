"""What the stock path holds in memory, and what it gives back."""

import socket
import struct
from contextlib import ExitStack

import pytest

from node.dimse import serving, stock
from node.dimse.serving import Held
from node.dimse.wire import pdu
from node.settings.config import Node, Receiver
from tests.dimse.conftest import Listen, offer
from tests.dimse.wire.talk import STORE, request
from tests.lab.program import wait_until
from tests.lab.wire import Sender


def test_messages_of_all_associations_share_one_bound() -> None:
    """Two hold what there is; a third is refused until one gives back."""
    held = Held(100)
    assert held.take(60)
    assert held.take(40)
    assert not held.take(1)
    held.give(40)
    assert held.take(40)


_STOCK = pytest.mark.parametrize("listen", [Receiver.STOCK], indirect=True)


@_STOCK
def test_associations_that_stop_within_a_message_hold_no_more_than_the_bound(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six of 3 MiB where 8 MiB may be held: two stay, four are aborted; others are served, and all is given back in the end."""
    held = Held(8 << 20)
    monkeypatch.setattr(stock, "Held", lambda: held)
    running = listen()
    part = pdu.pack_data(STORE, bytes(16000), command=False, last=False)
    # a C-ECHO-RQ that claims a data set: held until it is whole
    body = b"".join(
        struct.pack("<HHL", 0, number, len(value)) + value
        for number, value in ((0x0002, b"1.2.840.10008.1.1\0"), (0x0100, b"\x30\0"), (0x0110, b"\1\0"), (0x0800, b"\0\0"))
    )
    asked = pdu.pack_data(STORE, struct.pack("<HHLL", 0, 0, 4, len(body)) + body, command=True, last=True)
    with ExitStack() as open_ones:
        for _ in range(6):
            connection = open_ones.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=60))
            connection.sendall(request())
            connection.recv(1 << 16)
            try:
                connection.sendall(asked + part * 200)
            except OSError:
                continue  # it was aborted
        wait_until(lambda: len(running.said("association.message_too_long")) >= 3, 60, "the surplus is aborted")
        assert held._bytes <= 8 << 20
        one = offer()
        with Sender(running.port, [one]) as sender:
            assert sender.store(one) == 0x0000
    wait_until(lambda: held._bytes == 0, 60, "all is given back")
    assert serving._SMALL_BYTES < 3 << 20


@_STOCK
def test_a_defect_while_an_association_is_offered_holds_no_seat(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is rejected for the moment and told; the only seat there is is free again."""
    running = listen(node=Node(port=0, max_associations=1))
    one = offer()
    with monkeypatch.context() as broken:
        broken.setattr(stock, "accepted_contexts", lambda **_: 1 / 0)
        with Sender(running.port, [one]) as sender:
            assert not sender.accepted
    assert [told["error"] for told in running.said("association.failed")] == ["ZeroDivisionError"]

    def served() -> bool:
        with Sender(running.port, [one]) as again:
            return again.accepted and again.store(one) == 0x0000

    wait_until(served, 60, "the seat is free")
