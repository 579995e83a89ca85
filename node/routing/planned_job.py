"""A planned job: what the routes of an arrival ask of one application, gathered before it is written, and the job that it becomes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from inference.applications.accept import refusal
from inference.applications.errors import NotAccepted
from inference.applications.port import Application
from inference.errors import InputError
from node.domain.errors import AnotherVersion, ApplicationUnaccepted, SourcesNameless
from node.domain.job import RANKS, Demand, NewJob, Priority, RouteShare, WhenExcluded, strictest
from node.domain.route import Route
from node.domain.shortage import Shortage
from node.domain.state import JobState
from node.routing.needs import NeedsOutcome
from node.routing.series import SeriesContent, digest_of
from node.routing.untaken import NoSeriesTaken

Coded: TypeAlias = tuple[str, str]
"""An error code, and the sentence."""
Standing: TypeAlias = Callable[[NewJob], Mapping[str, tuple[int, JobState]]]
"""Of a job that is about to be asked for, by route, the job that stands for it: its number and its state."""
Said: TypeAlias = dict[tuple[str, str], list[str]]
"""By route and series, what there is to say of them."""


class SeriesMissing(InputError):
    """The study does not hold a series that the route needs, and the time to wait for it is over."""

    code = "HLM-3085"
    remedy = "Send the series that the reason names: the job then runs by itself. `hilum jobs retry JOB` runs it without."


class SeriesIncomplete(InputError):
    """The series is known to be short, and the time to wait for its rest is over."""

    code = "HLM-3087"
    remedy = (
        "Send the series again: what is missing is taken, and the job then runs by itself, on the whole. `hilum jobs retry JOB` analyses "
        "what came: every result of it begins with INCOMPLETE, and has no volumes."
    )


class RolesUndecided(InputError):
    """Several series of the study fill a role of the application alike, and nothing that the route says tells which it is."""

    code = "HLM-3095"
    remedy = "Say in the route which it is: a condition more on the role, or `prefer`; then `hilum studies retry STUDY`."


@dataclass(slots=True, kw_only=True)
class PlannedJob:
    """What the routes ask of one application: on one series, on several in `roles` (the reference first), on a study, or on several series
    that are the slices of one subject over time (`slices`).

    `roles` has the role of each series that has one, by its UID; `priors` are the series of earlier studies among them.
    """

    application: str
    series: list[SeriesContent]
    whole_study: bool = False
    slices: bool = False
    roles: dict[str, str] = field(default_factory=dict)
    priors: set[str] = field(default_factory=set)
    routes: list[Route] = field(default_factory=list)
    missing: str = ""
    undecided: bool = False
    unfit: str = ""
    untaken: str = ""
    shortage: Shortage | None = None
    marked: bool = False
    incomplete: str = ""

    @property
    def together(self) -> bool:
        """Whether all of its series are analysed as one, and none is the prior of another."""
        return self.whole_study or self.slices

    @property
    def sinks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sink for route in self.routes for sink in route.send))

    @property
    def priority(self) -> Priority:
        return min((route.priority for route in self.routes), key=RANKS.__getitem__)

    @property
    def when_excluded(self) -> WhenExcluded:
        return strictest(route.when_excluded for route in self.routes)

    @property
    def deadline(self) -> timedelta | None:
        return min((route.deadline for route in self.routes if route.deadline is not None), default=None)

    def jobs(
        self, application: Application | None, version: str, engine: str, complete_at: datetime, *, unloaded: Coded | None
    ) -> list[NewJob]:
        """The jobs as they are written: one for all routes whose demands the application answers, and one, parked, for each demand that it
        does not, so that who asked is told and others do not wait for it.

        Parameters
        ----------
        application
            As it is served; None: it cannot be loaded, for the reason that `unloaded` has.
        """
        against = {} if application is None else self.unanswered(application)
        answered = [route for route in self.routes if route.name not in against]
        made = [replace(self, routes=answered)._job(version, engine, complete_at, unloaded)] if answered else []
        if application is not None and not application.unaccepted:
            made = [replace(one, models_digest=application.models_digest) for one in made]
        alike: dict[Demand, list[Route]] = {}
        for route in self.routes:
            if route.name in against:
                alike.setdefault(route.demand(self.application), []).append(route)
        for routes in alike.values():
            job = replace(self, routes=routes)._job(version, engine, complete_at, None)
            fits = job.not_applicable is None
            made.append(replace(job, parked=job.parked or against[routes[0].name], refused=True) if fits else job)
        return made

    def unanswered(self, application: Application) -> dict[str, Coded]:
        """Its routes that ask for another version of the application than the one served, or for an accepted one where it is not, and
        what is against it."""
        found = {}
        for route in self.routes:
            demand = route.demand(self.application)
            if why := demand.against_version(self.application, application.version):
                found[route.name] = AnotherVersion.code, f'route "{route.name}": {why}'
            elif why := demand.against_unaccepted(application.unaccepted):
                found[route.name] = ApplicationUnaccepted.code, f'route "{route.name}": {why}'
        return found

    def told_of(self, route: Route, said: Said) -> list[tuple[str, str]]:
        """(route, series) of those series of which there is something to say where all of it ends alike for the route."""
        told = [(route.name, content.series_instance_uid) for content in self.series]
        if self.slices:
            return told  # each
        # of a whole study, each series that the route gave to it; of a pair, the current one
        return [one for one in told if one in said] if self.whole_study else told[:1]

    def tell_refused(self, jobs: Sequence[NewJob], said: Said, standing: Standing) -> list[tuple[str, str]]:
        """Say why those of its `jobs` that what is served does not answer are parked; (route, series) of which are given. Or, by what
        stands, which job the route has instead."""
        refused = {name: job for job in jobs if job.refused and job.parked for name in job.routes}
        stands = {name: found for job in jobs if job.refused for name, found in standing(job).items()}
        told = []
        for route in self.routes:
            if (job := refused.get(route.name)) is None or job.parked is None:
                continue
            code, reason = job.parked
            words = f"{self.application} is parked: {reason} [{code}]"
            about = self.told_of(route, said)
            if route.name in stands:
                number, state = stands[route.name]
                words = f"{self.application} is not run anew: the route has job {number}, which is {state.value}"
            else:
                told += about
            for each in about:
                said.setdefault(each, []).append(words)
        return told

    def park(self, judged: Mapping[str, NeedsOutcome], said: Said) -> set[tuple[str, str]]:
        """Park what only routes ask for that lack a series, (route, series) of which are given; where others ask for it too, it is run for
        these alone."""
        lacking = [route for route in self.routes if route.name in judged and judged[route.name].parks]
        others = [route for route in self.routes if route not in lacking]
        if lacking and not others:
            self.missing = "; ".join(dict.fromkeys(judged[route.name].missing for route in lacking))
        else:
            self.routes = others
        for route in lacking:
            becomes = f"is run for {', '.join(other.name for other in others)} alone" if others else "is parked"
            for content in self.series:
                words = said.setdefault((route.name, content.series_instance_uid), [])
                words.append(f"{self.application} {becomes}: {judged[route.name].missing}")
        return set() if others else {(route.name, content.series_instance_uid) for route in lacking for content in self.series}

    def _job(self, version: str, engine: str, complete_at: datetime, unloaded: Coded | None) -> NewJob:
        """The job of all of its routes."""
        parked = next((reason for content in self.series if (reason := content.unfit) is not None), None)
        if parked is None and self.missing:
            parked = (RolesUndecided if self.undecided else SeriesMissing).code, self.missing
        if parked is None and self.incomplete:
            parked = SeriesIncomplete.code, self.incomplete
        unfit = None
        if self.unfit and not self.incomplete:
            unfit = NotAccepted.code, refusal(self.application, self.series[0].series_instance_uid, [self.unfit])
        elif self.untaken:
            unfit = NoSeriesTaken.code, self.untaken
        if parked is None and self.when_excluded is WhenExcluded.PARK:
            parked, unfit = unfit, None
        # nothing can be said in a study that nobody can name
        declined = parked is not None and parked[0] != SourcesNameless.code
        parked = parked or unloaded
        return NewJob(
            series_instance_uid=self.series[0].series_instance_uid,
            application=self.application,
            application_version=version,
            engine=engine,
            routes=tuple(route.name for route in self.routes),
            sinks=self.sinks,
            priority=self.priority,
            input_digest=digest_of(self.series, self.roles),
            instances=tuple(member.id for content in self.series for member in content.current + content.gone),
            roles={
                member.id: role
                for content in self.series
                if (role := self.roles.get(content.series_instance_uid))
                for member in content.current + content.gone
            },
            deadline_at=None if self.deadline is None else complete_at + self.deadline,
            parked=parked,
            declined=declined,
            not_applicable=unfit,
            when_excluded=self.when_excluded,
            untaken=bool(self.untaken),
            whole_study=self.whole_study,
            slices=tuple(content.series_instance_uid for content in self.series) if self.slices else (),
            shortage=self.shortage,
            marked=self.shortage is not None and (self.marked or bool(self.incomplete)),
            demands={route.name: demand for route in self.routes if not (demand := route.demand(self.application)).none},
            shares={
                route.name: RouteShare(
                    sinks=route.send,
                    priority=route.priority,
                    deadline_at=None if route.deadline is None else complete_at + route.deadline,
                    when_excluded=route.when_excluded,
                )
                for route in self.routes
            },
        )
