"""The sink port: takes the frozen objects of one job, and says of each whether it was accepted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from node.domain.context import Context


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
