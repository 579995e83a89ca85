"""What is measured by standing between: an engine and those who call it, a delivery and the way that came before it."""

import contextlib
import math
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from numpy.typing import NDArray

from inference.engines.port import Engine, EngineHealth, Load, ModelRef, Tensors, Urgency
from inference.errors import HilumError
from node.domain.errors import JournalError
from node.domain.job import Delivery, JobKind
from node.domain.state import DeliveryState, JobState
from node.journal.port import Journal
from node.observe import metrics

_DIGITS = 12  # of a model's digest: enough to tell one from another


def measured(name: str, open_engine: Callable[[], Engine]) -> Engine:
    """The engine called `name`, measured; one that cannot be opened counts as not answering."""
    try:
        return MeasuredEngine(name, open_engine())
    except HilumError:
        metrics.ENGINE_UP.set(0, engine=name)
        raise


class MeasuredEngine:
    """An engine that counts and times what passes through it; it changes nothing."""

    def __init__(self, name: str, engine: Engine) -> None:
        self._name = name
        self._engine = engine
        self._digests: dict[str, str] = {}

    def infer(
        self, model: ModelRef, inputs: Tensors, *, deadline_s: float | None = None, urgency: Urgency = Urgency.ROUTINE
    ) -> dict[str, NDArray[Any]]:
        """Call the model."""
        label, began = _label(model), time.monotonic()
        outcome = "defect"
        try:
            answer = self._engine.infer(model, inputs, deadline_s=deadline_s, urgency=urgency)
            outcome = "ok"
        except HilumError as error:
            outcome = error.code
            raise
        finally:
            metrics.ENGINE_CALLS.add(engine=self._name, model=label, outcome=outcome)
        metrics.ENGINE_CALL.observe(time.monotonic() - began, engine=self._name, model=label)
        return answer

    def digest(self, model: ModelRef) -> str:
        """The model's digest."""
        digest, label = self._engine.digest(model), _label(model)
        known, short = self._digests.get(label), digest[:_DIGITS]
        if known != short:
            if known is not None:
                metrics.MODEL_INFO.set(math.nan, engine=self._name, model=label, digest=known)
            metrics.MODEL_INFO.set(1, engine=self._name, model=label, digest=short)
            self._digests[label] = short
        return digest

    def check(self, model: ModelRef) -> None:
        """Whether the model can be called."""
        self._engine.check(model)

    def load(self, model: ModelRef) -> Load:
        """How busy the engine is with the model."""
        load = self._engine.load(model)
        metrics.ENGINE_AT_ONCE.set(load.at_once, engine=self._name, model=_label(model))
        metrics.ENGINE_QUEUE.set(load.queue_s, engine=self._name, model=_label(model))
        return load

    def runtime(self, model: ModelRef) -> str:
        """What computes the model."""
        return self._engine.runtime(model)

    def health(self) -> EngineHealth:
        """Whether it answers."""
        ready = False
        try:
            health = self._engine.health()
            ready = health.ready
        finally:
            metrics.ENGINE_UP.set(ready, engine=self._name)
        return health

    def close(self) -> None:
        """Let go of it."""
        self._engine.close()


def observe_delivered(journal: Journal, delivery: Delivery, now: datetime) -> None:
    """Count a delivery that was journaled as delivered `now`, the job's end if it was its last, and the whole way of the study.

    What an operator sends again has no way worth measuring. A journal that does not answer costs a figure, nothing else.
    """
    metrics.DELIVERIES.add(sink=delivery.sink, outcome="delivered", code="")
    with contextlib.suppress(JournalError):
        job = journal.job(delivery.job)
        if job.kind is not JobKind.ANALYSIS:
            return  # that there is no result is no success of an application
        done = [line.at for line in journal.events("job", job.id) if line.name == f"job.{JobState.DONE}"]
        if done == [now]:  # the transaction of this very delivery ended it, and it had not ended before
            metrics.JOBS_ENDED.add(application=job.application, state=JobState.DONE.value, code="")
        delivered = [line for line in journal.events("delivery", delivery.id) if line.name == f"delivery.{DeliveryState.DELIVERED}"]
        if len(delivered) == 1:
            for arrival in journal.arrivals(study=job.study_instance_uid):
                if arrival.id == job.arrival:
                    way_s = (now - arrival.last_instance_at).total_seconds()
                    metrics.STUDY.observe(way_s, application=job.application, sink=delivery.sink)


def _label(model: ModelRef) -> str:
    return f"{model.name}/{model.version}"
