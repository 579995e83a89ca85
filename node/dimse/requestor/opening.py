"""How an association that this node requests comes about: whom it calls and as whom, TLS, the user, the answer (PS3.8 7.1)."""

import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from socket import socket
from typing import Final

from node.dicom.transfer_syntax import Context
from node.dimse import tls
from node.dimse.port import CalledTitleUnknown, NotDicom, PeerAway, PeerRejected
from node.dimse.requestor_identity import USERNAME, USERNAME_AND_PASSCODE, UserIdentity
from node.dimse.ul import pdu
from node.dimse.ul.connection import ConnectionLost, PduConnection, Secure, TooLong, connect
from node.dimse.ul.negotiation import Agreed, accepted, request
from node.dimse.ul.pdu import AbortSource, Malformed, PduType
from node.domain.errors import ConfigError
from node.settings.secrets import passcode_of
from node.settings.tls import PeerTls, User

MAX_PDU: Final = 131072
"""What a peer may send at once; answers have a few hundred bytes."""
MOST_BYTES: Final = MAX_PDU + pdu.SLACK_BYTES
"""Of a PDU without its head; an A-ASSOCIATE-AC with all presentation contexts that there can be has a tenth of it."""
_LAST_WORD_S: Final = 1.0
_REASONS: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised",
    (1, 7): "called AE title not recognised",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""Source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""
_ONLY_FOR_NOW: Final = 2
_UNTOLD: Final = (1, 1)
"""Of the application: what the protocol machine rejects without a reason, it rejects for who asks."""
_OWN_ERRORS: Final = {(1, 7): CalledTitleUnknown}
"""Those that another person mends than the others."""
_OTHERS: Final = ((b"HTTP", "a web server"), (b"SSH-", "an SSH server"), (b"\x15\x03", "TLS"), (b"220 ", "a mail or FTP server"))
"""How answers of other protocols begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a peer may take: to accept the connection, the association, and to answer a message (a store: after its last byte)."""

    connect_s: float = 10.0
    acse_s: float = 15.0
    dimse_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Whom to ask for an association, and as whom. `who` is what errors call the peer."""

    who: str
    host: str
    port: int
    called: str
    calling: str
    timeouts: Timeouts
    tls: PeerTls | None = None
    login: User | None = None


def opened(peer: Called, contexts: Sequence[Context], *, provides: Collection[str] = ()) -> tuple[PduConnection, Agreed]:
    """Connect and negotiate. Of the SOP classes that it `provides` this node is to be the provider.

    Raises
    ------
    PeerAway, PeerRejected, PeerUntrusted
        There is no association.
    """
    try:
        asked = request(
            calling=peer.calling,
            called=peer.called,
            contexts=contexts,
            most_bytes=MAX_PDU,
            identity=_identity(peer.login),
            provides=provides,
        )
        connection = PduConnection(connect(peer.host, peer.port, timeout_s=peer.timeouts.connect_s, secure=_secure(peer)))
    except ConfigError as unusable:
        # a key that somebody moved while the node runs: results wait, as for a peer that is away
        raise PeerAway(f"{peer.who} cannot be called: {unusable} [{unusable.code}]") from unusable
    except (OSError, ValueError) as away:
        why = (isinstance(away, OSError) and away.strerror) or away
        raise PeerAway(f"{peer.who} cannot be reached: {why}") from away
    try:
        agreed = _agreed(connection, asked, contexts, peer)
    except BaseException:  # raised again: no socket stays open behind a failed negotiation
        connection.close()
        raise
    return connection, agreed


def _identity(login: User | None) -> UserIdentity | None:
    if login is None:
        return None
    kind = USERNAME_AND_PASSCODE if login.has_passcode else USERNAME
    return UserIdentity(kind=kind, username=login.name, passcode=passcode_of(login))


def _secure(peer: Called) -> Secure | None:
    if peer.tls is None:
        return None
    return partial(_shake_hands, peer.tls, peer.who)


def _shake_hands(trusts: PeerTls, who: str, connected: socket, timeout_s: float) -> socket:
    return tls.connect(connected, trusts, timeout_s=timeout_s, who=who)


def last_word(connection: PduConnection, last_word: bytes) -> None:
    """Say something to a peer that may not listen any more."""
    with contextlib.suppress(TimeoutError, ConnectionLost):
        connection.send([last_word], stall_s=_LAST_WORD_S)


def _agreed(connection: PduConnection, asked: bytes, contexts: Sequence[Context], peer: Called) -> Agreed:
    limit_s = peer.timeouts.acse_s
    try:
        connection.send([asked], stall_s=limit_s)
        said = connection.receive(until=time.monotonic() + limit_s, most_bytes=MOST_BYTES)
    except TimeoutError as silent:
        raise PeerAway(f"{peer.who} does not answer a request for an association within {limit_s:g} s") from silent
    except TooLong as claimed:
        if claimed.head and claimed.head[0] not in set(PduType):
            raise NotDicom(f"{peer.who} is none that speaks DICOM: {_other_protocol(claimed.head)} answers there") from claimed
        raise PeerAway(f"{peer.who} {claimed}") from claimed
    except ConnectionLost as lost:
        raise PeerAway(f"{peer.who} {lost}", broke_off=True) from lost
    try:
        if said.kind == PduType.ASSOCIATE_AC:
            return accepted(said.body, contexts)
        if said.kind == PduType.ASSOCIATE_RJ:
            result, source, diagnostic = pdu.reject(said.body)
            words = _REASONS.get((source, diagnostic), f"source {source}, reason {diagnostic}")
            how = "for now" if result == _ONLY_FOR_NOW else "for good"
            error = _OWN_ERRORS.get((source, diagnostic), PeerRejected)
            unexplained = (source, diagnostic) == _UNTOLD and result != _ONLY_FOR_NOW
            raise error(f"{peer.who} rejects the association {how}: {words}", unexplained=unexplained)
    except Malformed as malformed:
        last_word(connection, pdu.pack_abort(AbortSource.PROVIDER, malformed.reason))
        raise PeerAway(f"{peer.who} answers a request for an association with {malformed}") from malformed
    if said.kind == PduType.ABORT:
        raise PeerAway(f"{peer.who} aborts the association before it stands", broke_off=True)
    raise PeerAway(f"{peer.who} answers a request for an association with a PDU of type {said.kind:02X}")


def _other_protocol(head: bytes) -> str:
    return next((name for begins, name in _OTHERS if head.startswith(begins)), f"something that begins with {ascii(head)[1:]}")
