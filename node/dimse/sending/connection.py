"""A connection to a peer: bytes out and PDUs in, each within a time. What the PDUs mean is the association's affair."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from node.dimse.wire import pdu

Secure: TypeAlias = Callable[[socket.socket, float], socket.socket]

_READ_BYTES: Final = 1 << 18
_RECORDS_BYTES: Final = 1 << 18
_MOST_PIECES: Final = 1000  # IOV_MAX is 1024 on Linux, and elsewhere
_KEEPALIVE_S: Final = 30


class Pdu(NamedTuple):
    """One PDU as it came: its type, known or not, and what follows its head."""

    kind: int
    body: bytes


class ConnectionLost(Exception):
    """The peer closed the connection, or the network did; whoever sends knows what that means for what was under way."""


class TooLong(Exception):
    """The peer claims a PDU that is longer than was negotiated."""


class Connection:
    """A connected socket, used by one thread at a time. Every method that waits says for how long."""

    def __init__(self, connected: socket.socket, *, most_bytes: int) -> None:
        """`most_bytes`: the longest PDU that the peer may send, without its head."""
        self.most_bytes = most_bytes
        self._socket = connected
        self._came = bytearray()

    @classmethod
    def to(cls, host: str, port: int, *, timeout_s: float, most_bytes: int, secure: Secure | None = None) -> "Connection":
        """Connect; `secure` shakes hands for TLS, where there is any, and is given as much time again.

        Raises
        ------
        OSError
            There is nobody, or not in time (`TimeoutError`).
        """
        connected = socket.create_connection((host, port), timeout=timeout_s)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # a peer that lost its power says nothing; the kernel asks
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S // 3)
            if secure is not None:
                connected = secure(connected, timeout_s)
        except BaseException:
            connected.close()
            raise
        return cls(connected, most_bytes=most_bytes)

    def send(self, pieces: Sequence[bytes | memoryview], *, stall_s: float) -> None:
        """Send all of them in order; without TLS nothing is copied.

        Raises
        ------
        TimeoutError
            The peer took nothing for `stall_s`.
        ConnectionLost
        """
        self._socket.settimeout(stall_s)
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                # encrypting copies them anyway, and a record for every head of twelve bytes would be a packet of its own
                self._send_whole(b"".join(pieces))
            else:
                for first in range(0, len(pieces), _MOST_PIECES):
                    self._gather(list(pieces[first : first + _MOST_PIECES]))
        except TimeoutError:
            raise
        except OSError as lost:
            raise ConnectionLost(_words(lost)) from lost

    def _send_whole(self, data: bytes) -> None:
        # not `sendall`, whose time-out counts for all of it
        left = memoryview(data)
        while left:
            left = left[self._socket.send(left[:_RECORDS_BYTES]) :]

    def _gather(self, pieces: list[bytes | memoryview]) -> None:
        while pieces:
            sent = self._socket.sendmsg(pieces)
            whole = 0
            for piece in pieces:
                if sent < len(piece):
                    break
                sent -= len(piece)
                whole += 1
            del pieces[:whole]
            if sent:
                pieces[0] = memoryview(pieces[0])[sent:]

    def receive(self, *, until: float) -> Pdu:
        """The next PDU, whole; `until` is on the monotonic clock. What has come already is given even when that has passed.

        Raises
        ------
        TimeoutError
        ConnectionLost
        TooLong
        """
        while (found := self._whole()) is None:
            self._quick()
            self._more(max(until - time.monotonic(), 0))
        return found

    def waiting(self) -> Pdu | None:
        """A PDU that has come already.

        Raises
        ------
        ConnectionLost
            The peer has closed the connection.
        TooLong
        """
        with contextlib.suppress(TimeoutError):
            while self._whole_length() is None:
                self._more(0)
        return self._whole()

    def close(self) -> None:
        """Close; more often than once does no harm."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _quick(self) -> None:
        """Acknowledge what comes next at once: a peer with Nagle's algorithm on would wait for it in the middle of its answer."""
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _whole_length(self) -> int | None:
        if len(self._came) < pdu.HEAD_BYTES:
            return None
        _, length = pdu.head(self._came)
        if length > self.most_bytes:
            raise TooLong(f"a PDU of {length} bytes, where {self.most_bytes} were negotiated")
        whole = pdu.HEAD_BYTES + length
        return whole if len(self._came) >= whole else None

    def _whole(self) -> Pdu | None:
        whole = self._whole_length()
        if whole is None:
            return None
        found = Pdu(self._came[0], bytes(self._came[pdu.HEAD_BYTES : whole]))
        del self._came[:whole]
        return found

    def _more(self, timeout_s: float) -> None:
        self._socket.settimeout(timeout_s)
        try:
            came = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as nothing:  # how a time-out of zero is told
            raise TimeoutError("nothing has come") from nothing
        except TimeoutError:
            raise
        except OSError as lost:
            raise ConnectionLost(_words(lost)) from lost
        if not came:
            raise ConnectionLost("closed the connection")
        self._came += came


def _words(lost: OSError) -> str:
    return f"lost the connection ({lost.strerror or lost})"
