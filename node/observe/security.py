"""Security events: who was let in or refused, and what changed of what the node goes by.

Each is raised where it happens, with `tell`, or by `Refusals` where a flood of them must not become a flood of lines. Its line in the log
is made from it here, and its DICOM audit message in `node.observe.audit.alerts`, which listens and counts.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from node.observe.events import alarm, event

_WINDOW_S = 60.0
_LINES = 10
MOST_KINDS = 100
"""Of names and addresses in one window; those beyond share one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent:
    """One of them: `line` is its name in the log, its fields are the line's, and an alarm is what an operator must look at."""

    line: ClassVar[str]
    is_alarm: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRefused(SecurityEvent):
    """Somebody at this address was not let in."""

    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownAddress(ConnectionRefused):
    """No peer has the address."""

    line: ClassVar[str] = "association.unknown_address"


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyConnections(ConnectionRefused):
    """No seat was left for one that had not asked for an association yet."""

    line: ClassVar[str] = "association.too_many_connections"
    is_alarm: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyHeaderMissing(ConnectionRefused):
    """A trusted proxy began without a header of the PROXY protocol."""

    line: ClassVar[str] = "association.no_proxy_header"
    is_alarm: ClassVar[bool] = True
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsNotOffered(ConnectionRefused):
    """The listener's TLS files cannot be used, and never could since the process began."""

    line: ClassVar[str] = "tls.unusable"
    is_alarm: ClassVar[bool] = True
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeFailed(ConnectionRefused):
    """There is no TLS with who connected."""

    line: ClassVar[str] = "association.tls_refused"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationNotRequested(ConnectionRefused):
    """What came first is no A-ASSOCIATE-RQ (PS3.8 9.3.2), or one that cannot be read."""

    line: ClassVar[str] = "association.not_requested"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationRejected(ConnectionRefused):
    """An association was asked for and is not to be."""

    line: ClassVar[str] = "association.rejected"
    calling_ae: str
    called_ae: str
    rejection: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationAccepted(SecurityEvent):
    """An association stands. `user` was asked for, and checked: nobody is admitted without it."""

    line: ClassVar[str] = "association.accepted"
    association: str
    calling_ae: str
    called_ae: str
    address: str
    peer: str | None
    user: str | None
    contexts: int
    contexts_rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationFinished(SecurityEvent):
    """One that stood is over: `how` is released, aborted or lost. `kept` and `refused` count its instances."""

    line: ClassVar[str] = "association.ended"
    association: str
    how: str
    kept: int
    refused: int
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalsLeftOut(SecurityEvent):
    """So many refused connections of one address (None: of many) were not written, for the flood that they were."""

    line: ClassVar[str] = "association.refusals_left_out"
    is_alarm: ClassVar[bool] = True
    of: str
    address: str | None
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PduTooLong(SecurityEvent):
    """A PDU was claimed above what was negotiated."""

    line: ClassVar[str] = "association.pdu_too_long"
    is_alarm: ClassVar[bool] = True
    claimed_bytes: int
    most_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTooLong(SecurityEvent):
    """A message other than an instance was longer than any such is."""

    line: ClassVar[str] = "association.message_too_long"
    is_alarm: ClassVar[bool] = True
    most_bytes: int
    held_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsNotRenewed(SecurityEvent):
    """Changed TLS files cannot be used; those before stay in use."""

    line: ClassVar[str] = "tls.not_renewed"
    is_alarm: ClassVar[bool] = True
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRenewed(SecurityEvent):
    """Changed TLS files are in use."""

    line: ClassVar[str] = "tls.renewed"
    files: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSaved(SecurityEvent):
    """A block of the configuration file, or for a rollback all of it (`file`), was written at the console."""

    line: ClassVar[str] = "config.saved"
    block: str
    by: str
    address: str
    path: str
    before: str
    config_digest: str
    kept: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReloaded(SecurityEvent):
    """What the file says came into force: the `blocks` that differ from what was in force before. `revision` is None where the journal is
    away, and keeps it later."""

    line: ClassVar[str] = "config.reloaded"
    by: str
    path: str
    blocks: tuple[str, ...]
    revision: int | None
    config_digest: str
    before: str
    routes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadRefused(SecurityEvent):
    """What the file says was not taken; the configuration of `config_digest` stays in force."""

    line: ClassVar[str] = "config.refused"
    is_alarm: ClassVar[bool] = True
    by: str
    path: str
    code: str
    reason: str
    config_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleLogin(SecurityEvent):
    """Somebody logged in at the console."""

    line: ClassVar[str] = "console.login"
    account: str
    role: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleLogout(SecurityEvent):
    """Somebody logged out at the console."""

    line: ClassVar[str] = "console.logout"
    account: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleLoginRefused(SecurityEvent):
    """Somebody was not let in at the console. `account` is who it is, as far as that was proven: what was typed may be a password."""

    line: ClassVar[str] = "console.login_refused"
    is_alarm: ClassVar[bool] = True
    address: str
    reason: str
    account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleLogoutRefused(SecurityEvent):
    """A message that somebody logged out at the hospital's provider is not the provider's, or cannot be verified now."""

    line: ClassVar[str] = "console.logout_refused"
    is_alarm: ClassVar[bool] = True
    address: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleActed(SecurityEvent):
    """Somebody did something at the console, or a program with a token of theirs: `verb` to `subject` ("job 7", "sink archive")."""

    line: ClassVar[str] = "console.acted"
    account: str
    address: str
    verb: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResumed(SecurityEvent):
    """The audit trail is written again; so many messages found no room meanwhile."""

    line: ClassVar[str] = "audit.written"
    dropped: int


