"""A pynetdicom peer for storage commitment: an archive that commits, fails, or contradicts itself; and a modality that asks."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance, Verification

_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_PATIENCE_S = 180


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One N-ACTION that came: its transaction, and (class, instance) of what it names."""

    transaction_uid: str
    references: tuple[tuple[str, str], ...]

    @property
    def uids(self) -> tuple[str, ...]:
        """The SOP Instance UIDs."""
        return tuple(uid for _, uid in self.references)


@dataclass(frozen=True, kw_only=True)
class Told:
    """One N-EVENT-REPORT that came."""

    event_type: int
    transaction_uid: str
    committed: tuple[str, ...]
    failed: dict[str, int]


def event_information(transaction_uid: str, references: Sequence[tuple[str, str]], failed: dict[str, int]) -> Dataset:
    """What a report says; `failed` by SOP Instance UID, all others are committed to."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    good: list[Dataset] = []
    bad: list[Dataset] = []
    for sop_class, uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        if uid in failed:
            item.FailureReason = failed[uid]
        (bad if uid in failed else good).append(item)
    if good:
        dataset.ReferencedSOPSequence = good
    if bad:
        dataset.FailedSOPSequence = bad
    return dataset


def action_information(transaction_uid: str, references: Sequence[tuple[str, str]]) -> Dataset:
    """What a request asks for."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    dataset.ReferencedSOPSequence = event_information("", references, {}).get("ReferencedSOPSequence") or []
    return dataset


@dataclass
class CommittingPeer:
    """An application entity on loopback, as a context manager: stores what comes, answers N-ACTION, takes N-EVENT-REPORT.

    `on_ask` decides the status of an N-ACTION; `commits` False offers no storage commitment at all; `takes` is the status with which
    it answers reports.
    """

    aet: str
    port: int = 0
    commits: bool = True
    on_ask: Callable[[Asked], int] = field(default=lambda _: 0x0000)
    takes: Callable[[Told], int] = field(default=lambda _: 0x0000)
    report_at_once: Callable[[Asked], Dataset | None] = field(default=lambda _: None)
    """What is reported on the association of the request, before its N-ACTION is answered."""

    def __post_init__(self) -> None:
        self.stored: list[str] = []
        self.asked: list[Asked] = []
        self.told: list[Told] = []
        self.statuses: list[int | None] = []
        self._guard = threading.Condition()
        self._server: Any = None

    def start(self) -> None:
        """Listen; on the same port as before."""
        entity = AE(ae_title=self.aet)
        entity.maximum_pdu_size = 131072
        entity.supported_contexts = [build_context(str(one.abstract_syntax), _SYNTAXES) for one in AllStoragePresentationContexts]
        entity.add_supported_context(Verification)
        if self.commits:
            entity.add_supported_context(StorageCommitmentPushModel, _SYNTAXES, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action), (evt.EVT_N_EVENT_REPORT, self._event_report)]
        self._server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        self.port = int(self._server.server_address[1])

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def wait(self, holds: Callable[[], object], what: str, timeout_s: float = _PATIENCE_S) -> None:
        """Until something of what came makes it true."""
        with self._guard:
            assert self._guard.wait_for(holds, timeout_s), f"{what}: not within {timeout_s:g} s; asked {self.asked}, told {self.told}"

    def _note(self, where: list[Any], what: Any) -> None:
        with self._guard:
            where.append(what)
            self._guard.notify_all()

    def _store(self, asked: evt.Event) -> int:
        self._note(self.stored, str(asked.request.AffectedSOPInstanceUID))
        return 0x0000

    def _action(self, asked: evt.Event) -> tuple[int, None]:
        dataset = asked.action_information
        found = Asked(
            transaction_uid=str(dataset.TransactionUID),
            references=tuple((str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID)) for i in dataset.ReferencedSOPSequence),
        )
        at_once = self.report_at_once(found)
        if at_once is not None:
            status, _ = asked.assoc.send_n_event_report(
                at_once, 2 if "FailedSOPSequence" in at_once else 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            self._note(self.statuses, status.get("Status"))
        status_of_action = self.on_ask(found)
        self._note(self.asked, found)
        return status_of_action, None

    def _event_report(self, told: evt.Event) -> tuple[int, None]:
        dataset = told.event_information
        found = Told(
            event_type=told.event_type,
            transaction_uid=str(dataset.TransactionUID),
            committed=tuple(str(item.ReferencedSOPInstanceUID) for item in dataset.get("ReferencedSOPSequence") or ()),
            failed={str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in dataset.get("FailedSOPSequence") or ()},
        )
        status = self.takes(found)
        self._note(self.told, found)
        return status, None

    # ---- as the requester

    def report(
        self, node_port: int, dataset: Dataset, *, calling: str | None = None, called: str = "HILUM", event_type: int = 0
    ) -> int | None:
        """N-EVENT-REPORT on a new association, proposing the provider's role; the status, None where there is no association."""
        entity = AE(ae_title=calling or self.aet)
        entity.add_requested_context(StorageCommitmentPushModel, _SYNTAXES)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        association = entity.associate("127.0.0.1", node_port, ae_title=called, ext_neg=[role])
        if not association.is_established:
            return None
        kind = event_type or (2 if "FailedSOPSequence" in dataset else 1)
        status, _ = association.send_n_event_report(dataset, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        association.release()
        found: int | None = status.get("Status")
        return found

    def ask(
        self,
        node_port: int,
        dataset: Dataset | None,
        *,
        files: Sequence[Any] = (),
        called: str = "HILUM",
        action_type: int = 1,
    ) -> int | None:
        """C-STORE of `files` and an N-ACTION, on one association; the status of the N-ACTION, None where it could not be sent."""
        entity = AE(ae_title=self.aet)
        datasets = [dcmread(file) for file in files]
        for sop_class in {one.SOPClassUID for one in datasets}:
            entity.add_requested_context(sop_class, _SYNTAXES)
        entity.add_requested_context(StorageCommitmentPushModel, _SYNTAXES)
        association = entity.associate("127.0.0.1", node_port, ae_title=called)
        if not association.is_established:
            return None
        try:
            for one in datasets:
                assert association.send_c_store(one).Status == 0x0000
            if not any(context.abstract_syntax == StorageCommitmentPushModel for context in association.accepted_contexts):
                return None
            status, _ = association.send_n_action(dataset, action_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
            found: int | None = status.get("Status")
            return found
        finally:
            association.release()
