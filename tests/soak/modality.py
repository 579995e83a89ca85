"""A modality written by hand from PS3.8 and PS3.7: one association, C-STORE of a study, and the bad manners of real ones."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Sequence
from enum import Enum
from types import TracebackType
from typing import Self

CALLING, CALLED = "SOAK", "HILUM"
EXPLICIT = "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"
_CONTEXT_NAME = b"1.2.840.10008.3.1.1.1"
_OURS = b"1.2.826.0.1.3680043.8.498.1"
_PDU_BYTES = 65536
_PATIENCE_S = 60.0


class Manners(Enum):
    """How a modality leaves in the middle of a data set."""

    ABORTS = "A-ABORT"
    VANISHES = "closes the connection"


class Gone(Exception):
    """The association was refused, aborted or lost, or nobody listens."""


def request(sop_class_uid: str, *, calling: str = CALLING) -> bytes:
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2) with one presentation context in explicit little endian."""
    context = _item(0x20, bytes((1, 0, 0, 0)) + _item(0x30, sop_class_uid.encode()) + _item(0x40, EXPLICIT.encode()))
    user = _item(0x50, _item(0x51, struct.pack(">I", _PDU_BYTES)) + _item(0x52, _OURS))
    titles = CALLED.ljust(16).encode() + calling.ljust(16).encode()
    return _pdu(0x01, struct.pack(">HH", 1, 0) + titles + bytes(32) + _item(0x10, _CONTEXT_NAME) + context + user)


class Association:
    """An association as a context manager; leaving releases it. With `context` it is one over TLS."""

    def __init__(
        self,
        port: int,
        sop_class_uid: str = VERIFICATION,
        *,
        calling: str = CALLING,
        context: ssl.SSLContext | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._message = 0
        self._patience_s = patience_s
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        except OSError as nobody:
            raise Gone(str(nobody)) from nobody
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self._socket = _secured(self._socket, context)
            self._request(request(sop_class_uid, calling=calling))
        except BaseException:
            self._socket.close()
            raise

    def _request(self, asked: bytes) -> None:
        self._send(asked)
        kind, body = self._receive()
        if kind != 0x02:
            raise Gone(f"answered by a PDU of type {kind:#04x}: {body.hex()}")
        at, accepted, most = 68, False, 16384
        while at + 4 <= len(body):
            item, length = body[at], struct.unpack_from(">H", body, at + 2)[0]
            if item == 0x21:
                accepted = body[at + 6] == 0
            elif item == 0x50:
                most = struct.unpack_from(">I", body, at + 8)[0]  # its first sub-item is the maximum length
            at += 4 + length
        if not accepted:
            raise Gone("the presentation context was not accepted")
        self._fragment = min(most or 1 << 20, 1 << 20) - 6

    def echo(self) -> int:
        """C-ECHO; its status. The presentation context is to be Verification's."""
        self._message += 1
        self._data(True, [_command(0x0030, VERIFICATION, self._message)], last=True)
        return self._status()

    def store(self, sop_class_uid: str, uid: str, parts: Sequence[bytes | memoryview], *, leaves: Manners | None = None) -> int:
        """Send one instance; its status. With `leaves` it ends in the middle, and so does the association."""
        self._message += 1
        self._data(True, [_command(0x0001, sop_class_uid, self._message, uid)], last=True)
        if leaves is not None:
            self._data(False, [parts[0]], last=False)
            if leaves is Manners.ABORTS:
                self._send(_pdu(0x07, bytes(4)))
            self._socket.close()
            raise Gone(leaves.value)
        self._data(False, parts, last=True)
        return self._status()

    def _status(self) -> int:
        kind, body = self._receive()
        if kind != 0x04:
            raise Gone(f"a PDU of type {kind:#04x} in place of a response")
        return _status_of(body[6:])

    def _data(self, command: bool, parts: Sequence[bytes | memoryview], *, last: bool) -> None:
        pieces = [part[at : at + self._fragment] for part in parts for at in range(0, len(part), self._fragment)]
        for number, piece in enumerate(pieces, start=1):
            header = (1 if command else 0) | (2 if last and number == len(pieces) else 0)
            self._send(_pdu(0x04, struct.pack(">IBB", len(piece) + 2, 1, header), piece))

    def _send(self, content: bytes) -> None:
        try:
            self._socket.sendall(content)
        except OSError as lost:
            raise Gone(str(lost)) from lost

    def _receive(self) -> tuple[int, bytes]:
        head = self._exactly(6)
        return head[0], self._exactly(struct.unpack_from(">I", head, 2)[0])

    def _exactly(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            try:
                more = self._socket.recv(count - len(got))
            except OSError as lost:
                raise Gone(str(lost)) from lost
            if not more:
                raise Gone("the connection was closed")
            got += more
        return bytes(got)

    @property
    def stands(self) -> bool:
        """Whether nobody has ended it; asks the socket, sends nothing."""
        try:
            self._socket.settimeout(0)
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            self._socket.settimeout(self._patience_s)
            return True
        except OSError:
            return False
        return False

    def release(self) -> None:
        """A-RELEASE, as far as the other side still listens."""
        with contextlib.suppress(Gone):
            self._send(_pdu(0x05, bytes(4)))
            self._receive()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.release()
        else:
            self._socket.close()


def _secured(connection: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(connection, server_hostname="localhost")
    except OSError as lost:
        raise Gone(str(lost)) from lost


def _pdu(kind: int, *parts: bytes | memoryview) -> bytes:
    return b"".join((struct.pack(">BBI", kind, 0, sum(len(part) for part in parts)), *parts))


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def _element(number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value


def _command(field: int, sop_class_uid: str, message: int, uid: str = "") -> bytes:
    """C-STORE-RQ (PS3.7 9.3.1.1) of an instance, or C-ECHO-RQ (PS3.7 9.3.5.1)."""
    elements = (
        _element(0x0002, sop_class_uid.encode())
        + _element(0x0100, struct.pack("<H", field))
        + _element(0x0110, struct.pack("<H", message % 65536))
        + (_element(0x0700, struct.pack("<H", 0)) if uid else b"")
        + _element(0x0800, struct.pack("<H", 0 if uid else 0x0101))
        + (_element(0x1000, uid.encode()) if uid else b"")
    )
    return _element(0x0000, struct.pack("<I", len(elements))) + elements


def _status_of(command: bytes) -> int:
    at = 0
    while at + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHI", command, at)
        if number == 0x0900:
            return int(struct.unpack_from("<H", command, at + 8)[0])
        at += 8 + length
    raise Gone("a response without a status")
