"""What a peer may take of the listener, over real sockets: rates slow it down, counts put it off, nobody else is touched."""

import socket
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from node.dimse.ul import pdu
from node.settings.node import Node
from node.settings.peers import Limits
from tests.dimse.conftest import PACS, Listen, instance, offer
from tests.dimse.ul.talk import request
from tests.lab.rejection import rejection
from tests.lab.wire import Sender

_PATIENCE_S = 60


@pytest.mark.slow
def test_a_peer_with_a_ceiling_is_slowed_down_and_loses_nothing(listen: Listen) -> None:
    """3 MB at 1 MB/s take two seconds at least (the first second's worth is free), every instance is answered 0x0000, and another peer is
    served meanwhile as if nothing were."""
    ceiling = Limits(bytes_per_second=1_000_000)
    running = listen(peers=(replace(PACS, limits=ceiling), replace(PACS, name="ct", ae_title="CT")))
    offers = [offer(instance(pixels=bytes(250_000))) for _ in range(12)]
    began = time.monotonic()
    with Sender(running.port, offers[:1]) as slow, Sender(running.port, offers[:1], calling="CT") as free:
        for one in offers:
            assert slow.store(one) == 0x0000
            assert free.store(one) == 0x0000
    assert time.monotonic() - began >= 12 * 250_000 / 1e6 - 1
    assert len(running.kept()) == 24


@pytest.mark.slow
def test_a_peer_with_a_rate_of_instances_waits_for_its_answers(listen: Listen) -> None:
    """Ten a second: 25 small ones take a second and a half at least."""
    running = listen(peers=(replace(PACS, limits=Limits(instances_per_second=10)),))
    one = offer()
    began = time.monotonic()
    with Sender(running.port, [one]) as sender:
        assert [sender.store(offer()) for _ in range(25)] == [0x0000] * 25
    assert time.monotonic() - began >= 1.5


def test_a_peer_that_associates_too_often_is_put_off(listen: Listen) -> None:
    """One a minute: the second is rejected for the moment (2, 3, 2), and the operator reads why."""
    running = listen(peers=(replace(PACS, limits=Limits(associations_per_minute=1)),))
    one = offer()
    with Sender(running.port, [one]) as sender:
        assert sender.store(one) == 0x0000
    with Sender(running.port, [one]) as refused:
        assert rejection(refused.association) == (2, 3, 2)
    (told,) = running.said("association.rejected")
    assert told["reason"] == "more than 1 associations of pacs within a minute"


def test_who_was_rejected_and_is_slow_to_hang_up_is_not_locked_out(listen: Listen) -> None:
    """Ten rejected associations whose sender has not closed its connections, where three may be half-open: the next one is admitted. Those
    that wait are bounded in all, and what is beyond is closed by the node."""
    running = listen(node=Node(port=0, connections_per_address=3, acse_timeout=timedelta(seconds=_PATIENCE_S)))
    with ExitStack() as shared:
        connections = []
        for _ in range(40):
            connection = shared.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=_PATIENCE_S))
            connection.settimeout(_PATIENCE_S)
            connection.sendall(request(calling="NOBODY"))
            assert connection.recv(10) == pdu.pack_reject(1, 1, 3)
            connections.append(connection)
        assert running.said("association.too_many_connections") == []
        one = offer()
        with Sender(running.port, [one]) as sender:
            assert sender.store(one) == 0x0000
        assert all(connection.recv(1) == b"" for connection in connections[32:])
