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
from inference.engines.calling import with_places_taken
from inference.engines.port import Call, Engine, ModelRef, Tensors, Urgency
from inference.engines.repository import Repository
from inference.errors import ModelError
from inference.findings import Findings
from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from node.domain.job import Job, Priority
from node.flow.errors import JobTooLate
from node.settings import config as settings

_URGENCY = {Priority.URGENT: Urgency.URGENT, Priority.ROUTINE: Urgency.ROUTINE, Priority.OFFPEAK: Urgency.OFFPEAK}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inferred:
    """What the analysis of one job gave; `took_s` has the seconds by stage."""

    volume: Volume
    findings: Findings
    model_digest: str
    took_s: Mapping[str, float]


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
        # before the pixels: a model that is missing, or another than the application was made for, is found in a moment
        calls = calls_of(self._config, application)
        models = with_places_taken(calls)
        for model in models:
            engine.check(model)
        digest = model_digest(engine, models)
        volume = assemble(files)
        remarks = check(application, volume)
        assembled = time.monotonic()
        said = application.analyse(volume, _Bounded(engine, application, calls, deadline, _URGENCY[job.priority]))
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


def calls_of(config: settings.Config, application: Application) -> dict[ModelRef, Call | None]:
    """The models that an application calls, and how the repository wants each called."""
    repository = Repository(config.models)
    return {model: repository.call_of(model) for model in application.models}


def model_digest(engine: Engine, models: Sequence[ModelRef]) -> str:
    """One digest for all models that an application may call: the model's own when it is one, else a digest over names and digests."""
    digests = [(model.name, str(model.version), engine.digest(model)) for model in models]
    if len(digests) == 1:
        return digests[0][2]
    lines = "\n".join(" ".join(entry) for entry in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


class _Bounded:
    """The engine as the application sees it: its own models only, and no longer than the job may take."""

    def __init__(
        self, engine: Engine, application: Application, calls: Mapping[ModelRef, Call | None], deadline: float, urgency: Urgency
    ) -> None:
        self._engine = engine
        self._application = application
        self._calls = calls
        self._models = with_places_taken(calls)
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

    def call_of(self, model: ModelRef) -> Call | None:
        self._admit(model)
        return self._calls.get(model)

    def _admit(self, model: ModelRef) -> None:
        name = self._application.name
        if model not in self._models:
            raise ModelError(f"{name} calls {model.name} version {model.version}, which its manifest does not name")
