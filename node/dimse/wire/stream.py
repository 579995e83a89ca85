"""Reading from a connection into one buffer that is used again, within time-outs that a peer cannot stretch."""

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Final, TypeAlias

Connection: TypeAlias = socket.socket

_BUFFER_BYTES: Final = 264 << 10
"""Two fillings hold an image of 512 by 512 pixels of 16 bits with its header: the commonest instance there is."""
_TIMEVAL = struct.Struct("@ll")
_SHORTEST_S = 0.01
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


class Closed(Exception):
    """The peer closed the connection, or it broke."""


class Stream:
    """One connection, used by one thread. The kernel keeps the time-outs: a call that sets them is made only when they change.

    Raises `Closed` and TimeoutError from every method that reads or sends.

    Parameters
    ----------
    send_timeout_s
        How long the peer may read nothing.
    before_reuse
        Called before the buffer is filled again: what `take` gave is gone after it.
    """

    def __init__(self, connection: Connection, *, send_timeout_s: float, before_reuse: Callable[[], None] = lambda: None) -> None:
        self._connection = connection
        self._tls = isinstance(connection, ssl.SSLSocket)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._limit_s = 0.0
        self._left_s: float | None = None
        self._drained = True
        self._before_reuse = before_reuse
        self._receive = connection.recv_into
        if self._tls:
            # a time-out in the kernel would not reach through OpenSSL, which reads again
            self._send_timeout_s = send_timeout_s
        else:
            connection.settimeout(None)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(send_timeout_s))

    def rest(self) -> bytes:
        """What was read from the peer and not taken yet."""
        return bytes(self._view[self._start : self._end])

    def within(self, timeout_s: float | None) -> None:
        """From now on the peer may be waited for `timeout_s` in all, what the node itself takes meanwhile not counted; None: each wait has
        its own time again."""
        self._left_s = timeout_s

    def need(self, count: int, timeout_s: float) -> memoryview:
        """At least `count` bytes, which stay where they are; `timeout_s` is how long the peer may say nothing."""
        while self._end - self._start < count:
            self._before_reuse()
            if self._start:
                # a few bytes at most: the rest of the buffer was taken
                left = self._end - self._start
                self._buffer[:left] = self._buffer[self._start : self._end]
                self._start, self._end = 0, left
            self._fill(timeout_s)
        return self._view[self._start : self._end]

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

    def send(self, data: bytes) -> None:
        """Send all of it, or raise."""
        try:
            if self._tls:
                self._connection.settimeout(self._send_timeout_s)
                self._limit_s = 0.0
            self._connection.sendall(data)
            self._drained = False  # the acknowledgement went with it
        except (BlockingIOError, TimeoutError) as late:
            raise TimeoutError("the peer does not read") from late
        except OSError as broken:
            raise Closed(str(broken.strerror)) from broken

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
                self._connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            count = self._receive(self._view[self._end :])
            self._drained = self._end + count < _BUFFER_BYTES
        except (BlockingIOError, TimeoutError) as late:
            raise TimeoutError("it did not come in time") from late
        except OSError as broken:
            raise Closed(str(broken.strerror)) from broken
        if not count:
            raise Closed("the peer closed the connection")
        self._end += count
        if left_s is not None:
            self._left_s = left_s - (time.monotonic() - began)

    def _limit(self, timeout_s: float) -> None:
        self._limit_s = timeout_s = max(_SHORTEST_S, timeout_s)
        if self._tls:
            self._connection.settimeout(timeout_s)
        else:
            with contextlib.suppress(OSError):  # it is closed: reading will say so
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s))


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return _TIMEVAL.pack(whole, int((seconds - whole) * 1e6))
