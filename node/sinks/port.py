"""The sink port: takes the frozen objects of one job, and says of each whether it was accepted."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from node.dicom.transfer_syntax import Context
from node.dimse.port import Requestor
from node.observe.audit.message import Participant
from node.settings.config import Config, Destination
from node.settings.sinks import DeclaredSink

D = TypeVar("D", bound=Destination)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One result object on its way: where its bytes lie, and the identity that the sink is told."""

    sop_instance_uid: str
    sop_class_uid: str
    kind: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the sink said of one object: accepted, refused for good, or neither (try again). `status` is the DIMSE or HTTP status.

    `not_taken`: refused because the sink takes no such objects at all, whatever stands in them.
    """

    sop_instance_uid: str
    accepted: bool
    refused: bool = False
    status: int | None = None
    detail: str = ""
    not_taken: bool = False


class Sink(Protocol):
    """Contract (tests/contract/test_sink.py): sending an accepted object again is harmless; one receipt per parcel, in order; raises
    `DeliveryError` only when nothing could be sent at all; an unknown outcome is neither accepted nor refused. `accepts` sends nothing:
    it says which of these contexts the sink would take now, and raises `DeliveryError` when the sink is away. What `accepts` says holds
    until the sink changes its mind, between this answer and the next object too."""

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]: ...

    def send(self, parcels: Sequence[Parcel]) -> list[Receipt]: ...

    def health(self) -> tuple[bool, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a sink is opened with beside its destination: its name under `sinks:`, and what speaks DIMSE to a peer, by the peer's name."""

    name: str
    requestor: Callable[[str], Requestor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom the audit trail names for objects that left (PS3.15 A.5.3).

    `on_media` False: a system, which is told as DICOM Instances Transferred, and its beginning too. True: a medium, which is told as
    Export, once it is there.
    """

    participant: Participant
    on_media: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class SinkKind(DeclaredSink, Generic[D]):
    """All that the node asks of a kind of sink: one record a kind, exported by its file as `KIND` and listed in `node.sinks.kinds`.

    Attributes
    ----------
    open
        Makes the sink of a destination; sends nothing yet.
    recipient
        Whom the audit trail names; gets what other entries of the configuration know, such as a peer's AE title.
    negotiates
        Whether the sink takes only some kinds of objects, so that `hilum doctor` asks it which (`Sink.accepts`).
    """

    open: Callable[[D, Opening], Sink]
    recipient: Callable[[D, Config], Recipient]
    negotiates: bool = False
