"""The census: how many arrivals, jobs and deliveries are in which state, as the journal counts them for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from node.domain.job import Priority
from node.domain.state import ArrivalState, DeliveryState, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsIn:
    """Jobs of one application and priority in one state; `since` is when the oldest of them came into it."""

    state: JobState
    priority: Priority
    application: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalsIn:
    """Arrivals in one state; `since` is when the oldest of them was opened."""

    state: ArrivalState
    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveriesIn:
    """Deliveries to one sink in one state; `since` is when the oldest of them began to wait."""

    sink: str
    state: DeliveryState
    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What has not ended, and what ended badly; `held` counts live leases of jobs and of deliveries,
    and instances that wait for a person. `uncommitted` says by sink how many deliveries await its commitment. What went well is not
    counted."""

    jobs: tuple[JobsIn, ...]
    arrivals: tuple[ArrivalsIn, ...]
    deliveries: tuple[DeliveriesIn, ...]
    jobs_held: int
    deliveries_held: int
    size_bytes: int
    instances_held: int = 0
    uncommitted: Mapping[str, int] = field(default_factory=dict)
