"""A sender without manners: C-STORE of any bytes under any identifiers, one PDU at a time; pynetdicom does the negotiation only."""

import io
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context

from tests.lab.reactor import checkpoint
from tests.lab.rejection import associate

PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one C-STORE claims to be. `data_set` is sent as it is."""

    data_set: bytes
    sop_instance_uid: str
    sop_class_uid: str = MRImageStorage
    transfer_syntax_uid: str = ExplicitVRLittleEndian


class Sender:
    """An association to the node as a context manager; contexts are those of the offers that it will make."""

    def __init__(self, port: int, offers: Sequence[Offer], *, calling: str = "PACS", called: str = "HILUM") -> None:
        entity = AE(ae_title=calling)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_S
        contexts = {(offer.sop_class_uid, offer.transfer_syntax_uid) for offer in offers}
        proposed = [build_context(sop_class, [syntax]) for sop_class, syntax in sorted(contexts)]
        self.association = associate(entity, port, called=called, contexts=proposed)
        self._message = 0
        if self.association.is_established:
            self._keep_answers()

    def _keep_answers(self) -> None:
        """Answers are for `store` alone: pynetdicom's reactor takes any message that it sees first, an awaited answer now and then."""
        dimse = self.association.dimse
        get = dimse.get_msg
        dimse.get_msg = lambda block=False: get(block=True) if block else (None, None)
        # once it has paused it is in no call of the old kind any more
        held_at = checkpoint(self.association)
        held_at.clear()
        held_at.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.association.is_established:
            self.association.release()

    @property
    def accepted(self) -> bool:
        """Whether the association was accepted, and still stands."""
        return bool(self.association.is_established)

    def context(self, offer: Offer) -> int | None:
        """The presentation context that the node accepted for such an object; None if it refused it."""
        for context in self.association.accepted_contexts:
            if context.abstract_syntax == offer.sop_class_uid and offer.transfer_syntax_uid in context.transfer_syntax:
                number: int = context.context_id
                return number
        return None

    def store(self, offer: Offer) -> int | None:
        """The status of one C-STORE; None when the node aborted instead of answering, or accepts no such context."""
        context = self.context(offer)
        if context is None or not self.accepted:
            return None
        request = C_STORE()
        self._message += 1
        request.MessageID = self._message
        request.AffectedSOPClassUID = offer.sop_class_uid
        request.AffectedSOPInstanceUID = UID(offer.sop_instance_uid)
        request.Priority = 2
        request.DataSet = io.BytesIO(offer.data_set)
        self.association.dimse.send_msg(request, context)
        _, answer = self.association.dimse.get_msg(block=True)
        return int(answer.Status) if answer is not None else None

    def abort_in_the_middle(self, offer: Offer) -> None:
        """Send the command and half of the data set, then close the connection without a word."""
        context = self.context(offer)
        assert context is not None, "the node takes such objects"
        connection = self.association.dul.socket.socket
        command = _command(offer)
        half = offer.data_set[: len(offer.data_set) // 4 * 2]
        for header, fragment in ((0x03, command), (0x00, half)):
            item = struct.pack(">IBB", len(fragment) + 2, context, header) + fragment
            connection.sendall(struct.pack(">BBI", 0x04, 0, len(item)) + item)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.association.abort()


def _command(offer: Offer) -> bytes:
    """The command set of a C-STORE-RQ, PS3.7 9.3.1.1, in implicit little endian."""

    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0x0000, number, len(value)) + value

    def uid(value: str) -> bytes:
        raw = value.encode()
        return raw + b"\0" * (len(raw) % 2)

    body = (
        element(0x0002, uid(offer.sop_class_uid))
        + element(0x0100, struct.pack("<H", 0x0001))
        + element(0x0110, struct.pack("<H", 1))
        + element(0x0700, struct.pack("<H", 2))
        + element(0x0800, struct.pack("<H", 0x0001))
        + element(0x1000, uid(offer.sop_instance_uid))
    )
    return element(0x0000, struct.pack("<I", len(body))) + body
