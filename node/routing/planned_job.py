"""A planned job: what the routes of an arrival ask of one application, gathered before it is written, and the job that it becomes."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from inference.applications.accept import refusal
from inference.applications.errors import NotAccepted
from inference.errors import InputError
from node.domain.errors import SourcesNameless
from node.domain.job import RANKS, NewJob, Priority, WhenExcluded, strictest
from node.domain.route import Route
from node.domain.shortage import Shortage
from node.routing.series import SeriesContent, digest_of
from node.routing.untaken import NoSeriesTaken


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

    def job(
        self, version: str, engine: str, complete_at: datetime, *, unloaded: tuple[str, str] | None = None, unaccepted: str = ""
    ) -> NewJob:
        """The job as it is written.

        Parameters
        ----------
        unloaded
            Code and reason why the application cannot be loaded; None: it can.
        unaccepted
            Why the application is not accepted here; "": it is, or nobody asks.
        """
        if unloaded is None:
            # a route that asks for another version, or an accepted one, would park what is another's, too; alone it parks what is its own
            taking = [route for route in self.routes if not route.against_version(self.application, version)] or self.routes
            self.routes = [route for route in taking if not route.against_unaccepted(unaccepted)] or taking
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
        )
