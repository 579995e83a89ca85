"""Replay decides anew, by other routes, what was decided about what came: what differs, and which condition made it so.

Each arrival is asked again as at the moment when it was routed, by the node's own function; only that what is there of its study now
counts, which later images or corrections may have changed since, and that no route waits: what it needs is there by now, or lacking. What
cannot be told is counted: whether there was a prior then, and the urgency of a job that another arrival, or a route of another one, asked
for as well.
"""

import contextlib
import gc
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from inference.applications.port import Accepts, Application, Takes
from inference.errors import HilumError
from node.domain.arrival import Arrival
from node.domain.instance import Instance
from node.domain.job import RANKS, Job, NewJob, Priority
from node.domain.route import Decision, Preferred, Route, Routed, Tried, Withheld, conditions_in
from node.domain.state import JobState
from node.routing.decisions import NEWEST
from node.routing.gate import TELLING
from node.routing.pairing import Prior, PriorsFound
from node.routing.planning import JobPlanner
from node.routing.port import RoutedArrivals
from node.routing.priors import PriorChoice
from node.routing.series import SeriesContent, contents

LAST = 200
"""Arrivals that are decided anew where nobody says since when."""
_PAGE = 200
_ALLOCATIONS = 100_000
"""More than a page of small studies makes, and little memory."""
_TELLING = TELLING | {"SeriesNumber"}
"""What deciding looks at whatever the routes ask (node.routing.gate, node.routing.decisions)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Urgency:
    """A job's class, and within which time after the study was complete its results should be there."""

    priority: Priority
    deadline: timedelta | None

    def nearer(self, other: "Urgency") -> bool:
        """Whether its deadline is before the other's."""
        return self.deadline is not None and (other.deadline is None or self.deadline < other.deadline)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOutcome:
    """What a route came to on a series.

    Attributes
    ----------
    known
        False: there was no such route.
    runs
        The applications that it asks for, each with the sinks of its job; but for those that compare with a prior.
    compares
        Those: where there is a prior.
    parks
        What it asks for is parked: the study lacks a series that the route needs, or the application excludes it.
    tells
        The applications of which the reader is told that there is no result, because no series was taken.
    urgency
        How urgent the jobs of `runs` are, where that can be told of then as well.
    """

    known: bool
    chosen: bool
    reason: str = ""
    runs: Mapping[str, tuple[str, ...]]
    compares: frozenset[str] = frozenset()
    parks: bool = False
    tells: frozenset[str] = frozenset()
    urgency: Mapping[str, Urgency] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedCondition:
    """A condition that is another one, or holds otherwise: as it was tried then and now; None where it was not there."""

    key: str
    before: Tried | None
    after: Tried | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One route that would have decided otherwise about one series. `config_digest` names the routes that decided then."""

    arrival: Arrival
    series_instance_uid: str
    route: str
    config_digest: str
    before: RouteOutcome
    after: RouteOutcome
    conditions: tuple[ChangedCondition, ...]


_Key: TypeAlias = tuple[str, str]
"""A route and a series, by name and UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anew:
    """An arrival that is decided anew: what anything came of, as it was decided then and is now, and the jobs that are asked for now."""

    routed: Routed
    before: Mapping[_Key, Decision]
    after: Mapping[_Key, Decision]
    jobs: Sequence[NewJob]
    urgencies: frozenset[str]


@dataclass(slots=True)
class ReplayCounts:
    """What was looked at: arrivals, those of them that were decided anew, and those whose headers are forgotten. What could not be
    compared: `priors`, comparisons that are asked for and of which nobody knows whether a prior was there; `urgencies`, of jobs that
    several arrivals asked for."""

    arrivals: int = 0
    decided: int = 0
    forgotten: int = 0
    priors: int = 0
    urgencies: int = 0


