"""A planned job: what the routes of an arrival ask of one application, gathered before it is written."""

from dataclasses import dataclass, field
from datetime import timedelta

from node.domain.job import RANKS, Priority, WhenExcluded, strictest
from node.domain.route import Route
from node.domain.shortage import Shortage
from node.routing.series import SeriesContent


@dataclass(slots=True, kw_only=True)
class PlannedJob:
    """What the routes ask of one application: on one series, on several in `roles` (the reference first), or on a study.

    `roles` has the role of each series that has one, by its UID; `priors` are the series of earlier studies among them.
    """

    application: str
    series: list[SeriesContent]
    whole_study: bool = False
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
