"""What the routes ask of a complete arrival: which jobs, on which instances, and what there is to say of priors and whole studies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from inference.applications.accept import refusal
from inference.applications.errors import NotAccepted
from inference.applications.port import Accepts, Application, Takes
from inference.errors import HilumError
from node.domain.arrival import Arrival, Completeness
from node.domain.instance import Instance
from node.domain.job import Job, Priority
from node.domain.route import Decision, Route
from node.flow.errors import SeriesMissing
from node.flow.gates import gated, parks, unfit
from node.flow.needs import Judged, judge
from node.flow.pairing import Prior
from node.flow.routing import SeriesView, decide, holds_images, preference
from node.flow.series import SeriesContent, contents, digest_of
from node.journal.port import NewJob

RANKS = {Priority.URGENT: 0, Priority.ROUTINE: 1, Priority.OFFPEAK: 2}
_UNKNOWN_VERSION = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A series that an application would be given as a prior, but for why it cannot be."""

    application: str
    series_instance_uid: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What routes ask for.

    Attributes
    ----------
    decisions
        With what there is to say of priors, whole studies and series that are needed.
    waits
        Until when a route waits for a series that is missing, and why; None: none does.
    mistaken
        Jobs that compare with what is another patient's by now, and that nothing takes the place of.
    left_out
        Priors that were passed over because they cannot be given to the application.
    """

    jobs: list[NewJob]
    decisions: list[Decision]
    mistaken: list[Job] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    waits: tuple[datetime, str] | None = None


@dataclass(slots=True, kw_only=True)
class _Wish:
    """What the routes ask of one application: on one series (the first of `series`, with its prior behind it), or on a study."""

    application: str
    series: list[SeriesContent]
    whole_study: bool = False
    routes: list[Route] = field(default_factory=list)
    missing: str = ""
    unfit: str = ""

    @property
    def sinks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sink for route in self.routes for sink in route.send))

    @property
    def priority(self) -> Priority:
        return min((route.priority for route in self.routes), key=RANKS.__getitem__)

    @property
    def deadline(self) -> timedelta | None:
        return min((route.deadline for route in self.routes if route.deadline is not None), default=None)


class Studies(Protocol):
    """What studies hold: the journal, or what was read of it."""

    def study_instances(self, study_instance_uid: str) -> Sequence[Instance]: ...


class Pairs(Protocol):
    """Finds what a series is compared with (node.flow.pairing)."""

    def prior_of(self, study: str, current: SeriesContent, routes: Sequence[Route], application: str) -> Prior: ...
    def mistaken(self, study: str, current: SeriesContent, application: str) -> Job | None: ...


class Asking:
    """Tries every route on the series of an arrival.

    Parameters
    ----------
    engine_of
        The name of the engine that runs an application here.
    application_of
        The application of a name; one that cannot be loaded parks its jobs with the reason.
    """

    def __init__(
        self,
        studies: Studies,
        pairs: Pairs,
        routes: Sequence[Route],
        engine_of: Callable[[str], str],
        application_of: Callable[[str], Application],
    ) -> None:
        self._studies = studies
        self._pairs = pairs
        self._routes = routes
        self._engine_of = engine_of
        self._application_of = application_of

    def of(self, arrival: Arrival, series: Sequence[SeriesContent], calling: str, now: datetime, *, waits: bool = True) -> Asked:
        """The jobs on `series`, those of the arrival, and one decision for every route and series of it.

        Not to `waits` is as when nothing more is expected of the study.
        """

        study = self._study(arrival, series)

        def tried(routes: Sequence[Route], on: Iterable[SeriesContent]) -> list[Decision]:
            views = [content.view for content in on]
            return decide(routes, views, peer=arrival.peer, calling=calling, called=arrival.called_ae, now=now, study=study)

        decisions = tried(self._routes, series)
        said: dict[tuple[str, str], list[str]] = {}
        judged = self._judged(arrival, series, study, decisions, now, waits=waits)
        decisions = [self._gated(_judged_so(decision, judged, said), series) for decision in decisions]
        on_series = self._on_series(series, decisions)
        left_out: list[LeftOut] = []
        whole = [wish for wish in on_series if self._is_whole(arrival, wish, said, left_out)]
        runs = [decision for decision in decisions if decision.route not in judged or not judged[decision.route].withheld]
        wishes = [*whole, *self._on_studies(arrival, runs, said, tried)]
        for wish in wishes:
            _park(wish, judged, said)
            self._gate(wish, said)
        alone = [wish for wish in on_series if wish not in whole]
        mistaken = [self._pairs.mistaken(arrival.study_instance_uid, wish.series[0], wish.application) for wish in alone]
        complete_at = arrival.completed_at or now
        jobs = [self._job(wish, complete_at) for wish in wishes]
        return Asked(
            jobs=jobs,
            decisions=[self._with(decision, said) for decision in decisions],
            left_out=left_out,
            mistaken=[job for job in mistaken if job is not None],
            waits=min(((one.until, one.missing) for one in judged.values() if one.until is not None), default=None),
        )

    def _study(self, arrival: Arrival, series: Sequence[SeriesContent]) -> list[SeriesView]:
        """Every series that the study holds, whoever sent it, where a route asks for that."""
        if any(route.any_series or route.all_series or route.needs is not None for route in self._routes):
            series = contents(self._studies.study_instances(arrival.study_instance_uid))
        return [content.view for content in series]

    def _judged(
        self,
        arrival: Arrival,
        series: Sequence[SeriesContent],
        study: Sequence[SeriesView],
        decisions: Sequence[Decision],
        now: datetime,
        *,
        waits: bool,
    ) -> dict[str, Judged]:
        """What the needs of each route come to that takes a series."""
        over = not waits or arrival.completed_by is Completeness.OPERATOR
        found = {}
        for route in [route for route in self._routes if route.needs is not None]:
            matched = {one.series_instance_uid for one in decisions if one.route == route.name and one.matched}
            taken = [member.received_at for one in series if one.series_instance_uid in matched for member in one.current + one.gone]
            judged = judge(route, study, last=max(taken, default=arrival.last_instance_at), now=now, over=over) if matched else None
            if judged is not None:
                found[route.name] = judged
        return found

    def _on_series(self, series: Sequence[SeriesContent], decisions: Sequence[Decision]) -> list[_Wish]:
        """A wish for each application and series that is chosen."""
        by_uid = {content.series_instance_uid: content for content in series}
        routes = {route.name: route for route in self._routes}
        wishes: dict[tuple[str, str], _Wish] = {}
        for decision in decisions:
            for application in routes[decision.route].run if decision.chosen else ():
                if not self._accepts(application).whole_study:
                    wish = _Wish(application=application, series=[by_uid[decision.series_instance_uid]])
                    wishes.setdefault((decision.series_instance_uid, application), wish).routes.append(routes[decision.route])
        return list(wishes.values())

    def _is_whole(self, arrival: Arrival, wish: _Wish, said: dict[tuple[str, str], list[str]], left_out: list[LeftOut]) -> bool:
        """Whether the wish has all that it needs; a pair gets its prior here."""
        if self._accepts(wish.application).takes is not Takes.PAIR:
            return True
        (current,) = wish.series
        prior = self._pairs.prior_of(arrival.study_instance_uid, current, wish.routes, wish.application)
        for route in wish.routes:
            said.setdefault((route.name, current.series_instance_uid), []).append(f"{wish.application}: {prior.choice.reason}")
        left_out += [LeftOut(application=wish.application, series_instance_uid=uid, why=why) for uid, why in prior.choice.left_out]
        if prior.content is not None:
            wish.series.append(prior.content)
        return prior.content is not None

    def _on_studies(
        self,
        arrival: Arrival,
        decisions: Sequence[Decision],
        said: dict[tuple[str, str], list[str]],
        tried: Callable[[Sequence[Route], Iterable[SeriesContent]], list[Decision]],
    ) -> list[_Wish]:
        """One wish for each application that takes whole studies: on every series of images that its routes match, whoever sent it."""
        matching = {decision.route for decision in decisions if decision.matched}
        asking = {
            route.name: [application for application in route.run if self._accepts(application).whole_study]
            for route in self._routes
            if route.name in matching
        }
        if not any(asking.values()):
            return []
        study = {content.series_instance_uid: content for content in contents(self._studies.study_instances(arrival.study_instance_uid))}
        wishes: dict[str, _Wish] = {}
        for route in self._routes:
            found = [decision.series_instance_uid for decision in tried([route], study.values()) if decision.matched]
            views = [uid for uid in found if holds_images(study[uid].view)]
            for application in asking.get(route.name, ()) if views else ():
                wish = wishes.setdefault(application, _Wish(application=application, series=[], whole_study=True))
                wish.routes.append(route)
                wish.series += [study[uid] for uid in views if study[uid] not in wish.series]
                for uid in views:
                    together = f"{application}: analysed as a whole, {len(views)} series of the study"
                    said.setdefault((route.name, uid), []).append(together)
        for wish in wishes.values():
            wish.series.sort(key=lambda content: preference(content.view)[2:])  # the series that names the job: the lowest number
        return list(wishes.values())

    def _gate(self, wish: _Wish, said: dict[tuple[str, str], list[str]]) -> None:
        """Park what the application would refuse as soon as it saw the images."""
        wish.unfit = unfit(self._accepts(wish.application), wish.series[0].view)
        if wish.unfit and not wish.missing:
            for route in wish.routes:
                words = said.setdefault((route.name, wish.series[0].series_instance_uid), [])
                words.append(parks(wish.application, wish.unfit))

    def _gated(self, decision: Decision, series: Sequence[SeriesContent]) -> Decision:
        """The decision with what the manifests of its applications say."""
        if not decision.matched:
            return decision
        (view,) = [content.view for content in series if content.series_instance_uid == decision.series_instance_uid]
        run = next(route.run for route in self._routes if route.name == decision.route)
        return gated(decision, {application: self._accepts(application) for application in run}, view)

    def _with(self, decision: Decision, said: dict[tuple[str, str], list[str]]) -> Decision:
        words = said.get((decision.route, decision.series_instance_uid))
        if not words:
            return decision
        if decision.chosen:
            return replace(decision, reason="; ".join([decision.reason, *words]))
        # it lost against another series, and is analysed all the same: with that one
        return replace(decision, chosen=True, reason="; ".join(["all conditions hold", *words]))

    def _accepts(self, application: str) -> Accepts:
        """What the application accepts; of one that cannot be loaded nobody knows, and its job is parked with the reason."""
        try:
            return self._application_of(application).accepts
        except HilumError:
            return Accepts(modality=())

    def _job(self, wish: _Wish, complete_at: datetime) -> NewJob:
        parked = next((reason for content in wish.series if (reason := content.unfit()) is not None), None)
        if parked is None and wish.missing:
            parked = SeriesMissing.code, wish.missing
        if parked is None and wish.unfit:
            uid = wish.series[0].series_instance_uid
            parked = NotAccepted.code, refusal(wish.application, uid, [wish.unfit])
        try:
            version = self._application_of(wish.application).version
        except HilumError as error:
            version = _UNKNOWN_VERSION
            parked = parked or (error.code, str(error))
        return NewJob(
            series_instance_uid=wish.series[0].series_instance_uid,
            application=wish.application,
            application_version=version,
            engine=self._engine_of(wish.application),
            routes=tuple(route.name for route in wish.routes),
            sinks=wish.sinks,
            priority=wish.priority,
            input_digest=digest_of(wish.series),
            instances=tuple(member.id for content in wish.series for member in content.current + content.gone),
            deadline_at=None if wish.deadline is None else complete_at + wish.deadline,
            parked=parked,
            whole_study=wish.whole_study,
        )


def _judged_so(decision: Decision, judged: Mapping[str, Judged], said: dict[tuple[str, str], list[str]]) -> Decision:
    """The decision with what its route needs; one that is withheld chooses nothing."""
    one = judged.get(decision.route)
    if one is None or not decision.matched:
        return decision
    decision = replace(decision, tried=(*decision.tried, *one.tried))
    if one.missing and decision.chosen and not one.withheld and not one.parks:
        said.setdefault((decision.route, decision.series_instance_uid), []).append(one.reason)
    withheld = one.withheld and decision.chosen
    return replace(decision, chosen=False, reason=one.reason) if withheld else decision


def _park(wish: _Wish, judged: Mapping[str, Judged], said: dict[tuple[str, str], list[str]]) -> None:
    """Park what only routes ask for that lack a series; where others ask for it too, it is run for these alone."""
    lacking = [route for route in wish.routes if route.name in judged and judged[route.name].parks]
    others = [route for route in wish.routes if route not in lacking]
    if lacking and not others:
        wish.missing = "; ".join(dict.fromkeys(judged[route.name].missing for route in lacking))
    else:
        wish.routes = others
    for route in lacking:
        becomes = f"is run for {', '.join(other.name for other in others)} alone" if others else "is parked"
        for content in wish.series:
            words = said.setdefault((route.name, content.series_instance_uid), [])
            words.append(f"{wish.application} {becomes}: {judged[route.name].missing}")
