"""Storage commitment (PS3.4 Annex J): requests and reports of both roles, failure reasons, and what each means for the node."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

PUSH_MODEL = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class (PS3.4 J.3.5)."""
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP Instance."""


class FailureReason(IntEnum):
    """Failure Reason (0008,1197), PS3.3 C.14.1.1."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION = 0x0131
    RESOURCE_LIMITATION = 0x0213


REASONS: dict[int, str] = {
    FailureReason.PROCESSING_FAILURE: "processing failure",
    FailureReason.NO_SUCH_INSTANCE: "no such object instance",
    FailureReason.CLASS_INSTANCE_CONFLICT: "class/instance conflict",
    FailureReason.CLASS_NOT_SUPPORTED: "referenced SOP class not supported",
    FailureReason.DUPLICATE_TRANSACTION: "duplicate transaction UID",
    FailureReason.RESOURCE_LIMITATION: "resource limitation",
}


class Cure(StrEnum):
    """What helps an object that a peer did not commit to."""

    SEND = "send"  # the peer may have lost it, or may have had no room: send it again, then ask again
    ASK = "ask"  # nothing is wrong with the object: ask again under a new transaction
    NONE = "none"  # the same bytes would fail again: a person decides


def cure_of(failure: int) -> Cure:
    """What a Failure Reason asks for; one that the standard does not know may be anything, and sending again is harmless."""
    if failure == FailureReason.DUPLICATE_TRANSACTION:
        return Cure.ASK
    if failure in (FailureReason.CLASS_INSTANCE_CONFLICT, FailureReason.CLASS_NOT_SUPPORTED):
        return Cure.NONE
    return Cure.SEND


class Commitment(StrEnum):
    """Whether a sink is asked to commit to what it accepted."""

    NO = "no"
    WANTED = "wanted"  # asked; a peer without this service is good enough
    REQUIRED = "required"  # asked; without it the delivery does not end


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReference:
    """One instance as a commitment names it (SOP Instance Reference Macro, PS3.3 table 10-11)."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a peer asks this node to commit to."""

    peer: str
    transaction_uid: str
    references: tuple[InstanceReference, ...]
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a peer says of a transaction of ours: instances that it committed to, and failed ones with their reasons."""

    peer: str
    transaction_uid: str
    committed: tuple[str, ...]
    failed: tuple[tuple[str, int], ...]
    received_at: datetime


class TransactionState(StrEnum):
    """A transaction that this node began, as the requester of a commitment."""

    BEGUN = "begun"  # its UID is durable; the N-ACTION may have been sent
    ACCEPTED = "accepted"  # the peer answered the N-ACTION with success; its report is to come
    REFUSED = "refused"  # the N-ACTION failed, or never arrived
    REPORTED = "reported"  # the report came


class RequestState(StrEnum):
    """A transaction that a peer began."""

    RECEIVED = "received"  # each instance is still to be looked for
    JUDGED = "judged"  # what the report says is durable; it is on its way
    REPORTED = "reported"  # the peer took the report
    UNREPORTED = "unreported"  # it did not for a whole day


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One transaction of ours as people see it. `answered_at` is when its report came."""

    transaction_uid: str
    peer: str
    round: int
    state: TransactionState
    asked_at: datetime
    answered_at: datetime | None
    asked: int
    committed: int
    failed: tuple[tuple[str, int], ...]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCommitment:
    """A transaction that has just been made durable, and what is to be asked under it."""

    transaction_uid: str
    references: tuple[InstanceReference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A delivery whose sink is to be asked (again): how often it took the question in this round, and how often it did not."""

    delivery: int
    job: int
    sink: str
    asked: int
    refused: int
    due_at: datetime
    waiting_since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A request of a peer that still wants something: a judgement, or its report to be taken."""

    id: int
    request: Request
    state: RequestState
    attempts: int
    verdicts: tuple[tuple[InstanceReference, int], ...]
    """Of each reference 0 or its Failure Reason, once it is judged."""


class Applied(StrEnum):
    """What became of a report."""

    COMMITTED = "committed"  # the peer has committed to every object: the delivery is over
    AGAIN = "again"  # some objects are sent again
    WAITS = "waits"  # some objects are asked for again
    PARKED = "parked"  # some object cannot be committed to: a person decides
    LATE = "late"  # noted; the delivery is beyond it
    DUPLICATE = "duplicate"  # it came before
    UNKNOWN = "unknown"  # no such transaction
    STRANGER = "stranger"  # the transaction is another peer's
