"""A connection: bytes out, bytes and whole PDUs in, each within a time-out that the peer cannot stretch. What they mean is not known here.

One buffer is used again and again: what is read lies in it until it is filled anew.
"""

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from node.dimse.ul import pdu

Secure: TypeAlias = Callable[[socket.socket, float], socket.socket]

_HEAD_SHOWN: Final = 8
_BUFFER_BYTES: Final = 264 << 10
"""Two fillings hold an image of 512 by 512 pixels of 16 bits with its header: the commonest instance there is."""
_RECORDS_BYTES: Final = 1 << 18
_MOST_PIECES: Final = 1000  # IOV_MAX is 1024 on Linux, and elsewhere
_KEEPALIVE_S: Final = 30
_TIMEVAL = struct.Struct("@ll")
_SHORTEST_S: Final = 0.01
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


class Pdu(NamedTuple):
    """One PDU as it came: its type, known or not, and what follows its head."""

    kind: int
    body: bytes


class ConnectionLost(Exception):
    """The peer closed the connection, or the network did; whoever sends knows what that means for what was under way."""


class TooLong(Exception):
    """The peer claims a PDU that is longer than was negotiated; `head` is how it begins: another protocol's words may claim anything."""

    def __init__(self, message: str, head: bytes = b"") -> None:
        super().__init__(message)
        self.head = head


def connect(host: str, port: int, *, timeout_s: float, secure: Secure | None = None) -> socket.socket:
    """Connect; `secure` shakes hands for TLS, where there is any, and is given as much time again.

    Raises
    ------
    OSError
        There is nobody, or not in time (`TimeoutError`).
    """
    connected = socket.create_connection((host, port), timeout=timeout_s)
    try:
        set_options(connected)
        if secure is not None:
            connected = secure(connected, timeout_s)
    except BaseException:  # raised again: no socket stays open behind a failed handshake
        connected.close()
        raise
    return connected


