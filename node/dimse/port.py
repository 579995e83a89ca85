"""What the listener needs of whoever keeps the bytes, and what the requestor answers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from node.dimse.statuses import Verdict, verdict
from node.domain.context import Context
from node.domain.shortage import RefusedInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """One C-STORE request as it came: identifiers from the command set. The data set's bytes follow, untouched.

    `peer` is the name of the peer that its sender was admitted as; empty for a stranger.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str
    address: str
    association: str
    received_at: datetime
    peer: str = ""


class Incoming(Protocol):
    """One instance on its way to the disk, used by one thread. Exactly one of `keep` and `abandon` ends it; both are idempotent after."""

    def write(self, *fragments: bytes | memoryview) -> None:
        """Append fragments of the data set; their buffers may be used again when this returns.

        Raises
        ------
        RefusedError
            There is no room, or the disk failed. What follows of the message is to be read and dropped, then the status answered.
        """
        ...

    def keep(self) -> None:
        """Returns when 0x0000 may be answered: with durability `each`, the bytes are flushed, in a form that a restart finds again.

        Raises
        ------
        RefusedError
            They could not be; nothing is kept, nothing is left behind.
        """
        ...

    def abandon(self) -> None:
        """Forget the instance: it was cut off, or refused. Raises nothing."""
        ...


class Intake(Protocol):
    """Keeps what the listener receives. Called from many threads at once, in several processes at once."""

    def crowded(self) -> str | None:
        """Why no association may be admitted just now (a watermark is crossed), for the operator; None: there is room."""
        ...

    def begin(self, reception: Reception) -> Incoming:
        """Open an entry for one instance.

        Raises
        ------
        RefusedError
            There is no room: its `status` is answered, nothing is kept.
        """
        ...

    def expect(self, association: str) -> None:
        """An instance was answered and the association stands: what the next one needs may be made while the sender prepares it; it may
        never come. Raises nothing."""
        ...

    def ended(self, association: str) -> bool:
        """An association was released, aborted or lost: flush what it was told 0x0000 for and is not flushed yet. Raises nothing.

        False: the disk refused some of it, which is tried again; the sender had better not take it for safe.
        """
        ...


class Owed(Protocol):
    """Keeps what series lack that came here, until the journal has it. Called from many threads at once; raises nothing."""

    def refused(self, one: RefusedInstance) -> None:
        """An instance is about to be answered with a failure; on the disk when this returns, if the disk takes anything."""
        ...

    def stands(self, association: str, peer: str | None, series: Sequence[tuple[str, str]]) -> None:
        """An association is in the middle of these: (study, series)."""
        ...

    def released(self, association: str) -> None:
        """It ended as it should."""
        ...

    def torn(self, association: str, peer: str | None, series: Sequence[tuple[str, str]]) -> None:
        """It ended otherwise, in the middle of these."""
        ...


class NothingOwed:
    """Keeps nothing: for a listener whose series nobody analyses."""

    def refused(self, one: RefusedInstance) -> None:
        """See the port."""

    def stands(self, association: str, peer: str | None, series: Sequence[tuple[str, str]]) -> None:
        """See the port."""

    def released(self, association: str) -> None:
        """See the port."""

    def torn(self, association: str, peer: str | None, series: Sequence[tuple[str, str]]) -> None:
        """See the port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """The answer to one C-STORE. `status` None: there is none. Then `unknown` says whether the peer may have the object: all of it went
    out, and no answer came; else it was not sent, or not to its end."""

    sop_instance_uid: str
    status: int | None
    detail: str = ""
    unknown: bool = False

    @property
    def accepted(self) -> bool:
        """The object is stored, with or without a warning."""
        return verdict(self.status) is Verdict.ACCEPTED


class Requestor(Protocol):
    """What the node asks of a peer; `DeliveryError` when the peer is away. `holds` asks which of these files' instances the peer lists:
    none where it may not be asked, or does not answer."""

    def echo(self) -> float: ...

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]: ...

    def store(self, files: Sequence[str]) -> list[StoreStatus]: ...

    def count(self, study_instance_uid: str, series_instance_uid: str | None) -> int | None: ...

    def count_series(self, study_instance_uid: str, wanted: Collection[str]) -> Mapping[str, int]: ...

    def holds(self, files: Sequence[str]) -> frozenset[str]: ...
