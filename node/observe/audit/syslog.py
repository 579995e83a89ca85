"""Syslog as PS3.15 A.6 and A.7 ask for it: RFC 5424 messages, framed over TLS (RFC 5425) or one a datagram (RFC 5426)."""

import fcntl
import os
import re
import socket
import ssl
import struct
import termios
import time
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 20.0
_LOOK_S = 0.02
_FACILITY = 10  # security/authorization messages
_NOTICE, _WARNING = 5, 4
_MSGID = "DICOM+RFC3881"
_BOM = b"\xef\xbb\xbf"  # RFC 5424 6.4: what follows is UTF-8
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
_AT = re.compile(rb'EventDateTime="([0-9T:.Z+-]{20,40})"')
_FAILED = re.compile(rb'EventOutcomeIndicator="(4|8|12)"')
_NOT_A_NAME = re.compile(r"[^!-~]")
_UDP_BYTES = 65_000


class RepositoryAway(Exception):
    """The audit repository does not take messages now; what was to be sent stays in the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files; `ca` None trusts what the system trusts."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`secure` False: UDP, which neither hides nor acknowledges anything."""

    host: str
    port: int
    secure: bool = True


def framed(line: bytes, *, host: str) -> bytes:
    """One message of the trail as RFC 5424 writes it."""
    said = _AT.search(line)
    at = said[1].decode("ascii") if said else "-"
    priority = _FACILITY * 8 + (_WARNING if _FAILED.search(line) else _NOTICE)
    name = _NOT_A_NAME.sub("_", host)[:255] or "-"
    return f"<{priority}>1 {at} {name} hilum - {_MSGID} - ".encode("ascii") + _BOM + _DECLARATION + line


class Connection:
    """A connection to an audit repository.

    Raises
    ------
    RepositoryAway
        It cannot be made: no answer, or a certificate that nobody here trusts.
    """

    def __init__(self, address: Address, tls: Tls) -> None:
        self._address = address
        self._name = socket.gethostname()
        try:
            if not address.secure:
                family, kind, _, _, target = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
                self._socket = socket.socket(family, kind)
                self._socket.connect(target)
                self._raw = self._socket
                return
            plain = socket.create_connection((address.host, address.port), timeout=_TIMEOUT_S)
            try:
                # the descriptor is asked how much of what was sent the other side has not acknowledged
                self._raw = plain.dup()
                self._socket = _context(tls).wrap_socket(plain, server_hostname=address.host)
            except BaseException:
                plain.close()
                raise
        except (OSError, ssl.SSLError, ValueError) as failed:
            raise RepositoryAway(_why(failed)) from failed

    def send(self, lines: list[bytes]) -> None:
        """Send messages; over TLS it returns when the repository's machine has acknowledged all of them.

        Syslog has no acknowledgement of its own (RFC 5425 says so): what its machine took and its program had not read when it died is
        lost with it. That is as much as the protocol allows anybody to know.
        """
        try:
            if not self._address.secure:
                for line in lines:
                    self._socket.send(framed(line, host=self._name)[:_UDP_BYTES])
                return
            self._look_for_an_end()
            messages = [framed(line, host=self._name) for line in lines]
            self._socket.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))
            self._await_acknowledgement()
        except (OSError, ssl.SSLError) as failed:
            raise RepositoryAway(_why(failed)) from failed

    def close(self) -> None:
        """End it; nobody waits for the other side."""
        for one in {self._socket, self._raw}:
            one.close()

    def _look_for_an_end(self) -> None:
        """A repository says nothing; if there is something to read it is the end of the connection."""
        self._socket.settimeout(0.0)
        try:
            if not self._socket.recv(1):
                raise ConnectionResetError("the repository closed the connection")
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        finally:
            self._socket.settimeout(_TIMEOUT_S)

    def _await_acknowledgement(self) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while _unacknowledged(self._raw.fileno()):
            if time.monotonic() > deadline:
                raise TimeoutError("the repository's machine acknowledges nothing")
            time.sleep(_LOOK_S)
        self._look_for_an_end()


def _unacknowledged(descriptor: int) -> int:
    """Bytes in the send queue of a TCP socket (tcp(7), SIOCOUTQ, which is TIOCOUTQ)."""
    answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if tls.ca is None else os.fspath(tls.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert is not None:
        context.load_cert_chain(os.fspath(tls.cert), None if tls.key is None else os.fspath(tls.key))
    return context


def _why(failed: Exception) -> str:
    if isinstance(failed, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {failed.verify_message}"
    return str(getattr(failed, "strerror", None) or failed) or type(failed).__name__
