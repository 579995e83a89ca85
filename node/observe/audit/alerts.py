"""Security alerts and log-ins as audit messages: made from the security events of a process, to which this listens; and those of a node's
own life: it began to serve or stopped, and its configuration is not the one of the last start.

The same alert again within a minute is counted and told once, so that a flood of refused connections does not become a flood of messages.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from node.observe.audit import codes
from node.observe.audit.codes import Code
from node.observe.audit.message import Action, AlertSubject, EventOutcome, Message, Participant
from node.observe.events import alarm
from node.observe.security import (
    AssociationAccepted,
    AssociationFinished,
    AssociationNotRequested,
    AssociationRejected,
    AuditResumed,
    ConfigReloaded,
    ConfigSaved,
    ConnectionRefused,
    ConsoleActed,
    ConsoleLogin,
    ConsoleLoginRefused,
    ConsoleLogout,
    ConsoleLogoutRefused,
    HandshakeFailed,
    MessageTooLong,
    PduTooLong,
    ProxyHeaderMissing,
    RefusalsLeftOut,
    ReloadRefused,
    SecurityEvent,
    TlsNotOffered,
    TlsNotRenewed,
    TlsRenewed,
    TooManyConnections,
    UnknownAddress,
)

_WINDOW_S = 60.0
_MOST_KINDS = 1000
"""Of different alerts in one window; what comes beyond is told without its sender, as one; what people do at the console
is not counted so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alert:
    """What one event means to the auditor. The outcome is A.5.3.11's: minor and serious mean that the node held. `told_as` other than
    Security Alert has no participant object."""

    kind: Code
    told_as: Code = codes.SECURITY_ALERT
    outcome: EventOutcome
    sentence: str