class Replay:
    """Decides anew by `routes`, which `digest` names; what these decided themselves is the same and is passed over.

    Parameters
    ----------
    application_of
        The application of a name; one that cannot be loaded is asked for all the same.
    """

    def __init__(self, history: RoutedArrivals, routes: Sequence[Route], digest: str, application_of: Callable[[str], Application]) -> None:
        self._history = history
        self._routes = {route.name: route for route in routes}
        self._digest = digest
        self._application_of = _remembering(application_of)
        self._loaded = _Loaded()
        self._planner = JobPlanner(self._loaded, _Unpaired(), routes, lambda name: name, self._application_of)
        self._keywords = _keywords(routes)
        self.counted = ReplayCounts()

    def differences(self, since: datetime) -> Iterator[Difference]:
        """Those of all that was complete since then, the oldest first."""
        last: int | None = 0
        while last is not None:
            last, anew, decided = self._page(since, last)
            for one in anew:
                yield from self._of(one, {**one.before, **_by_series(decided.get(one.routed.arrival.id, ()))})

    def _page(self, since: datetime, after: int) -> tuple[int | None, list[_Anew], Mapping[int, Sequence[Decision]]]:
        """The last arrival of a page behind `after`; those that are decided anew; and what was decided of those that something new came of.
        None: there is no such page."""
        with _collecting_rarely():
            page = self._history.find(since, self._keywords, after=after, limit=_PAGE)
            anew = [one for routed in page if (one := self._anew(routed)) is not None]
            newly = [one.routed.arrival.id for one in anew if one.after.keys() - one.before.keys()]
            return page[-1].arrival.id if page else None, anew, self._history.decided(newly) if newly else {}

    def _anew(self, routed: Routed) -> _Anew | None:
        """The arrival as it is decided anew; None where that comes to nothing now, and came to nothing then."""
        self.counted.arrivals += 1
        if routed.config_digest == self._digest:
            return None
        series = [content for content in contents(routed.study) if content.series_instance_uid in routed.series]
        if not series or routed.forgotten:
            self.counted.forgotten += 1
            return None
        self.counted.decided += 1
        self._loaded.study = routed.study
        asked = self._planner.of(routed.arrival, series, routed.calling, routed.at, waits=False)
        before = _by_series(routed.decisions)
        after = {key: one for key, one in _by_series(asked.decisions).items() if one.chosen or one.untaken or key in before}
        urgencies = self._urgencies(routed)
        return _Anew(routed=routed, before=before, after=after, jobs=asked.jobs, urgencies=urgencies) if before or after else None

    def _of(self, anew: _Anew, before: Mapping[_Key, Decision]) -> Iterator[Difference]:
        """The differences of one arrival; `before` has what was decided of all that anything comes of now."""
        routed = anew.routed
        for route, uid in dict.fromkeys([*anew.after, *anew.before]):
            was, is_ = before.get((route, uid)), anew.after.get((route, uid))
            if (was is not None and was.withheld is Withheld.WAITS) or not (_something_of(was) or _something_of(is_)):
                continue
            then = self._outcome(was, routed.jobs, routed.arrival, anew.urgencies)
            now = self._outcome(is_, anew.jobs, routed.arrival, anew.urgencies)
            self.counted.priors += len(now.compares)
            if then.chosen != now.chosen or then.tells != now.tells or (then.chosen and self._runs_otherwise(route, then, now)):
                yield Difference(
                    arrival=routed.arrival,
                    series_instance_uid=uid,
                    route=route,
                    config_digest=routed.config_digest,
                    before=then,
                    after=now,
                    conditions=_changed(was, is_),
                )

    def _urgencies(self, routed: Routed) -> frozenset[str]:
        """The jobs whose urgency then came of this arrival alone: the first that asked for a job set it, each other may have raised it."""
        chosen = {one.route for one in routed.decisions if one.chosen}
        own = [job for job in routed.jobs if chosen & set(job.routes) and not self._compares(job.application)]
        alone = [job for job in own if job.arrival == routed.arrival.id and chosen.issuperset(job.routes)]
        self.counted.urgencies += len(own) - len(alone)
        return frozenset(_named(job) for job in alone)

    def _outcome(
        self, decision: Decision | None, jobs: Sequence[Job] | Sequence[NewJob], arrival: Arrival, comparable: Collection[str]
    ) -> RouteOutcome:
        if decision is None:
            return RouteOutcome(known=False, chosen=False, runs={})
        runs, urgency = {}, {}
        for job in jobs if decision.chosen else ():
            if _not_applicable(job):
                continue
            accepts = self._accepts(job.application)
            of_study = accepts.whole_study or accepts.takes in (Takes.VOLUMES, Takes.PHASES)
            here = of_study or job.series_instance_uid == decision.series_instance_uid
            if here and decision.route in job.routes and not self._compares(job.application):
                runs[job.application] = tuple(sorted(job.sinks))
                if _named(job) in comparable and arrival.completed_at is not None:
                    within = None if job.deadline_at is None else job.deadline_at - arrival.completed_at
                    urgency[job.application] = Urgency(priority=job.priority, deadline=within)
        compares = frozenset(decision.compares)
        return RouteOutcome(
            known=True,
            chosen=decision.chosen,
            reason=decision.reason,
            runs=runs,
            compares=compares,
            parks=decision.withheld is Withheld.PARKED,
            tells=frozenset(decision.untaken),
            urgency=urgency,
        )

    def _runs_otherwise(self, route: str, then: RouteOutcome, now: RouteOutcome) -> bool:
        """Whether a route that was chosen then and now asks for something else. A job has the sinks of all routes that ask for it, and is
        as urgent as the most urgent of them: one that gained differs for the route that it has it from, one that lost for all of them."""
        if then.compares != now.compares or then.parks != now.parks:
            return True
        if not then.runs:
            return False  # its jobs are forgotten, or it compares
        if then.runs.keys() != now.runs.keys():
            return True
        sends = set(self._routes[route].send)
        for application, sinks in now.runs.items():
            if set(then.runs[application]) - set(sinks) or (set(sinks) - set(then.runs[application])) & sends:
                return True
        return any(
            self._otherwise(self._routes[route], then.urgency[name], now.urgency[name]) for name in then.urgency.keys() & now.urgency.keys()
        )

    @staticmethod
    def _otherwise(route: Route, then: Urgency, now: Urgency) -> bool:
        if then.priority is not now.priority and (route.priority is now.priority or RANKS[then.priority] < RANKS[now.priority]):
            return True
        return then.deadline != now.deadline and (route.deadline == now.deadline or then.nearer(now))

    def _compares(self, application: str) -> bool:
        """Whether it wants a prior."""
        try:
            return any(role.prior_of for role in self._application_of(application).in_roles)
        except HilumError:
            return False

    def _accepts(self, application: str) -> Accepts:
        try:
            return self._application_of(application).accepts
        except HilumError:
            return Accepts(modality=())


