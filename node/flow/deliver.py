"""The deliver stage sends the frozen objects of a job to its sinks: a receipt for every object, a back-off that is in the journal, and a
mark of what was delivered, which is looked for before a job is worked on.
"""

import contextlib
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

from inference.errors import HilumError
from node.blobs.port import Blobs
from node.domain.commitment import Commitment
from node.domain.errors import DeliveryError, JournalError
from node.domain.job import Delivery, Job, JobKind, awaited_marks, delivery_marks
from node.domain.stage import Clock, back_off
from node.domain.state import JobState
from node.flow.delivery_attempt import DeliveryAttempt
from node.flow.lease import LeaseLost
from node.journal.jobs import Jobs
from node.journal.journal import Journal
from node.observe import metrics
from node.observe.events import alarm, event, trace
from node.settings import config as settings
from node.sinks.port import Sink


def set_mark(jobs: Jobs, blobs: Blobs, job: int, sink: str) -> None:
    """Say, durably, that a sink has accepted everything of a job; before the journal says so, which may be lost after it."""
    for mark in delivery_marks(jobs.get(job), sink):
        blobs.put(mark, b"")


def delivered_before(jobs: Jobs, blobs: Blobs, job: Job) -> bool:
    """Whether every sink of a job that waits has its results already, such as its routes ask for, and the journal has forgotten it. Never
    of a job that the operator revived in spite of that."""
    if job.delivered_before or not job.sinks or not all(map(blobs.has, awaited_marks(job))):
        return False
    # a corrected series that was corrected back: the journal knows who set the marks, and results of others came between
    return not any(other.id != job.id and _may_have_set(other, job) for other in jobs.find(study=job.study_instance_uid))


def _may_have_set(one: Job, other: Job) -> bool:
    """Whether marks at the sinks of one job may be another's: of routes that ask otherwise there are several on the same images, each with
    its own sinks."""
    if set(one.sinks).isdisjoint(other.sinks):
        return False
    facts = [(job.series_instance_uid, job.application, job.application_version, job.input_digest) for job in (one, other)]
    return facts[0] == facts[1]


LEASE = timedelta(minutes=15)  # nothing renews it: longer than any association that still moves


class SinkDefect(DeliveryError):
    """Sending broke in a way that nobody foresaw."""

    code = "HLM-6081"
    remedy = "Report this as a defect, with the event `delivery.defect`."


class SinkUnknown(DeliveryError):
    """The configuration no longer names the sink."""

    code = "HLM-6180"
    remedy = "Put the sink back into `sinks:` and `hilum jobs resend JOB`, or send to another one with `--to`."
    retry = False


class GaveUp(DeliveryError):
    """The sink took nothing for as long as its `give_up` allows."""

    code = "HLM-6181"
    remedy = "Mend the sink (`hilum doctor`), then `hilum jobs resend JOB`."
    retry = False


@dataclass(frozen=True, slots=True)
class _Target:
    """A sink, and what the configuration that it is of says."""

    sink: Sink
    says: settings.SinkSettings
    config: settings.Config


