"""What a connection does when its peer reads slowly."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from node.dimse.ul.connection import PduConnection


class _Counting(socket.socket):
    """A socket that counts how often it was asked to send and had no room."""

    refused = 0

    def sendmsg(self, *given: Any) -> int:
        """As a socket does."""
        try:
            return super().sendmsg(*given)
        except BlockingIOError:
            self.refused += 1
            raise


@contextlib.contextmanager
def _ends() -> Iterator[tuple[_Counting, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        one = _Counting()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        one.connect(server.getsockname())
        other, _ = server.accept()
        with one, other:
            yield one, other


@pytest.fixture
def ends() -> Iterator[tuple[_Counting, socket.socket]]:
    """Both ends of a TCP connection that holds little."""
    with _ends() as both:
        yield both


def test_what_has_no_room_waits_for_it_and_asks_no_second_time(ends: tuple[_Counting, socket.socket]) -> None:
    """All arrives in its order; behind what was sent in part the connection waits, and is not refused first."""
    one, other = ends
    pieces = [bytes([number]) * 5000 for number in range(256)] * 4
    came = bytearray()

    def read() -> None:
        while more := other.recv(1 << 14):
            came.extend(more)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        PduConnection(one).send(pieces[:1000], stall_s=30)
    finally:
        one.shutdown(socket.SHUT_WR)
        reader.join(30)
    assert bytes(came) == b"".join(pieces[:1000])
    assert one.refused == 0


def test_a_peer_that_takes_nothing_is_not_waited_for_longer(ends: tuple[_Counting, socket.socket]) -> None:
    """What is left behind what it took stalls."""
    with pytest.raises(TimeoutError, match="does not read"):
        PduConnection(ends[0]).send([bytes(8 << 20)], stall_s=0.2)


@pytest.mark.parametrize(
    ("before_s", "half", "wait_s", "most_s"),
    [pytest.param(1.9, b"", 1, 1.7, id="after a longer wait"), pytest.param(0.1, b"\x04\0\0", 2, 2.6, id="half of it comes")],
)
def test_an_answer_is_not_waited_for_longer_than_was_said(before_s: float, half: bytes, wait_s: float, most_s: float) -> None:
    """What was waited for before does not prolong the wait, nor does what comes of the answer: the shortest of five waits, for what else
    the machine does prolongs one now and then."""
    took_s = 0.0
    for _ in range(5):
        with _ends() as (one, other):
            connection = PduConnection(one)
            with pytest.raises(TimeoutError):
                connection.receive(until=time.monotonic() + before_s, most_bytes=100)
            later = threading.Timer(0.8, other.sendall, [half])
            later.start()
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                connection.receive(until=began + wait_s, most_bytes=100)
            took_s = time.monotonic() - began
            later.join()
        assert took_s > wait_s - 0.1
        if took_s < most_s:
            break
    assert took_s < most_s
