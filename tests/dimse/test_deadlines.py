"""What lasts longer than every time-out of the node, and makes progress all the while, succeeds: they bound a wait, not a transfer."""

import socket
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from node.dimse.port import Incoming
from node.dimse.ul import pdu
from node.domain.instance import Reception
from node.settings.node import Node
from node.settings.peers import Limits
from node.spool.inbox import FolderInbox
from tests.dimse.conftest import PACS, Listen, data_set, data_set_of, instance, offer
from tests.dimse.ul.talk import RELEASE, next_pdu, request, stored, understood
from tests.lab.program import wait_until
from tests.lab.wire import Sender

pytestmark = pytest.mark.slow

_MOMENT_S = 4.0
_MOMENT = timedelta(seconds=_MOMENT_S)
_HASTY = Node(port=0, acse_timeout=_MOMENT, dimse_timeout=_MOMENT, idle_timeout=_MOMENT)
_PAUSES, _PAUSE_S = 16, 0.5
_PATIENCE_S = 60


def test_a_sender_slower_than_every_time_out_is_served(listen: Listen) -> None:
    """One instance in sixteen PDUs, half a second apart: eight seconds for a message where each time-out is four."""
    running = listen(node=_HASTY)
    made = instance(pixels=bytes(range(16)) * 64)
    content = data_set(made)
    pieces = stored(1, str(made.SOPInstanceUID), content, fragment=-(-len(content) // _PAUSES))
    with socket.create_connection(("127.0.0.1", running.port), timeout=_PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request())
        assert next_pdu(connection)[:1] == b"\x02"
        began = time.monotonic()
        for piece in pieces:
            time.sleep(_PAUSE_S)  # what is tested: a sender that takes its time
            connection.sendall(piece)
        assert understood(next_pdu(connection)) == [(0x8001, 1, 0x0000)]
        assert time.monotonic() - began > 1.5 * _MOMENT_S
        connection.sendall(RELEASE)
        assert next_pdu(connection)[:1] == b"\x06"
    (kept,) = running.kept()
    assert data_set_of(kept.read_bytes()) == content


def test_a_sender_that_the_node_slows_down_for_longer_than_every_time_out_is_served(listen: Listen) -> None:
    """A PDU of 128 KiB at 20 kB/s, and another: the node waits more than four seconds after the first, where each time-out is four."""
    running = listen(node=_HASTY, peers=(replace(PACS, limits=Limits(bytes_per_second=20_000)),))
    big, small = offer(instance(pixels=bytes(160_000))), offer()
    with Sender(running.port, [big, small]) as sender:
        began = time.monotonic()
        assert sender.store(big) == 0x0000
        assert time.monotonic() - began > 1.2 * _MOMENT_S
        assert sender.store(small) == 0x0000
        assert sender.accepted
    assert len(running.kept()) == 2


class _Slow(FolderInbox):
    """A disk that takes longer for the first instance than any time-out of the network."""

    slow = True

    def begin(self, reception: Reception) -> Incoming:
        if self.slow:
            self.slow = False
            time.sleep(2 * _MOMENT_S)
        return super().begin(reception)


def test_a_handler_slower_than_every_time_out_keeps_the_association(listen: Listen, tmp_path: Path) -> None:
    """Eight seconds of the disk under time-outs of four: the sender, who can do nothing but wait, is answered and goes on to the next."""
    running = listen(node=_HASTY, intake=_Slow(tmp_path / "blobs", min_free_bytes=0))
    offers = [offer(), offer()]
    with Sender(running.port, offers) as sender:
        assert [sender.store(one) for one in offers] == [0x0000, 0x0000]
        assert sender.accepted
    wait_until(lambda: running.said("association.ended"), _PATIENCE_S, "it has ended")
    assert [one["how"] for one in running.said("association.ended")] == ["released"]


def test_a_pdu_under_way_is_no_idleness(listen: Listen) -> None:
    """Half a PDU, and its rest after longer than the idle time-out, within the DIMSE time-out: it is read, and its message answered."""
    running = listen(node=replace(_HASTY, dimse_timeout=timedelta(seconds=_PATIENCE_S)))
    made = instance()
    command_set, *rest = stored(1, str(made.SOPInstanceUID), data_set(made), fragment=1 << 14)
    with socket.create_connection(("127.0.0.1", running.port), timeout=_PATIENCE_S) as connection:
        connection.sendall(request())
        assert next_pdu(connection)[:1] == b"\x02"
        connection.sendall(command_set[: pdu.HEAD_BYTES + 10])
        time.sleep(1.5 * _MOMENT_S)  # what is tested: a line that stalls
        connection.sendall(command_set[pdu.HEAD_BYTES + 10 :] + b"".join(rest))
        assert understood(next_pdu(connection)) == [(0x8001, 1, 0x0000)]
