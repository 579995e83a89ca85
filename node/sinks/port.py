"""The sink port: takes the frozen objects of one job, and says of each whether it was accepted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One result object on its way: where its bytes lie, and the identity that the sink is told."""

    sop_instance_uid: str
    sop_class_uid: str
    kind: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the sink said of one object: accepted, refused for good, or neither (try again). `status` is the DIMSE or HTTP status."""

    sop_instance_uid: str
    accepted: bool
    refused: bool = False
    status: int | None = None
    detail: str = ""


class Sink(Protocol):
    """Contract (tests/contract/test_sink.py): sending an accepted object again is harmless; one receipt per parcel, in order; raises
    `DeliveryError` only when nothing could be sent at all; an unknown outcome is neither accepted nor refused."""

    def send(self, parcels: Sequence[Parcel]) -> list[Receipt]: ...

    def health(self) -> tuple[bool, str]: ...
