"""Storage commitment as the requester of associations: asking a peer to commit, and reporting to one that asked (PS3.4 Annex J)."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from node.dicom.transfer_syntax import UNCOMPRESSED, Context
from node.dimse.commitment_data import (
    ASK,
    CommitmentFailed,
    NoCommitment,
    ReportNotTaken,
    asking,
    decoded,
    encoded,
    report_of,
    reporting,
    status_of,
)
from node.dimse.port import PeerAway, PeerRefuses
from node.dimse.requestor.association import Association, AssociationEnded
from node.dimse.requestor.opening import MOST_BYTES, Called
from node.dimse.ul import command, pdu
from node.dimse.ul.command import Command, Field, MessageReader
from node.dimse.ul.connection import ConnectionLost, Pdu, TooLong
from node.dimse.ul.pdu import Malformed, PduType
from node.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, AskedCommitment, InstanceReference, Report, Request
from node.domain.errors import RefusedError

CONTEXTS: Final = tuple(Context(sop_class_uid=PUSH_MODEL, transfer_syntax_uid=one) for one in UNCOMPRESSED)
_SUCCESS: Final = 0x0000
_PROCESSING_FAILURE: Final = 0x0110
_FOR_GOOD: Final = frozenset({0x0112, 0x0114, 0x0115, 0x0117, 0x0118, 0x0119, 0x0122, 0x0123, 0x0124, 0x0211, 0x0212})
"""No such instance, class or action, not authorised, not understood (PS3.7 C.5): asking again cannot help. Anything else may pass."""
_LINGER_S: Final = 1.0
"""How long the association stays after the request, for a peer that reports on it (PS3.4 J.3.3.1.2)."""

OnReport = Callable[[Report], None]
"""Makes a report durable; RefusedError when it cannot be."""


class PeerCommitment:
    """Storage commitment with one peer; every call opens an association of its own.

    Parameters
    ----------
    name
        The peer's name in the configuration.
    clock
        The time at which reports are said to have come.
    """

    def __init__(self, name: str, called: Called, clock: Callable[[], datetime]) -> None:
        self._name = name
        self._called = called
        self._clock = clock

    def ask(self, asked: AskedCommitment, on_report: OnReport) -> None:
        """N-ACTION; the peer has taken the request when this returns. A report that comes on the same association goes to `on_report`.

        Raises
        ------
        NoCommitment
            The peer never will.
        CommitmentFailed, DeliveryError
            It did not now.
        """
        try:
            association = _Committing.requested(self._called, CONTEXTS)
        except PeerRefuses as refuses:
            raise NoCommitment(f"{self._called.who} accepts no storage commitment") from refuses
        association.kept = lambda content, syntax: on_report(
            report_of(decoded(content, syntax), peer=self._name, received_at=self._clock())
        )
        try:
            status = association.ask(asked)
        except AssociationEnded as ended:
            raise CommitmentFailed(f"{self._called.who} {ended}") from ended
        finally:
            association.release()
        if status != _SUCCESS:
            error = NoCommitment if status in _FOR_GOOD else CommitmentFailed
            raise error(f"{self._called.who} answered a request for storage commitment with {status:04X}")

    def report(self, request: Request, verdicts: Sequence[tuple[InstanceReference, int]]) -> None:
        """N-EVENT-REPORT on an association of its own, where this node proposes to be the provider.

        Raises
        ------
        ReportNotTaken, DeliveryError
            The peer does not know it yet.
        """
        try:
            association = _Committing.requested(self._called, CONTEXTS, provides=(PUSH_MODEL,))
        except PeerRefuses as refuses:
            raise ReportNotTaken(f"{self._called.who} accepts no report of storage commitment") from refuses
        try:
            status = association.report(request.transaction_uid, verdicts)
        except AssociationEnded as ended:
            raise PeerAway(f"{self._called.who} {ended}") from ended
        finally:
            association.release()
        if status != _SUCCESS:
            raise ReportNotTaken(f"{self._called.who} answered a report of storage commitment with {status:04X}")


class _Committing(Association):
    """An association for storage commitment; `kept` is called with the bytes of a report, and their syntax."""

    kept: Callable[[bytes, str], None]

    def ask(self, asked: AskedCommitment) -> int:
        """The status of an N-ACTION. Ended when there is none."""
        context = self._context()
        number = self._next()
        request = command.action_request(number, sop_class_uid=PUSH_MODEL, sop_instance_uid=PUSH_MODEL_INSTANCE, action_type=ASK)
        self._message_out(request, encoded(asking(asked), context.transfer_syntax_uid))
        until = time.monotonic() + self._timeouts.dimse_s
        status = self._status(number, Field.N_ACTION_RSP, until)
        if status == _SUCCESS:
            self._linger()
        return status

    def report(self, transaction_uid: str, verdicts: Sequence[tuple[InstanceReference, int]]) -> int:
        """The status of an N-EVENT-REPORT. Ended when there is none."""
        number = self._next()
        event_type, dataset = reporting(transaction_uid, verdicts)
        request = command.event_report_request(
            number, sop_class_uid=PUSH_MODEL, sop_instance_uid=PUSH_MODEL_INSTANCE, event_type=event_type
        )
        self._message_out(request, encoded(dataset, self._context().transfer_syntax_uid))
        return self._status(number, Field.N_EVENT_REPORT_RSP, time.monotonic() + self._timeouts.dimse_s)

    def _context(self) -> Context:
        return next(context for context in CONTEXTS if context in self.contexts)

    def _message_out(self, request: bytes, content: bytes) -> None:
        number = self.contexts[self._context()]
        most = pdu.longest_fragment(self.most_bytes)
        pieces = [pdu.pack_data(number, request, command=True, last=True)]
        pieces += [
            pdu.pack_data(number, content[first : first + most], command=False, last=first + most >= len(content))
            for first in range(0, len(content), most)
        ]
        try:
            self._send(pieces)
        except ConnectionLost as lost:
            raise self._over(self._said() or str(lost)) from lost

    def _status(self, number: int, field: Field, until: float) -> int:
        """The status of the response; a report that overtakes it is answered meanwhile."""
        incoming = MessageReader()
        while True:
            said = self._received(until)
            whole = self._taken(incoming, said)
            if whole is None:
                continue
            answer, content = whole
            if answer.field == Field.N_EVENT_REPORT_RQ:
                self._reported(answer, content, incoming.context_id)
                incoming = MessageReader()
            elif answer.field == field and answer.responded_to == number and answer.status is not None:
                return answer.status
            else:
                self.abort()
                raise AssociationEnded("answered something else than was asked")

    def _linger(self) -> None:
        """Take a report that comes at once; whatever else happens now changes nothing: the request was taken."""
        incoming = MessageReader()
        until = time.monotonic() + _LINGER_S
        while self.open:
            try:
                said = self._connection.receive(until=until, most_bytes=MOST_BYTES)
                whole = self._taken(incoming, said)
                if whole is not None:
                    self._reported(*whole, incoming.context_id)
                    incoming = MessageReader()
            except TimeoutError:
                return
            except (ConnectionLost, TooLong, AssociationEnded):
                self._close()
                return

    def _taken(self, incoming: MessageReader, said: Pdu) -> tuple[Command, bytes] | None:
        if said.kind != PduType.P_DATA:
            raise self._not_an_answer(said)
        try:
            return incoming.take(said.body)
        except Malformed as malformed:
            self.abort()
            raise AssociationEnded(f"sent what cannot be understood: {malformed}") from malformed

    def _reported(self, asked: Command, content: bytes, context_id: int) -> None:
        """Answer a report, once it is durable."""
        if asked.field != Field.N_EVENT_REPORT_RQ or asked.message_id is None:
            self.abort()
            return
        status = _SUCCESS
        try:
            syntaxes = {number: context.transfer_syntax_uid for context, number in self.contexts.items()}
            self.kept(content, syntaxes[context_id])
        except RefusedError as refused:
            status = status_of(refused)
        except Exception:  # noqa: BLE001  (what a peer writes must not end more than its association; it may report again)
            status = _PROCESSING_FAILURE
        answer = command.response(
            Field.N_EVENT_REPORT_RSP,
            asked.message_id,
            sop_class_uid=asked.sop_class_uid,
            sop_instance_uid=asked.sop_instance_uid,
            status=status,
        )
        try:
            self._send([pdu.pack_data(context_id, answer, command=True, last=True)])
        except ConnectionLost as lost:
            raise self._over(str(lost)) from lost
