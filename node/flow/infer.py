"""Infer: the files of a job become a volume, and the job's application says its findings about it."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from inference.applications.accept import check, check_outputs
from inference.applications.port import Application
from inference.engines.port import Engine, ModelRef, Tensors, Urgency
from inference.errors import HilumError, ModelError
from inference.findings import Findings
from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from node.domain.job import Job, Priority
from node.flow.errors import JobTooLate
from node.observe.events import alarm, event
from node.settings import config as settings

_HEALTH_EVERY_S = 5.0
_URGENCY = {Priority.URGENT: Urgency.URGENT, Priority.ROUTINE: Urgency.ROUTINE, Priority.OFFPEAK: Urgency.OFFPEAK}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inferred:
    """What the analysis of one job gave; `took_s` has the seconds by stage."""

    volume: Volume
    findings: Findings
    model_digest: str
    took_s: Mapping[str, float]


class Engines:
    """The engines that jobs may ask for, opened when first needed and kept.

    Parameters
    ----------
    open_engine
        Makes the engine of a name in `engines:`.
    seconds
        A clock that only goes forward; health is asked every few seconds of it.
    """

    def __init__(
        self, config: settings.Config, open_engine: Callable[[str], Engine], *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        applications = {name for route in config.routes for name in route.run}
        self._names = {engine_of(config, name) for name in applications}
        self._open_engine = open_engine
        self._seconds = seconds
        self._opened: dict[str, Engine] = {}
        self._away: dict[str, str] = {}
        self._looked_at: float | None = None

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

    def close(self) -> None:
        """Let go of what the engines hold."""
        for engine in self._opened.values():
            engine.close()
        self._opened.clear()

    def _look(self) -> None:
        found: dict[str, str] = {}
        for name in sorted(self._names | set(self._opened)):
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
        self._away = found


class Analyst:
    """Analyses jobs: `analyst(job, files)` is the runner's `analyse`.

    Parameters
    ----------
    application_of
        The application of a name.
    engine_named
        The engine of a name.
    """

    def __init__(
        self, config: settings.Config, application_of: Callable[[str], Application], engine_named: Callable[[str], Engine]
    ) -> None:
        self._config = config
        self._application_of = application_of
        self._engine_named = engine_named

    def __call__(self, job: Job, files: Sequence[Path]) -> Inferred:
        """Assemble, check, analyse, check what was said.

        Raises
        ------
        InputError
            The series is no volume, or none for this application.
        ModelError
            The engine lacks a model, or the application said what its manifest does not promise.
        EngineError
            The engine is away or late; later it may work.
        """
        began = time.monotonic()
        deadline = began + settings_of(self._config, job.application).timeout.total_seconds()
        application = self._application_of(job.application)
        engine = self._engine_named(job.engine)
        # before the pixels: a missing model is found in a moment
        digest = model_digest(engine, application.models)
        volume = assemble(files)
        remarks = check(application, volume)
        assembled = time.monotonic()
        said = application.analyse(volume, _Bounded(engine, application, deadline, _URGENCY[job.priority]))
        check_outputs(application, said, volume)
        findings = replace(said, remarks=(*remarks, *said.remarks))
        took_s = {"assemble": assembled - began, "infer": time.monotonic() - assembled}
        return Inferred(volume=volume, findings=findings, model_digest=digest, took_s=took_s)


def settings_of(config: settings.Config, application: str) -> settings.ApplicationSettings:
    """How the application runs here; the defaults when the configuration says nothing."""
    return config.applications.get(application) or settings.ApplicationSettings(name=application)


def engine_of(config: settings.Config, application: str) -> str:
    """The name of the engine that runs an application here."""
    return settings_of(config, application).engine


def model_digest(engine: Engine, models: Sequence[ModelRef]) -> str:
    """One digest for all models that an application may call: the model's own when it is one, else a digest over names and digests."""
    digests = [(model.name, str(model.version), engine.digest(model)) for model in models]
    if len(digests) == 1:
        return digests[0][2]
    lines = "\n".join(" ".join(entry) for entry in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


class _Bounded:
    """The engine as the application sees it: its own models only, and no longer than the job may take."""

    def __init__(self, engine: Engine, application: Application, deadline: float, urgency: Urgency) -> None:
        self._engine = engine
        self._application = application
        self._deadline = deadline
        self._urgency = urgency

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        self._admit(model)
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise JobTooLate(f"{self._application.name} did not end in the time that it may take")
        return self._engine.infer(model, tensors, deadline_s=left_s, urgency=self._urgency)

    def at_once(self, model: ModelRef) -> int:
        self._admit(model)
        return self._engine.load(model).at_once

    def _admit(self, model: ModelRef) -> None:
        name = self._application.name
        if model not in self._application.models:
            raise ModelError(f"{name} calls {model.name} version {model.version}, which its manifest does not name")
