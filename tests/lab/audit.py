"""Audit messages as a repository sees them: the standard's schema, and a syslog receiver over TLS (RFC 5425) that goes and returns."""

import re
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree.ElementTree import Element, fromstring

from tests.lab import needs

_SCHEMA = Path(__file__).with_name("audit_message.rng")
# RFC 5424: PRI, version, time, host, application, process, message id, no structured data; a byte order mark says that UTF-8 follows
_SYSLOG = re.compile(rb"<(\d{1,3})>1 (\S+) (\S+) (\S+) (\S+) (\S+) - \xef\xbb\xbf(.*)", re.DOTALL)


@lru_cache(maxsize=1)
def _schema() -> Any:
    try:
        from lxml import etree
    except ImportError:
        needs.absent("lxml", "pip install lxml")
    return etree.RelaxNG(etree.parse(str(_SCHEMA)))


def valid(line: bytes) -> Element:
    """The message, which the schema of PS3.15 A.5.1.1 accepts; AssertionError with the schema's words when it does not."""
    from lxml import etree

    schema = _schema()
    assert schema.validate(etree.fromstring(line)), f"{schema.error_log}\n{line.decode()}"
    return fromstring(line)


def trail(folder: Path) -> list[Element]:
    """Every message in the files of a trail, in order; each has been found valid."""
    return [valid(line) for path in sorted(folder.glob("audit-*.xml")) for line in path.read_bytes().splitlines()]


def events(messages: Sequence[Element]) -> list[str]:
    """What each is, in the code meaning of its EventID."""
    return [str(_found(message, "EventIdentification/EventID").get("originalText")) for message in messages]


def of(messages: Sequence[Element], event: str) -> list[Element]:
    """Those about one kind of event."""
    return [message for message, name in zip(messages, events(messages), strict=True) if name == event]


def patients(message: Element) -> list[str]:
    """The patient IDs in a message."""
    return [
        str(one.get("ParticipantObjectID"))
        for one in message.iter("ParticipantObjectIdentification")
        if one.get("ParticipantObjectTypeCode") == "1"
    ]


def studies(message: Element) -> dict[str, int]:
    """The studies in a message, and of how many instances it speaks."""
    return {
        str(one.get("ParticipantObjectID")): sum(int(each.get("NumberOfInstances", "0")) for each in one.iter("SOPClass"))
        for one in message.iter("ParticipantObjectIdentification")
        if one.get("ParticipantObjectTypeCodeRole") == "3"
    }


def users(message: Element, role: str) -> list[str]:
    """The participants of a role, by its code meaning."""
    return [
        str(one.get("UserID"))
        for one in message.iter("ActiveParticipant")
        if any(each.get("originalText") == role for each in one.iter("RoleIDCode"))
    ]


def _found(message: Element, path: str) -> Element:
    found = message.find(path)
    assert found is not None, path
    return found


@dataclass
class Syslog:
    """One syslog message as it came."""

    priority: int
    at: str
    msgid: str
    body: bytes


@dataclass
class Repository:
    """An audit repository on loopback: octet-counted syslog over TLS, each connection in a thread. It keeps its port over `stop`."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    port: int = 0
    received: list[Syslog] = field(default_factory=list)
    _server: socket.socket | None = None
    _open: list[socket.socket] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Listen; at the same port as before."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_ca)
        self._server = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._server, context), daemon=True).start()

    def stop(self) -> None:
        """Go away without a word: connections are cut off."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        for one in self._open:
            one.close()
        self._open.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def bodies(self) -> list[bytes]:
        """The XML of what came."""
        with self._guard:
            return [one.body for one in self.received]

    def _accept(self, server: socket.socket, context: ssl.SSLContext) -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(plain, context), daemon=True).start()

    def _read(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        try:
            with context.wrap_socket(plain, server_side=True) as secured:
                self._open.append(secured)
                with secured.makefile("rb") as stream:
                    while length := _length(stream):
                        self._keep(stream.read(length))
        except (OSError, ValueError):
            return

    def _keep(self, message: bytes) -> None:
        found = _SYSLOG.fullmatch(message)
        assert found is not None, message[:200]
        body = found[7]
        assert body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>'), body[:60]
        with self._guard:
            self.received.append(
                Syslog(priority=int(found[1]), at=found[2].decode(), msgid=found[6].decode(), body=body.partition(b"?>")[2])
            )


def _length(stream: Any) -> int:
    """MSG-LEN SP, RFC 5425 4.3.1; 0 at the end."""
    digits = b""
    while (one := stream.read(1)) not in (b" ", b""):
        digits += one
    return int(digits) if digits else 0
