"""The lines of the history that somebody follows line by line: the audit trail, and messengers.

A change of state is called `<subject>.<new state>`; an instance's by how it came to what it is used for. The others are called as they are
here. All names stand at the table `event` (node.journal.schema).
"""

from enum import StrEnum


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
