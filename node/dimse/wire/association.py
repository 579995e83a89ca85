"""The fast path: one association that only stores, served by one thread from its first byte to its last (PS3.8 9.2, acceptor's side).

A data set goes from the connection's buffer to the intake fragment by fragment; it is never in memory as a whole.
"""

import contextlib
import socket
from typing import Final, Protocol

from node.dimse.admission import Refusal
from node.dimse.claim import Certificate, Claim
from node.dimse.contexts import accepted_contexts
from node.dimse.visit import Visit, Visits
from node.dimse.wire import command, pdu
from node.dimse.wire.command import Command, Field
from node.dimse.wire.exchange import Exchange, OtherExchange, StoreExchange
from node.dimse.wire.negotiation import Context, Request, accept, read_request
from node.dimse.wire.outcome import Ended, HandOver
from node.dimse.wire.patience import Patience
from node.dimse.wire.pdu import AbortReason, AbortSource, Malformed, PduType
from node.dimse.wire.stream import Closed, Connection, Stream
from node.observe.events import alarm
from node.settings.config import May

_SMALL_PDU_BYTES: Final = 1024
"""A release or an abort has four; more of them is borne, but not without end."""
_KINDS: Final = frozenset(PduType)


class Caller(Protocol):
    """Who is at the other end of a connection, and what the node counts it as."""

    @property
    def address(self) -> str: ...

    @property
    def behind_proxy(self) -> bool: ...

    def admitted(self) -> None: ...

    def lingers(self) -> bool: ...