class DeliverStage:
    """The stage that turns WAITING deliveries into DELIVERED ones.

    Every sink has one thread, so that one that is slow or away holds up no other. `step` claims for the sinks that are free; the thread
    goes on claiming for its own sink until nothing is due for it. A delivery under way ends with the sink that it began with, whatever
    configuration is adopted meanwhile; what waits goes by the sink that has its name then.

    Parameters
    ----------
    sinks
        Every sink of the configuration of now, by name; asked when a configuration is adopted.
    """

    name = "deliver"

    def __init__(
        self,
        journal: Journal,
        blobs: Blobs,
        sinks: Callable[[], Mapping[str, Sink]],
        config: settings.Config,
        clock: Clock,
        owner: str,
    ) -> None:
        self._journal = journal
        self._blobs = blobs
        self._sinks = sinks
        self._clock = clock
        self._owner = owner
        # no bound: a thread is begun when none is idle, and a sink is sent to by one
        self._threads = ThreadPoolExecutor(max_workers=sys.maxsize, thread_name_prefix="deliver")
        self._serving: dict[str, Future[int]] = {}
        self._under_way: dict[str, Delivery] = {}
        self._unrecorded: deque[tuple[Delivery, HilumError]] = deque()
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self.adopt(config)

    def adopt(self, config: settings.Config) -> None:
        """Deliver to these sinks from the next claim on."""
        sinks = self._sinks()
        self._targets: Mapping[str, _Target] = {
            name: _Target(sinks[name], one, config) for name, one in config.sinks.items() if name in sinks
        }

    def step(self) -> int:
        """Start whatever is due for a sink that is free; counts what was started and what has ended since."""
        moved = self._reap()
        while not self._closing.is_set():
            with self._guard:
                busy = set(self._serving)
            delivery = self._claim(busy)
            if delivery is None:
                return moved
            moved += 1
            if delivery.sink not in self._targets:
                self._deliver(delivery)  # parks it: there is no thread for a sink that does not exist
                continue
            with self._guard:
                self._serving[delivery.sink] = self._threads.submit(self._serve, delivery)
        return moved

    def wait(self, timeout_s: float) -> bool:
        """Wait for deliveries under way; whether all of them ended in time."""
        with self._guard:
            going = list(self._serving.values())
        return not wait(going, timeout_s).not_done

    def close(self, timeout_s: float = 20.0) -> None:
        """Claim nothing more and let what is under way end; what does not is claimed again when its lease is released."""
        self._closing.set()
        self.wait(timeout_s)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _reap(self) -> int:
        """Forget the threads that ended, and put off what they could not record."""
        with self._guard:
            ended = {sink: future for sink, future in self._serving.items() if future.done()}
            for sink in ended:
                del self._serving[sink]
        served = 0
        for sink, future in ended.items():
            defect = future.exception()
            if isinstance(defect, HilumError) or not isinstance(defect, Exception):
                served += future.result()
            else:
                # what a peer answers must not end the process that indexes, settles and routes, and again after every restart
                self._unrecorded.append((self._under_way[sink], _told(self._under_way[sink], defect)))
        while self._unrecorded:
            delivery, error = self._unrecorded[0]
            self._put_off(delivery, error)
            self._unrecorded.popleft()
        return served

    def _claim(self, busy: Collection[str]) -> Delivery | None:
        return self._journal.deliveries.claim(self._owner, self._clock(), LEASE, busy_sinks=busy)

    # ---- in the sink's own thread

    def _serve(self, delivery: Delivery) -> int:
        """Deliver, and go on with what else is due for the same sink."""
        served = 0
        following: Delivery | None = delivery
        while following is not None:
            self._under_way[delivery.sink] = following
            try:
                self._deliver(following)
            except JournalError as error:
                self._unrecorded.append((following, error))
                return served
            served += 1
            following = None if self._closing.is_set() else self._claim([name for name in self._targets if name != delivery.sink])
        return served

    def _deliver(self, delivery: Delivery) -> None:
        try:
            self._send_all(delivery)
        except DeliveryError as error:
            if error.retry:
                self._put_off(delivery, error)
            else:
                self._park(delivery, error)
        except LeaseLost:
            metrics.DELIVERIES.add(sink=delivery.sink, outcome="lost", code="")
            event("delivery.lease_lost", delivery=delivery.id, job=delivery.job, sink=delivery.sink)

    def _send_all(self, delivery: Delivery) -> None:
        """Send what the sink has not accepted yet, and say so when it has all (`DeliveryAttempt.send`)."""
        target = self._targets.get(delivery.sink)
        if target is None:
            raise SinkUnknown(f'the configuration has no sink "{delivery.sink}"')
        began = time.monotonic()
        sink = target.says
        profile = target.config.profile_of(delivery.sink, self._journal.jobs.get(delivery.job))
        sent = DeliveryAttempt(self._journal, self._blobs, self._clock, delivery, target.sink, profile).send()
        took_s = round(time.monotonic() - began, 4)
        set_mark(self._journal.jobs, self._blobs, delivery.job, delivery.sink)
        now = self._clock()
        # before the state, so that whoever waits for it finds the figure
        self._journal.events.note("job", delivery.job, "job.sent", json.dumps({"took_s": {"deliver": took_s}, "sink": delivery.sink}), now)
        if not self._journal.deliveries.delivered(delivery.id, _token(delivery), now, commits=sink.commitment is not Commitment.NO):
            raise LeaseLost
        metrics.DELIVER.observe(took_s, sink=delivery.sink)
        _observe_delivered(self._journal, delivery, now)
        event("delivery.delivered", delivery=delivery.id, job=delivery.job, sink=delivery.sink, objects=sent, took_s=took_s)

    def _put_off(self, delivery: Delivery, error: HilumError) -> None:
        """Try again later, or give up when the sink's patience is used up."""
        now = self._clock()
        target = self._targets.get(delivery.sink)
        if target is None:  # it left the configuration while it was sent to
            self._park(delivery, SinkUnknown(f'the configuration has no sink "{delivery.sink}" any more; the last time: {error}'))
            return
        sink = target.says
        since = delivery.waiting_since
        if since is not None and now - since >= sink.give_up:
            tried = f"tried {delivery.attempts} times since {since:%Y-%m-%d %H:%M} UTC"
            self._park(delivery, GaveUp(f"{tried}; the last time: {error}"))
            return
        pause = back_off(delivery.attempts, sink.retry_first, sink.retry_most, salt=f"delivery {delivery.id}")
        if self._journal.deliveries.retry(delivery.id, _token(delivery), now + pause, error.code, str(error), now):
            metrics.DELIVERIES.add(sink=delivery.sink, outcome="retry", code=error.code)
            event(
                "delivery.retry",
                delivery=delivery.id,
                job=delivery.job,
                sink=delivery.sink,
                attempts=delivery.attempts,
                code=error.code,
                reason=str(error),
                again_in_s=round(pause.total_seconds(), 1),
            )

    def _park(self, delivery: Delivery, error: DeliveryError) -> None:
        if self._journal.deliveries.park(delivery.id, _token(delivery), error.code, str(error), self._clock()):
            metrics.DELIVERIES.add(sink=delivery.sink, outcome="parked", code=error.code)
            alarm("delivery.parked", delivery=delivery.id, job=delivery.job, sink=delivery.sink, code=error.code, reason=str(error))


