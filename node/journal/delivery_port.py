"""The journal port of deliveries: the objects of a job on their way to a sink, and the proof of each."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

from node.domain.job import Delivery, ResultObject
from node.domain.state import DeliveryState


class DeliveryJournal(Protocol):
    """Part of node.journal.port.Journal; what is said there of leases holds."""

    def claim_delivery(self, owner: str, now: datetime, lease: timedelta, *, busy_sinks: Collection[str] = ()) -> Delivery | None:
        """Lease the next due WAITING delivery whose sink is neither paused nor among `busy_sinks` (those that the caller is already
        sending to, so that a slow sink holds up nobody else); counts an attempt. To one sink, peers whose studies they are of take
        turns."""
        ...

    def undelivered(self, delivery: int) -> list[ResultObject]:
        """The objects of the delivery that its sink has not accepted yet."""
        ...

    def receipt(
        self, delivery: int, lease: str, object_id: int, accepted: bool, status: int | None, detail: str, now: datetime
    ) -> bool: ...
    def choose_form(self, delivery: int, lease: str, form: str, why: str, now: datetime) -> bool:
        """In which form masks and their reports go from now on, until everything is sent again; `why` where it is not the form that was
        asked for. False when the lease is lost."""
        ...

    def delivered(self, delivery: int, lease: str, now: datetime, *, commits: bool = False) -> bool:
        """WAITING → DELIVERED, and on to COMMITTED unless the sink `commits` and has not yet (`node.journal.commitment_port`); the job is
        DONE when all its deliveries are COMMITTED."""
        ...

    def retry_delivery(self, delivery: int, lease: str, due_at: datetime, code: str, reason: str, now: datetime) -> bool: ...
    def park_delivery(self, delivery: int, lease: str, code: str, reason: str, now: datetime) -> bool: ...
    def resend(self, job: int, sink: str | None, now: datetime) -> list[int]:
        """The operator's resend: WAITING again to one sink (inserted if new) or all; every object is sent again. Of a SUPERSEDED job only
        what was parked half-way."""
        ...

    def deliveries(self, *, job: int | None = None, states: Collection[DeliveryState] = (), limit: int = 1000) -> list[Delivery]: ...
    def receipts(self, delivery: int) -> list[tuple[ResultObject, bool, int | None, str]]: ...
