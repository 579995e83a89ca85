"""Storage as its provider (PS3.4 Annex B): a C-STORE's bytes go to the intake as they come, and 0x0000 is answered once they are kept."""

import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final

from pynetdicom.presentation import PresentationContext

from inference.errors import quoted
from node.dicom.peek import Peek
from node.dimse.association_policy import Admitted
from node.dimse.contexts import DECODABLE, OTHERS, contexts_of, storage_classes
from node.dimse.port import Incoming, Intake
from node.dimse.services.port import PROCESSING_FAILURE, DimseStatus, ListenerParts, ServiceKind, ServiceRequest
from node.dimse.ul import command
from node.dimse.ul.command import Field
from node.domain.errors import RefusedError
from node.domain.instance import Reception
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.settings.config import Config
from node.settings.peers import May

_KEPT: Final = DimseStatus(0x0000, "")
# leading zeros in a component break PS3.5 9.1, but old devices write them and nothing here minds
_UID = re.compile(r"[0-9.]{1,64}").fullmatch


class NotAUid(RefusedError):
    """The Affected SOP Instance UID is no UID (PS3.7 9.1.1.1.9: invalid SOP instance)."""

    code = "HLM-1011"
    remedy = "The sender must give the instance a UID by PS3.5 9.1; hilum never invents one."
    status = 0x0117


class WrongContext(RefusedError):
    """The SOP class of the command is not the one that its presentation context was negotiated for (PS3.4 B.2.3)."""

    code = "HLM-1012"
    remedy = "Report this to the sender's vendor: its presentation contexts are mixed up."
    status = 0xA900


class StorageProvider:
    """Has what associations store kept."""

    def __init__(self, parts: ListenerParts) -> None:
        self._intake = parts.intake
        self.adopt(parts.config)

    def adopt(self, config: Config) -> None:
        """Be ready for these peers."""
        for peer in config.peers.values():  # the first association of each would wait for it
            if May.STORE in peer.may:
                storage_contexts(peer.limits.syntaxes)
        for name in (*config.peers, metrics.STRANGER):
            for status in (0x0000, RefusedError.status, PROCESSING_FAILURE):
                # a series that begins at 0 lets a rate see its first event
                metrics.INSTANCES.add(0, peer=name, status=f"{status:04X}")

    def contexts(self, admitted: Admitted) -> Sequence[PresentationContext]:
        """Every storage SOP class, in the syntaxes that the peer is limited to."""
        return storage_contexts(admitted.limits.syntaxes) if May.STORE in admitted.may else ()

    def begin(self, request: ServiceRequest) -> "StoreExchange":
        """A C-STORE."""
        return StoreExchange(request, self._intake)


