"""Inference makes of the files of a job what its application analyses, and has it say its findings about each part."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from numpy.typing import NDArray

from inference.applications.acceptance import EnteredDigests, digest_of, untestable, why_not_accepted
from inference.applications.admitting import admitted, of_the_reference
from inference.applications.analysing import analyse
from inference.applications.port import Application, Infer, JobFiles
from inference.codes import ABSENT, DIFFERENCE_IN_SIZE, MILLIMETRE, QUALITATIVE_DIFFERENCE, RECOMMENDED_FOLLOW_UP, UNDETERMINED
from inference.engines.calling import FiniteOutputs, with_places_taken
from inference.engines.port import Call, Engine, ModelRef, Tensors, Urgency
from inference.engines.repository import Repository
from inference.errors import ModelError
from inference.findings import Caution, Evaluation, Findings, Location
from inference.imaging.header import ReadAhead
from inference.imaging.roles import RolePlace
from inference.imaging.subject import Parts, Subject, Takes, volume_of
from inference.imaging.subjects import Assembled, subjects
from inference.stages import ANALYSE, INFER, collected, stage
from inference.translatable import OfTheWhole, say
from node.domain.errors import AnotherVersion, ApplicationUnaccepted
from node.domain.job import RANKS, Demand, Job, PartedRoutes, Priority, RefusedRoutes, RouteWishes, method_digest, strictest
from node.domain.route import Route
from node.domain.shortage import Shortage
from node.flow.besides import JobTooLate, doubted_by, explained_by
from node.flow.time_limits import size_of, to_decode_s, to_infer_s
from node.observe.pulse import at_most
from node.settings import config as settings
from node.settings.config import DEFAULT_ENGINE, ApplicationSettings

_URGENCY = {Priority.URGENT: Urgency.URGENT, Priority.ROUTINE: Urgency.ROUTINE, Priority.OFFPEAK: Urgency.OFFPEAK}


class Assemble(Protocol):
    """Files of a job to what its application is given, as `inference.imaging.subjects.subjects` makes it."""

    def __call__(
        self,
        takes: Takes,
        parts: Parts,
        files: Sequence[Path],
        series_instance_uid: str,
        given: Mapping[Path, str],
        *,
        roles: Sequence[RolePlace],
    ) -> list[Assembled]: ...


class EngineUnknown(ModelError):
    """The configuration no longer names the engine that the job was made for."""

    code = "HLM-4183"
    remedy = (
        "Put the engine back into `engines:` under the name that the reason has, `hilum config reload`, then `hilum jobs retry JOB`: "
        "another engine may serve other models."
    )


class RoutesRefused(Exception):
    """Some routes of a job, not all, ask of its application what the one that is here does not answer; nothing was analysed.

    Attributes
    ----------
    refused
        By route, what it asks, and what is against it.
    """

    def __init__(self, refused: Mapping[str, tuple[Demand, ModelError]]) -> None:
        super().__init__(", ".join(refused))
        self.refused = refused

    def apart(self, job: Job, config: settings.Config) -> tuple[list[RefusedRoutes], PartedRoutes]:
        """Each demand that is not answered, with its routes and their sinks; and the routes that go on.

        Whose a sink is, and what a route wants, the configuration says. A sink that no route of the job has by now may be of any: it
        waits with what is refused. So does every sink where a route that is refused has another name by now, or is gone: which were its
        own, nobody knows.
        """
        mine = {route.name: route for route in config.routes if route.name in job.routes}
        known = {sink for route in mine.values() for sink in route.send}
        alike: dict[Demand, list[str]] = {}
        for route, (demand, _) in self.refused.items():
            alike.setdefault(demand, []).append(route)
        apart = [
            RefusedRoutes(
                demands=dict.fromkeys(routes, demand),
                sinks=tuple(
                    sink for sink in job.sinks if sink not in known or any(name not in mine or sink in mine[name].send for name in routes)
                ),
                wishes=_wishes([mine.get(name) for name in routes]),
                code=self.refused[routes[0]][1].code,
                reason=str(self.refused[routes[0]][1]),
            )
            for demand, routes in alike.items()
        ]
        others = [name for name in job.routes if name not in self.refused]
        sinks = tuple(dict.fromkeys(sink for name in others if name in mine for sink in mine[name].send))
        return apart, PartedRoutes(sinks=sinks, wishes=_wishes([mine.get(name) for name in others]))


def _wishes(routes: Sequence[Route | None]) -> RouteWishes | None:
    """What these routes want of the job that they share; None where one of them is not in the configuration any more."""
    known = [route for route in routes if route is not None]
    if len(known) < len(routes):
        return None
    return RouteWishes(
        priority=min((route.priority for route in known), key=RANKS.__getitem__),
        when_excluded=strictest(route.when_excluded for route in known),
        deadline=min((route.deadline for route in known if route.deadline is not None), default=None),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysed:
    """One part of a job, all of it where nothing was split, and what was found in it; `digest` once the findings were written."""

    assembled: Assembled
    findings: Findings
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inferred:
    """What the analysis of one job gave.

    Attributes
    ----------
    parts
        In the order in which the series holds them.
    took_s
        Seconds to the subjects ("assemble") and from there to the findings ("infer").
    stages_s
        The same seconds more finely: `inference.stages`.
    runtimes
        What computed each model, by its name and version.
    made_by
        The application with the version that analysed.
    demands
        What each route of the job that asks anything was answered.
    """

    parts: tuple[Analysed, ...]
    model_digest: str
    made_by: str
    took_s: Mapping[str, float]
    stages_s: Mapping[str, float] = field(default_factory=dict)
    runtimes: Mapping[str, str] = field(default_factory=dict)
    demands: Mapping[str, Demand] = field(default_factory=dict)


class Analyst:
    """Analyses jobs: `analyst(job, files, given)` is the runner's `analyse`; `given` are the roles of the files of several series.

    Parameters
    ----------
    application_of
        The application of a name.
    engine_named
        The engine of a name.
    ahead
        What was read and decoded of the files before a job asks for it (node.flow.decode_ahead).
    """

    def __init__(
        self,
        config: settings.Config,
        application_of: Callable[[str], Application],
        engine_named: Callable[[str], Engine],
        *,
        ahead: ReadAhead | None = None,
    ) -> None:
        self._config = config
        self._application_of = application_of
        self._engine_named = engine_named
        self._ahead = ahead

    def adopt(self, config: settings.Config) -> None:
        """Go by this configuration from the next job on."""
        self._config = config

    def __call__(self, job: Job, files: Sequence[Path], given: Mapping[Path, str] = MappingProxyType({})) -> Inferred:
        """Assemble, check, analyse, check what was said.

        Raises
        ------
        RoutesRefused
            Of the routes some ask for another version, or for an accepted one, in vain.
        InputError
            The series is not what this application analyses.
        ModelError
            Another version is asked for, the engine left the configuration or lacks a model, or the application said what its manifest
            does not promise.
        EngineError
            The engine is away or late; later it may work.
        """
        began = time.monotonic()
        deadline = began + settings_of(self._config, job.application).timeout.total_seconds()
        application = self._application_of(job.application)
        demands = self._demands(job)
        self._refuse(job, demands, AnotherVersion, lambda demand: demand.against_version(application.name, application.version))
        if job.engine not in (DEFAULT_ENGINE, *self._config.engines):
            raise EngineUnknown(f'the configuration has no engine "{job.engine}" any more')
        engine = self._engine_named(job.engine)
        # before the pixels: a model that is missing, or another than the application was made for, is found in a moment
        calls = calls_of(self._config, application)
        models = with_places_taken(calls)
        for model in models:
            engine.check(model)
        digest = digest_with(engine, application, calls)
        # by the files that the engine holds
        unaccepted = _unaccepted(self._config, application, digest) if any(demand.accepted for demand in demands.values()) else ""
        self._refuse(job, demands, ApplicationUnaccepted, lambda demand: demand.against_unaccepted(unaccepted))
        with collected() as stages_s:
            with at_most(to_decode_s(size_of(files))):
                accepts, series, roles = application.accepts, job.series_instance_uid, application.in_roles
                made = subjects(accepts.takes, accepts.parts, files, series, given, roles=roles, ahead=self._ahead)
            assembled = time.monotonic()
            bounded = _Bounded(engine, application, calls, deadline, _URGENCY[job.priority])
            with stage(ANALYSE), at_most(to_infer_s(deadline - time.monotonic())):
                asked = application.on(JobFiles(files=tuple(files), seconds=deadline - time.monotonic()))
                explained, doubted, spent = self._explained(job), self._doubted(job), self._spent(job)
                parts = tuple(analysed(asked, each, bounded, job, explained=explained, doubted=doubted, spent=spent) for each in made)
        bounded.share_out(stages_s)
        took_s = {"assemble": assembled - began, "infer": time.monotonic() - assembled}
        runtimes = {f"{model.name} v{model.version}": engine.runtime(model) for model in models}
        return Inferred(
            parts=parts,
            model_digest=digest,
            took_s=took_s,
            stages_s=stages_s,
            runtimes=runtimes,
            made_by=f"{application.name} {application.version}",
            demands=demands,
        )

    def _demands(self, job: Job) -> dict[str, Demand]:
        """By route that asks anything: what it asked when it was routed, whatever it is called by now, and what the one of its name asks
        today. The version that this one names counts before the one of then."""
        today = {route.name: route.demand(job.application) for route in self._config.routes}
        asked = {name: today.get(name, Demand()).also(job.demands.get(name, Demand())) for name in job.routes}
        return {name: demand for name, demand in asked.items() if not demand.none}

    def _refuse(self, job: Job, demands: Mapping[str, Demand], error: type[ModelError], against: Callable[[Demand], str]) -> None:
        """Raise which routes of the job are not answered, where others are that the configuration has: it knows their sinks. Else the error
        for all of them: nobody would get what was made."""
        refused = {route: (demand, error(f'route "{route}": {why}')) for route, demand in demands.items() if (why := against(demand))}
        if not refused:
            return
        if refused.keys() >= {route.name for route in self._config.routes if route.name in job.routes}:
            raise next(why for _, why in refused.values())
        raise RoutesRefused(refused)

    def _explained(self, job: Job) -> bool:
        """Whether a sink of the job asks what moved the answers."""
        return any(profile.explains for profile in self._config.profiles_of(job))

    def _doubted(self, job: Job) -> bool:
        """Whether a sink of the job asks how unsure the network is."""
        return any(profile.doubts for profile in self._config.profiles_of(job))

    def _spent(self, job: Job) -> bool:
        """Whether it is the last of several attempts."""
        return job.attempts > 1 and job.attempts >= settings_of(self._config, job.application).attempts


def analysed(
    application: Application, assembled: Assembled, infer: Infer, job: Job, *, explained: bool, doubted: bool, spent: bool = False
) -> Analysed:
    """What the application says of one part, behind what the gates and the reading of the files say.

    Parameters
    ----------
    explained, doubted
        Whether what moved the answers, and how unsure the network is, are asked for.
    spent
        Whether it is the last attempt after others that did not end: then neither is computed, and the answer leaves.
    """
    given = admitted(application, assembled, whole=not (job.shortage and job.marked))
    assembled = given.assembled
    said = analyse(application, assembled.subject, infer, of_the_reference(assembled))
    answered = _answered(said)
    said = given.judge.after(replace(said, cautions=(*given.cautions, *said.cautions)))
    if explained:
        said = explained_by(application, assembled, infer, said, left_out=answered - _answered(said), spent=spent)
    if doubted:
        said = doubted_by(application, assembled, infer, said, spent=spent)
    if job.shortage is not None:
        said = as_incomplete(said, job.shortage, assembled.subject, marked=job.marked)
    return Analysed(assembled=assembled, findings=replace(said, remarks=(*assembled.remarks, *given.remarks, *said.remarks)))


def _answered(said: Findings) -> frozenset[int]:
    """The images that an answer names."""
    return frozenset(index for each in said.evaluations for index in each.images)


def settings_of(config: settings.Config, application: str) -> ApplicationSettings:
    """How the application runs here; the defaults when the configuration says nothing."""
    return config.applications.get(application) or ApplicationSettings(name=application)


def engine_of(config: settings.Config, application: str) -> str:
    """The name of the engine that runs an application here."""
    return settings_of(config, application).engine


def calls_of(config: settings.Config, application: Application) -> dict[ModelRef, Call | None]:
    """The models that an application calls, and how the repository wants each called."""
    repository = Repository(config.models)
    return {model: repository.call_of(model) for model in application.models}


class Digests(Protocol):
    """What tells the digest of a model: an engine of what it computes with, the repository of what lies in it."""

    def digest(self, model: ModelRef, /) -> str: ...


def digest_with(digests: Digests, application: Application, calls: Mapping[ModelRef, Call | None]) -> str:
    """What results name of an application's models: one digest for all that it may call; without a model, for its version."""
    models = with_places_taken(calls)
    return digest_of(models, digests.digest) if models else method_digest(application.name, application.version)