def _told(delivery: Delivery, defect: Exception) -> SinkDefect:
    alarm("delivery.defect", delivery=delivery.id, job=delivery.job, sink=delivery.sink, error=type(defect).__name__, trace=trace(defect))
    return SinkDefect(f"{delivery.sink}: {type(defect).__name__}: {defect}")


def _token(delivery: Delivery) -> str:
    assert delivery.lease is not None, "a claimed delivery has a lease"
    return delivery.lease


def _observe_delivered(journal: Journal, delivery: Delivery, now: datetime) -> None:
    """Count a delivery that was journaled as delivered `now`, the job's end if it was its last, and the whole way of the study.

    What an operator sends again has no way worth measuring. A journal that does not answer costs a figure, nothing else.
    """
    metrics.DELIVERIES.add(sink=delivery.sink, outcome="delivered", code="")
    with contextlib.suppress(JournalError):
        job = journal.jobs.get(delivery.job)
        if job.kind is not JobKind.ANALYSIS:
            return  # that there is no result is no success of an application
        if job.done_at == now:  # the transaction of this very delivery ended it, and it had not ended before
            metrics.JOBS_ENDED.add(application=job.application, state=JobState.DONE.value, code="")
        sent = journal.deliveries.get(delivery.id)
        if sent is not None and sent.delivered_at == now:
            for arrival in journal.arrivals.find(study=job.study_instance_uid):
                if arrival.id == job.arrival:
                    way_s = (now - arrival.last_instance_at).total_seconds()
                    metrics.STUDY.observe(way_s, application=job.application, sink=delivery.sink)
