"""Engines are opened when a job needs one, asked for their health, and checked: do they serve what the applications were made for?"""

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from inference.applications.port import Application
from inference.engines.calling import with_places_taken
from inference.engines.kinds import BY_NAME
from inference.engines.port import Engine, EngineHealth, Load, ModelRef, Tensors, Urgency
from inference.errors import HilumError, ModelError
from node.flow.infer import calls_of, engine_of
from node.observe import metrics
from node.observe.events import alarm, event
from node.settings import config as settings

_HEALTH_EVERY_S = 5.0
_REFUSED_AGAIN_S = 60.0
_BOUNDS_EVERY_S = 2.0
_JOBS_PER_CALL = 2
"""Jobs at work for each call that a shared engine computes at once: while one computes, the next is decoded or the last encoded."""
_SWAMPED_S = 10.0
"""Calls that waited longer in a shared engine's queue: others keep it busy, and one job at a time is enough to have a place there."""


class Engines:
    """The engines that jobs may ask for, opened when first needed and kept.

    Parameters
    ----------
    open_engine
        Makes the engine of a name in `engines:`.
    application_of
        The application of a name. Its models are checked as soon as their engine answers, so that the operator hears of a wrong one
        before a study meets it.
    seconds
        A clock that only goes forward; health is asked every few seconds of it.
    """

    def __init__(
        self,
        config: settings.Config,
        open_engine: Callable[[str], Engine],
        application_of: Callable[[str], Application],
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_engine = open_engine
        self._application_of = application_of
        self._config = config
        self._seconds = seconds
        self._opened: dict[str, Engine] = {}
        self._away: dict[str, str] = {}
        self._looked_at: float | None = None
        self._check_at: dict[str, float] = {}
        self._refused: dict[str, str] = {}
        self._bounds: tuple[float, dict[str, int]] | None = None
        self.adopt(config)

    def adopt(self, config: settings.Config) -> None:
        """Look after the engines that these routes need; models of applications are checked once more. What is another engine now is
        closed, and opened when it is needed; called between jobs."""
        before, self._config = self._config, config
        for name in [name for name in self._opened if config.engines.get(name) != before.engines.get(name)]:
            self._opened.pop(name).close()
            self._away.pop(name, None)
            self._looked_at = None
        self._shared = {name for name, engine in config.engines.items() if not BY_NAME[engine.options.kind].local}
        self._applications: dict[str, list[str]] = {}
        for name in sorted({name for route in config.routes for name in route.run}):
            self._applications.setdefault(engine_of(config, name), []).append(name)
        self._check_at.clear()
        self._bounds = None

    def of(self, name: str) -> Engine:
        """The engine called `name`."""
        if name not in self._opened:
            self._opened[name] = self._open_engine(name)
        return self._opened[name]

    def away(self, now: bool = False) -> frozenset[str]:
        """The engines that do not answer; looked at every few seconds, or at once with `now`."""
        at = self._seconds()
        if now or self._looked_at is None or at - self._looked_at >= _HEALTH_EVERY_S:
            self._look()
            self._looked_at = self._seconds()
        return frozenset(self._away)

    def at_once(self) -> dict[str, int]:
        """How many jobs of an application make sense at the same time, over all nodes: for those whose engine all workers share.

        What an engine inside each work process can do is no bound for the others. An application is left out while nobody knows.
        """
        if self._bounds is None or self._seconds() - self._bounds[0] >= _BOUNDS_EVERY_S:
            self._bounds = (self._seconds(), self._ask_bounds())
        return self._bounds[1]

    def close(self) -> None:
        """Let go of what the engines hold."""
        for engine in self._opened.values():
            engine.close()
        self._opened.clear()

    def _ask_bounds(self) -> dict[str, int]:
        bounds: dict[str, int] = {}
        for engine in sorted(self._shared & self._applications.keys() - self._away.keys()):
            for application in self._applications[engine]:
                if application in self._refused:
                    continue  # its jobs are parked when they are claimed; asking would have the server try to load it each time
                with contextlib.suppress(HilumError):
                    loads = [self.of(engine).load(model) for model in self._models_of(application)]
                    if any(load.queue_s > _SWAMPED_S for load in loads):
                        bounds[application] = 1
                    elif loads:
                        bounds[application] = _JOBS_PER_CALL * min(load.at_once for load in loads)
        return bounds

    def _look(self) -> None:
        found: dict[str, str] = {}
        for name in sorted(self._applications.keys() | set(self._opened)):
            try:
                health = self.of(name).health()
            except HilumError as error:
                found[name] = str(error)
            else:
                if not health.ready:
                    found[name] = health.detail
        for name in found.keys() - self._away.keys():
            alarm("engine.away", engine=name, reason=found[name])
        for name in self._away.keys() - found.keys():
            event("engine.back", engine=name)
            self._check_at.pop(name, None)
        self._away = found
        for name in sorted(self._applications.keys() - found.keys()):
            if self._seconds() >= self._check_at.get(name, float("-inf")):
                self._check(name)

    def _check(self, engine: str) -> None:
        """Whether the engine serves what its applications were made for; asked once, and again while it does not."""
        self._check_at[engine] = float("inf")
        for application in self._applications[engine]:
            try:
                for model in self._models_of(application):
                    self.of(engine).check(model)
            except ModelError as refused:
                self._check_at[engine] = self._seconds() + _REFUSED_AGAIN_S
                self._refuse(engine, application, refused)
            except HilumError:
                self._check_at[engine] = self._seconds()  # gone meanwhile: at the next look
            else:
                if self._refused.pop(application, None) is not None:
                    event("engine.model_served", engine=engine, application=application)

    def _refuse(self, engine: str, application: str, refused: ModelError) -> None:
        if self._refused.get(application) != str(refused):
            self._refused[application] = str(refused)
            alarm("engine.model_refused", engine=engine, application=application, code=refused.code, reason=str(refused))

    def _models_of(self, application: str) -> tuple[ModelRef, ...]:
        return with_places_taken(calls_of(self._config, self._application_of(application)))


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


def _label(model: ModelRef) -> str:
    return f"{model.name}/{model.version}"