def with_acceptance(config: settings.Config, application: Application) -> Application:
    """An application, as it is served, with whether it is accepted here, by the digests that the repository's entries name: routing reads
    no weights. Jobs are asked again, by the digests of what their engine holds."""
    digest = digest_with(EnteredDigests(Repository(config.models)), application, calls_of(config, application))
    return replace(application, models_digest=digest, unaccepted=_unaccepted(config, application, digest))


def _unaccepted(config: settings.Config, application: Application, digest: str) -> str:
    """Why an application with models of this digest is not accepted here; "" where it is."""
    if why := untestable(application):
        return f"{why}: this one cannot be accepted"
    return why_not_accepted(config.models, application.name, application.version, digest)


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
        self._lock = threading.Lock()
        self._under_way = 0
        self._since = 0.0
        self._in_models_s = 0.0

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        self._admit(model)
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise JobTooLate(f"{self._application.name} did not end in the time that it may take")
        self._count(1)
        try:
            with stage(INFER):
                return FiniteOutputs(model, self._engine.infer(model, tensors, deadline_s=left_s, urgency=self._urgency))
        finally:
            self._count(-1)

    def share_out(self, took_s: dict[str, float]) -> None:
        """Say of the time in which any model was called that it was the models': calls in threads are nobody's stage, who waits for
        them is."""
        hidden = self._in_models_s - took_s.get(INFER, 0.0)
        if hidden > 0:
            moved = min(hidden, took_s[ANALYSE])
            took_s[ANALYSE] -= moved
            took_s[INFER] = took_s.get(INFER, 0.0) + moved

    def _count(self, change: int) -> None:
        """Keep the time in which at least one call is under way."""
        with self._lock:
            now = time.perf_counter()
            if self._under_way:
                self._in_models_s += now - self._since
            self._since = now
            self._under_way += change

    def at_once(self, model: ModelRef) -> int:
        self._admit(model)
        load = self._engine.load(model)
        return load.at_once + load.ahead

    def call_of(self, model: ModelRef) -> Call | None:
        self._admit(model)
        return self._calls.get(model)

    def room_of(self, model: ModelRef) -> int | None:
        """See `inference.engines.calling.room_of`."""
        self._admit(model)
        return self._engine.load(model).memory

    def _admit(self, model: ModelRef) -> None:
        name = self._application.name
        if model not in self._models:
            raise ModelError(f"{name} calls {model.name} version {model.version}, which its manifest does not name")


