"""The DIMSE sink: C-STORE to a peer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from node.dicom.transfer_syntax import Context
from node.dimse.port import SOP_CLASS_NOT_SUPPORTED, Requestor, StoreStatus, Verdict, verdict
from node.domain.errors import DeliveryError
from node.observe.audit import codes
from node.observe.audit.message import Participant
from node.settings.blocks import Key
from node.settings.config import Config
from node.settings.kinds import Reference
from node.sinks.port import Opening, Parcel, Receipt, Recipient, SinkKind

LISTED = "no answer came, but it lists the instance"
"""What stands in the receipt of an object whose outcome was unknown, and that the peer names when it is asked (C-FIND)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimse:
    """The peer that a sink sends to, by its name under `peers:`."""

    kind: ClassVar[str] = "dimse"
    peer: str

    @property
    def words(self) -> str:
        """See `Destination`."""
        return f"peer {self.peer}"

    @property
    def identity(self) -> tuple[str, str]:
        """See `Destination`; the second place is that of a path."""
        return (self.peer, "")


class DimseSink:
    """Sends to the peer that `requestor` speaks to; `name` is the sink's own, and `peer` the peer's, in what health says.

    An object that went out and was not answered may be there, or not. Where the peer may be asked, it is: at once, and before the object is
    sent again. Otherwise it is sent again, which is harmless: the same bytes under the same UID.
    """

    def __init__(self, name: str, peer: str, requestor: Requestor) -> None:
        self._name = name
        self._peer = peer
        self._requestor = requestor
        self._unsure: set[str] = set()

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]:
        """What the peer answers to an association that asks for nothing else."""
        return self._requestor.accepts(contexts)

    def send(self, parcels: Sequence[Parcel]) -> list[Receipt]:
        """C-STORE all of them over one association."""
        there = self._listed([parcel for parcel in parcels if parcel.sop_instance_uid in self._unsure])
        files = [str(parcel.path) for parcel in parcels if parcel.sop_instance_uid not in there]
        answers = {answer.sop_instance_uid: answer for answer in self._requestor.store(files)} if files else {}
        unknown = {uid for uid, answer in answers.items() if answer.unknown}
        there |= self._listed([parcel for parcel in parcels if parcel.sop_instance_uid in unknown])
        told = {uid for uid, answer in answers.items() if answer.status is not None}
        self._unsure = (self._unsure | unknown) - there - told
        # an object that has no answer was not reached: the association ended before
        return [
            Receipt(sop_instance_uid=uid, accepted=True, detail=LISTED)
            if uid in there
            else _receipt(answers.get(uid) or StoreStatus(sop_instance_uid=uid, status=None))
            for uid in _uids(parcels)
        ]

    def _listed(self, parcels: Sequence[Parcel]) -> frozenset[str]:
        """Those that the peer says it holds."""
        if not parcels:
            return frozenset()
        return self._requestor.holds([str(parcel.path) for parcel in parcels]) & frozenset(_uids(parcels))

    def health(self) -> tuple[bool, str]:
        """A C-ECHO."""
        try:
            took_s = self._requestor.echo()
        except DeliveryError as away:
            return False, str(away)
        return True, f"{self._name}: {self._peer} answered C-ECHO in {took_s * 1000:.0f} ms"


def _uids(parcels: Sequence[Parcel]) -> list[str]:
    return [parcel.sop_instance_uid for parcel in parcels]


def _receipt(answer: StoreStatus) -> Receipt:
    judged = verdict(answer.status)
    return Receipt(
        sop_instance_uid=answer.sop_instance_uid,
        accepted=judged is Verdict.ACCEPTED,
        refused=judged is Verdict.REFUSED,
        status=answer.status,
        not_taken=answer.status == SOP_CLASS_NOT_SUPPORTED,
        detail=answer.detail,
    )


def _open(destination: Dimse, opening: Opening) -> DimseSink:
    return DimseSink(opening.name, destination.peer, opening.requestor(destination.peer))


def _recipient(destination: Dimse, config: Config) -> Recipient:
    peer = config.peers[destination.peer]
    there = Participant(user_id=peer.ae_title, ae_titles=(peer.ae_title,), roles=(codes.DESTINATION,), address=peer.host)
    return Recipient(participant=there)


KIND = SinkKind(
    name=Dimse.kind,
    says="sends by C-STORE to a peer",
    keys=(Key(name="peer", kind=Reference(to="peers", noun="peer"), required=True, says="the peer that the objects are sent to."),),
    destination=Dimse,
    commits=True,
    open=_open,
    recipient=_recipient,
    negotiates=True,
)
