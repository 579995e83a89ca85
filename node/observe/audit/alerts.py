"""Security alerts and log-ins out of the node's own events: whoever refuses somebody says so once, in the log, and this listens.

The same alert again within a minute is counted and told once, so that a flood of refused connections does not become a flood of messages.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from node.observe.audit import codes
from node.observe.audit.codes import Code
from node.observe.audit.message import Action, AlertSubject, Message, Outcome, Participant

_WINDOW_S = 60.0
_MOST_KINDS = 1000
"""Of different alerts in one window; what comes beyond is told without its sender, as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alert:
    """What one event means to the auditor. The outcome is A.5.3.11's: minor and serious mean that the node held. `told_as` other than
    Security Alert has no participant object."""

    kind: Code
    told_as: Code = codes.SECURITY_ALERT
    outcome: Outcome
    sentence: str


_ALERTS = {
    "association.rejected": _Alert(kind=codes.NODE_AUTHENTICATION, outcome=Outcome.MINOR, sentence="association rejected"),
    "association.tls_refused": _Alert(kind=codes.NODE_AUTHENTICATION, outcome=Outcome.MINOR, sentence="TLS handshake failed"),
    "association.too_many_connections": _Alert(kind=codes.NODE_AUTHENTICATION, outcome=Outcome.MINOR, sentence="too many connections"),
    "association.unknown_address": _Alert(
        kind=codes.NODE_AUTHENTICATION, outcome=Outcome.MINOR, sentence="connection from no peer's address"
    ),
    "association.no_proxy_header": _Alert(kind=codes.NODE_AUTHENTICATION, outcome=Outcome.MINOR, sentence="no PROXY protocol header"),
    "association.pdu_too_long": _Alert(kind=codes.RESTRICTED_FUNCTION, outcome=Outcome.MINOR, sentence="PDU above what was negotiated"),
    "association.message_too_long": _Alert(kind=codes.RESTRICTED_FUNCTION, outcome=Outcome.MINOR, sentence="message above every bound"),
    "tls.unusable": _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=Outcome.SERIOUS, sentence="TLS cannot be offered"),
    "tls.not_renewed": _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=Outcome.MINOR, sentence="new TLS files cannot be used"),
    "tls.renewed": _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=Outcome.SUCCESS, sentence="TLS files were renewed"),
    "routes.saved": _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=Outcome.SUCCESS, sentence="routes were written"),
    "routes.reloaded": _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=Outcome.SUCCESS, sentence="routes came into force"),
    "routes.refused": _Alert(kind=codes.SOFTWARE_CONFIGURATION, outcome=Outcome.MINOR, sentence="routes were refused"),
    "console.login_refused": _Alert(
        kind=codes.LOGIN, told_as=codes.USER_AUTHENTICATION, outcome=Outcome.MINOR, sentence="login at the console refused"
    ),
    "audit.written": _Alert(kind=codes.AUDIT_RECORDING_STOPPED, outcome=Outcome.SUCCESS, sentence="audit recording goes on"),
}
_TOLD = ("calling_ae", "called_ae", "address", "rejection", "reason", "error", "by", "path", "before", "config_digest")
HEARD = (*_ALERTS, "association.accepted", "console.login")
"""The events that are listened to."""


@dataclass(slots=True)
class _Repeated:
    first_at: float
    message: Message
    again: int = 0


@dataclass(slots=True)
class Alerts:
    """Turns events into messages; `hear` is what `node.observe.events.hear` takes.

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

    def hear(self, name: str, fields: Mapping[str, Any]) -> None:
        """One event of this process."""
        if name == "association.accepted":
            if fields.get("user"):
                self.tell(self._login(str(fields["user"]), fields))
            return
        if name == "console.login":
            self.tell(self._login(str(fields["account"]), fields))
            return
        alert = _ALERTS[name]
        said = {word: str(fields[word]) for word in _TOLD if fields.get(word)}
        with self._guard:
            self._end_windows(self.seconds() - _WINDOW_S)
            key: tuple[object, ...] = (name, said.get("address"), said.get("calling_ae"), said.get("rejection"))
            # of what was changed each change is told
            key += tuple(said.get(word) for word in ("by", "before", "config_digest"))
            if key not in self._seen and len(self._seen) >= _MOST_KINDS:
                key, said = (name,), {}
            repeated = self._seen.get(key)
            if repeated is not None:
                repeated.again += 1
                return
            message = self._message(alert, said)
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

    def _message(self, alert: _Alert, said: Mapping[str, str]) -> Message:
        address, calling = said.get("address", ""), said.get("calling_ae", "")
        who = [Participant(user_id=self.process, ae_titles=self.ae_titles)]
        if "by" in said:
            who.append(Participant(user_id=said["by"], requestor=True, address=address))
        elif calling or address:
            who.append(Participant(user_id=calling or address, ae_titles=(calling,) if calling else (), requestor=True, address=address))
        why = said.get("reason") or said.get("error") or ""
        if "before" in said:
            why = f"{said['before'][:12]} became {said.get('config_digest', '')[:12]}"
        words = f"{alert.sentence}: {why}" if why else alert.sentence
        if "path" in said:
            subject = AlertSubject(subject=Path(said["path"]).as_uri(), description=words, is_node=False)
        else:
            subject = AlertSubject(subject=address or self.process, description=words)
        return Message(
            event=alert.told_as,
            action=Action.EXECUTE,
            at=self.clock(),
            kinds=(alert.kind,),
            outcome=alert.outcome,
            description=alert.sentence if alert.outcome else "",
            participants=tuple(who),
            objects=(subject,) if alert.told_as is codes.SECURITY_ALERT else (),
        )

    def _login(self, user: str, fields: Mapping[str, Any]) -> Message:
        calling, address = str(fields.get("calling_ae", "")), str(fields.get("address", ""))
        return Message(
            event=codes.USER_AUTHENTICATION,
            action=Action.EXECUTE,
            at=self.clock(),
            kinds=(codes.LOGIN,),
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
