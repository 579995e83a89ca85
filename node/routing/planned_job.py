"""A planned job: what the routes of an arrival ask of one application, gathered before it is written."""

from dataclasses import dataclass, field
from datetime import timedelta

from node.domain.job import RANKS, Priority, WhenExcluded, strictest
from node.domain.route import Route
from node.domain.shortage import Shortage
from node.routing.series import SeriesContent


@dataclass(slots=True, kw_only=True)
class PlannedJob:
    """What the routes ask of one application: on one series (the first of `series`, with its prior behind it), or on a study."""

    application: str
    series: list[SeriesContent]
    whole_study: bool = False
    routes: list[Route] = field(default_factory=list)
    missing: str = ""
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
