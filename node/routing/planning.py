"""Planning makes the jobs of a complete arrival: on which instances, with which prior, and what there is to say where there is none."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Protocol, TypeAlias

from inference.applications.port import Accepts, Application, Takes
from inference.errors import HilumError
from inference.imaging.subject import CURRENT, PRIOR
from node.domain.arrival import Arrival, Completeness
from node.domain.job import Job, NewJob, WhenExcluded
from node.domain.route import Decision, Route, Withheld
from node.domain.shortage import NewHold
from node.domain.state import JobState
from node.routing.decisions import SeriesView, decide, holds_images, outchosen, preference
from node.routing.gate import Gate, exclusion_sentence, gated, unserved
from node.routing.needs import NeedsOutcome, needs_outcome
from node.routing.over_time import StudySeries, chosen_together
from node.routing.pairing import Prior, PriorsFound
from node.routing.planned_job import PlannedJob
from node.routing.port import KnownShortfalls, StudyInstances
from node.routing.series import SeriesContent, as_known, contents
from node.routing.shortage import ShortageRules
from node.routing.untaken import GatedSeries, Untaken, in_turn, makes_a_job, untaken, with_untaken
from node.settings.peers import Settle


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorLeftOut:
    """A series that an application would be given as a prior, but for why it cannot be."""

    application: str
    series_instance_uid: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """What routes ask for.

    Attributes
    ----------
    decisions
        With what there is to say of priors, whole studies and series that are needed.
    waits
        Until when a route waits for a series that is missing, or for the rest of one, and why; None: none does.
    holds
        The series of which it waits for the rest.
    mistaken
        Jobs that compare with what is another patient's by now, and that nothing takes the place of.
    left_out
        Priors that were passed over because they cannot be given to the application.
    """

    jobs: list[NewJob]
    decisions: list[Decision]
    mistaken: list[Job] = field(default_factory=list)
    left_out: list[PriorLeftOut] = field(default_factory=list)
    waits: tuple[datetime, str] | None = None
    holds: list[NewHold] = field(default_factory=list)


_Decided: TypeAlias = tuple[list[Decision], dict[str, NeedsOutcome], dict[tuple[str, str], list[str]]]
"""Decisions; by route, what its needs come to; and by route and series, what there is to say of them."""


class Pairs(Protocol):
    """Finds what a series is compared with (node.routing.pairing)."""

    def prior_of(self, study: str, current: SeriesContent, routes: Sequence[Route], application: str) -> Prior: ...
    def mistaken(self, study: str, current: SeriesContent, application: str) -> Sequence[Job]: ...
    def arriving(self, arrival: Arrival) -> Collection[str]: ...
    def priors_in_roles(self, study: str, filled: Mapping[str, SeriesContent], route: Route, application: Application) -> PriorsFound: ...


class JobPlanner:
    """Plans the jobs of an arrival: tries every route on its series.

    Parameters
    ----------
    engine_of
        The name of the engine that runs an application here.
    application_of
        The application of a name; one that cannot be loaded parks its jobs with the reason.
    declared_of
        The same as it declares itself, whatever models the repository has: by it a series is judged whose application lacks its model.
    known
        What is known of what series lack; None: nothing, and none is short.
    standing
        By route of a job of a study that is about to be asked for, the job that stands for it, and its state.
    settle_of
        How what a peer sends settles.
    """

    def __init__(
        self,
        studies: StudyInstances,
        pairs: Pairs,
        routes: Sequence[Route],
        engine_of: Callable[[str], str],
        application_of: Callable[[str], Application],
        *,
        declared_of: Callable[[str], Application] | None = None,
        known: KnownShortfalls | None = None,
        standing: Callable[[str, NewJob], Mapping[str, tuple[int, JobState]]] = lambda _study, _job: {},
        settle_of: Callable[[str | None], Settle] = lambda _: Settle(),
    ) -> None:
        self._studies = studies
        self._pairs = pairs
        self._routes = routes
        self._engine_of = engine_of
        self._application_of = application_of
        self._declared_of = declared_of or application_of
        self._standing = standing
        self._shortage_rules = ShortageRules(known, settle_of, self._declared)

    def of(self, arrival: Arrival, series: Sequence[SeriesContent], calling: str, now: datetime, *, waits: bool = True) -> JobPlan:
        """The jobs on `series`, those of the arrival, and one decision for every route and series of it.

        Not to `waits` is as when nothing more is expected of the study.
        """
        views = {content.series_instance_uid: content.view for content in series}
        counted = {content.series_instance_uid: content.counted for content in series}
        whole_study = StudySeries(self._studies, arrival.study_instance_uid, series)
        gate = Gate(whole_study.slices)
        deciding = partial(self._decided, arrival, self._study(arrival, series), calling, now, gate, waits=waits)
        decisions, judged, said = deciding(series, views)
        on_series = self._on_series(series, decisions, whole_study)
        left_out: list[PriorLeftOut] = []
        whole: list[PlannedJob] = []
        alone: list[PlannedJob] = []
        for planned in on_series:
            (whole if self._is_whole(arrival, planned, said, left_out) else alone).append(planned)
        runs = [decision for decision in decisions if decision.route not in judged or not judged[decision.route].withheld]
        for planned in self._together(arrival, runs, judged, said):
            (whole if self._with_priors(arrival, planned, judged, said, left_out) else alone).append(planned)
        plans = [*whole, *self._on_studies(arrival, series, runs, said, deciding)]
        parked: set[tuple[str, str]] = set()
        for planned in plans:
            parked |= planned.park(judged, said)
            self._exclude(planned, gate)
        over = not waits or arrival.completed_by is Completeness.OPERATOR
        held = self._shortage_rules.withhold(arrival, plans, said, now, over=over)
        plans = [planned for planned in plans if planned.routes]
        excluded: dict[tuple[str, str], dict[str, WhenExcluded]] = {}
        vain = self._untaken(decisions, GatedSeries(views=views, counted=counted, gate=gate))
        given: list[PlannedJob] = []
        for one in vain:
            asked = next((planned for planned in plans if planned.application == one.application), None)
            if asked is None:
                (nearest,) = [content for content in series if content.series_instance_uid == one.series_instance_uid]
                asked = PlannedJob(application=one.application, series=[nearest], untaken=one.why)
                plans.append(asked)
            if one.route not in asked.routes:
                asked.routes.append(one.route)
            given.append(asked)
        made = {id(planned): self._jobs(planned, arrival.completed_at or now) for planned in plans}
        # as the routes of the job that each has a part in ask: those whose demands are not answered have one of their own
        when = {(at, name): job.when_excluded for at, of in made.items() for job in of for name in job.routes}
        for planned in plans:
            for route in planned.routes if planned.unfit and not planned.incomplete else ():
                for about in planned.told_of(route, said):
                    becomes = when[id(planned), route.name]
                    said.setdefault(about, []).append(exclusion_sentence(planned.application, planned.unfit, becomes))
                    excluded.setdefault(about, {})[planned.application] = becomes
        mistaken = [self._pairs.mistaken(arrival.study_instance_uid, planned.series[0], planned.application) for planned in alone]
        refused: dict[tuple[str, str], set[str]] = {}
        for planned in plans:
            for about in planned.tell_refused(made[id(planned)], said, partial(self._standing, arrival.study_instance_uid)):
                refused.setdefault(about, set()).add(planned.application)
        parked |= self._all_parked(refused, excluded)
        vain = [replace(one, parks=when[id(asked), one.route.name] is WhenExcluded.PARK) for one, asked in zip(vain, given, strict=True)]
        return JobPlan(
            jobs=[job for planned in plans for job in made[id(planned)]],
            decisions=with_untaken([held.told(self._with(decision, said, parked, excluded)) for decision in decisions], vain),
            left_out=left_out,
            mistaken=[job for jobs in mistaken for job in jobs],
            waits=min([*((one.until, one.missing) for one in judged.values() if one.until is not None), *held.waits()], default=None),
            holds=list(held.holds),
        )

    def _decided(
        self,
        arrival: Arrival,
        study: Sequence[SeriesView],
        calling: str,
        now: datetime,
        gate: Gate,
        series: Sequence[SeriesContent],
        views: Mapping[str, SeriesView],
        *,
        waits: bool,
    ) -> _Decided:
        """What every route decides of `series`, gate included; what its needs come to; and what there is to say of those."""
        offered = GatedSeries(views=views, counted={content.series_instance_uid: content.counted for content in series}, gate=gate)
        judged: dict[str, NeedsOutcome] = {}
        said: dict[tuple[str, str], list[str]] = {}
        by_name = {route.name: route for route in self._routes}

        def by(routes: Sequence[Route], taken: Mapping[str, str]) -> list[Decision]:
            tried = decide(
                routes,
                list(views.values()),
                peer=arrival.peer,
                calling=calling,
                called=arrival.called_ae,
                now=now,
                study=study,
                excluded=partial(self._excluded, gate),
                taken=taken,
                came=arrival.last_instance_at,
            )
            judged.update(self._judged(arrival, series, study, tried, now, waits=waits))
            tried = chosen_together(tried, lambda name: self._applications(by_name[name]), gate.slices)
            return [self._gated(_judged_so(_in_role_so(one, judged), judged, said), offered) if one.matched else one for one in tried]

        found = in_turn(self._routes, by, lambda route, one: makes_a_job(route, one, offered, self._applications(route)))
        return found, judged, said

    def _study(self, arrival: Arrival, series: Sequence[SeriesContent]) -> list[SeriesView]:
        """Every series that the study holds, whoever sent it, where a route asks for that."""
        if any(route.any_series or route.all_series or route.needs is not None for route in self._routes):
            series = as_known(contents(self._studies.of_study(arrival.study_instance_uid)), series)
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
    ) -> dict[str, NeedsOutcome]:
        """What the needs of each route come to that takes a series."""
        over = not waits or arrival.completed_by is Completeness.OPERATOR
        found = {}
        for route in [route for route in self._routes if route.needs is not None]:
            matched = {one.series_instance_uid for one in decisions if one.route == route.name and one.matched}
            taken = [member.received_at for one in series if one.series_instance_uid in matched for member in one.current + one.gone]
            if not matched:
                continue
            judged = needs_outcome(
                route,
                study,
                last=max(taken, default=arrival.last_instance_at),
                now=now,
                over=over,
                application=self._declared(route.run[0]) if route.roles else None,
                arriving=self._pairs.arriving(arrival) if route.roles else (),
            )
            if judged is not None:
                found[route.name] = judged
        return found

    def _on_series(self, series: Sequence[SeriesContent], decisions: Sequence[Decision], study: StudySeries) -> list[PlannedJob]:
        """A planned job for each application and series that is chosen; one for all series that are slices of one subject over time."""
        by_uid = {content.series_instance_uid: content for content in series}
        routes = {route.name: route for route in self._routes}
        plans: dict[tuple[str, str], PlannedJob] = {}
        for decision in decisions:
            for application in routes[decision.route].run if decision.chosen else ():
                accepts = self._accepts(application)
                if accepts.takes is Takes.PHASES or not (decision.slices or accepts.whole_study or accepts.takes is Takes.VOLUMES):
                    content, route = by_uid[decision.series_instance_uid], routes[decision.route]
                    of_it = study.with_slices(content) if accepts.takes is Takes.PHASES else [content]
                    planned = PlannedJob(application=application, series=of_it, slices=len(of_it) > 1)
                    planned = plans.setdefault((of_it[0].series_instance_uid, application), planned)
                    planned.routes += [] if route in planned.routes else [route]
        return list(plans.values())

    def _is_whole(
        self, arrival: Arrival, planned: PlannedJob, said: dict[tuple[str, str], list[str]], left_out: list[PriorLeftOut]
    ) -> bool:
        """Whether the planned job has all that it needs; a pair gets its prior here."""
        accepts = self._accepts(planned.application)
        if accepts.takes is not Takes.PAIR:
            return True
        (current,) = planned.series
        prior = self._pairs.prior_of(arrival.study_instance_uid, current, planned.routes, planned.application)
        for route in planned.routes:
            said.setdefault((route.name, current.series_instance_uid), []).append(f"{planned.application}: {prior.choice.reason}")
        left_out += [PriorLeftOut(application=planned.application, series_instance_uid=uid, why=why) for uid, why in prior.choice.left_out]
        if prior.content is not None:
            planned.series.append(prior.content)
            planned.roles = {current.series_instance_uid: CURRENT, prior.content.series_instance_uid: PRIOR}
            planned.priors = {prior.content.series_instance_uid}
        return prior.content is not None or accepts.without_prior

    def _on_studies(
        self,
        arrival: Arrival,
        series: Sequence[SeriesContent],
        decisions: Sequence[Decision],
        said: dict[tuple[str, str], list[str]],
        deciding: Callable[[Sequence[SeriesContent], Mapping[str, SeriesView]], _Decided],
    ) -> list[PlannedJob]:
        """One planned job for each application that takes whole studies: on every series of images that its routes match, of any sender."""
        matching = {decision.route for decision in decisions if decision.matched} - outchosen(self._routes, decisions)
        asking = {
            route.name: [application for application in route.run if self._accepts(application).whole_study]
            for route in self._routes
            if route.name in matching
        }
        if not any(asking.values()):
            return []
        study = {content.series_instance_uid: content for content in contents(self._studies.of_study(arrival.study_instance_uid))}
        # where they are the same, those of the arrival, of which the gate has answered
        study.update({content.series_instance_uid: content for content in series if content == study.get(content.series_instance_uid)})
        views = {uid: content.view for uid, content in study.items()}
        matched: dict[str, list[str]] = {}
        for one in deciding(list(study.values()), views)[0]:
            if one.matched:
                matched.setdefault(one.route, []).append(one.series_instance_uid)
        plans: dict[str, PlannedJob] = {}
        members: dict[str, dict[str, SeriesContent]] = {}
        for route in self._routes:
            images = [uid for uid in matched.get(route.name, ()) if holds_images(views[uid])]
            for application in asking.get(route.name, ()) if images else ():
                planned = plans.setdefault(application, PlannedJob(application=application, series=[], whole_study=True))
                planned.routes.append(route)
                members.setdefault(application, {}).update({uid: study[uid] for uid in images})
                for uid in images:
                    together = f"{application}: analysed as a whole, {len(images)} series of the study"
                    said.setdefault((route.name, uid), []).append(together)
        for application, planned in plans.items():
            # the series that names the job: the lowest number
            planned.series = sorted(members[application].values(), key=lambda content: preference(views[content.series_instance_uid])[2:])
        return list(plans.values())

    def _together(
        self,
        arrival: Arrival,
        decisions: Sequence[Decision],
        judged: Mapping[str, NeedsOutcome],
        said: dict[tuple[str, str], list[str]],
    ) -> list[PlannedJob]:
        """One planned job for each application whose roles the study fills: on the series that fill them, whoever sent them."""
        matching = {decision.route for decision in decisions if decision.matched}
        plans: dict[str, PlannedJob] = {}
        study: dict[str, SeriesContent] = {}
        for route in self._routes:
            filled = judged[route.name].filled if route.name in matching and route.name in judged else None
            application = self._declared(route.run[0]) if filled else None
            if not filled or application is None:
                continue
            study = study or {one.series_instance_uid: one for one in contents(self._studies.of_study(arrival.study_instance_uid))}
            roles = {uid: role for role, uid in filled.items()}
            planned = plans.get(application.name)
            if planned is not None and planned.roles != roles:
                for uid in roles:
                    words = f"{application.name}: another route fills its roles otherwise, and stands before this one"
                    said.setdefault((route.name, uid), []).append(words)
                continue
            if planned is None:
                planned = PlannedJob(application=application.name, series=[study[uid] for uid in roles], whole_study=True, roles=roles)
                planned.undecided = judged[route.name].undecided
                plans[application.name] = planned
            planned.routes.append(route)
            for role, uid in filled.items():
                said.setdefault((route.name, uid), []).append(f"{application.name}: fills the role {role}")
        return list(plans.values())

    def _with_priors(
        self,
        arrival: Arrival,
        planned: PlannedJob,
        judged: Mapping[str, NeedsOutcome],
        said: dict[tuple[str, str], list[str]],
        left_out: list[PriorLeftOut],
    ) -> bool:
        """Give the planned job its priors; whether it has all that must be there."""
        application, route = self._declared(planned.application), planned.routes[0]
        if application is None or judged[route.name].parks or not any(role.prior_of for role in application.roles):
            return True
        filled = {planned.roles[one.series_instance_uid]: one for one in planned.series}
        found = self._pairs.priors_in_roles(arrival.study_instance_uid, filled, route, application)
        for each in planned.routes:
            said.setdefault((each.name, planned.series[0].series_instance_uid), []).extend(
                f"{planned.application}: {words}" for words in found.said or [found.missing]
            )
        left_out += [PriorLeftOut(application=planned.application, series_instance_uid=uid, why=why) for uid, why in found.left_out]
        for role, content in found.contents.items():
            planned.series.append(content)
            planned.roles = {**planned.roles, content.series_instance_uid: role}
            planned.priors.add(content.series_instance_uid)
        return not found.missing

    def _exclude(self, planned: PlannedJob, gate: Gate) -> None:
        """Say what its headers keep from the application: it would refuse it as soon as it saw the images."""
        application = self._declared(planned.application)
        if application is None or application.roles:
            return  # each series was asked for its role
        # of a pair the first is the current one, and the prior was chosen; of a whole study one view that fits is enough
        judged = planned.series if planned.whole_study else planned.series[:1]
        # of a series that is held in part, too few images are no header's doing: the work on it ends as what is missing decides
        reasons = [gate.answer(application, content.view, counted=content.counted).exclusion for content in judged]
        planned.unfit = "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""

    def _excluded(self, gate: Gate, route: Route, view: SeriesView) -> bool:
        """Whether no application of the route is for the series, however many images of it there are."""
        applications = [self._declared(name) for name in route.run]
        return all(application is not None and gate.not_applicable(application, view) for application in applications)

    def _untaken(self, decisions: Sequence[Decision], series: GatedSeries) -> list[Untaken]:
        """What routes expect in vain of these series."""
        expected = {name for route in self._routes if route.expect for name in route.run}
        declared = {name: application for name in expected if (application := self._declared(name)) is not None}
        return untaken(self._routes, decisions, series, declared)

    def _gated(self, decision: Decision, series: GatedSeries) -> Decision:
        """The decision with what the manifests of its applications say."""
        if not decision.matched:
            return decision
        uid = decision.series_instance_uid
        route = next(route for route in self._routes if route.name == decision.route)
        against = unserved(route, self._application_of)
        return gated(decision, self._applications(route), series.views[uid], series.gate, counted=series.counted[uid], against=against)

    def _applications(self, route: Route) -> dict[str, Application]:
        """Those of a route that can be loaded, as they declare themselves."""
        return {name: application for name in route.run if (application := self._declared(name)) is not None}

    def _with(
        self,
        decision: Decision,
        said: Mapping[tuple[str, str], Sequence[str]],
        parked: Collection[tuple[str, str]],
        excluded: Mapping[tuple[str, str], Mapping[str, WhenExcluded]],
    ) -> Decision:
        about = decision.route, decision.series_instance_uid
        words = said.get(about, ())
        if not (words and decision.matched):
            return replace(decision, reason="; ".join([decision.reason, *words])) if words else decision
        if about in parked:
            decision = replace(decision, withheld=Withheld.PARKED)
        elif set(next(route.run for route in self._routes if route.name == decision.route)) <= set(excluded.get(about, ())):
            if WhenExcluded.PARK not in excluded[about].values():
                return replace(decision, chosen=False, reason="; ".join(words))
            decision = replace(decision, withheld=Withheld.PARKED)
        if decision.chosen:
            return replace(decision, reason="; ".join([decision.reason, *words]))
        # it lost against another series, and is analysed all the same: with that one
        return replace(decision, chosen=True, reason="; ".join(["all conditions hold", *words]))

    def _all_parked(
        self, refused: Mapping[tuple[str, str], set[str]], excluded: Mapping[tuple[str, str], Mapping[str, WhenExcluded]]
    ) -> set[tuple[str, str]]:
        """(route, series) of which every application is parked: because it is not what the route asks for, or does not take the series."""
        run = {route.name: set(route.run) for route in self._routes}
        waits = {about: {name for name, when in of.items() if when is WhenExcluded.PARK} for about, of in excluded.items()}
        return {about for about, names in refused.items() if run[about[0]] <= names | waits.get(about, set())}

    def _accepts(self, application: str) -> Accepts:
        """What the application accepts; of one that cannot be loaded nobody knows, and its job is parked with the reason."""
        declared = self._declared(application)
        return Accepts(modality=()) if declared is None else declared.accepts

    def _declared(self, application: str) -> Application | None:
        """The application as it declares itself; None where it cannot be loaded."""
        try:
            return self._declared_of(application)
        except HilumError:
            return None

    def _jobs(self, planned: PlannedJob, complete_at: datetime) -> list[NewJob]:
        """The jobs that come of a planned one."""
        application, unloaded = None, None
        try:
            application = self._application_of(planned.application)
            version = application.version
        except HilumError as error:
            version = "" if (declared := self._declared(planned.application)) is None else declared.version  # without the models' versions
            unloaded = error.code, str(error)
        return planned.jobs(application, version, self._engine_of(planned.application), complete_at, unloaded=unloaded)


def _in_role_so(decision: Decision, judged: Mapping[str, NeedsOutcome]) -> Decision:
    """The decision of a route with roles: it chooses what fills one, whichever series the best would be."""
    one = judged.get(decision.route)
    if one is None or one.filled is None or not decision.matched:
        return decision
    chosen = decision.series_instance_uid in one.filled.values()
    return replace(decision, chosen=chosen, reason="all conditions hold" if chosen else "it fills no role of the application")


def _judged_so(decision: Decision, judged: Mapping[str, NeedsOutcome], said: dict[tuple[str, str], list[str]]) -> Decision:
    """The decision with what its route needs; one that is withheld chooses nothing."""
    one = judged.get(decision.route)
    if one is None or not decision.matched:
        return decision
    decision = replace(decision, tried=(*decision.tried, *one.tried), lacks=bool(one.missing))
    if one.missing and decision.chosen and not one.withheld and not one.parks:
        said.setdefault((decision.route, decision.series_instance_uid), []).append(one.reason)
    if not (one.withheld and decision.chosen):
        return decision
    return replace(decision, chosen=False, reason=one.reason, withheld=None if one.until is None else Withheld.WAITS)
