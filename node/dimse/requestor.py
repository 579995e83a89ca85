"""The requestor: C-ECHO, C-STORE and counting by C-FIND at one peer; every call has an association of its own."""

import logging
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from node.dimse.asking import accepted_contexts
from node.dimse.counting import count_instances
from node.dimse.errors import NotAFile, PeerAway, PeerRefuses, PeerRejected
from node.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.dimse.outgoing import Outgoing, batches, context_for, outgoing, transcoded
from node.dimse.port import StoreStatus
from node.dimse.prompt import PromptDimse, make_prompt
from node.domain.context import Context, name_of
from node.settings.config import Peer

_MAX_PDU = 131072
_SLACK_BYTES = 1024
_SOP_CLASS_NOT_SUPPORTED = 0x0122
_MEDIUM = 0
_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised",
    (1, 7): "called AE title not recognised",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""Source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a peer may take: to accept the connection, the association, and to answer a message (a store: after its last byte)."""

    connect_s: float = 10.0
    acse_s: float = 15.0
    dimse_s: float = 60.0


class PeerRequestor:
    """The requestor port over pynetdicom. Safe to call from several threads: associations share nothing."""

    def __init__(self, peer: Peer, *, calling_ae: str, timeouts: Timeouts | None = None) -> None:
        self._peer = peer
        self._calling_ae = calling_ae
        self._timeouts = timeouts or Timeouts()

    def echo(self) -> float:
        """C-ECHO; seconds from the request for an association to the answer.

        Raises
        ------
        PeerAway, PeerRejected, PeerRefuses
            There is no association, or no answer.
        """
        began = time.monotonic()
        with self._association([build_context(Verification)]) as association:
            status = association.send_c_echo().get("Status")
        if status is None:
            raise PeerAway(f"{self._who} did not answer a C-ECHO")
        if status != 0x0000:
            raise PeerRefuses(f"{self._who} answered a C-ECHO with {status:04X}")
        return time.monotonic() - began

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]:
        """Which of these SOP classes the peer takes in which of these transfer syntaxes; nothing is sent.

        Raises
        ------
        PeerAway, PeerRejected
            There is no association.
        """
        return accepted_contexts(self._association, contexts)

    def store(self, files: Sequence[str], *, on_status: Callable[[StoreStatus], None] = lambda _: None) -> list[StoreStatus]:
        """C-STORE of Part 10 files, in order; one status each, told to `on_status` as it comes.

        A data set goes out as it lies in the file where the peer takes its transfer syntax, else uncompressed. A file that is none has
        the status None, and so have those that were not reached when the association ended; what no context was accepted for
        has 0x0122, SOP class not supported.

        Raises
        ------
        PeerAway, PeerRejected
            Nothing could be sent at all.
        """
        statuses: dict[int, StoreStatus] = {}
        told = _Told(statuses, on_status)
        instances: dict[int, Outgoing] = {}
        for number, file in enumerate(files):
            try:
                instances[number] = outgoing(Path(file))
            except NotAFile as wrong:
                told(number, StoreStatus(sop_instance_uid="", status=None, detail=f"not sent: {wrong} [{wrong.code}]"))
        numbers = iter(instances)
        for contexts, batch in batches(list(instances.values())):
            pending = [(next(numbers), instance) for instance in batch]
            try:
                with self._association(contexts) as association:
                    self._store(association, pending, told)
            except PeerRefuses as none_accepted:
                self._leave(pending, told, _SOP_CLASS_NOT_SUPPORTED, f"not sent: {none_accepted}")
            except (PeerAway, PeerRejected) as away:
                if not told.any_sent:
                    raise
                self._leave(pending, told, None, f"not sent: {away}")
        return [statuses[number] for number in range(len(files))]

    def _store(self, association: Association, pending: Sequence[tuple[int, Outgoing]], told: "_Told") -> None:
        accepted = association.accepted_contexts
        for message, (number, instance) in enumerate(pending):
            if not association.is_established:
                self._leave(pending[message:], told, None, f"not sent: {self._who} ended the association")
                return
            uid = instance.sop_instance_uid
            context = context_for(instance, accepted)
            if context is None:
                refused = f"not sent: {self._who} takes no {name_of(instance.sop_class_uid)} in {name_of(instance.transfer_syntax_uid)}"
                told(number, StoreStatus(sop_instance_uid=uid, status=_SOP_CLASS_NOT_SUPPORTED, detail=refused))
                continue
            try:
                answer = _c_store(association, instance, *context, message=message % 65535 + 1)
            except (NotAFile, OSError) as unreadable:
                told(number, StoreStatus(sop_instance_uid=uid, status=None, detail=f"not sent: {unreadable}"))
                continue
            told.any_sent = True
            if answer is None:
                told(number, StoreStatus(sop_instance_uid=uid, status=None, detail=f"{self._who} did not answer: it may have the instance"))
            else:
                said = str(answer.get("ErrorComment", ""))
                if not said and context[1] != instance.transfer_syntax_uid:
                    said = f"sent in {name_of(context[1])}"
                told(number, StoreStatus(sop_instance_uid=uid, status=answer.Status, detail=said))

    @staticmethod
    def _leave(pending: Sequence[tuple[int, Outgoing]], told: "_Told", status: int | None, detail: str) -> None:
        for number, instance in pending:
            if not told.has(number):
                told(number, StoreStatus(sop_instance_uid=instance.sop_instance_uid, status=status, detail=detail))

    def count(self, study_instance_uid: str, series_instance_uid: str | None) -> int | None:
        """How many instances of a study or series the peer has; None when it cannot say or knows none.

        Raises
        ------
        PeerAway, PeerRejected
            There is no association.
        """
        try:
            with self._association([build_context(StudyRootQueryRetrieveInformationModelFind)]) as association:
                return count_instances(association, study_instance_uid, series_instance_uid)
        except PeerRefuses:
            return None

    @property
    def _who(self) -> str:
        return f'peer "{self._peer.name}" ({self._peer.ae_title} at {self._peer.host}:{self._peer.port})'

    @contextmanager
    def _association(self, contexts: Sequence[PresentationContext]) -> Iterator[Association]:
        ae = _AskingAE(self._calling_ae, self._timeouts)
        try:
            association = ae.associate(
                self._peer.host,
                self._peer.port,
                contexts=list(contexts),
                ae_title=self._peer.ae_title,
                max_pdu=_MAX_PDU,
                evt_handlers=[(evt.EVT_CONN_OPEN, _connected), (evt.EVT_ACCEPTED, _accepted)],
            )
        except (OSError, ValueError) as unknown:
            raise PeerAway(f"{self._who} cannot be reached: {unknown}") from unknown
        if not association.is_established:
            raise self._no_association(association)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _no_association(self, association: Association) -> PeerAway | PeerRejected | PeerRefuses:
        if association.is_rejected:
            answer = association.acceptor.primitive
            reason = _REASONS.get((answer.result_source, answer.diagnostic), f"source {answer.result_source}, reason {answer.diagnostic}")
            how = "for now" if answer.result == 2 else "for good"
            return PeerRejected(f"{self._who} rejects the association {how}: {reason}")
        if association.rejected_contexts:
            return PeerRefuses(f"{self._who} accepts no presentation context")
        return PeerAway(f"{self._who} cannot be reached or does not answer")


class _Told:
    """Collects statuses by the number of their file and passes them on."""

    def __init__(self, statuses: dict[int, StoreStatus], on_status: Callable[[StoreStatus], None]) -> None:
        self._statuses = statuses
        self._on_status = on_status
        self.any_sent = False

    def __call__(self, number: int, status: StoreStatus) -> None:
        self._statuses[number] = status
        self._on_status(status)

    def has(self, number: int) -> bool:
        return number in self._statuses


class _AskingAE(AE):  # type: ignore[misc]  # pynetdicom has no types
    """An application entity whose associations are prompt ones."""

    def __init__(self, ae_title: str, timeouts: Timeouts) -> None:
        # it would format every PDU and every data set for a log that nobody reads
        _config.LOG_HANDLER_LEVEL = "none"
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        super().__init__(ae_title)
        self.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self.implementation_version_name = IMPLEMENTATION_VERSION
        self.connection_timeout = timeouts.connect_s
        self.acse_timeout = timeouts.acse_s
        self.dimse_timeout = timeouts.dimse_s
        self.network_timeout = timeouts.dimse_s

    def _create_socket(self, assoc: Association, address: Any, tls_args: Any) -> Any:
        assoc.dimse = PromptDimse(assoc)
        return make_prompt(assoc, pdu_timeout_s=self.dimse_timeout, address=address)


def _connected(asked: evt.Event) -> None:
    connection = asked.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _accepted(asked: evt.Event) -> None:
    asked.assoc.dul.socket.most_bytes = _MAX_PDU + _SLACK_BYTES


def _c_store(association: Association, instance: Outgoing, context: int, syntax: str, *, message: int) -> Dataset | None:
    """One C-STORE; the answer's Status and comment, or None when none came, or none that could be understood.

    What `Association.send_c_store` does, but for the bytes: these are the file's own, and are not decoded on the way.
    """
    request = C_STORE()
    request.MessageID = message
    request.Priority = _MEDIUM
    request.AffectedSOPClassUID = instance.sop_class_uid
    request.AffectedSOPInstanceUID = instance.sop_instance_uid
    if syntax == instance.transfer_syntax_uid:
        instance.path.stat()  # gone or unreadable is said here, not in the middle of a message
        request._dataset_path = (instance.path, instance.offset)
    else:
        request.DataSet = transcoded(instance, syntax)
    association.dimse.send_msg(request, context)
    _, answer = association.dimse.get_msg(block=True)
    if answer is None:
        # an answer that comes after the time-out would be taken for the next one's
        association._handle_no_response()
        return None
    if not isinstance(answer, C_STORE) or answer.MessageIDBeingRespondedTo != message:
        association.abort()
        return None
    status = association._check_received_status(answer)
    return status if "Status" in status else None
