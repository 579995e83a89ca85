"""The stage of traces: follows the journal's history, as the audit trail does, and tells a collector what each arrival waited for.

Whatever process did something wrote it into the journal; from there one process of all makes the spans. So no context travels between
processes, a crash loses none, and what receives, analyses and delivers pays nothing. The identifiers of traces and spans are derived from
the journal's own numbers by a keyed hash: a span that is sent twice after a crash is the same span.

A collector that is away is asked again every half minute; what is older than an hour by then is passed over.
"""

import hmac
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from node.domain.job import Job, JobKind
from node.domain.stage import Clock
from node.domain.state import HistoryEvent
from node.journal.errors import NoSuchRow
from node.journal.journal import Journal
from node.journal.port import Event
from node.observe import metrics
from node.observe.events import alarm, event
from node.observe.spans import CollectorAway, SpanExporter, TraceSpan

_NAME = "traces"
_BATCH = 200
_BATCHES = 50
_AGAIN_EVERY = timedelta(seconds=30)
_KEPT = timedelta(hours=1)
_WHOLE = "arrival"
_CLAIMED, _QUEUED, _ENCODED, _ROUTED = "job.claimed", "job.queued", "job.encoded", "arrival.routed"


class TraceStage:
    """Stage: two hundred events a step, and up to ten thousand of those that are passed over; how many it went through.

    Parameters
    ----------
    sample
        The share of arrivals that are told of, above 0, at most 1.
    exporter
        Made at the first step that has something to tell.
    """

    name = _NAME

    def __init__(self, journal: Journal, clock: Clock, sample: float, exporter: Callable[[], SpanExporter]) -> None:
        self._journal = journal
        self._clock = clock
        self._sample = sample
        self._open = exporter
        self._exporter: SpanExporter | None = None
        self._key: bytes | None = None
        self._again_at: datetime | None = None

    def begin(self) -> None:
        """Hold the place from which everything is told, whoever leads later."""
        self._journal.events.position(_NAME)

    def step(self) -> int:
        """Go on where it stopped; nothing, while a collector that was away is given time."""
        now = self._clock()
        if self._again_at is not None and self._again_at - _AGAIN_EVERY <= now < self._again_at:
            return 0
        gone_through = 0
        for _ in range(_BATCHES):
            told = self._journal.events.behind(self._journal.events.position(_NAME), now, _BATCH)
            young = [one for one in told if now - one.event.at < _KEPT]
            spans = [span for one in young for span in self._spans(one.number, one.event) if self._sampled(span)]
            if not told or (spans and not self._sent(spans, now)):
                break
            metrics.TRACES_PASSED_OVER.add(len(told) - len(young))
            self._journal.events.advance(_NAME, told[-1].number)
            gone_through += len(told)
            if young:
                break
        return gone_through

    def close(self) -> None:
        """Tell nothing more."""
        if self._exporter is not None:
            self._exporter.close()

    def _sent(self, spans: list[TraceSpan], now: datetime) -> bool:
        if self._exporter is None:
            self._exporter = self._open()
        try:
            self._exporter.send(spans)
        except CollectorAway as away:
            if self._again_at is None:
                alarm("traces.away", reason=str(away), code=away.code)
            self._again_at = now + _AGAIN_EVERY
            return False
        if self._again_at is not None:
            event("traces.back")
            self._again_at = None
        metrics.SPANS_SENT.add(len(spans))
        return True

    # ---- what an event ends

    def _spans(self, number: int, ended: Event) -> Iterator[TraceSpan]:
        try:
            match ended.name:
                case _ if ended.name in (_ROUTED, HistoryEvent.ARRIVAL_PARKED):
                    yield from self._of_arrival(number, ended)
                case HistoryEvent.JOB_INFERRED | HistoryEvent.JOB_PARKED | HistoryEvent.JOB_FAILED:
                    yield from self._of_analysis(number, ended)
                case _ if ended.name == _ENCODED:
                    yield from self._of_encoding(number, ended)
                case HistoryEvent.DELIVERY_DELIVERED | HistoryEvent.DELIVERY_RETRY | HistoryEvent.DELIVERY_PARKED:
                    yield from self._of_delivery(number, ended)
        except NoSuchRow:
            return  # erased meanwhile

    def _of_arrival(self, number: int, ended: Event) -> Iterator[TraceSpan]:
        """Associations, receipt, quiet window and routing; the arrival as a whole once it is routed: one that is parked may be put back."""
        arrival = self._journal.arrivals.get(ended.subject_id)
        if arrival is None:
            return
        complete = arrival.completed_at or ended.at
        said: dict[str, str | int] = {"hilum.peer": arrival.peer or metrics.STRANGER, "hilum.revision": arrival.revision}
        failed: dict[str, str | int] = {} if ended.name == _ROUTED else {"hilum.code": ended.code or ""}
        last = min(arrival.last_instance_at, complete)
        if not failed:
            yield self._span(arrival.id, _WHOLE, 0, arrival.opened_at, ended.at, **said)
        for index, one in enumerate(self._journal.instances.by_association(arrival)):
            yield self._span(arrival.id, "association", index, one.first, one.last, **{"hilum.instances": one.instances})
        yield self._span(arrival.id, "receive", 0, arrival.opened_at, last, **{"hilum.instances": arrival.instances})
        by = {"hilum.completed_by": arrival.completed_by.value} if arrival.completed_by else {}
        yield self._span(arrival.id, "settle", 0, last, complete, **by)
        begun = self._latest(ended, HistoryEvent.ARRIVAL_COMPLETE) or complete  # for the first time, or put back
        parked = self._latest(ended, HistoryEvent.ARRIVAL_PARKED)
        if failed or parked is None or parked <= begun:  # else a later revision has overtaken what was parked, and nobody tried
            yield self._span(arrival.id, "route", number, begun, ended.at, **failed)

    def _of_analysis(self, number: int, ended: Event) -> Iterator[TraceSpan]:
        """What it waited for a worker, and what that took, this time."""
        job = self._journal.jobs.get(ended.subject_id)
        claimed = self._latest(ended, _CLAIMED)
        if claimed is None or job.kind is not JobKind.ANALYSIS:
            return  # it was parked as it was made, or is a note that there is no result: of that its encoding is told, and its delivery
        queued = self._latest(ended, _QUEUED, before=claimed) or job.created_at
        yield self._span(job.arrival, "wait", number, queued, claimed, **_of_job(job))
        failed = {} if ended.name == HistoryEvent.JOB_INFERRED else {"hilum.code": ended.code or ""}
        yield self._span(job.arrival, "analyse", number, claimed, ended.at, **_of_job(job), **failed)

    def _of_encoding(self, number: int, ended: Event) -> Iterator[TraceSpan]:
        job = self._journal.jobs.get(ended.subject_id)
        begun = max(filter(None, (self._latest(ended, _CLAIMED), self._latest(ended, HistoryEvent.JOB_INFERRED))), default=None)
        if begun is not None:
            yield self._span(job.arrival, "encode", number, begun, ended.at, **_of_job(job))

    def _of_delivery(self, number: int, ended: Event) -> Iterator[TraceSpan]:
        delivery = self._journal.deliveries.get(ended.subject_id)
        if delivery is None:
            return
        job = self._journal.jobs.get(delivery.job)
        claimed = self._latest(ended, HistoryEvent.DELIVERY_CLAIMED)
        if claimed is None:
            return
        said: dict[str, str | int] = {
            "hilum.application": job.application,
            "hilum.sink": delivery.sink,
            "hilum.attempts": delivery.attempts,
        }
        failed = {} if ended.name == HistoryEvent.DELIVERY_DELIVERED else {"hilum.code": ended.code or ""}
        yield self._span(job.arrival, "deliver", number, claimed, ended.at, **said, **failed)

    def _latest(self, ended: Event, name: str, *, before: datetime | None = None) -> datetime | None:
        """When the newest event of this name came of the same subject, up to then."""
        until = before or ended.at
        of = self._journal.events.of(ended.subject, ended.subject_id)
        return max((one.at for one in of if one.name == name and one.at <= until), default=None)

    # ---- identifiers

    def _span(self, arrival: int, name: str, number: int, begin: datetime, end: datetime, **said: str | int) -> TraceSpan:
        whole = self._derived(f"{_WHOLE} {arrival}", 8)
        return TraceSpan(
            trace=self._derived(f"trace {arrival}", 16),
            id=whole if name == _WHOLE else self._derived(f"{name} {arrival} {number}", 8),
            parent=None if name == _WHOLE else whole,
            name=name,
            begin=begin,
            end=end,
            attributes=said,
            failed="hilum.code" in said,
        )

    def _sampled(self, span: TraceSpan) -> bool:
        return int.from_bytes(span.trace[8:]) < self._sample * 2**64

    def _derived(self, what: str, size: int) -> bytes:
        """By the store's own identity for a key: nobody outside can tell arrivals from it, and two nodes have none in common."""
        if self._key is None:
            known = self._journal.store.known()
            self._key = hmac.digest((known.identity if known else "").encode(), b"traces", "sha256")
        return hmac.digest(self._key, what.encode(), "sha256")[:size]


def _of_job(job: Job) -> dict[str, str | int]:
    return {
        "hilum.application": job.application,
        "hilum.application_version": job.application_version,
        "hilum.engine": job.engine,
        "hilum.priority": job.priority.value,
        "hilum.attempts": job.attempts,
    }