def as_incomplete(findings: Findings, shortage: Shortage, subject: Subject | None, *, marked: bool) -> Findings:
    """The findings of a short series.

    `marked`: they begin with a caution, and nothing is absent any more: it may be on what did not come. Of a volume (or a pair of them)
    every measurement goes but lengths of single locations: nobody can say which structures end where the images do. Images and cines that
    came are whole each. What an application says of the whole goes with them, and so does a follow-up, which is recommended for all that
    there is, and a difference from a prior. Not `marked`: as of a whole one, with a remark.
    """
    if not marked:
        return replace(findings, remarks=(say("The series may be incomplete: {shortage}.", shortage=shortage.sentence), *findings.remarks))
    kept = findings.measurements
    mark, why, lacks = shortage.mark, shortage.why, shortage.sentence
    said = say("{mark}: not all instances of the series came; {why}.", mark=mark, why=why, shortage=lacks)
    if subject is not None and volume_of(subject) is not None:
        kept = tuple(
            replace(one, earlier=None)
            for one in findings.measurements
            if one.location is not None and one.unit == MILLIMETRE and one.name != DIFFERENCE_IN_SIZE
        )
        if len(kept) < len(findings.measurements):
            said = say(
                "{mark}: not all instances of the series came; {why}. No volume is given, and nothing is measured of the whole or of its "
                "structures: any of them may be cut.",
                mark=mark,
                why=why,
                shortage=lacks,
            )
    return replace(
        findings,
        measurements=kept,
        evaluations=tuple(_not_absent(one) for one in findings.evaluations),
        locations=tuple(_without_follow_up(one) for one in findings.locations if one.point is None),
        remarks=tuple(one for one in findings.remarks if not isinstance(one, OfTheWhole)),
        cautions=(Caution(sentence=said, mark=shortage.mark), *findings.cautions),
        cut=True,
    )


def _not_absent(one: Evaluation) -> Evaluation:
    """Undetermined in the place of Absent; without its probability, which would say so all the same."""
    return replace(one, value=UNDETERMINED, probability=None) if one.value == ABSENT else one


_OF_THE_WHOLE = (RECOMMENDED_FOLLOW_UP, QUALITATIVE_DIFFERENCE)


def _without_follow_up(one: Location) -> Location:
    return replace(one, qualities=tuple(quality for quality in one.qualities if quality.name not in _OF_THE_WHOLE))