_ALERTS: Mapping[type[SecurityEvent], _Alert] = {
    AssociationRejected: _Alert(kind=codes.NODE_AUTHENTICATION, outcome=EventOutcome.MINOR, sentence="association rejected"),
    HandshakeFailed: _Alert(kind=codes.NODE_AUTHENTICATION, outcome=EventOutcome.MINOR, sentence="TLS handshake failed"),
    AssociationNotRequested: _Alert(
        kind=codes.NODE_AUTHENTICATION, outcome=EventOutcome.MINOR, sentence="what came was no DICOM association"
    ),
    TooManyConnections: _Alert(kind=codes.NODE_AUTHENTICATION, outcome=EventOutcome.MINOR, sentence="too many connections"),
    UnknownAddress: _Alert(kind=codes.NODE_AUTHENTICATION, outcome=EventOutcome.MINOR, sentence="connection from no peer's address"),
    ProxyHeaderMissing: _Alert(kind=codes.NODE_AUTHENTICATION, outcome=EventOutcome.MINOR, sentence="no PROXY protocol header"),
    PduTooLong: _Alert(kind=codes.RESTRICTED_FUNCTION, outcome=EventOutcome.MINOR, sentence="PDU above what was negotiated"),
    MessageTooLong: _Alert(kind=codes.RESTRICTED_FUNCTION, outcome=EventOutcome.MINOR, sentence="message above every bound"),
    TlsNotOffered: _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=EventOutcome.SERIOUS, sentence="TLS cannot be offered"),
    TlsNotRenewed: _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=EventOutcome.MINOR, sentence="new TLS files cannot be used"),
    TlsRenewed: _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=EventOutcome.SUCCESS, sentence="TLS files were renewed"),
    ConfigSaved: _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=EventOutcome.SUCCESS, sentence="the configuration was written"),
    ConfigReloaded: _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=EventOutcome.SUCCESS, sentence="a configuration came into force"),
    ReloadRefused: _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=EventOutcome.MINOR, sentence="a configuration was refused"),
    ConsoleLoginRefused: _Alert(
        kind=codes.LOGIN, told_as=codes.USER_AUTHENTICATION, outcome=EventOutcome.MINOR, sentence="login at the console refused"
    ),
    ConsoleLogoutRefused: _Alert(kind=codes.NODE_AUTHENTICATION, outcome=EventOutcome.MINOR, sentence="logout by the provider refused"),
    ConsoleActed: _Alert(kind=codes.RESTRICTED_FUNCTION, outcome=EventOutcome.SUCCESS, sentence="done at the console"),
    AuditResumed: _Alert(kind=codes.AUDIT_RECORDING_STOPPED, outcome=EventOutcome.SUCCESS, sentence="audit recording goes on"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What an alert says of one event, beside its sentence: who it was (a person, or an AE title and an address), why, and of which file.
    `changed` is the configuration before and since, `in_force` the one that stays. `each` is what is told each time that it is another."""

    calling_ae: str = ""
    address: str = ""
    by: str = ""
    rejection: str = ""
    why: str = ""
    path: str = ""
    changed: tuple[str, str] = ("", "")
    in_force: str = ""
    each: str = ""


def _facts(one: SecurityEvent) -> _Facts:
    match one:
        case AssociationRejected():
            return _Facts(calling_ae=one.calling_ae, address=one.address, rejection=one.rejection, why=one.reason)
        case HandshakeFailed() | AssociationNotRequested() | ProxyHeaderMissing() | TlsNotOffered() | ConsoleLogoutRefused():
            return _Facts(address=one.address, why=one.reason)
        case ConnectionRefused():
            return _Facts(address=one.address)
        case ConsoleLoginRefused():
            return _Facts(by=one.account, address=one.address, why=one.reason, each=one.reason)
        case ConsoleActed():
            return _Facts(by=one.account, address=one.address, why=f"{one.verb} {one.subject}", each=f"{one.verb} {one.subject}")
        case TlsNotRenewed():
            return _Facts(why=one.reason)
        case ConfigSaved():
            why, changed = f"`{one.block}`", (one.before, one.config_digest)
            return _Facts(by=one.by, address=one.address, path=one.path, why=why, changed=changed, each=one.block)
        case ConfigReloaded():
            blocks = ", ".join(f"`{block}`" for block in one.blocks) or "no block"
            why = f"{blocks} changed, revision {one.revision or 'not kept yet'}"
            return _Facts(by=one.by, path=one.path, why=why, changed=(one.before, one.config_digest), each=why)
        case ReloadRefused():
            why = f"{one.reason} ({one.config_digest[:12]} stays in force)"
            return _Facts(by=one.by, path=one.path, why=why, in_force=one.config_digest)
        case _:
            return _Facts()


@dataclass(slots=True)
class _Repeated:
    first_at: float
    message: Message
    again: int = 0


@dataclass(slots=True)
class Alerts:
    """Turns events into messages; `hear` is what `node.observe.security.listen` takes.

    Parameters
    ----------
    tell
        Where messages go; it must not wait.
    process
        The identity of this process (A.5.2.1).
    ae_titles
        Those of this node.
    seconds, clock
        A clock that only goes forward, and aware UTC now.
    """

    tell: Callable[[Message], None]
    process: str
    ae_titles: tuple[str, ...]
    seconds: Callable[[], float] = time.monotonic
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _seen: dict[tuple[object, ...], _Repeated] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, one: SecurityEvent) -> None:
        """One event of this process."""
        match one:
            case AssociationAccepted():
                if one.user:
                    self.tell(self._login(one.user, one.calling_ae, one.address))
                return
            case AssociationFinished() | RefusalsLeftOut():
                return  # of what is refused each was heard
            case ConsoleLogin():
                self.tell(self._login(one.account, "", one.address))
                return
            case ConsoleLogout():
                self.tell(self._login(one.account, "", one.address, kind=codes.LOGOUT))
                return
        alert, facts = _ALERTS[type(one)], _facts(one)
        with self._guard:
            self._end_windows(self.seconds() - _WINDOW_S)
            # of what was changed each change is told, and of what was refused each time that something else stays
            who = (facts.address, facts.calling_ae, facts.rejection, facts.by)
            key: tuple[object, ...] = (type(one), *who, facts.changed, facts.in_force, facts.each)
            if key not in self._seen and len(self._seen) >= _MOST_KINDS and not isinstance(one, ConsoleActed):
                key, facts = (type(one),), _Facts()
            repeated = self._seen.get(key)
            if repeated is not None:
                repeated.again += 1
                return
            message = self._message(alert, facts)
            self._seen[key] = _Repeated(first_at=self.seconds(), message=message)
        self.tell(message)

    def close(self) -> None:
        """Tell how often what was not told came again."""
        with self._guard:
            self._end_windows(float("inf"))

    def _end_windows(self, began_before: float) -> None:
        for key, one in [(key, one) for key, one in self._seen.items() if one.first_at <= began_before]:
            del self._seen[key]
            if one.again:
                self.tell(_counted(one, self.clock()))

    def _message(self, alert: _Alert, facts: _Facts) -> Message:
        address, calling = facts.address, facts.calling_ae
        who = [Participant(user_id=self.process, ae_titles=self.ae_titles)]
        if facts.by:
            who.append(Participant(user_id=facts.by, requestor=True, address=address))
        elif calling or address:
            who.append(Participant(user_id=calling or address, ae_titles=(calling,) if calling else (), requestor=True, address=address))
        before, since = facts.changed
        became = f"{before[:12]} became {since[:12]}" if before and before != since else ""
        why = ": ".join(one for one in (facts.why, became) if one)
        words = f"{alert.sentence}: {why}" if why else alert.sentence
        if facts.path:
            subject = AlertSubject(subject=Path(facts.path).as_uri(), description=words, is_node=False)
        else:
            subject = AlertSubject(subject=address or self.process, description=words)
        return Message(
            event=alert.told_as,
            action=Action.EXECUTE,
            at=self.clock(),
            kinds=(alert.kind,),
            outcome=alert.outcome,
            description=(words if alert.told_as is codes.USER_AUTHENTICATION else alert.sentence) if alert.outcome else "",
            participants=tuple(who),
            objects=(subject,) if alert.told_as is codes.SECURITY_ALERT else (),
        )

    def _login(self, user: str, calling: str, address: str, *, kind: Code = codes.LOGIN) -> Message:
        return Message(
            event=codes.USER_AUTHENTICATION,
            action=Action.EXECUTE,
            at=self.clock(),
            kinds=(kind,),
            participants=(
                Participant(user_id=user, ae_titles=(calling,) if calling else (), requestor=True, address=address),
                Participant(user_id=self.process, ae_titles=self.ae_titles),
            ),
        )


def _counted(one: _Repeated, now: datetime) -> Message:
    often, told = f"({one.again} more within a minute)", one.message
    objects = tuple(
        replace(each, description=f"{each.description} {often}") if isinstance(each, AlertSubject) else each for each in told.objects
    )
    return replace(told, at=now, objects=objects, description=told.description if objects else f"{told.description} {often}")


_CONFIGURATION = "configuration.sha256"


def activity(kind: codes.Code, process: str, ae_titles: Sequence[str]) -> Message:
    """The start or stop of the node, launched by this process's user (PS3.15 A.5.3.1)."""
    return Message(
        event=codes.APPLICATION_ACTIVITY,
        action=Action.EXECUTE,
        at=datetime.now(UTC),
        kinds=(kind,),
        participants=(
            Participant(user_id=process, ae_titles=tuple(ae_titles), roles=(codes.APPLICATION,)),
            Participant(user_id=f"uid {os.getuid()}", requestor=True, roles=(codes.LAUNCHER,)),
        ),
    )


def configuration_changed(path: Path, folder: Path, process: str, ae_titles: Sequence[str]) -> Message | None:
    """An alert where the configuration file is not the one of the last start, which is remembered in `folder`."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    kept = folder / _CONFIGURATION
    try:
        before = kept.read_text(encoding="ascii").strip() if kept.exists() else None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept.write_text(f"{digest}\n", encoding="ascii")
    except OSError as failed:
        alarm("audit.failed", reason=str(failed.strerror), messages=1)
        return None
    if before in (None, digest):
        return None
    assert before is not None, "it was looked at"
    told = AlertSubject(subject=path.as_uri(), description=f"configuration {before[:12]} became {digest[:12]}", is_node=False)
    return Message(
        event=codes.SECURITY_ALERT,
        action=Action.EXECUTE,
        at=datetime.now(UTC),
        kinds=(codes.SOFTWARE_CONFIGURATION,),
        outcome=EventOutcome.SUCCESS,
        participants=(Participant(user_id=process, ae_titles=tuple(ae_titles)),),
        objects=(told,),
    )
