"""Replay: what was decided about what came, decided anew by other routes; what differs, and which condition made it so.

Each arrival is asked again as at the moment when it was routed, by the node's own function; only that what is there of its study now
counts, which later images or corrections may have changed since. Priors are not looked for: they change no decision.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from inference.applications.port import Accepts, Application, Takes
from inference.errors import HilumError
from node.domain.arrival import Arrival
from node.domain.instance import Instance
from node.domain.job import Job
from node.domain.route import Decision, Route, Tried
from node.flow.asking import Asking
from node.flow.pairing import Prior
from node.flow.priors import Choice
from node.flow.series import SeriesContent, contents
from node.journal.port import NewJob
from node.journal.replay_port import ReplayJournal, Routed

_PAGE = 200
_TELLING = frozenset({"Modality", "NumberOfFrames", "SliceThickness", "SeriesNumber"})
"""What deciding looks at whatever the routes ask (node.flow.routing)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a route came to on a series. `known` False: there was no such route. `runs` are the applications that it asks for, each with
    the sinks of its job; of an application that compares with a prior nothing is said."""

    known: bool
    chosen: bool
    reason: str = ""
    runs: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
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
    before: Outcome
    after: Outcome
    conditions: tuple[Changed, ...]


@dataclass(slots=True)
class Counted:
    """What was looked at: arrivals, those of them that were decided anew, and those whose headers are forgotten."""

    arrivals: int = 0
    decided: int = 0
    forgotten: int = 0


class Replay:
    """Decides anew by `routes`, which `digest` names; what these decided themselves is the same and is passed over.

    Parameters
    ----------
    application_of
        The application of a name; one that cannot be loaded is asked for all the same.
    """

    def __init__(self, journal: ReplayJournal, routes: Sequence[Route], digest: str, application_of: Callable[[str], Application]) -> None:
        self._journal = journal
        self._routes = {route.name: route for route in routes}
        self._digest = digest
        self._application_of = application_of
        self._loaded = _Loaded()
        self._asking = Asking(self._loaded, _Unpaired(), routes, lambda name: name, application_of)
        self._keywords = _keywords(routes)
        self.counted = Counted()

    def differences(self, since: datetime) -> Iterator[Difference]:
        """Those of all that was complete since then, the oldest first."""
        last = 0
        while page := self._journal.routed(since, self._keywords, after=last, limit=_PAGE):
            last = page[-1].arrival.id
            for routed in page:
                self.counted.arrivals += 1
                if routed.config_digest != self._digest:
                    yield from self._of(routed)

    def _of(self, routed: Routed) -> Iterator[Difference]:
        series = [content for content in contents(routed.study) if content.series_instance_uid in routed.series]
        if not series or routed.forgotten:
            self.counted.forgotten += 1
            return
        self.counted.decided += 1
        self._loaded.study = routed.study
        asked = self._asking.of(routed.arrival, series, routed.calling, routed.at)
        before = {(one.route, one.series_instance_uid): one for one in routed.decisions}
        after = {(one.route, one.series_instance_uid): one for one in asked.decisions}
        for route, uid in dict.fromkeys([*after, *before]):
            then = self._outcome(before.get((route, uid)), routed.jobs)
            now = self._outcome(after.get((route, uid)), asked.jobs)
            if then.chosen != now.chosen or (then.chosen and self._runs_otherwise(route, then, now)):
                yield Difference(
                    arrival=routed.arrival,
                    series_instance_uid=uid,
                    route=route,
                    config_digest=routed.config_digest,
                    before=then,
                    after=now,
                    conditions=_changed(before.get((route, uid)), after.get((route, uid))),
                )

    def _outcome(self, decision: Decision | None, jobs: Sequence[Job] | Sequence[NewJob]) -> Outcome:
        if decision is None:
            return Outcome(known=False, chosen=False, runs={})
        runs = {}
        for job in jobs if decision.chosen else ():
            accepts = self._accepts(job.application)
            here = job.series_instance_uid == decision.series_instance_uid or accepts.whole_study
            if here and decision.route in job.routes and accepts.takes is not Takes.PAIR:
                runs[job.application] = tuple(sorted(job.sinks))
        return Outcome(known=True, chosen=decision.chosen, reason=decision.reason, runs=runs)

    def _runs_otherwise(self, route: str, then: Outcome, now: Outcome) -> bool:
        """Whether a route that was chosen then and now asks for something else. A job has the sinks of all routes that ask for it: one
        that gained a sink differs for the route that has it, one that lost one for all of them."""
        if not then.runs:
            return False  # its jobs are forgotten, or it compares
        if then.runs.keys() != now.runs.keys():
            return True
        sends = set(self._routes[route].send)
        for application, sinks in now.runs.items():
            if set(then.runs[application]) - set(sinks) or (set(sinks) - set(then.runs[application])) & sends:
                return True
        return False

    def _accepts(self, application: str) -> Accepts:
        try:
            return self._application_of(application).accepts
        except HilumError:
            return Accepts(modality=())


def _keywords(routes: Sequence[Route]) -> frozenset[str]:
    """What these routes ask of a header, and what tells the best of several series."""
    asked = [(*route.when, *route.any_series, *route.all_series) for route in routes]
    needed = [one.when for route in routes if route.needs is not None for one in route.needs.series]
    return _TELLING | {condition.keyword for conditions in (*asked, *needed) for condition in conditions}


def _changed(before: Decision | None, after: Decision | None) -> tuple[Changed, ...]:
    """The conditions that are there on one side alone, or hold on one side alone; each beside the other side's of its keyword."""
    if before is None or after is None:
        return ()
    then, now = list(before.tried), list(after.tried)
    for one in before.tried:
        same = next((other for other in now if (other.key, other.expected, other.held) == (one.key, one.expected, one.held)), None)
        if same is not None:
            then.remove(one)
            now.remove(same)
    changed = []
    for one in then:
        other = next((other for other in now if other.key == one.key), None)
        if other is not None:
            now.remove(other)
        changed.append(Changed(key=one.key, before=one, after=other))
    return (*changed, *(Changed(key=one.key, before=None, after=one) for one in now))


class _Loaded:
    """The study that is asked about, as it was read."""

    def __init__(self) -> None:
        self.study: Sequence[Instance] = ()

    def study_instances(self, study_instance_uid: str) -> Sequence[Instance]:
        return self.study


class _Unpaired:
    """Priors are not looked for."""

    def prior_of(self, study: str, current: SeriesContent, routes: Sequence[Route], application: str) -> Prior:
        return Prior(choice=Choice(series_instance_uid=None, reason="not looked for"), content=None)

    def mistaken(self, study: str, current: SeriesContent, application: str) -> Job | None:
        return None
