"""Forwards the audit trail's files to an audit repository, in order, from where it stopped: one process of a host at a time does it.

Over syslog as PS3.15 A.6 and A.7 ask for it: RFC 5424 messages, framed over TLS (RFC 5425) or one a datagram (RFC 5426).
"""

import contextlib
import fcntl
import json
import os
import re
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from node.observe.audit.trail import AuditFiles, lines_from
from node.observe.events import alarm, event

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
class RepositoryAddress:
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

    def __init__(self, address: RepositoryAddress, tls: Tls) -> None:
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
            except BaseException:  # raised again: no socket stays open behind a failed handshake
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


_EVERY_S = 0.5
_AWAY_FIRST_S = 1.0
_AWAY_MOST_S = 60.0
_BATCH_BYTES = 256 << 10
_FORGET_EVERY = timedelta(hours=1)
_TO_STOP_S = 5.0


class AuditForwarder:
    """A thread that follows the files. Without an address it only deletes those that are older than `keep`, by `clock`.

    Where it stands is a small file beside them, written only after the repository's machine has acknowledged what came before: after a
    crash, or a connection that broke, a few messages may go twice, and none is left out.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: timedelta,
        address: RepositoryAddress | None,
        tls: Tls,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._files = AuditFiles(folder)
        self._keep = keep
        self._clock = clock
        self._address = address
        self._tls = tls
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._away = ""
        self._lock: IO[str] | None = None
        self._forgot_at = datetime.min.replace(tzinfo=UTC)
        self._thread = threading.Thread(target=self._run, name="audit-sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is not sent is sent after the next start."""
        self._stop.set()
        self._thread.join(_TO_STOP_S)

    def _run(self) -> None:
        pause_s = _EVERY_S
        while True:
            ending = self._stop.wait(pause_s)  # once more when it ends: the last words of the node
            try:
                self.turn()
                pause_s = _EVERY_S
            except RepositoryAway as away:
                pause_s = min(_AWAY_MOST_S, max(_AWAY_FIRST_S, pause_s * 2))
                self._say_away(str(away))
            except OSError as failed:
                pause_s = _AWAY_MOST_S
                self._say_away(f"{failed.strerror}: {self._files.folder}")
            if ending:
                self.disconnect()
                return

    def turn(self) -> int:
        """Send what is there; how many messages.

        Raises
        ------
        RepositoryAway
            It takes nothing now.
        OSError
            The files cannot be read, or where it stands cannot be written.
        """
        self._files.make()
        if not self._is_mine():
            return 0
        sent = 0
        if self._address is not None:
            while batch := self._next():
                lines, position = batch
                self._connect().send(lines)
                self._remember(*position)
                sent += len(lines)
                if self._away:
                    event("audit.sent_again", repository=self._called())
                    self._away = ""
        now = self._clock()
        if now - self._forgot_at > _FORGET_EVERY:
            self._forgot_at = now
            self._files.forget(now, self._keep, needed=None if self._address is None else self._position()[0])
        return sent

    def _next(self) -> tuple[list[bytes], tuple[str, int]] | None:
        """The next messages, and where they end; None when all are sent."""
        name, offset = self._position()
        days = [path for path in self._files.days() if path.name >= name]
        for path in days:
            start = offset if path.name == name else 0
            found = list(lines_from(path, start, _BATCH_BYTES))
            if not found and path != days[-1] and not self._files.ended(path, start):
                found = list(lines_from(path, start, _BATCH_BYTES))
            if found:
                # what a power loss cut short is no message
                return [line for line, _ in found if line.startswith(b"<AuditMessage") and line.endswith(b"</AuditMessage>")], (
                    path.name,
                    found[-1][1],
                )
        return None

    def _connect(self) -> Connection:
        assert self._address is not None, "only what has an address is sent"
        if self._connection is None:
            self._connection = Connection(self._address, self._tls)
        return self._connection

    def disconnect(self) -> None:
        """End the connection, if there is one; the next turn that has something to send makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _say_away(self, why: str) -> None:
        self.disconnect()
        if self._away != why:
            alarm("audit.away", repository=self._called(), reason=why)
        self._away = why

    def _called(self) -> str:
        return "" if self._address is None else f"{self._address.host}:{self._address.port}"

    def _is_mine(self) -> bool:
        if self._lock is None:
            lock = (self._files.folder / "sending.lock").open("w", encoding="ascii")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    @property
    def _standing(self) -> Path:
        return self._files.folder / "sent.json"

    def _position(self) -> tuple[str, int]:
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            said = json.loads(self._standing.read_text(encoding="ascii"))
            return str(said["file"]), int(said["offset"])
        return "", 0

    def _remember(self, name: str, offset: int) -> None:
        partial = self._standing.with_suffix(".part")
        with partial.open("w", encoding="ascii") as file:
            json.dump({"file": name, "offset": offset}, file)
            file.flush()
            os.fdatasync(file.fileno())
        partial.rename(self._standing)