def _remembering(application_of: Callable[[str], Application]) -> Callable[[str], Application]:
    """Asks once for each application, for one that is none too: the catalog is searched whole for it."""
    known: dict[str, Application | HilumError] = {}

    def remembered(name: str) -> Application:
        if name not in known:
            try:
                known[name] = application_of(name)
            except HilumError as none:
                known[name] = none
        found = known[name]
        if isinstance(found, HilumError):
            raise found.with_traceback(None)
        return found

    return remembered


@contextlib.contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Have the garbage collector walk over what there is seldom: a page is let go as a whole, and holds nothing that refers to itself."""
    usual = gc.get_threshold()
    gc.set_threshold(_ALLOCATIONS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _something_of(decision: Decision | None) -> bool:
    """Whether something was, or is, made of a series: of most series most routes decide that nothing is."""
    return decision is not None and (decision.chosen or bool(decision.untaken))


def _by_series(decisions: Iterable[Decision]) -> dict[_Key, Decision]:
    return {(one.route, one.series_instance_uid): one for one in decisions}


def _not_applicable(job: Job | NewJob) -> bool:
    """Whether its application was, or would be, not applicable to the series: then nothing runs."""
    return job.not_applicable is not None if isinstance(job, NewJob) else job.state is JobState.NOT_APPLICABLE


def _named(job: Job | NewJob) -> str:
    """What tells a job apart from the others of its study."""
    return f"{job.application} {job.series_instance_uid}"


def _keywords(routes: Sequence[Route]) -> frozenset[str]:
    """What these routes ask of a header, and what tells the best of several series."""
    newest = {keyword for each in NEWEST for keyword in each} if any(Preferred.NEWEST in route.prefer for route in routes) else set()
    return _TELLING | newest | {keyword for route in routes for condition in conditions_in(route.asked) for keyword in condition.reads}


def _changed(before: Decision | None, after: Decision | None) -> tuple[ChangedCondition, ...]:
    """The conditions that are there on one side alone, or hold on one side alone; each beside the other side's of its keyword."""
    if before is None or after is None:
        return ()
    # what manifests say is said only of series that a route matched: it is a change where it was said both times
    asked = {one.application for one in before.tried} & {one.application for one in after.tried}
    then, now = ([one for one in side.tried if one.application in asked or not one.application] for side in (before, after))
    for one in tuple(then):
        same = next((other for other in now if (other.key, other.expected, other.held) == (one.key, one.expected, one.held)), None)
        if same is not None:
            then.remove(one)
            now.remove(same)
    changed = []
    for one in then:
        other = next((other for other in now if other.key == one.key), None)
        if other is not None:
            now.remove(other)
        changed.append(ChangedCondition(key=one.key, before=one, after=other))
    return (*changed, *(ChangedCondition(key=one.key, before=None, after=one) for one in now))


class _Loaded:
    """The study that is asked about, as it was read."""

    def __init__(self) -> None:
        self.study: Sequence[Instance] = ()

    def of_study(self, study_instance_uid: str) -> Sequence[Instance]:
        return self.study


class _Unpaired:
    """Priors are not looked for."""

    def prior_of(self, study: str, current: SeriesContent, routes: Sequence[Route], application: str) -> Prior:
        return Prior(choice=PriorChoice(series_instance_uid=None, reason="not looked for"), content=None)

    def mistaken(self, study: str, current: SeriesContent, application: str) -> Sequence[Job]:
        return ()

    def arriving(self, arrival: Arrival) -> Collection[str]:
        return ()

    def priors_in_roles(self, study: str, filled: Mapping[str, SeriesContent], route: Route, application: Application) -> PriorsFound:
        return PriorsFound(contents={}, said=("priors are not looked for",), left_out=(), missing="")