_listeners: list[Callable[[SecurityEvent], None]] = []
_listeners_to_lines: list[Callable[[SecurityEvent], None]] = []


def tell(one: SecurityEvent) -> None:
    """Write its line, and have whoever listens hear of it."""
    said = {field.name: getattr(one, field.name) for field in fields(one)}
    (alarm if one.is_alarm else event)(one.line, **said)
    for listener in _listeners_to_lines:
        listener(one)
    tell_listeners(one)


def tell_listeners(one: SecurityEvent) -> None:
    """The same without its line: the log has had enough of it."""
    for listener in _listeners:
        listener(one)


def listen(listener: Callable[[SecurityEvent], None]) -> None:
    """Have `listener` called with each security event of this process from now on, in the thread that tells it."""
    _listeners.append(listener)


def listen_to_lines(listener: Callable[[SecurityEvent], None]) -> None:
    """The same for those events alone that have a line in the log: of a flood of refusals it hears the first, and how many followed."""
    _listeners_to_lines.append(listener)


def listen_no_more() -> None:
    """Forget every listener."""
    _listeners.clear()
    _listeners_to_lines.clear()


@dataclass(slots=True)
class _Window:
    began: float
    lines: int = 0
    left_out: int = 0


class Refusals:
    """What one listener tells of those that it refuses. Called from many threads."""

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], _Window] = {}
        self._timer: threading.Timer | None = None

    def __len__(self) -> int:
        """Of how many names and addresses it counts now."""
        return len(self._windows)

    def tell(self, refused: ConnectionRefused) -> None:
        """Write its line for as long as it is no flood; whoever listens hears of each."""
        (tell if self._is_to_be_written(refused.line, refused.address) else tell_listeners)(refused)

    def close(self) -> None:
        """Tell what was left out so far."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._end(float("inf"))

    def _is_to_be_written(self, name: str, address: str) -> bool:
        self._end(self._seconds() - _WINDOW_S)
        with self._lock:
            key = (name, address)
            if key not in self._windows and len(self._windows) >= MOST_KINDS:
                key = (name, "")
            window = self._windows.setdefault(key, _Window(began=self._seconds()))
            if window.lines < _LINES:
                window.lines += 1
                return True
            window.left_out += 1
            if self._timer is None:  # nobody may ever come again to bring it up
                timer = threading.Timer(_WINDOW_S, self._ring)
                timer.daemon = True
                # without room for a thread it is told when the next one comes: who refuses holds a seat meanwhile, and expects no error
                with contextlib.suppress(RuntimeError):
                    timer.start()
                    self._timer = timer
            return False

    def _ring(self) -> None:
        with self._lock:
            self._timer = None
        self._end(float("inf"))

    def _end(self, began_before: float) -> None:
        with self._lock:
            ended = [(key, one) for key, one in self._windows.items() if one.began <= began_before]
            for key, _ in ended:
                del self._windows[key]
        for (name, address), one in ended:
            if one.left_out:
                tell(RefusalsLeftOut(of=name, address=address or None, left_out=one.left_out))
