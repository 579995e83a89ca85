"""The acceptor's side of one association, served by one thread from its first byte to its last (PS3.8 9.2).

A data set goes from the connection's buffer to the intake fragment by fragment; it is never in memory as a whole.
"""

import contextlib
import socket
from dataclasses import dataclass
from typing import Final, Protocol

from node.dimse.acceptor.accepted import AcceptedAssociation, Associations
from node.dimse.association_policy import Refusal
from node.dimse.requestor_identity import Certificate, RequestorIdentity
from node.dimse.services.kinds import Services
from node.dimse.services.port import Exchange, ServiceRequest
from node.dimse.ul import command, pdu
from node.dimse.ul.command import Command, Field
from node.dimse.ul.connection import ConnectionLost, PduConnection
from node.dimse.ul.negotiation import AcceptedContext, AssociateRequest, accept, read_request
from node.dimse.ul.pdu import AbortReason, AbortSource, Malformed, PduType
from node.observe.security import PduTooLong, tell
from node.settings.node import Node

_SMALL_PDU_BYTES: Final = 1024
"""A release or an abort has four; more of them is borne, but not without end."""
_KINDS: Final = frozenset(PduType)
_TLS_HANDSHAKE: Final = b"\x16\x03"
"""The first bytes of TLS (RFC 8446 5.1), of any version."""
_HTTP: Final = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTION")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptorDeadlines:
    """How long is waited, in seconds: `acse` for the request and for the peer to close (ARTIM), `dimse` for a PDU and for what a message
    still lacks, `idle` between messages."""

    acse_s: float
    dimse_s: float
    idle_s: float

    @classmethod
    def of(cls, node: Node) -> "AcceptorDeadlines":
        """What the configuration says."""
        return cls(
            acse_s=node.acse_timeout.total_seconds(), dimse_s=node.dimse_timeout.total_seconds(), idle_s=node.idle_timeout.total_seconds()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationEnd:
    """How an association ended. `last` is what the peer is still sent; `framed`: the next byte would begin a PDU; `idle`: nothing was under
    way for too long."""

    how: str
    last: bytes = b""
    framed: bool = True
    idle: bool = False


class AssociationOver(Exception):
    """The association is over; whoever serves it keeps `end` and not this, which holds on to every frame that it came through."""

    def __init__(self, how: str, last: bytes = b"", *, framed: bool = True, idle: bool = False) -> None:
        super().__init__(how)
        self.end = AssociationEnd(how=how, last=last, framed=framed, idle=idle)


class CallerPort(Protocol):
    """Who is at the other end of a connection, and what the node counts it as."""

    @property
    def address(self) -> str: ...

    @property
    def behind_proxy(self) -> bool: ...

    @property
    def secure(self) -> bool: ...

    def admitted(self) -> None: ...

    def lingers(self) -> bool: ...


class AcceptorAssociation:
    """Serves one connection. `stop` may be called from another thread."""

    def __init__(
        self,
        connected: socket.socket,
        associations: Associations,
        services: Services,
        deadlines: AcceptorDeadlines,
        *,
        caller: CallerPort,
        certificate: Certificate | None,
    ) -> None:
        self._socket = connected
        self._connection = PduConnection(connected, before_reuse=self._hand_on)
        self._associations = associations
        self._services = services
        self._deadlines = deadlines
        self._caller = caller
        self._certificate = certificate
        self._contexts: dict[int, AcceptedContext] = {}
        self._most_bytes = pdu.ASSOCIATE_BYTES
        self._fragment_bytes = 0
        self._stopping = False
        self._command = b""
        self._command_context: int | None = None
        self._exchange: Exchange | None = None
        self._exchange_context = 0
        self._fragments: list[memoryview] = []
        self.established = False

    def stop(self) -> None:
        """Abort the association where it stands; a connection without one is closed."""
        self._stopping = True
        with contextlib.suppress(OSError):
            # not the method of an SSLSocket, which would take TLS off
            socket.socket.shutdown(self._socket, socket.SHUT_RD)

    def serve(self) -> None:
        """From the A-ASSOCIATE-RQ until the connection may be closed."""
        association: AcceptedAssociation | None = None
        ended = AssociationEnd(how="lost")
        try:
            association = self._associate()
            self.established = True
            self._serve(association)
        except AssociationOver as over:
            ended = over.end
        except ConnectionLost:
            if self._stopping and self.established:
                ended = AssociationEnd(how="aborted", last=pdu.pack_abort(AbortSource.PROVIDER))
        finally:
            self.established = False
            # what still comes while the peer is waited for belongs to nothing
            exchange, self._exchange = self._exchange, None
            if exchange is not None:
                exchange.abandon()
            if association is not None:
                association.leave(ended.how, idle=ended.idle)
        try:
            if ended.last:
                self._close(ended)
        finally:
            self._connection.forget()

    # ---- association
    def _associate(self) -> AcceptedAssociation:
        """PS3.8 Sta2 and Sta3: until the association stands."""
        connection, deadlines = self._connection, self._deadlines
        connection.within(deadlines.acse_s)
        head = b""
        try:
            head = bytes(connection.need(pdu.HEAD_BYTES, deadlines.acse_s)[: pdu.HEAD_BYTES])
            kind, length = pdu.head(head)
            if kind == PduType.ABORT:
                raise AssociationOver("aborted")
            if kind != PduType.ASSOCIATE_RQ or not length <= pdu.ASSOCIATE_BYTES:
                self._associations.not_requested(self._caller.address, _instead(head, secure=self._caller.secure))
                # action AA-1
                raise AssociationOver("aborted", pdu.pack_abort(AbortSource.USER), framed=False)
            connection.drop(pdu.HEAD_BYTES)
            request = read_request(connection.read(length, deadlines.acse_s))
        except TimeoutError as late:
            if head or connection.unread:
                self._associations.not_requested(
                    self._caller.address, f"its request for an association did not come whole in {deadlines.acse_s:g} s"
                )
            raise AssociationOver("aborted") from late  # AA-2: ARTIM has expired
        except Malformed as bad:
            self._associations.not_requested(self._caller.address, f"its request for an association cannot be read: {bad}")
            raise AssociationOver("aborted", pdu.pack_abort(AbortSource.PROVIDER, bad.reason)) from bad
        connection.within(None)
        if not request.version_1:
            self._associations.not_requested(self._caller.address, "its request is for another version of the protocol than 1")
            raise AssociationOver("rejected", pdu.pack_reject(1, 2, 2))  # AE-6: by the service provider, protocol version not supported
        return self._admit(request)

    def _admit(self, request: AssociateRequest) -> AcceptedAssociation:
        decided = self._associations.enter(
            RequestorIdentity(
                called=request.called,
                calling=request.calling,
                address=self._caller.address,
                application_context=request.application_context,
                certificate=self._certificate,
                identity=request.identity,
                behind_proxy=self._caller.behind_proxy,
            )
        )
        if isinstance(decided, Refusal):
            raise AssociationOver("rejected", pdu.pack_reject(*decided.rejection.value))
        self._caller.admitted()
        admitted = decided.admitted
        try:
            supported = self._services.contexts(admitted)
            accepted = accept(request, supported, most_bytes=admitted.limits.max_pdu, confirms_user=admitted.confirms_user)
            self._send(accepted.pdu)
            decided.accepted(contexts=len(accepted.contexts), rejected=accepted.rejected)
        except BaseException:  # raised again: its place among the associations is given back, however the peer broke off
            decided.leave("lost")
            raise
        self._contexts = dict(accepted.contexts)
        self._most_bytes = admitted.limits.max_pdu + pdu.SLACK_BYTES
        self._fragment_bytes = pdu.longest_fragment(request.most_bytes)
        return decided

    # ---- data transfer
    def _serve(self, association: AcceptedAssociation) -> None:
        """PS3.8 Sta6, until `Ended`."""
        connection, deadlines = self._connection, self._deadlines
        in_message, waits = False, True
        try:
            while True:
                waits = True
                head = connection.need(pdu.HEAD_BYTES, deadlines.dimse_s if in_message else deadlines.idle_s)
                kind, length = pdu.head(head)
                connection.drop(pdu.HEAD_BYTES)
                connection.within(deadlines.dimse_s)
                waits = False
                if kind != PduType.P_DATA:
                    self._control(association, kind, length)
                if length > self._most_bytes:
                    tell(PduTooLong(claimed_bytes=length, most_bytes=self._most_bytes))
                    raise Malformed(f"a PDU of {length} bytes, where {self._most_bytes} were negotiated")
                in_message = self._data(association, length)
                connection.within(None)
        except Malformed as bad:
            raise AssociationOver("aborted", pdu.pack_abort(AbortSource.PROVIDER, bad.reason), framed=False) from bad
        except TimeoutError as late:
            raise AssociationOver("aborted", pdu.pack_abort(AbortSource.PROVIDER), framed=False, idle=waits and not in_message) from late

    def _control(self, association: AcceptedAssociation, kind: int, length: int) -> None:
        """Anything but a P-DATA-TF ends the association."""
        if kind in (PduType.RELEASE_RQ, PduType.ABORT) and length <= _SMALL_PDU_BYTES:
            self._connection.skip(length, self._deadlines.dimse_s)
            if kind == PduType.ABORT:
                raise AssociationOver("aborted")
            # before the reply: who has it may take the association for done
            if not association.flush():
                raise AssociationOver("aborted", pdu.pack_abort(AbortSource.PROVIDER))
            raise AssociationOver("released", pdu.pack_release_reply())
        reason = AbortReason.UNEXPECTED_PDU if kind in _KINDS else AbortReason.UNRECOGNIZED_PDU
        raise AssociationOver("aborted", pdu.pack_abort(AbortSource.PROVIDER, reason), framed=False)

    def _data(self, association: AcceptedAssociation, left: int) -> bool:
        """One P-DATA-TF of `left` bytes; whether a message is under way behind it."""
        connection, dimse_s = self._connection, self._deadlines.dimse_s
        if not left:
            raise Malformed("a P-DATA-TF without a presentation data value")
        while left:
            if left < pdu.PDV_HEAD_BYTES:
                raise Malformed(f"a presentation data value is cut off after {left} bytes")
            size, context, control = pdu.pdv_head(connection.need(pdu.PDV_HEAD_BYTES, dimse_s), 0, left)
            connection.drop(pdu.PDV_HEAD_BYTES)
            left -= pdu.PDV_HEAD_BYTES + size
            if control & pdu.COMMAND:
                self._command_fragment(association, context, size, last=bool(control & pdu.LAST))
                continue
            exchange = self._exchange
            if exchange is None or context != self._exchange_context:
                raise Malformed("a fragment of a data set that no command announced", AbortReason.UNEXPECTED_PARAMETER)
            while size:
                fragment = connection.take(size, dimse_s)
                self._fragments.append(fragment)
                size -= len(fragment)
            if control & pdu.LAST:
                self._answer()
        return self._exchange is not None or self._command_context is not None

    def _command_fragment(self, association: AcceptedAssociation, context: int, size: int, *, last: bool) -> None:
        if self._exchange is not None or self._command_context not in (None, context):
            raise Malformed("a command within another message", AbortReason.UNEXPECTED_PARAMETER)
        if context not in self._contexts:
            raise Malformed(f"presentation context {context} was not accepted")
        if len(self._command) + size > command.MOST_BYTES:
            raise Malformed("a command set without end")
        fragment = self._connection.read(size, self._deadlines.dimse_s)
        if not last:
            self._command += fragment
            self._command_context = context
            return
        data, self._command, self._command_context = self._command + fragment, b"", None
        self._request(association, context, command.decode(data))

    def _request(self, association: AcceptedAssociation, context_id: int, asked: Command) -> None:
        abstract_syntax, transfer_syntax = self._contexts[context_id]
        if asked.field == Field.C_CANCEL_RQ:
            return  # nothing that it could mean is ever under way: operations are answered one by one
        if asked.is_response or asked.message_id is None:
            # neither a request that can be answered nor an answer that anybody waits for
            raise AssociationOver("aborted", pdu.pack_abort(AbortSource.USER), framed=False)
        request = ServiceRequest(asked, asked.message_id, association, abstract_syntax, transfer_syntax)
        self._exchange, self._exchange_context = self._services.begin(request), context_id
        if not asked.data_set_follows:
            self._answer()

    def _hand_on(self) -> None:
        """What has gathered of a data set, in one call: the connection's buffer is about to be used again, or the data set is whole."""
        fragments, self._fragments = self._fragments, []
        if fragments and self._exchange is not None:
            self._exchange.write(*fragments)

    def _answer(self) -> None:
        self._hand_on()
        exchange, self._exchange = self._exchange, None
        assert exchange is not None, "a request is complete"
        for reply, data_set in exchange.replies():
            self._send_fragments(reply, command=True)
            if data_set:
                self._send_fragments(data_set, command=False)
        exchange.answered()

    def _send_fragments(self, data: bytes, *, command: bool) -> None:
        most, context = self._fragment_bytes, self._exchange_context
        if most <= 0 or len(data) <= most:
            self._send(pdu.pack_data(context, data, command=command, last=True))
            return
        for at in range(0, len(data), most):
            self._send(pdu.pack_data(context, data[at : at + most], command=command, last=at + most >= len(data)))

    def _send(self, data: bytes) -> None:
        self._connection.send((data,), stall_s=self._deadlines.dimse_s)

    # ---- the end
    def _close(self, ended: AssociationEnd) -> None:
        """Say the last word, then wait for the peer to close, for as long as ARTIM runs (PS3.8 Sta13)."""
        connection, artim_s = self._connection, self._deadlines.acse_s
        with contextlib.suppress(ConnectionLost, TimeoutError):
            connection.within(artim_s)
            # before the last word: who has it may come again at once, and this connection counts no more for it
            waits = self._caller.lingers()
            self._send(ended.last)
            if not waits:
                return
            while ended.framed:
                kind, length = pdu.head(connection.need(pdu.HEAD_BYTES, artim_s))
                connection.drop(pdu.HEAD_BYTES)
                if kind == PduType.ABORT:
                    return
                if kind == PduType.ASSOCIATE_RQ or kind not in _KINDS:
                    self._send(pdu.pack_abort(AbortSource.PROVIDER, AbortReason.UNEXPECTED_PDU))  # AA-7
                    break
                connection.skip(length, artim_s)
            while True:
                connection.take(1 << 20, artim_s)


def _instead(head: bytes, *, secure: bool) -> str:
    """What the first bytes are, where they begin no A-ASSOCIATE-RQ; those of a connection with TLS, or without."""
    if head.startswith(_TLS_HANDSHAKE):
        return "TLS was begun within TLS, which something before this port added" if secure else "TLS was begun, and this port has none"
    if head.startswith(_HTTP):
        return "what came is HTTP"
    return "what came begins no association"
