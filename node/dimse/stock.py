"""The stock path: associations that pynetdicom serves, because they want more than storage, or because the configuration says so."""

import logging
from collections.abc import Callable
from functools import cache

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import MODE_ACCEPTOR, Association
from pynetdicom.transport import AddressInformation

from node.dimse.admission import Admitted, Refusal, Rejection
from node.dimse.claim import Certificate, Claim, UserIdentity
from node.dimse.commitment import CommitmentProvider
from node.dimse.contexts import accepted_contexts, register_retired_classes
from node.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.dimse.prompt import make_prompt
from node.dimse.server import Caller
from node.dimse.serving import Held, ServingDimse
from node.dimse.visit import Storing, Visit, Visits
from node.dimse.wire.command import error_comment
from node.dimse.wire.negotiation import confirmed_user
from node.dimse.wire.pdu import SLACK_BYTES
from node.observe.events import alarm, trace
from node.settings.config import May, Node, Receiver


class Stock:
    """What the stock associations of one listener have in common."""

    def __init__(self, node: Node, visits: Visits, commitment: CommitmentProvider | None = None) -> None:
        _quieten()
        register_retired_classes()
        self.visits = visits
        self.commitment = commitment
        self.held = Held()
        self.ae = AE(node.ae_titles[0])
        self.ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self.ae.implementation_version_name = IMPLEMENTATION_VERSION
        self.ae.acse_timeout = node.acse_timeout.total_seconds()
        self.ae.dimse_timeout = node.dimse_timeout.total_seconds()
        self.ae.network_timeout = node.idle_timeout.total_seconds()
        self.ae.maximum_associations = 1 << 20  # admission counts those that matter


