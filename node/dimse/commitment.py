"""Storage commitment as the acceptor of associations: peers ask this node to commit, or report on what it asked of them (PS3.4 Annex J).

Both are made durable and answered; what they mean is found out later, by who knows the journal. Nothing here does.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext

from node.dimse.commitment_data import ALL_COMMITTED, ASK, SOME_FAILED, decoded, report_of, request_of
from node.dimse.commitment_errors import BadCommitment, status_of
from node.dimse.contexts import DECODABLE
from node.dimse.visit import Visit
from node.dimse.wire.command import error_comment
from node.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Commitment, Report, Request
from node.domain.errors import RefusedError
from node.observe.events import alarm, event, trace
from node.settings.config import Config, May, Peer

_PROCESSING_FAILURE: Final = 0x0110
_NO_SUCH_INSTANCE: Final = 0x0112
_NO_SUCH_EVENT: Final = 0x0113
_NO_SUCH_ACTION: Final = 0x0123
_NOT_AUTHORISED: Final = 0x0124
_UNRECOGNISED_OPERATION: Final = 0x0211
_SYNTAXES: Final = DECODABLE[:3]


class Slips(Protocol):
    """Keeps requests and reports of storage commitment until somebody who knows the journal takes them."""

    def keep(self, slip: Request | Report) -> None:
        """Returns when success may be answered: it is on disk, in a form that a restart finds again.

        Raises
        ------
        RefusedError
            It could not be.
        """
        ...


class CommitmentProvider:
    """What the listener does about storage commitment; `on_kept` is called after each request or report that was kept.

    A peer may ask where its `may` has `commit`. Who is a sink that is asked to commit may report. `flush` is called with the association
    before a request is kept: what it was told success for is on disk then, whatever the durability.
    """

    def __init__(self, config: Config, slips: Slips, *, flush: Callable[[str], bool], on_kept: Callable[[], None]) -> None:
        self._slips = slips
        self._flush = flush
        self._on_kept = on_kept
        self._reporters = frozenset(sink.peer for sink in config.sinks.values() if sink.commitment is not Commitment.NO)

    def contexts(self, peer: Peer | None) -> Sequence[PresentationContext]:
        """What this peer may negotiate of it: as the user, who asks, or as the provider, who reports (PS3.7 D.3.3.4)."""
        asks, reports = self._asks(peer), self._reports(peer)
        if not (asks or reports):
            return ()
        context = PresentationContext()
        context.abstract_syntax = UID(PUSH_MODEL)
        context.transfer_syntax = [UID(syntax) for syntax in _SYNTAXES]
        context.scu_role, context.scp_role = asks, reports
        return (context,)

    def action(self, asked: evt.Event, visit: Visit) -> int | Dataset:
        """The answer to an N-ACTION."""
        peer = visit.admitted.peer
        if peer is None or not self._asks(peer):
            return _NOT_AUTHORISED
        if str(asked.request.RequestedSOPInstanceUID) != PUSH_MODEL_INSTANCE:
            return _NO_SUCH_INSTANCE
        if asked.request.ActionTypeID != ASK:
            return _NO_SUCH_ACTION
        name = peer.name

        def read(dataset: Dataset) -> Request:
            self._flush(visit.id)
            return request_of(dataset, peer=name, received_at=datetime.now(UTC))

        return self._keep(asked, asked.request.ActionInformation, visit, read)

    def event_report(self, asked: evt.Event, visit: Visit) -> int | Dataset:
        """The answer to an N-EVENT-REPORT: success for whatever can be read, also where it is about nothing that this node knows."""
        peer = visit.admitted.peer
        if peer is None or not self._reports(peer):
            return _UNRECOGNISED_OPERATION
        if str(asked.request.AffectedSOPInstanceUID) != PUSH_MODEL_INSTANCE:
            return _NO_SUCH_INSTANCE
        if asked.request.EventTypeID not in (ALL_COMMITTED, SOME_FAILED):
            return _NO_SUCH_EVENT
        name = peer.name

        def read(dataset: Dataset) -> Report:
            return report_of(dataset, peer=name, received_at=datetime.now(UTC))

        return self._keep(asked, asked.request.EventInformation, visit, read)

    def _asks(self, peer: Peer | None) -> bool:
        return peer is not None and May.COMMIT in peer.may

    def _reports(self, peer: Peer | None) -> bool:
        return peer is not None and peer.name in self._reporters

    def _keep(self, asked: evt.Event, content: Any, visit: Visit, read: Callable[[Dataset], Request | Report]) -> int | Dataset:
        try:
            if content is None:
                raise BadCommitment("nothing follows the command")
            self._slips.keep(_read(content.getvalue(), str(asked.context.transfer_syntax), read))
        except RefusedError as refused:
            event("commitment.refused", association=visit.id, code=refused.code, status=f"{status_of(refused):04X}", reason=str(refused))
            return _answer(status_of(refused), f"{refused.code} {refused}")
        except Exception as broken:  # noqa: BLE001
            # whatever it is, the peer must learn that nothing was taken
            alarm("commitment.failed", association=visit.id, error=type(broken).__name__, trace=trace(broken))
            return _answer(_PROCESSING_FAILURE, "processing failure")
        self._on_kept()
        return 0x0000


def _read(content: bytes, syntax: str, read: Callable[[Dataset], Request | Report]) -> Request | Report:
    try:
        return read(decoded(content, syntax))
    except RefusedError:
        raise
    except Exception as unreadable:  # pydicom raises whatever comes first at what it cannot read
        raise BadCommitment(f"it cannot be read: {type(unreadable).__name__}") from unreadable


def _answer(status: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status = status
    answer.ErrorComment = error_comment(comment)
    return answer
