"""What a service of the acceptor is: a record that its file exports, and the requests that it takes from their command to their answers.

Which bytes a message comes in, deadlines and the length of PDUs are not a service's: node.dimse.acceptor.association has them.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from pynetdicom.presentation import PresentationContext

from node.dimse.acceptor.accepted import AcceptedAssociation
from node.dimse.association_policy import Admitted
from node.dimse.port import CommitmentIntake, Intake
from node.dimse.ul.command import Command, Field
from node.dimse.ul.pdu import AbortReason, Malformed
from node.observe.security import MessageTooLong, tell
from node.settings.config import Config
from node.settings.peers import May

PROCESSING_FAILURE: Final = 0x0110
_MOST_IN_ALL: Final = 256 << 20
_SMALL_BYTES: Final = 1 << 20
"""What a request holds without being counted: those of commitment to thousands of instances are smaller."""


class DimseStatus(NamedTuple):
    """What a request is answered; `comment` is an Error Comment (0000,0902), empty with success."""

    status: int
    comment: str


class ServiceRequest(NamedTuple):
    """One request that has begun: its command set, its message ID, and the association and presentation context that it came in."""

    command: Command
    message_id: int
    association: AcceptedAssociation
    abstract_syntax: str
    transfer_syntax: str


class Exchange(Protocol):
    """One request from its command set to its answers, used by one thread. What `replies` raises ends the association."""

    def write(self, *fragments: memoryview) -> None:
        """Take fragments of the request's data set; their buffers are used again after it."""
        ...

    def replies(self) -> Iterable[tuple[bytes, bytes]]:
        """The data set is whole: the answers, each a command set and the data set behind it, empty where none follows. The next is asked
        for once the last one is on its way."""
        ...

    def answered(self) -> None:
        """All of them went out."""
        ...

    def abandon(self) -> None:
        """The request was cut off: nothing is answered."""
        ...


class Service(Protocol):
    """A service of one listener. Called from many threads at once."""

    def contexts(self, admitted: Admitted) -> Sequence[PresentationContext]:
        """The presentation contexts that such a requestor may negotiate of it; none where it is not allowed to. They are only read."""
        ...

    def begin(self, request: ServiceRequest) -> Exchange:
        """Take a request whose command set has come. Raises nothing: what is wrong with it is answered."""
        ...

    def adopt(self, config: Config) -> None:
        """Know the peers and sinks of this configuration; associations that stand go on with what they negotiated."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerParts:
    """What a listener has for its services. `commitments` None: requests and reports of storage commitment are not kept."""

    config: Config
    intake: Intake
    commitments: CommitmentIntake | None
    on_commitment: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKind:
    """A service as its file exports it.

    Attributes
    ----------
    name, says
        What people call it, and the sentence of the reference.
    may
        The word in a peer's `may` that allows it.
    sop_classes
        Those whose presentation contexts it negotiates.
    operations
        The requests that it takes (PS3.7 E.1-1).
    in_any_context
        It takes them whatever the presentation context is for, and refuses those of another one itself; else only in contexts of its
        SOP classes.
    open
        Makes the service of one listener; None where that listener has none of it.
    """

    name: str
    says: str
    may: May
    sop_classes: Callable[[], Sequence[str]]
    operations: frozenset[Field]
    in_any_context: bool = False
    open: Callable[[ListenerParts], Service | None]


class MemoryBudget:
    """Bytes that requests hold in memory, bounded for all associations of a listener together. Called from many threads at once."""

    def __init__(self, most_bytes: int = _MOST_IN_ALL) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """So many are held now."""
        return self._bytes

    def take(self, size: int) -> bool:
        """Hold so many more, if there is room."""
        with self._lock:
            if self._bytes + size > self._most_bytes:
                return False
            self._bytes += size
            return True

    def give(self, size: int) -> None:
        """Hold so many less."""
        with self._lock:
            self._bytes -= size


class WholeDataSet:
    """A request's data set that is taken in whole, but no more of it than `most_bytes` and the byte that shows that there is more."""

    __slots__ = ("_budget", "_content", "_counted_bytes", "_most_bytes")

    def __init__(self, budget: MemoryBudget, most_bytes: int) -> None:
        self._budget = budget
        self._most_bytes = most_bytes
        self._content = bytearray()
        self._counted_bytes = 0

    def write(self, *fragments: memoryview) -> None:
        """Take fragments of the data set; what is beyond the bound is dropped.

        Raises
        ------
        Malformed
            All associations together hold more than there is room for: this one ends.
        """
        for fragment in fragments:
            if len(self._content) <= self._most_bytes:
                self._content += fragment
        more = len(self._content) - self._counted_bytes if len(self._content) > _SMALL_BYTES else 0
        if more > 0 and not self._budget.take(more):
            tell(MessageTooLong(most_bytes=self._most_bytes, held_bytes=self._budget.size_bytes))
            raise Malformed("a message for which there is no room", AbortReason.NOT_SPECIFIED)
        self._counted_bytes += more

    @property
    def content(self) -> bytes:
        """What has come."""
        return bytes(self._content)

    def give_back(self) -> None:
        """Nobody needs it any more."""
        counted, self._counted_bytes = self._counted_bytes, 0
        self._budget.give(counted)
