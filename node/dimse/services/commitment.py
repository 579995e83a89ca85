"""Storage commitment as the acceptor of associations: peers ask this node to commit, or report on what it asked of them (PS3.4 Annex J).

Both are made durable and answered; what they mean is found out later, by who knows the journal. Nothing here does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext

from node.dimse.acceptor.accepted import AcceptedAssociation
from node.dimse.association_policy import Admitted
from node.dimse.commitment_data import ALL_COMMITTED, ASK, MOST_BYTES, SOME_FAILED, BadCommitment, decoded, report_of, request_of, status_of
from node.dimse.contexts import DECODABLE
from node.dimse.port import CommitmentIntake
from node.dimse.services.port import PROCESSING_FAILURE, DimseStatus, ListenerParts, MemoryBudget, ServiceKind, ServiceRequest, WholeDataSet
from node.dimse.ul import command
from node.dimse.ul.command import Field
from node.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Commitment, Report, Request
from node.domain.errors import RefusedError
from node.observe.events import alarm, event, trace
from node.settings.config import Config
from node.settings.peers import May, Peer

_NO_SUCH_INSTANCE: Final = 0x0112
_NO_SUCH_EVENT: Final = 0x0113
_NO_SUCH_ACTION: Final = 0x0123
_NOT_AUTHORISED: Final = 0x0124
_UNRECOGNISED_OPERATION: Final = 0x0211
_SYNTAXES: Final = DECODABLE[:3]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalizedRequest:
    """An N-ACTION-RQ or N-EVENT-REPORT-RQ (PS3.7 10.3): the instance that it is about, its Action or Event Type ID, and the data set that
    follows its command, empty where nothing does."""

    sop_instance_uid: str
    type_id: int | None
    content: bytes
    transfer_syntax: str


_TAKEN: Final = DimseStatus(0x0000, "")


class CommitmentProvider:
    """What the listener does about storage commitment; `on_kept` is called after each request or report that was kept.

    A peer may ask where its `may` has `commit`. Who is a sink that is asked to commit may report. `flush` is called with the association
    before a request is kept: what it was told success for is on disk then, whatever the durability.
    """

    def __init__(self, config: Config, commitments: CommitmentIntake, *, flush: Callable[[str], bool], on_kept: Callable[[], None]) -> None:
        self.budget = MemoryBudget()
        self._commitments = commitments
        self._flush = flush
        self._on_kept = on_kept
        self._reporters: frozenset[str | None] = frozenset()
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """Let the sinks of this configuration report, too: who was asked by an earlier one still owes its word."""
        self._reporters |= {sink.peer for sink in config.sinks.values() if sink.commitment is not Commitment.NO}

    def contexts(self, admitted: Admitted) -> Sequence[PresentationContext]:
        """What this peer may negotiate of it: as the user, who asks, or as the provider, who reports (PS3.7 D.3.3.4)."""
        asks, reports = self._asks(admitted.peer), self._reports(admitted.peer)
        if not (asks or reports):
            return ()
        context = PresentationContext()
        context.abstract_syntax = UID(PUSH_MODEL)
        context.transfer_syntax = [UID(syntax) for syntax in _SYNTAXES]
        context.scu_role, context.scp_role = asks, reports
        return (context,)

    def begin(self, request: ServiceRequest) -> "CommitmentExchange":
        """An N-ACTION or an N-EVENT-REPORT."""
        return CommitmentExchange(request, self)

    def action(self, asked: NormalizedRequest, association: AcceptedAssociation) -> DimseStatus:
        """The answer to an N-ACTION."""
        peer = association.admitted.peer
        if peer is None or not self._asks(peer):
            return DimseStatus(_NOT_AUTHORISED, "")
        if asked.sop_instance_uid != PUSH_MODEL_INSTANCE:
            return DimseStatus(_NO_SUCH_INSTANCE, "")
        if asked.type_id != ASK:
            return DimseStatus(_NO_SUCH_ACTION, "")
        name = peer.name

        def read(dataset: Dataset) -> Request:
            self._flush(association.id)
            return request_of(dataset, peer=name, received_at=datetime.now(UTC))

        return self._keep(asked, association, read)

    def event_report(self, asked: NormalizedRequest, association: AcceptedAssociation) -> DimseStatus:
        """The answer to an N-EVENT-REPORT: success for whatever can be read, also where it is about nothing that this node knows."""
        peer = association.admitted.peer
        if peer is None or not self._reports(peer):
            return DimseStatus(_UNRECOGNISED_OPERATION, "")
        if asked.sop_instance_uid != PUSH_MODEL_INSTANCE:
            return DimseStatus(_NO_SUCH_INSTANCE, "")
        if asked.type_id not in (ALL_COMMITTED, SOME_FAILED):
            return DimseStatus(_NO_SUCH_EVENT, "")
        name = peer.name

        def read(dataset: Dataset) -> Report:
            return report_of(dataset, peer=name, received_at=datetime.now(UTC))

        return self._keep(asked, association, read)

    def _asks(self, peer: Peer | None) -> bool:
        return peer is not None and May.COMMIT in peer.may

    def _reports(self, peer: Peer | None) -> bool:
        return peer is not None and peer.name in self._reporters

    def _keep(self, asked: NormalizedRequest, association: AcceptedAssociation, read: Callable[[Dataset], Request | Report]) -> DimseStatus:
        try:
            self._commitments.keep(_read(asked.content, asked.transfer_syntax, read))
        except RefusedError as refused:
            event(
                "commitment.refused", association=association.id, code=refused.code, status=f"{status_of(refused):04X}", reason=str(refused)
            )
            return DimseStatus(status_of(refused), f"{refused.code} {refused}")
        except Exception as broken:  # noqa: BLE001  (whatever it is, the peer must learn that nothing was taken)
            alarm("commitment.failed", association=association.id, error=type(broken).__name__, trace=trace(broken))
            return DimseStatus(PROCESSING_FAILURE, "processing failure")
        self._on_kept()
        return _TAKEN


def _read(content: bytes, syntax: str, read: Callable[[Dataset], Request | Report]) -> Request | Report:
    try:
        return read(decoded(content, syntax))
    except RefusedError:
        raise
    except Exception as unreadable:  # pydicom raises whatever comes first at what it cannot read
        raise BadCommitment(f"it cannot be read: {type(unreadable).__name__}") from unreadable


class CommitmentExchange:
    """An N-ACTION or N-EVENT-REPORT of storage commitment. Its data set is taken in whole, but no more of it than anybody can mean."""

    __slots__ = ("_data_set", "_provider", "_request", "abandon", "write")

    def __init__(self, request: ServiceRequest, provider: CommitmentProvider) -> None:
        self._request = request
        self._provider = provider
        self._data_set = WholeDataSet(provider.budget, MOST_BYTES)
        self.write = self._data_set.write
        self.abandon = self._data_set.give_back

    def replies(self) -> tuple[tuple[bytes, bytes]]:
        """Make it durable, or say why not."""
        asked = self._request.command
        is_action = asked.field == Field.N_ACTION_RQ
        sop_instance_uid = asked.requested_instance_uid if is_action else asked.sop_instance_uid
        request = NormalizedRequest(
            sop_instance_uid=sop_instance_uid,
            type_id=asked.action_type if is_action else asked.event_type,
            content=self._data_set.content,
            transfer_syntax=self._request.transfer_syntax,
        )
        try:
            status, comment = (self._provider.action if is_action else self._provider.event_report)(request, self._request.association)
        finally:
            self._data_set.give_back()
        answer = command.response(
            Field.N_ACTION_RSP if is_action else Field.N_EVENT_REPORT_RSP,
            self._request.message_id,
            sop_class_uid=asked.requested_class_uid if is_action else asked.sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            status=status,
            comment=comment,
            action_type=asked.action_type if is_action else None,
            event_type=None if is_action else asked.event_type,
        )
        return ((answer, b""),)

    def answered(self) -> None:
        """What follows from it is done by who knows the journal."""


def _opened(parts: ListenerParts) -> CommitmentProvider | None:
    if parts.commitments is None:
        return None
    return CommitmentProvider(parts.config, parts.commitments, flush=parts.intake.ended, on_kept=parts.on_commitment)


KIND = ServiceKind(
    name="Storage Commitment Push Model",
    says="N-ACTION of peers that ask this node to commit, and N-EVENT-REPORT of those that it asked.",
    may=May.COMMIT,
    sop_classes=lambda: (PUSH_MODEL,),
    operations=frozenset({Field.N_ACTION_RQ, Field.N_EVENT_REPORT_RQ}),
    open=_opened,
)
