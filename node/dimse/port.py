"""Ports of the network: what the listener needs of the spool, what the requestor answers, what each C-STORE status means, and why an
instance is refused or a peer could not be asked; rejected associations are events, not errors.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from node.dicom.transfer_syntax import Context
from node.domain.commitment import Report, Request
from node.domain.errors import DeliveryError
from node.domain.instance import Reception
from node.domain.shortage import RefusedInstance


class Verdict(Enum):
    """What a C-STORE status says about the object."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # sending it again cannot help
    UNCLEAR = "unclear"  # try again


SOP_CLASS_NOT_SUPPORTED = 0x0122
"""What a peer answers, and what stands for a peer that accepts no presentation context for the object (PS3.7 C.5.6)."""

_AGAIN = frozenset({0x0110, 0x0210, 0x0213})
"""General failures that may pass: processing failure, duplicate invocation, resource limitation (PS3.7 C.5)."""


def verdict(status: int | None) -> Verdict:
    """Classify a C-STORE status (PS3.4 B.2.3, PS3.7 Annex C).

    Warnings (0xBxxx, 0x0001, 0x0107, 0x0116) mean that the object is stored. So does 0x0111, duplicate SOP instance: here an equal UID
    means equal bytes. 0xA7xx, out of resources, passes; 0xA8xx, 0xA9xx, 0xCxxx and the other failures (0x0122 SOP class not
    supported, 0x0124 not authorised, …) do not. No status at all, or one that the standard does not know, says nothing.
    """
    if status is None:
        return Verdict.UNCLEAR
    if status in (0x0000, 0x0001, 0x0107, 0x0111, 0x0116) or status >> 12 == 0xB:
        return Verdict.ACCEPTED
    if status >> 8 == 0xA7 or status in _AGAIN:
        return Verdict.UNCLEAR
    if status >> 12 in (0xA, 0xC) or status >> 8 in (0x01, 0x02):
        return Verdict.REFUSED
    return Verdict.UNCLEAR


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


class CommitmentIntake(Protocol):
    """Keeps requests and reports of storage commitment until a process that knows the journal takes them."""

    def keep(self, one: Request | Report) -> None:
        """Returns when success may be answered: it is on disk, in a form that a restart finds again.

        Raises
        ------
        RefusedError
            It could not be.
        """
        ...


class ShortfallIntake(Protocol):
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


class NoShortfalls:
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


class PeerAway(DeliveryError):
    """The peer cannot be reached, or does not answer.

    `broke_off`: it was there, and ended the connection at the request for an association.
    """

    code = "HLM-6001"
    remedy = "Check that the peer runs, its address and port, and the network between."

    def __init__(self, said: str, *, broke_off: bool = False) -> None:
        super().__init__(said)
        self.broke_off = broke_off


class PeerRejected(DeliveryError):
    """The peer rejects the association.

    `unexplained`: for good, and without a reason.
    """

    code = "HLM-6002"
    remedy = (
        "Call it by an AE title that it knows (`--calling`; the node's own is `ae_title`), or let its administrator enter this one, with "
        "the address that it is called from."
    )

    def __init__(self, said: str, *, unexplained: bool = False) -> None:
        super().__init__(said)
        self.unexplained = unexplained


class CalledTitleUnknown(PeerRejected):
    """The peer does not know the AE title that it was called by."""

    code = "HLM-6007"
    remedy = (
        "Correct the AE title that is called: before the @ of `--to`, or `ae_title` of the peer in the configuration. It is the one that "
        "the receiver was given; capitals count."
    )


class NotDicom(PeerAway):
    """What answers at the peer's address and port speaks another protocol than DICOM."""

    code = "HLM-6008"
    remedy = "Give the port of its DICOM listener (often 104, 4242 or 11112), with TLS where it wants that; web pages have another."


class PeerRefuses(DeliveryError):
    """The peer took the association but none of what was asked of it."""

    code = "HLM-6003"
    remedy = "Ask the peer's administrator which services and SOP classes it offers to this node."


class NotAFile(DeliveryError):
    """A file that is to be sent cannot be read, or is no Part 10 file."""

    code = "HLM-6004"
    remedy = "Look at the file: it must be a complete DICOM file with its file meta information (PS3.10 7.1)."
    retry = False
