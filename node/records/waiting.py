"""What a job that is not over is at, or waits for, in words, as the journal's rows have it."""

from collections.abc import Collection, Sequence
from datetime import datetime

from node.domain.job import Delivery, Job
from node.domain.state import DeliveryState, JobState
from node.journal.port import Pausable
from node.records.words import when

_ANALYSED = frozenset({JobState.QUEUED, JobState.INFERRED})


def at_work(job: Job, deliveries: Sequence[Delivery], now: datetime) -> bool:
    """Whether some process computes it, makes its objects, or sends them."""
    held = job.lease is not None and job.lease_until is not None and job.lease_until > now
    return (job.state in _ANALYSED and held) or (job.state is JobState.ENCODED and any(_leaves(one) for one in deliveries))


def waits(job: Job, deliveries: Sequence[Delivery], paused: Collection[tuple[Pausable, str]], now: datetime) -> str:
    """What it waits for; nothing where it is over, or at work."""
    if at_work(job, deliveries, now):
        return ""
    if job.state in _ANALYSED:
        return _for_analysis(job, paused, now)
    if job.state is JobState.ENCODED:
        return "; ".join(said for one in deliveries if (said := _for_sink(one, paused, now)))
    return ""


def _leaves(one: Delivery) -> bool:
    return one.state is DeliveryState.WAITING and one.lease is not None


def _for_analysis(job: Job, paused: Collection[tuple[Pausable, str]], now: datetime) -> str:
    if (Pausable.ENGINE, job.engine) in paused:
        return f'waits: engine "{job.engine}" is paused'
    if job.routes and all((Pausable.ROUTE, name) in paused for name in job.routes):
        return f'waits: route "{job.routes[0]}" is paused'
    if job.due_at > now:
        return f"tried again at {when(job.due_at)}" if job.attempts or job.code else f"not before {when(job.due_at)}"
    return "waits for its turn"


def _for_sink(one: Delivery, paused: Collection[tuple[Pausable, str]], now: datetime) -> str:
    if one.awaits_commitment and one.state is DeliveryState.DELIVERED:
        return f"waits for the commitment of {one.sink}"
    if one.state is not DeliveryState.WAITING:
        return ""
    if (Pausable.SINK, one.sink) in paused:
        return f'waits: sink "{one.sink}" is paused'
    return f"sent to {one.sink} again at {when(one.due_at)}" if one.due_at > now else f"waits to be sent to {one.sink}"
