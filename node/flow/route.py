"""Route: every route is tried on every series of a complete arrival; jobs and reasons go into the journal in one transaction."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from inference.applications.port import Application
from inference.errors import HilumError
from node.domain.arrival import Arrival
from node.domain.instance import Instance, Standing
from node.domain.job import Priority
from node.domain.route import Route
from node.domain.state import ArrivalState, JobState
from node.flow.errors import ConflictingInstances, PixelsGone
from node.flow.header import merge
from node.flow.port import Clock
from node.flow.routing import SeriesView, decide
from node.journal.errors import TransitionRefused
from node.journal.port import Journal, NewJob
from node.observe import metrics
from node.observe.events import alarm, event
from node.settings import config as settings

_BATCH = 20
_NAMED = 3  # instances named in a reason
_URGENCY = {Priority.URGENT: 0, Priority.ROUTINE: 1, Priority.OFFPEAK: 2}
_UNKNOWN_VERSION = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesContent:
    """The instances of one series in an arrival.

    Attributes
    ----------
    current
        Those that jobs use: one for each SOP Instance UID.
    gone
        Those of which only the header is left.
    conflicts
        Those that came under another one's UID.
    """

    series_instance_uid: str
    current: tuple[Instance, ...]
    gone: tuple[Instance, ...]
    conflicts: tuple[Instance, ...]

    @property
    def view(self) -> SeriesView:
        """The series as routes see it; pixels that are gone change nothing about what was received."""
        members = self.current + self.gone
        header = merge([member.header for member in members])
        return SeriesView(series_instance_uid=self.series_instance_uid, header=header, instances=len(members))

    @property
    def input_digest(self) -> str:
        """SHA-256 over the sorted (SOP Instance UID, digest) pairs; the same before and after retention deleted pixels."""
        lines = sorted(f"{member.sop_instance_uid} {member.digest}\n" for member in self.current + self.gone)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def unfit(self) -> tuple[str, str] | None:
        """(code, reason) when no application can be given this series."""
        if self.conflicts:
            named = _named(self.conflicts)
            return ConflictingInstances.code, f"two different images came under one SOP Instance UID: {named}"
        if self.gone:
            return PixelsGone.code, f"the pixels of {len(self.gone)} instances were deleted by retention: {_named(self.gone)}"
        return None


def contents(instances: Sequence[Instance]) -> list[SeriesContent]:
    """The series of an arrival, in the order of their UIDs; instances that were replaced do not count."""
    by_series: dict[str, list[Instance]] = {}
    for instance in instances:
        by_series.setdefault(instance.series_instance_uid, []).append(instance)
    return [_content(series, members) for series, members in sorted(by_series.items())]


def series_of(journal: Journal, arrival: Arrival, manifest: Sequence[Instance]) -> list[SeriesContent]:
    """The series of an arrival's manifest as they stand now: with what other peers sent of them, and what has replaced an instance since.

    An arrival tells when to look; what is there to be analysed is the same for every sender. Otherwise an archive that forwards what the
    scanner sends too, with its own headers or in part, would have jobs run on a part of a series.
    """
    came = {instance.series_instance_uid for instance in manifest}
    return [content for content in contents(journal.study_instances(arrival.study_instance_uid)) if content.series_instance_uid in came]


def _content(series: str, members: Sequence[Instance]) -> SeriesContent:
    current = {member.sop_instance_uid: member for member in members if member.standing is Standing.CURRENT}
    # a purged row may be one that a current one replaced before; of several purged ones the newest counts
    gone = {
        member.sop_instance_uid: member
        for member in members
        if member.standing is Standing.PURGED and member.sop_instance_uid not in current
    }
    conflicts = tuple(member for member in members if member.standing is Standing.CONFLICT)
    return SeriesContent(series_instance_uid=series, current=tuple(current.values()), gone=tuple(gone.values()), conflicts=conflicts)


@dataclass(slots=True)
class _Asked:
    """What the routes ask of one application on one series."""

    routes: list[Route] = field(default_factory=list)

    @property
    def sinks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sink for route in self.routes for sink in route.send))

    @property
    def priority(self) -> Priority:
        return min((route.priority for route in self.routes), key=_URGENCY.__getitem__)

    @property
    def deadline(self) -> timedelta | None:
        return min((route.deadline for route in self.routes if route.deadline is not None), default=None)


class RouteStage:
    """The stage that turns COMPLETE into ROUTED.

    Parameters
    ----------
    engine_of
        The name of the engine that runs an application here.
    application_of
        The application of a name; one that cannot be loaded parks its jobs with the reason.
    """

    name = "route"

    def __init__(
        self,
        journal: Journal,
        config: settings.Config,
        clock: Clock,
        engine_of: Callable[[str], str],
        application_of: Callable[[str], Application],
    ) -> None:
        self._journal = journal
        self._config = config
        self._clock = clock
        self._engine_of = engine_of
        self._application_of = application_of

    def step(self) -> int:
        """Route the oldest complete arrivals."""
        complete = self._journal.arrivals(states=(ArrivalState.COMPLETE,), limit=_BATCH)
        for arrival in complete:
            self._route(arrival)
        return len(complete)

    def _route(self, arrival: Arrival) -> None:
        began = time.monotonic()
        manifest = self._journal.arrival_instances(arrival.id)
        series = {content.series_instance_uid: content for content in series_of(self._journal, arrival, manifest)}
        now = self._clock()
        decisions = decide(
            self._config.routes,
            [content.view for content in series.values()],
            peer=arrival.peer,
            calling=manifest[0].calling_ae if manifest else "",
            called=arrival.called_ae,
            now=now,
        )
        routes = {route.name: route for route in self._config.routes}
        asked: dict[tuple[str, str], _Asked] = {}
        for decision in decisions:
            if decision.chosen:
                for application in routes[decision.route].run:
                    asked.setdefault((decision.series_instance_uid, application), _Asked()).routes.append(routes[decision.route])
        complete_at = arrival.completed_at or now
        new = [self._job(series[uid], application, what, complete_at) for (uid, application), what in asked.items()]
        try:
            jobs = self._journal.route(arrival.id, decisions, new, self._config.digest, now)
        except TransitionRefused:
            return  # another process routed it at the same time
        metrics.ROUTE.observe(time.monotonic() - began)
        event("arrival.routed", arrival=arrival.id, peer=arrival.peer, series=len(series), instances=arrival.instances, jobs=jobs)
        for job, wanted in zip(jobs, new, strict=False):  # none when a later revision was routed first
            if wanted.parked is not None and self._journal.job(job).state is JobState.PARKED:
                code, reason = wanted.parked
                metrics.JOBS_ENDED.add(application=wanted.application, state=JobState.PARKED.value, code=code)
                alarm("job.parked", job=job, application=wanted.application, code=code, reason=reason)
        if not new:
            metrics.UNMATCHED.add(peer=arrival.peer or metrics.STRANGER)
            event("arrival.unmatched", arrival=arrival.id, peer=arrival.peer, routes=len(self._config.routes))

    def _job(self, content: SeriesContent, application: str, asked: _Asked, complete_at: datetime) -> NewJob:
        parked = content.unfit()
        try:
            version = self._application_of(application).version
        except HilumError as error:
            version = _UNKNOWN_VERSION
            parked = parked or (error.code, str(error))
        return NewJob(
            series_instance_uid=content.series_instance_uid,
            application=application,
            application_version=version,
            engine=self._engine_of(application),
            routes=tuple(route.name for route in asked.routes),
            sinks=asked.sinks,
            priority=asked.priority,
            input_digest=content.input_digest,
            instances=tuple(member.id for member in content.current + content.gone),
            deadline_at=None if asked.deadline is None else complete_at + asked.deadline,
            parked=parked,
        )


def _named(instances: Sequence[Instance]) -> str:
    names = ", ".join(instance.sop_instance_uid for instance in instances[:_NAMED])
    return names if len(instances) <= _NAMED else f"{names} and {len(instances) - _NAMED} more"
