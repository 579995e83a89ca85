"""pynetdicom's own application entity for storage and its commitment, by its public interface: the node's answers are compared with its.

It proposes and accepts what the node would of the same peer. What an N-ACTION or an N-EVENT-REPORT means is asked of the node's provider;
that it is understood and answered is pynetdicom's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from node.dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.dimse.association_policy import Admitted
from node.dimse.services.commitment import CommitmentProvider, NormalizedRequest
from node.dimse.services.echo import verification_contexts
from node.dimse.services.port import DimseStatus
from node.dimse.services.store import storage_contexts
from node.dimse.shared_limits import Seat
from node.dimse.ul.command import error_comment
from node.settings.peers import Peer

_ENDED_S = 5.0
"""How long it waits for what never comes."""


class PlainAcceptor:
    """An application entity that listens on loopback; each instance that it is sent becomes a file in `folder`."""

    def __init__(self, folder: Path, peer: Peer, commitment: CommitmentProvider) -> None:
        folder.mkdir()
        self._folder = folder
        self._commitment = commitment
        self._association: Any = SimpleNamespace(id="oracle", admitted=SimpleNamespace(peer=peer))
        self._number = 0
        made = AE("HILUM")
        made.implementation_class_uid, made.implementation_version_name = UID(IMPLEMENTATION_CLASS_UID), IMPLEMENTATION_VERSION
        made.acse_timeout = made.dimse_timeout = made.network_timeout = _ENDED_S
        made.maximum_pdu_size = peer.limits.max_pdu
        made.require_called_aet, made.require_calling_aet = True, [peer.ae_title]
        made.supported_contexts = [*storage_contexts(None), *verification_contexts()]
        admitted = Admitted(peer=peer, seat=Seat(at=0), may=peer.may, limits=peer.limits)
        for one in commitment.contexts(admitted):
            made.add_supported_context(one.abstract_syntax, one.transfer_syntax, scu_role=one.scu_role, scp_role=one.scp_role)
        self._made = made

    def start(self) -> ThreadedAssociationServer:
        """Listen; the server is shut down by whoever started it."""
        handlers = [
            (evt.EVT_C_ECHO, lambda _: 0x0000),
            (evt.EVT_C_STORE, self._stored),
            (evt.EVT_N_ACTION, self._asked),
            (evt.EVT_N_EVENT_REPORT, self._told),
        ]
        return self._made.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)

    def kept(self) -> list[Path]:
        """What was stored, the oldest first."""
        return sorted(self._folder.iterdir())

    def _stored(self, event: evt.Event) -> int:
        self._number += 1
        (self._folder / f"{self._number:08}").write_bytes(event.encoded_dataset())
        return 0x0000

    def _asked(self, event: evt.Event) -> tuple[int | Dataset, None]:
        asked = event.request
        content = b"" if asked.ActionInformation is None else asked.ActionInformation.getvalue()
        return _status(
            self._commitment.action(_normalized(event, asked.RequestedSOPInstanceUID, asked.ActionTypeID, content), self._association)
        ), None

    def _told(self, event: evt.Event) -> tuple[int | Dataset, None]:
        told = event.request
        content = b"" if told.EventInformation is None else told.EventInformation.getvalue()
        return _status(
            self._commitment.event_report(_normalized(event, told.AffectedSOPInstanceUID, told.EventTypeID, content), self._association)
        ), None


@contextmanager
def plain_acceptor(folder: Path, peer: Peer, commitment: CommitmentProvider) -> Iterator[tuple[PlainAcceptor, ThreadedAssociationServer]]:
    """One that listens, and its server."""
    made = PlainAcceptor(folder, peer, commitment)
    server = made.start()
    try:
        yield made, server
    finally:
        server.shutdown()


def _normalized(event: evt.Event, instance: object, type_id: int, content: bytes) -> NormalizedRequest:
    return NormalizedRequest(
        sop_instance_uid=str(instance), type_id=type_id, content=content, transfer_syntax=str(event.context.transfer_syntax)
    )


def _status(answer: DimseStatus) -> int | Dataset:
    if not answer.comment:
        return answer.status
    dataset = Dataset()
    dataset.Status, dataset.ErrorComment = answer.status, error_comment(answer.comment)
    return dataset