class StoreExchange:
    """One C-STORE, from its command to its answer. Raises nothing: what goes wrong becomes the answer."""

    __slots__ = ("_association", "_blind", "_incoming", "_peek", "_rate", "_refused", "_request", "_size")

    def __init__(self, request: ServiceRequest, intake: Intake) -> None:
        association, asked = request.association, request.command
        sop_class, sop_instance = asked.sop_class_uid, asked.sop_instance_uid
        self._request = request
        self._association = association
        self._rate = association.admitted.rate
        self._size = 0
        self._refused: DimseStatus | None = None
        self._incoming: Incoming | None = None
        self._peek = Peek(syntax=request.transfer_syntax, sop_class=sop_class, sop_instance=sop_instance)
        self._blind = False
        try:
            if not _UID(sop_instance):
                raise NotAUid(f"{quoted(sop_instance)} is no UID")
            if sop_class != request.abstract_syntax or sop_class not in _instances():
                raise WrongContext(f"SOP class {quoted(sop_class)} came in a context for {request.abstract_syntax}")
            requestor = association.requestor
            self._incoming = intake.begin(
                Reception(
                    sop_instance_uid=sop_instance,
                    sop_class_uid=sop_class,
                    transfer_syntax_uid=request.transfer_syntax,
                    calling_ae=requestor.calling,
                    called_ae=requestor.called,
                    address=requestor.address,
                    association=association.id,
                    received_at=datetime.now(UTC),
                    peer=association.peer or "",
                )
            )
        except Exception as why:  # noqa: BLE001  (whatever it is, the peer gets an answer and keeps its instance)
            self._refuse(why)

    def write(self, *fragments: bytes | memoryview) -> None:
        """Take fragments of the data set; once the instance is refused, they are dropped, but for what says of which series it is."""
        incoming = self._incoming
        if incoming is None:
            self._look(fragments)
            return
        size = 0
        try:
            for fragment in fragments:
                self._peek.feed(fragment)
                size += len(fragment)
        except Exception as why:  # noqa: BLE001  (whatever it is, the peer gets an answer and keeps its instance)
            self._blind = True
            self._refuse(why)
            return
        try:
            incoming.write(*fragments)
        except Exception as why:  # noqa: BLE001  (whatever it is, the peer gets an answer and keeps its instance)
            self._refuse(why)
            return
        self._size += size
        if self._rate is not None:
            self._rate.fragment(size)

    def replies(self) -> tuple[tuple[bytes, bytes]]:
        """Keep it, or say why not."""
        status, comment = self._answer()
        request = self._request
        asked = request.command
        answer = command.store_response(
            request.message_id, sop_class_uid=asked.sop_class_uid, sop_instance_uid=asked.sop_instance_uid, status=status, comment=comment
        )
        return ((answer, b""),)

    def answered(self) -> None:
        """The answer went out."""
        self._association.answered()

    def abandon(self) -> None:
        """It was cut off: nothing is kept, and nothing answered."""
        self._association.came(self._request.command.sop_class_uid, self._peek.series, whole=False)
        self._drop()

    def _answer(self) -> DimseStatus:
        """Keep the instance; what its sender is answered."""
        began = time.monotonic()
        incoming, association = self._incoming, self._association
        if incoming is not None:
            try:
                self._peek.end()
                incoming.keep()
            except Exception as why:  # noqa: BLE001  (whatever it is, the peer gets an answer and keeps its instance)
                self._refuse(why)
        peer = association.admitted.label
        answer = self._refused or _KEPT
        asked = self._request.command
        association.came(asked.sop_class_uid, self._peek.series)
        if answer is not _KEPT:
            association.refuse(asked.sop_class_uid, asked.sop_instance_uid, self._peek.series, answer.status)
        metrics.RECEIVE.observe(time.monotonic() - began, peer=peer)
        metrics.INSTANCES.add(peer=peer, status=f"{answer.status:04X}")
        if answer is _KEPT:
            association.kept += 1
            metrics.RECEIVED_BYTES.add(self._size, peer=peer)
        else:
            association.refused += 1
        if self._rate is not None:
            self._rate.instance()
        return answer

    def _drop(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.abandon()

    def _look(self, fragments: Iterable[bytes | memoryview]) -> None:
        """Find out of which series an instance is that is refused already."""
        if self._blind or self._peek.series is not None:
            return
        try:
            for fragment in fragments:
                self._peek.feed(fragment)
        except Exception:  # noqa: BLE001  (it is refused; what more is wrong with it nobody asks)
            self._blind = True

    def _refuse(self, why: Exception) -> None:
        self._drop()
        if isinstance(why, RefusedError):
            self._refused = DimseStatus(why.status, f"{why.code} {why}")
            event("instance.refused", association=self._association.id, code=why.code, status=f"{why.status:04X}", reason=str(why))
        else:
            # whatever it is, the sender must learn that this instance stays with it; its words may quote the patient, its place does not
            self._refused = DimseStatus(PROCESSING_FAILURE, "processing failure")
            alarm("instance.failed", association=self._association.id, error=type(why).__name__, trace=trace(why))


@cache
def storage_contexts(syntaxes: tuple[str, ...] | None) -> Sequence[PresentationContext]:
    """The presentation contexts to accept; `syntaxes` None takes every standard one, else these alone.

    An acceptor picks, in each context, the first of its own transfer syntaxes that the requestor offers (PS3.8 9.3.3.2 leaves it the
    choice): the order here is the preference. They are shared by all associations, which only read them.
    """
    order = [text for text in (*DECODABLE, *OTHERS) if syntaxes is None or text in syntaxes]
    return contexts_of(storage_classes(), order) if order else ()


@cache
def _instances() -> frozenset[str]:
    """SOP classes whose instances are kept: who may only ask for other services may not store under the names of theirs."""
    return frozenset(storage_classes())


KIND = ServiceKind(
    name="Storage",
    says="C-STORE of every standard storage SOP class, retired ones too.",
    may=May.STORE,
    sop_classes=storage_classes,
    operations=frozenset({Field.C_STORE_RQ}),
    in_any_context=True,
    open=StorageProvider,
)
