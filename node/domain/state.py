"""The state machines of the node, as data: arrival, job, delivery, both roles of storage commitment, instance; tests walk the tables.

`node.journal.transitions.move` is the one way from state to state. The names under which the history tells of changes stand here too.
"""

from enum import StrEnum

from node.domain.commitment import RequestState, TransactionState
from node.domain.instance import Standing


class ArrivalState(StrEnum):
    """An arrival: what came for one study (or series) until nothing more was expected."""

    RECEIVED = "received"  # at least one instance is durable; more may come
    COMPLETE = "complete"  # the manifest is frozen, the reason kept
    ROUTED = "routed"  # every route was tried, jobs inserted in the same transaction
    PARKED = "parked"  # routing it took too long, or ended its process, as often as it may be tried: a person decides


class JobState(StrEnum):
    """A job: one application on one series of one arrival."""

    QUEUED = "queued"  # claimable under a lease
    INFERRED = "inferred"  # the findings are durable
    ENCODED = "encoded"  # the result objects are durable, re-read and checked; deliveries inserted in the same transaction
    DONE = "done"  # every delivery is over
    PARKED = "parked"  # a person decides: code, reason, remedy
    FAILED = "failed"  # attempts used up
    NOT_APPLICABLE = "not_applicable"  # what its application declares excludes the series by its headers: an end, nobody need look
    CANCELLED = "cancelled"  # by the operator
    SUPERSEDED = "superseded"  # late instances opened a new revision with other inputs


class DeliveryState(StrEnum):
    """A delivery: the objects of one job to one sink."""

    WAITING = "waiting"  # claimable under a lease
    DELIVERED = "delivered"  # the sink accepted every object, status by status: the end, unless its commitment is awaited
    COMMITTED = "committed"  # the sink has committed to every object that it accepted (storage commitment)
    PARKED = "parked"  # the sink refused for good: a person decides
    CANCELLED = "cancelled"  # by the operator, or superseded before it left


ARRIVAL_TRANSITIONS: dict[ArrivalState, frozenset[ArrivalState]] = {
    ArrivalState.RECEIVED: frozenset({ArrivalState.COMPLETE}),
    ArrivalState.COMPLETE: frozenset({ArrivalState.ROUTED, ArrivalState.PARKED}),
    ArrivalState.ROUTED: frozenset(),
    ArrivalState.PARKED: frozenset({ArrivalState.COMPLETE, ArrivalState.ROUTED}),  # ROUTED: a later revision was, in its place
}

JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(
        {JobState.INFERRED, JobState.PARKED, JobState.FAILED, JobState.NOT_APPLICABLE, JobState.CANCELLED, JobState.SUPERSEDED}
    ),
    JobState.INFERRED: frozenset({JobState.ENCODED, JobState.PARKED, JobState.FAILED, JobState.CANCELLED, JobState.SUPERSEDED}),
    JobState.ENCODED: frozenset({JobState.DONE, JobState.CANCELLED, JobState.SUPERSEDED}),
    JobState.DONE: frozenset({JobState.ENCODED, JobState.SUPERSEDED}),  # ENCODED: the operator sends the frozen objects again
    JobState.PARKED: frozenset({JobState.QUEUED, JobState.INFERRED, JobState.CANCELLED, JobState.SUPERSEDED}),
    JobState.FAILED: frozenset({JobState.QUEUED, JobState.INFERRED, JobState.CANCELLED, JobState.SUPERSEDED}),
    JobState.NOT_APPLICABLE: frozenset({JobState.QUEUED, JobState.CANCELLED, JobState.SUPERSEDED}),  # QUEUED: a manifest changed
    JobState.CANCELLED: frozenset({JobState.QUEUED, JobState.INFERRED, JobState.ENCODED}),
    JobState.SUPERSEDED: frozenset(),
}

DELIVERY_TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.WAITING: frozenset({DeliveryState.DELIVERED, DeliveryState.PARKED, DeliveryState.CANCELLED}),
    DeliveryState.DELIVERED: frozenset({DeliveryState.COMMITTED, DeliveryState.WAITING, DeliveryState.PARKED}),  # its commitment failed
    DeliveryState.COMMITTED: frozenset({DeliveryState.WAITING}),  # resend
    DeliveryState.PARKED: frozenset({DeliveryState.WAITING, DeliveryState.CANCELLED}),
    DeliveryState.CANCELLED: frozenset({DeliveryState.WAITING}),
}

TRANSACTION_TRANSITIONS: dict[TransactionState, frozenset[TransactionState]] = {
    TransactionState.BEGUN: frozenset({TransactionState.ACCEPTED, TransactionState.REFUSED, TransactionState.REPORTED}),
    TransactionState.ACCEPTED: frozenset({TransactionState.REPORTED}),
    TransactionState.REFUSED: frozenset({TransactionState.REPORTED}),  # the answer was lost, the question was not
    TransactionState.REPORTED: frozenset(),
}
"""Storage commitment as SCU: what this node asks of an archive."""

REQUEST_TRANSITIONS: dict[RequestState, frozenset[RequestState]] = {
    RequestState.RECEIVED: frozenset({RequestState.JUDGED, RequestState.UNREPORTED}),
    RequestState.JUDGED: frozenset({RequestState.REPORTED, RequestState.UNREPORTED, RequestState.RECEIVED}),  # RECEIVED: asked once more
    RequestState.REPORTED: frozenset({RequestState.RECEIVED, RequestState.JUDGED}),  # JUDGED: another request has its transaction
    RequestState.UNREPORTED: frozenset({RequestState.RECEIVED, RequestState.JUDGED}),
}
"""Storage commitment as SCP: what a peer asks of this node."""

_KEPT = frozenset(Standing) - {Standing.PURGED}

STANDING_TRANSITIONS: dict[Standing, frozenset[Standing]] = {
    Standing.CURRENT: frozenset({Standing.REPLACED, Standing.PURGED}),
    Standing.REPLACED: frozenset({Standing.PURGED}),
    Standing.CONFLICT: frozenset({Standing.PURGED}),
    Standing.RESULT: frozenset({Standing.PURGED}),
    Standing.HELD: frozenset({Standing.CURRENT, Standing.CONFLICT, Standing.REFUSED, Standing.PURGED}),
    Standing.REFUSED: frozenset({Standing.CURRENT, Standing.CONFLICT, Standing.PURGED}),
    Standing.PURGED: _KEPT,  # its bytes came again: what it was before
}


class HistoryEvent(StrEnum):
    """What happened, as `Event.name` has it."""

    ARRIVAL_COMPLETE = "arrival.complete"
    ARRIVAL_COUNTED = "arrival.counted"  # the sender was asked how much it has
    ARRIVAL_PARKED = "arrival.parked"
    JOB_INFERRED = "job.inferred"
    JOB_PARKED = "job.parked"
    JOB_FAILED = "job.failed"
    DELIVERY_CLAIMED = "delivery.claimed"  # sending begins
    DELIVERY_DELIVERED = "delivery.delivered"
    DELIVERY_RETRY = "delivery.retry"
    DELIVERY_PARKED = "delivery.parked"
    INSTANCE_CONFLICT = "instance.conflict"
    INSTANCE_HELD = "instance.held"
    INSTANCE_DUPLICATE = "instance.duplicate"
    INSTANCE_PURGED = "instance.purged"