def set_options(connected: socket.socket) -> None:
    """What every connection to a peer has, whoever opened it. OSError when it is closed already."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # a peer that lost its power says nothing; the kernel asks
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S // 3)


def _nothing() -> None:
    """Nobody is to be told."""


class PduConnection:
    """A connected socket, used by one thread at a time. The kernel keeps the time-outs of reading: a call that sets them is made only when
    they change.

    Raises `ConnectionLost` and TimeoutError from every method that reads or sends.

    Parameters
    ----------
    before_reuse
        Called before the buffer is filled again: what `take` gave is gone after it.
    """

    def __init__(self, connected: socket.socket, *, before_reuse: Callable[[], None] = _nothing) -> None:
        self._socket = connected
        self._tls = isinstance(connected, ssl.SSLSocket)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._limit_s = 0.0
        self._left_s: float | None = None
        self._drained = True
        self._before_reuse = before_reuse
        self._receive = connected.recv_into
        if not self._tls:
            # a time-out in the kernel would not reach through OpenSSL, which reads again
            connected.settimeout(None)

    # ---- bytes in
    def within(self, timeout_s: float | None) -> None:
        """From now on the peer may be waited for `timeout_s` in all, what the node itself takes meanwhile not counted; None: each wait has
        its own time again."""
        self._left_s = timeout_s

    def need(self, count: int, timeout_s: float) -> memoryview:
        """At least `count` bytes, which stay where they are; `timeout_s` is how long the peer may say nothing."""
        while self._end - self._start < count:
            self._make_room()
            self._fill(timeout_s)
        return self._view[self._start : self._end]

    @property
    def unread(self) -> int:
        """How many bytes have come that nobody took."""
        return self._end - self._start

    def drop(self, count: int) -> None:
        """Forget bytes that `need` showed."""
        self._start += count

    def take(self, most: int, timeout_s: float) -> memoryview:
        """Some bytes, `most` at most; they are to be used before the buffer is filled again."""
        if self._start == self._end:
            self._before_reuse()
            self._start = self._end = 0
            self._fill(timeout_s)
        start = self._start
        self._start = end = min(self._end, start + most)
        return self._view[start:end]

    def read(self, count: int, timeout_s: float) -> bytes:
        """Exactly `count` bytes; the caller bounds them."""
        taken = self.take(count, timeout_s) if count else b""
        if len(taken) == count:
            return bytes(taken)
        whole = bytearray(taken)
        while len(whole) < count:
            whole += self.take(count - len(whole), timeout_s)
        return bytes(whole)

    def skip(self, count: int, timeout_s: float) -> None:
        """Read and forget."""
        while count:
            count -= len(self.take(count, timeout_s))

    # ---- whole PDUs in
    def receive(self, *, until: float, most_bytes: int) -> Pdu:
        """The next PDU, whole, of `most_bytes` at most without its head, which have room in the buffer; `until` is on the monotonic clock.

        What has come already is given even when that has passed, and a PDU of which only a part has come stays where it is.

        Raises
        ------
        TooLong
        """
        self.within(max(until - time.monotonic(), _SHORTEST_S))
        # whoever waits for a whole PDU sends nothing meanwhile that an acknowledgement could go with
        self._drained = True
        while (found := self._whole(most_bytes)) is None:
            self._make_room()
            left_s = self._left_s
            if left_s is not None and self._limit_s - left_s > _SHORTEST_S:
                self._limit(left_s)  # an answer is waited for no longer than was said, whatever the last wait was for
            self._fill(0.0)
        return found

    def waiting(self, *, most_bytes: int) -> Pdu | None:
        """A PDU that has come already.

        Raises
        ------
        TooLong
        """
        while (found := self._whole(most_bytes)) is None:
            self._make_room()
            if not self._look():
                return None
        return found

    # ---- bytes out
    def send(self, pieces: Sequence[bytes | memoryview], *, stall_s: float) -> None:
        """Send all of them in order, without TLS uncopied. TimeoutError: the peer took nothing for `stall_s`."""
        try:
            if self._tls:
                self._limit(stall_s)
                # encrypting copies them anyway, and a record for every head of twelve bytes would be a packet of its own
                left = memoryview(b"".join(pieces))
                while left:  # not `sendall`, whose time-out counts for all of it
                    left = left[self._socket.send(left[:_RECORDS_BYTES]) :]
            else:
                for first in range(0, len(pieces), _MOST_PIECES):
                    self._gather(list(pieces[first : first + _MOST_PIECES]), stall_s)
            self._drained = False  # the acknowledgement went with it
        except (BlockingIOError, TimeoutError) as late:
            raise TimeoutError("the peer does not read") from late
        except OSError as broken:
            raise ConnectionLost(_words(broken)) from broken

    def forget(self) -> None:
        """Let go of the buffer, and of who was told of its filling, at once: nothing is read any more. Python would free them together, and
        not before it looks for what refers to itself, which in a process that holds much it seldom does."""
        self._before_reuse = _nothing
        self._view = memoryview(b"")
        self._buffer = bytearray()
        self._start = self._end = 0

    def close(self) -> None:
        """Close; more often than once does no harm."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _gather(self, pieces: list[bytes | memoryview], stall_s: float) -> None:
        while pieces:
            try:
                sent = self._socket.sendmsg(pieces, (), socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._await_room(stall_s)
                continue
            whole = 0
            for piece in pieces:
                if sent < len(piece):
                    break
                sent -= len(piece)
                whole += 1
            del pieces[:whole]
            if sent:
                pieces[0] = memoryview(pieces[0])[sent:]
            if pieces:
                # it took what there was room for: asking at once would be told so, or fill the room as it comes, bit by bit
                self._await_room(stall_s)

    def _await_room(self, stall_s: float) -> None:
        """Wait until the kernel takes more; a time-out of the socket would count for a whole call, in which the peer may have read much."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLOUT)
        if not poll.poll(stall_s * 1000):
            raise TimeoutError

    # ---- the buffer
    def _whole(self, most_bytes: int) -> Pdu | None:
        there = self._end - self._start
        if there < pdu.HEAD_BYTES:
            return None
        kind, length = pdu.head(self._view, self._start)
        if length > most_bytes:
            raise TooLong(
                f"a PDU of {length} bytes, where {most_bytes} were negotiated", bytes(self._view[self._start : self._end][:_HEAD_SHOWN])
            )
        end = pdu.HEAD_BYTES + length
        if there < end:
            return None
        found = Pdu(kind, bytes(self._view[self._start + pdu.HEAD_BYTES : self._start + end]))
        self._start += end
        return found

    def _make_room(self) -> None:
        self._before_reuse()
        if self._start:
            # a few bytes at most, or part of a PDU that is received as a whole: the rest of the buffer was taken
            left = self._end - self._start
            self._buffer[:left] = self._buffer[self._start : self._end]
            self._start, self._end = 0, left

    def _fill(self, timeout_s: float) -> None:
        left_s, began = self._left_s, 0.0
        if left_s is None:
            if self._limit_s != timeout_s:
                self._limit(timeout_s)
        else:
            if left_s <= 0:
                raise TimeoutError("it did not come in time")
            # it is set anew when it has halved, not each time that a byte comes
            if not left_s <= self._limit_s <= 2 * left_s:
                self._limit(left_s)
            began = time.monotonic()
        try:
            if self._drained and _QUICKACK is not None:
                # the kernel falls back to delayed acknowledgements; a sender with Nagle's algorithm on would wait for each of them
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            self._came(self._receive(self._view[self._end :]))
        except (BlockingIOError, TimeoutError) as late:
            raise TimeoutError("it did not come in time") from late
        except OSError as broken:
            raise ConnectionLost(_words(broken)) from broken
        if left_s is not None:
            self._left_s = left_s - (time.monotonic() - began)

    def _look(self) -> bool:
        """Read what has come already; whether anything has."""
        try:
            if self._tls:
                self._socket.settimeout(0)
                self._limit_s = 0.0
                self._came(self._receive(self._view[self._end :]))
            else:
                self._came(self._receive(self._view[self._end :], 0, socket.MSG_DONTWAIT))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as broken:
            raise ConnectionLost(_words(broken)) from broken
        return True

    def _came(self, count: int) -> None:
        if not count:
            raise ConnectionLost("closed the connection")
        self._end += count
        self._drained = self._end < _BUFFER_BYTES

    def _limit(self, timeout_s: float) -> None:
        self._limit_s = timeout_s = max(_SHORTEST_S, timeout_s)
        if self._tls:
            self._socket.settimeout(timeout_s)
        else:
            with contextlib.suppress(OSError):  # it is closed: reading will say so
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s))


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return _TIMEVAL.pack(whole, int((seconds - whole) * 1e6))


def _words(lost: OSError) -> str:
    return f"lost the connection ({lost.strerror or lost})"