class FastAssociation:
    """Serves one connection. `stop` may be called from another thread. `serves` False: it only reads the request, and hands every
    association over."""

    def __init__(
        self,
        connection: Connection,
        visits: Visits,
        patience: Patience,
        *,
        caller: Caller,
        certificate: Certificate | None,
        serves: bool = True,
    ) -> None:
        self._connection = connection
        self._stream = Stream(connection, send_timeout_s=patience.dimse_s, before_reuse=self._hand_on)
        self._visits = visits
        self._patience = patience
        self._caller = caller
        self._certificate = certificate
        self._serves = serves
        self._contexts: dict[int, Context] = {}
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
            socket.socket.shutdown(self._connection, socket.SHUT_RD)

    def serve(self) -> None:
        """From the A-ASSOCIATE-RQ until the connection may be closed.

        Raises
        ------
        HandOver
            The association is not for this path; nothing has been answered.
        """
        visit: Visit | None = None
        ended = Ended("lost")
        try:
            visit = self._associate()
            self.established = True
            self._serve(visit)
        except Ended as over:
            ended = over
        except Closed:
            if self._stopping and self.established:
                ended = Ended("aborted", pdu.pack_abort(AbortSource.PROVIDER))
        finally:
            self.established = False
            if self._exchange is not None:
                self._exchange.abandon()
            if visit is not None:
                visit.leave(ended.how, idle=ended.idle)
        if ended.last:
            self._close(ended)

    # ---- association
    def _associate(self) -> Visit:
        """PS3.8 Sta2 and Sta3: until the association stands."""
        stream, patience = self._stream, self._patience
        stream.within(patience.acse_s)
        try:
            kind, length = pdu.head(stream.need(pdu.HEAD_BYTES, patience.acse_s))
            if kind == PduType.ABORT:
                raise Ended("aborted")
            if kind != PduType.ASSOCIATE_RQ or not length <= pdu.ASSOCIATE_BYTES:
                # action AA-1
                raise Ended("aborted", pdu.pack_abort(AbortSource.USER), framed=False)
            stream.drop(pdu.HEAD_BYTES)
            request = read_request(stream.read(length, patience.acse_s))
        except TimeoutError as late:
            raise Ended("aborted") from late  # AA-2: ARTIM has expired
        except Malformed as bad:
            raise Ended("aborted", pdu.pack_abort(AbortSource.PROVIDER, bad.reason)) from bad
        stream.within(None)
        if not request.version_1:
            raise Ended("rejected", pdu.pack_reject(1, 2, 2))  # AE-6: by the service provider, protocol version not supported
        # what are no AE titles is rejected whoever serves, and cannot be told to a codec
        if request.titled and not (self._serves and request.only_stores):
            raise HandOver(request.pdu + stream.rest())
        return self._admit(request)

    def _admit(self, request: Request) -> Visit:
        decided = self._visits.enter(
            Claim(
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
            raise Ended("rejected", pdu.pack_reject(*decided.rejection.value))
        self._caller.admitted()
        admitted = decided.admitted
        try:
            supported = accepted_contexts(store=May.STORE in admitted.may, echo=May.ECHO in admitted.may, syntaxes=admitted.limits.syntaxes)
            accepted = accept(request, supported, most_bytes=admitted.limits.max_pdu, confirms_user=admitted.confirms_user)
            self._stream.send(accepted.pdu)
            decided.accepted(contexts=len(accepted.contexts), rejected=accepted.rejected, receiver="fast")
        except BaseException:
            decided.leave("lost")
            raise
        self._contexts = dict(accepted.contexts)
        self._most_bytes = admitted.limits.max_pdu + pdu.SLACK_BYTES
        self._fragment_bytes = request.most_bytes - pdu.PDV_HEAD_BYTES
        return decided

    # ---- data transfer
    def _serve(self, visit: Visit) -> None:
        """PS3.8 Sta6, until `Ended`."""
        stream, patience = self._stream, self._patience
        in_message, waits = False, True
        try:
            while True:
                waits = True
                head = stream.need(pdu.HEAD_BYTES, patience.dimse_s if in_message else patience.idle_s)
                kind, length = pdu.head(head)
                stream.drop(pdu.HEAD_BYTES)
                stream.within(patience.dimse_s)
                waits = False
                if kind != PduType.P_DATA:
                    self._control(visit, kind, length)
                if length > self._most_bytes:
                    alarm("association.pdu_too_long", claimed_bytes=length, most_bytes=self._most_bytes)
                    raise Malformed(f"a PDU of {length} bytes, where {self._most_bytes} were negotiated")
                in_message = self._data(visit, length)
                stream.within(None)
        except Malformed as bad:
            raise Ended("aborted", pdu.pack_abort(AbortSource.PROVIDER, bad.reason), framed=False) from bad
        except TimeoutError as late:
            raise Ended("aborted", pdu.pack_abort(AbortSource.PROVIDER), framed=False, idle=waits and not in_message) from late

    def _control(self, visit: Visit, kind: int, length: int) -> None:
        """Anything but a P-DATA-TF ends the association."""
        if kind in (PduType.RELEASE_RQ, PduType.ABORT) and length <= _SMALL_PDU_BYTES:
            self._stream.skip(length, self._patience.dimse_s)
            if kind == PduType.ABORT:
                raise Ended("aborted")
            # before the reply: who has it may take the association for done
            if not visit.flush():
                raise Ended("aborted", pdu.pack_abort(AbortSource.PROVIDER))
            raise Ended("released", pdu.pack_release_reply())
        reason = AbortReason.UNEXPECTED_PDU if kind in _KINDS else AbortReason.UNRECOGNIZED_PDU
        raise Ended("aborted", pdu.pack_abort(AbortSource.PROVIDER, reason), framed=False)

    def _data(self, visit: Visit, left: int) -> bool:
        """One P-DATA-TF of `left` bytes; whether a message is under way behind it."""
        stream, dimse_s = self._stream, self._patience.dimse_s
        if not left:
            raise Malformed("a P-DATA-TF without a presentation data value")
        while left:
            if left < pdu.PDV_HEAD_BYTES:
                raise Malformed(f"a presentation data value is cut off after {left} bytes")
            size, context, control = pdu.pdv_head(stream.need(pdu.PDV_HEAD_BYTES, dimse_s), 0, left)
            stream.drop(pdu.PDV_HEAD_BYTES)
            left -= pdu.PDV_HEAD_BYTES + size
            if control & pdu.COMMAND:
                self._command_fragment(visit, context, size, last=bool(control & pdu.LAST))
                continue
            exchange = self._exchange
            if exchange is None or context != self._exchange_context:
                raise Malformed("a fragment of a data set that no command announced", AbortReason.UNEXPECTED_PARAMETER)
            while size:
                fragment = stream.take(size, dimse_s)
                self._fragments.append(fragment)
                size -= len(fragment)
            if control & pdu.LAST:
                self._answer()
        return self._exchange is not None or self._command_context is not None

    def _command_fragment(self, visit: Visit, context: int, size: int, *, last: bool) -> None:
        if self._exchange is not None or self._command_context not in (None, context):
            raise Malformed("a command within another message", AbortReason.UNEXPECTED_PARAMETER)
        if context not in self._contexts:
            raise Malformed(f"presentation context {context} was not accepted")
        if len(self._command) + size > command.MOST_BYTES:
            raise Malformed("a command set without end")
        fragment = self._stream.read(size, self._patience.dimse_s)
        if not last:
            self._command += fragment
            self._command_context = context
            return
        data, self._command, self._command_context = self._command + fragment, b"", None
        self._request(visit, context, command.decode(data))

    def _request(self, visit: Visit, context_id: int, asked: Command) -> None:
        exchange: Exchange
        if asked.field == Field.C_CANCEL_RQ:
            return  # nothing that it could mean is ever under way: operations are answered one by one
        if asked.is_response or asked.message_id is None:
            # neither a request that can be answered nor an answer that anybody waits for
            raise Ended("aborted", pdu.pack_abort(AbortSource.USER), framed=False)
        if asked.field == Field.C_STORE_RQ:
            abstract_syntax, transfer_syntax = self._contexts[context_id]
            storing = visit.store(
                sop_class=asked.sop_class_uid,
                sop_instance=asked.sop_instance_uid,
                abstract_syntax=abstract_syntax,
                transfer_syntax=transfer_syntax,
            )
            exchange = StoreExchange(asked, asked.message_id, storing)
        else:
            exchange = OtherExchange(asked, asked.message_id)
        self._exchange, self._exchange_context = exchange, context_id
        if not asked.data_set_follows:
            self._answer()

    def _hand_on(self) -> None:
        """What has gathered of a data set, in one call: the stream's buffer is about to be used again, or the data set is whole."""
        fragments, self._fragments = self._fragments, []
        if fragments and self._exchange is not None:
            self._exchange.write(*fragments)

    def _answer(self) -> None:
        self._hand_on()
        exchange, self._exchange = self._exchange, None
        assert exchange is not None, "a request is complete"
        reply, most = exchange.reply(), self._fragment_bytes
        if most <= 0 or len(reply) <= most:
            self._stream.send(pdu.pack_data(self._exchange_context, reply, command=True, last=True))
        else:
            for at in range(0, len(reply), most):
                fragment = reply[at : at + most]
                self._stream.send(pdu.pack_data(self._exchange_context, fragment, command=True, last=at + most >= len(reply)))
        exchange.answered()

    # ---- the end
    def _close(self, ended: Ended) -> None:
        """Say the last word, then wait for the peer to close, for as long as ARTIM runs (PS3.8 Sta13)."""
        stream, artim_s = self._stream, self._patience.acse_s
        with contextlib.suppress(Closed, TimeoutError):
            stream.within(artim_s)
            # before the last word: who has it may come again at once, and this connection counts no more for it
            waits = self._caller.lingers()
            stream.send(ended.last)
            if not waits:
                return
            while ended.framed:
                kind, length = pdu.head(stream.need(pdu.HEAD_BYTES, artim_s))
                stream.drop(pdu.HEAD_BYTES)
                if kind == PduType.ABORT:
                    return
                if kind == PduType.ASSOCIATE_RQ or kind not in _KINDS:
                    stream.send(pdu.pack_abort(AbortSource.PROVIDER, AbortReason.UNEXPECTED_PDU))  # AA-7
                    break
                stream.skip(length, artim_s)
            while True:
                stream.take(1 << 20, artim_s)