class StockAssociation:
    """Serves one connection, of which `received` was read already. `stop` may be called from another thread."""

    def __init__(self, stock: Stock, caller: Caller, *, certificate: Certificate | None, received: bytes) -> None:
        self._visits = stock.visits
        self._commitment = stock.commitment
        self._caller = caller
        self._certificate = certificate
        self._visit: Visit | None = None
        self._storing: Storing | None = None
        connection = caller.connection
        association = Association(stock.ae, MODE_ACCEPTOR)
        association.dimse = ServingDimse(association, begin=self._begin, held=stock.held)
        # aborting waits for the reactor to end, which would wait for itself where it serves a request; not `abort` alone, which pynetdicom
        # sets back after each handler
        abort = association._abort_blocking
        association.abort = association._abort_blocking = lambda block=False: abort(block=False)
        association.set_socket(make_prompt(association, client_socket=connection, received=received))
        association.acceptor.ae_title = stock.ae.ae_title
        association.acceptor.implementation_class_uid = stock.ae.implementation_class_uid
        association.acceptor.implementation_version_name = stock.ae.implementation_version_name
        association.acceptor.address_info = AddressInformation.from_tuple(connection.getsockname())
        association.requestor.address_info = AddressInformation.from_tuple(connection.getpeername())
        for happening, handler in (
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_ESTABLISHED, self._established),
            (evt.EVT_CONN_CLOSE, _closed),
            (evt.EVT_C_ECHO, _echoed),
            (evt.EVT_C_STORE, self._stored),
            (evt.EVT_N_ACTION, self._asked_to_commit),
            (evt.EVT_N_EVENT_REPORT, self._told_of_commitment),
        ):
            association.bind(happening, handler)
        reply = association.acse.send_release
        association.acse.send_release = lambda is_response=False: self._release(reply, is_response)
        self._association = association

    @property
    def established(self) -> bool:
        """Whether the association stands."""
        return bool(self._association.is_established)

    def stop(self) -> None:
        """Abort the association; a connection without one is closed."""
        if self.established:
            self._association.abort()
        else:
            self._association.dul.socket._shutdown_socket()

    def serve(self) -> None:
        """Until the association has ended."""
        association = self._association
        association.start()
        association.join()
        # an abort ends its thread at once; the one that reads may still write what it has read, to a file that must not be closed meanwhile
        association.kill()
        association.dimse.let_go()
        if self._storing is not None:
            self._storing.abandon()
        if self._visit is not None:
            # pynetdicom takes an association for released whose release was answered with an abort
            released = association.is_released and self._visit.flush()
            self._visit.leave("released" if released else "aborted" if association.is_released or association.is_aborted else "lost")

    # ---- what pynetdicom calls, each from a thread of the association
    def _requested(self, asked: evt.Event) -> None:
        association = asked.assoc
        request = association.requestor.primitive
        if not hasattr(request, "called_ae_title"):
            return  # it was aborted before it was asked for
        decided = self._visits.enter(
            Claim(
                called=request.called_ae_title.strip(),
                calling=request.calling_ae_title.strip(),
                address=self._caller.address,
                application_context=str(request.application_context_name or ""),
                certificate=self._certificate,
                identity=UserIdentity.of(association.requestor.user_identity),
                behind_proxy=self._caller.behind_proxy,
            )
        )
        if isinstance(decided, Refusal):
            self._caller.admitted()  # it is over, and counts no more for its address
            _reject(association, decided.rejection)
            return
        self._visit = decided
        self._caller.admitted()
        try:
            self._offer(association, decided.admitted)
        except Exception as defect:  # noqa: BLE001
            # pynetdicom would go on without what was to be offered, and the association hold its seat for as long as it liked
            alarm("association.failed", address=self._caller.address, error=type(defect).__name__, trace=trace(defect))
            _reject(association, Rejection.CONGESTED)

    def _offer(self, association: Association, admitted: Admitted) -> None:
        association.acceptor.maximum_length = admitted.limits.max_pdu
        association.dul.socket.most_bytes = admitted.limits.max_pdu + SLACK_BYTES
        if admitted.confirms_user:
            association.acceptor.add_negotiation_item(confirmed_user())
        association.acceptor.supported_contexts = [
            *accepted_contexts(store=May.STORE in admitted.may, echo=May.ECHO in admitted.may, syntaxes=admitted.limits.syntaxes),
            *(self._commitment.contexts(admitted.peer) if self._commitment is not None else ()),
        ]

    def _established(self, asked: evt.Event) -> None:
        association, visit = asked.assoc, self._visit
        assert visit is not None, "it was admitted"
        association.dimse.established.set()
        visit.accepted(
            contexts=len(association.accepted_contexts), rejected=len(association.rejected_contexts), receiver=Receiver.STOCK.value
        )

    def _begin(self, context_id: int, sop_class: str, sop_instance: str) -> Storing | None:
        """A C-STORE's data set begins; None in a presentation context that was not accepted (pynetdicom aborts at its end)."""
        context = self._association._accepted_cx.get(context_id)
        if context is None or self._visit is None:
            return None
        self._storing = self._visit.store(
            sop_class=sop_class,
            sop_instance=sop_instance,
            abstract_syntax=str(context.abstract_syntax),
            transfer_syntax=str(context.transfer_syntax[0]),
        )
        return self._storing

    def _stored(self, asked: evt.Event) -> int | Dataset:
        storing, self._storing = self._storing, None
        if storing is None:  # the data set is there, and empty
            request = asked.request
            storing = self._begin(asked.context.context_id, str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
            assert storing is not None, "pynetdicom serves accepted contexts only"
            self._storing = None
        status, comment = storing.answer()
        if not comment:
            return status
        answer = Dataset()
        answer.Status = status
        answer.ErrorComment = error_comment(comment)
        return answer

    def _asked_to_commit(self, asked: evt.Event) -> tuple[int | Dataset, None]:
        assert self._commitment is not None, "pynetdicom serves accepted contexts only"
        assert self._visit is not None, "it was admitted"
        return self._commitment.action(asked, self._visit), None

    def _told_of_commitment(self, told: evt.Event) -> tuple[int | Dataset, None]:
        assert self._commitment is not None, "pynetdicom serves accepted contexts only"
        assert self._visit is not None, "it was admitted"
        return self._commitment.event_report(told, self._visit), None

    def _release(self, reply: Callable[[bool], None], is_response: bool) -> None:
        if self._visit is None or self._visit.flush():
            reply(is_response)
        else:
            self._association.abort()


def _echoed(_: evt.Event) -> int:
    return 0x0000


def _closed(asked: evt.Event) -> None:
    association = asked.assoc
    if association.requestor.primitive is None:
        # its thread would wait for a request until the ACSE time-out; nothing is how it learns of that time-out
        association.dul.to_user_queue.put(None)


def _reject(association: Association, rejection: Rejection) -> None:
    association.acse.send_reject(*rejection.value)
    association.is_rejected = True
    association.kill()


@cache
def _quieten() -> None:
    """No logging of pynetdicom: it formats patient data, and every PDU, whether anybody reads it or not."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
