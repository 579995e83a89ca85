"""What the listener needs of whoever keeps the bytes, and what the requestor answers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from node.domain.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """One C-STORE request as it came: identifiers from the command set, the data set bytes untouched."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str
    address: str
    association: str
    received_at: datetime
    dataset: bytes | memoryview


class Intake(Protocol):
    """Keeps what the listener receives.

    Contract: when `keep` returns, the bytes are durable (flushed to disk, in a form that a restart finds again) and 0x0000 may be
    answered. It raises `RefusedError` (its `status` is answered, nothing is kept) when there is no room, or the bytes are hostile.
    Called from many threads at once.
    """

    def keep(self, reception: Reception) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """The answer to one C-STORE. `status` None: none came, the outcome is unknown (the peer may have the object)."""

    sop_instance_uid: str
    status: int | None
    detail: str = ""

    @property
    def accepted(self) -> bool:
        """Success, or a warning with the object stored (0xB000, 0xB006, 0xB007, PS3.4 B.2.3), or a duplicate (0x0111)."""
        return self.status in (0x0000, 0xB000, 0xB006, 0xB007, 0x0111)


class Requestor(Protocol):
    """What the node asks of a peer. Every call opens and releases its own association; `DeliveryError` when the peer is away."""

    def echo(self) -> float: ...

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]: ...

    def store(self, files: Sequence[str]) -> list[StoreStatus]: ...

    def count(self, study_instance_uid: str, series_instance_uid: str | None) -> int | None: ...
