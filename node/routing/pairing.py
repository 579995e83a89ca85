"""Pairing finds the priors of a series, or of several in roles, among what a journal holds, and the studies that wait for a prior."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from inference.applications.port import Application
from inference.errors import HilumError
from inference.imaging.errors import UnfitPrior
from inference.imaging.subject import CURRENT, PRIOR
from node.domain.arrival import Arrival
from node.domain.job import Job, JobKind
from node.domain.patient import patient_of, studied_at
from node.domain.route import Route
from node.domain.state import ArrivalState, JobState
from node.routing.decisions import SeriesView
from node.routing.gate import exclusions
from node.routing.port import ComparedStudies
from node.routing.priors import EarlierStudy, PriorChoice, choose
from node.routing.roles import asked_of_prior, of_another_modality
from node.routing.series import SeriesContent, contents, digest_of, series_of
from node.routing.shortage import shortage_of

_MOST = 10
"""Earlier studies that are looked through for a prior, the newest first; and later ones that may wait for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorAsked:
    """Which earlier series is wanted in a role, beside what is asked of any prior.

    Attributes
    ----------
    application
        As it takes the series of the role.
    used
        The series of earlier studies that the standing job has, and of when each is.
    refused
        Those that the application refused when it saw the images, and why.
    within
        How much older it may be at most.
    study, passed
        The study that it has to be of, where another role has one of it; and those that are not looked at.
    alike
        As `choose` has it.
    """

    application: Application
    used: Mapping[str, str]
    refused: Mapping[str, str]
    within: timedelta | None = None
    study: str = ""
    passed: Collection[str] = ()
    alike: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorsFound:
    """The earlier series of roles that are priors: by role, what there is to say, and why one is lacking that must be there."""

    contents: Mapping[str, SeriesContent]
    said: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What `choose` said, with the instances of the series that it chose."""

    choice: PriorChoice
    content: SeriesContent | None


class Pairing:
    """Finds priors in the journal.

    Parameters
    ----------
    application_of
        The application of a name; one that cannot be loaded compares nothing.
    """

    def __init__(self, journal: ComparedStudies, routes: Sequence[Route], application_of: Callable[[str], Application]) -> None:
        self._journal = journal
        self._routes = routes
        self._application_of = application_of

    def compares(self, application: str) -> bool:
        """Whether the application takes a series with its prior."""
        declared = self._declared(application)
        return declared is not None and any(role.prior_of for role in declared.in_roles)

    def prior_of(
        self,
        study: str,
        current: SeriesContent,
        routes: Sequence[Route],
        application: str,
        known: dict[str, list[SeriesContent]] | None = None,
        asked: PriorAsked | None = None,
    ) -> Prior:
        """The prior of a series of `study`, by the first of `routes` that finds one; `known` are series that were read already. `asked`
        where it is wanted in a role of several series; else it is that of a pair."""
        known = {} if known is None else known
        when = studied_at(current.view.header)
        modalities = {str(value) for value in current.view.header.get("Modality", ())}
        if asked is not None and not asked.alike:
            modalities = set(asked.application.accepts.modality)
        near = [one for one in self._journal.patients.related(study) if one.modality in modalities and one.studied_at <= when]
        used = self._used(study, current, application) if asked is None else asked.used
        of_study: dict[str, list[SeriesContent]] = {}
        for each in list(dict.fromkeys(one.study_instance_uid for one in near))[:_MOST]:
            if each not in known:
                known[each] = contents(self._journal.instances.of_study(each))
            of_study[each] = known[each]
        if asked is not None:
            of_study = {uid: of for uid, of in of_study.items() if uid not in asked.passed and asked.study in ("", uid)}
        declared = self._declared(application) if asked is None else asked.application
        refused = self._refused(study, current, application) if asked is None else {}

        def unsuited(members: Sequence[SeriesContent], views: Sequence[SeriesView]) -> dict[str, str]:
            by_manifest = {} if declared is None else exclusions(declared, views)
            tried = {one.series_instance_uid: refused.get(_digest(current, one), "") for one in members} if refused else {}
            return {series: why for series, why in tried.items() if why} | by_manifest | ({} if asked is None else dict(asked.refused))

        earlier = [self._earlier(each, members, used, unsuited) for each, members in of_study.items()]
        within, alike = (None, True) if asked is None else (asked.within, asked.alike)
        choices = [choose(current.view, earlier, route, within, alike=alike) for route in routes]
        chosen = next((choice for choice in choices if choice.series_instance_uid is not None), choices[0])
        content = next(
            (member for members in of_study.values() for member in members if member.series_instance_uid == chosen.series_instance_uid),
            None,
        )
        return Prior(choice=chosen, content=content)

    def arriving(self, arrival: Arrival) -> frozenset[str]:
        """The series of the study of which more is expected, by other arrivals than this one."""
        study = arrival.study_instance_uid
        others = self._journal.arrivals.find(states=(ArrivalState.RECEIVED,), study=study)
        coming = [one for one in others if one.id != arrival.id and not one.waits]
        return frozenset(each.series_instance_uid for one in coming for each in self._journal.instances.of_arrival(one.id))

    def priors_in_roles(
        self,
        study: str,
        filled: Mapping[str, SeriesContent],
        route: Route,
        application: Application,
        known: dict[str, list[SeriesContent]] | None = None,
    ) -> PriorsFound:
        """The earlier series of the roles that are priors, all of one study: the newest that has all that must be there.

        Parameters
        ----------
        filled
            The series of today by their roles.
        """
        roles = [role for role in application.roles if role.prior_of]
        standing = self.live_job(study, application.name)
        refused = {
            uid: job.reason or job.code
            for job in self._analyses(study, application.name)
            if job.state is JobState.CANCELLED and job.code == UnfitPrior.code
            for uid in self._of_earlier(study, job)
        }
        used = {} if standing is None else self._of_earlier(study, standing)
        known = {} if known is None else known
        passed: set[str] = set()
        first: PriorsFound | None = None
        while True:
            found: dict[str, SeriesContent] = {}
            said: list[str] = []
            left: list[tuple[str, str]] = []
            missing, of = [], ""
            for role in roles:
                if role.prior_of not in filled:
                    missing += [] if role.optional else [f"{role.name}: there is no {role.prior_of} of today"]
                    continue
                within = next((one.within for one in route.roles if one.name == role.name), None)
                asked = PriorAsked(
                    application=application.in_role(role),
                    used=used,
                    refused=refused,
                    within=within,
                    study=of,
                    passed=frozenset(passed),
                    alike=not of_another_modality(application, role),
                )
                ways = [asked_of_prior(route, role)]
                prior = self.prior_of(study, filled[role.prior_of], ways, application.name, known, asked)
                said.append(f"{role.name}: {prior.choice.reason}")
                left += prior.choice.left_out
                if prior.content is not None:
                    found[role.name] = prior.content
                    of = next(one.study_instance_uid for one in prior.content.current + prior.content.gone)
                elif not role.optional:
                    missing.append(said[-1])
            tried = PriorsFound(contents=found, said=tuple(said), left_out=tuple(left), missing="; ".join(missing))
            if not missing:
                return tried
            first = first or tried  # what is wrong with the newest is what there is to say
            if not of or len(passed) >= _MOST:
                return replace(first, contents={})
            passed.add(of)

    def _of_earlier(self, study: str, job: Job) -> dict[str, str]:
        """The series of other studies that a job uses, and of when each is."""
        used = self._journal.instances.of_job(job.id)
        return {one.series_instance_uid: studied_at(one.header) for one in used if one.study_instance_uid != study}

    def awaiting(self, arrival: Arrival) -> dict[int, str]:
        """The routed arrivals of later studies that would be compared with the study of `arrival`, or with something else than they were,
        and why."""
        if not any(self.compares(application) for route in self._routes for application in route.run):
            return {}
        # the whole study: until its last series was complete, none of it was anybody's prior
        came = contents(self._journal.instances.of_study(arrival.study_instance_uid))
        earliest = min((studied_at(content.view.header) for content in came), default="")
        latest = max((studied_at(content.view.header) for content in came), default="")
        modalities = self._compared_with({str(value) for content in came for value in content.view.header.get("Modality", ())})
        related = self._journal.patients.related(arrival.study_instance_uid)
        # of another modality nothing is compared with what came: a year of chest films must not use up the studies that are looked at
        later = [one.study_instance_uid for one in related if one.studied_at >= earliest and one.modality in modalities]
        uids, known = {content.series_instance_uid for content in came}, dict[str, list[SeriesContent]]()
        waiting: dict[int, str] = {}
        for study in list(dict.fromkeys(reversed(later)))[:_MOST]:
            for other in self._latest(study):
                if self._would_change(other, uids, latest, known):
                    waiting[other.id] = f"study {arrival.study_instance_uid} came, which it is compared with"
        return waiting

    def _compared_with(self, modalities: set[str]) -> set[str]:
        """The modalities of what may be compared with series of these."""
        found = set(modalities)
        for application in filter(None, map(self._declared, {name for route in self._routes for name in route.run})):
            for role in application.roles:
                if of_another_modality(application, role) and set(application.in_role(role).accepts.modality) & modalities:
                    of = next(one for one in application.roles if one.name == role.prior_of)
                    found |= set(application.in_role(of).accepts.modality)
        return found

    def mistaken(self, study: str, current: SeriesContent, application: str) -> list[Job]:
        """The standing jobs on a series that compare with what is by now another patient's: somebody corrected an ID. Routes that ask
        otherwise of the application have one each."""
        standing = self._live(study, application, current.series_instance_uid)
        return [job for job in standing if self._is_mistaken(job, study, current)]

    def _is_mistaken(self, job: Job, study: str, current: SeriesContent) -> bool:
        mine = patient_of(current.view.header)
        used = {(one.study_instance_uid, one.series_instance_uid) for one in self._journal.instances.of_job(job.id)}
        for other, series in sorted(used - {(study, current.series_instance_uid)}):
            now = [content for content in contents(self._journal.instances.of_study(other)) if content.series_instance_uid == series]
            if any((theirs := patient_of(content.view.header)) is not None and theirs != mine for content in now):
                return True
        return False

    def live_job(self, study: str, application: str, series: str | None = None) -> Job | None:
        """The job that stands for this application: of the study, or of one of its series; None where there is none."""
        return next(iter(self._live(study, application, series)), None)

    def _live(self, study: str, application: str, series: str | None) -> list[Job]:
        """Likewise all of them, the newest first."""
        ended = (JobState.SUPERSEDED, JobState.CANCELLED)
        found = [job for job in self._analyses(study, application) if series in (None, job.series_instance_uid)]
        return [job for job in reversed(found) if job.state not in ended]

    def _analyses(self, study: str, application: str) -> list[Job]:
        return [job for job in self._journal.jobs.find(study=study) if (job.kind, job.application) == (JobKind.ANALYSIS, application)]

    def _latest(self, study: str) -> list[Arrival]:
        """The routed arrivals that nothing has revised; an open one looks for its prior when it is complete."""
        newest: dict[tuple[str | None, str | None], Arrival] = {}
        for arrival in self._journal.arrivals.find(study=study):
            newest[arrival.peer, arrival.series_instance_uid] = arrival
        return [arrival for arrival in newest.values() if arrival.state is ArrivalState.ROUTED]

    def _would_change(self, arrival: Arrival, came: set[str], latest: str, known: dict[str, list[SeriesContent]]) -> bool:
        decisions = [decision for decision in self._journal.routing.decisions(arrival.id) if decision.chosen]
        series = {content.series_instance_uid: content for content in self._series(arrival)}
        routes = {route.name: route for route in self._routes}
        asked: dict[tuple[str, str], list[Route]] = {}
        for decision in decisions:
            route = routes.get(decision.route)
            for application in route.run if route is not None else ():
                if decision.series_instance_uid in series and self.compares(application):
                    assert route is not None
                    asked.setdefault((decision.series_instance_uid, application), []).append(route)
        for (uid, application), askers in asked.items():
            declared = self._declared(application)
            if declared is not None and declared.roles:
                if self._roles_would_change(arrival, declared, askers[0], came, latest, known):
                    return True
                continue
            current = series[uid]
            used = self._used(arrival.study_instance_uid, current, application)
            overtaken = bool(used) and min(used.values()) > latest and not came & used.keys()
            if overtaken or current.unfit is not None:
                continue
            prior = self.prior_of(arrival.study_instance_uid, current, askers, application, known)
            concerned = {prior.choice.series_instance_uid, *used}
            if not concerned.isdisjoint(came) and self._differs(arrival.study_instance_uid, current, prior, application):
                return True
        return False

    def _roles_would_change(
        self, arrival: Arrival, application: Application, route: Route, came: set[str], latest: str, known: dict[str, list[SeriesContent]]
    ) -> bool:
        """Whether what came is a prior in some role of what was routed, or was one and is none any more."""
        study = arrival.study_instance_uid
        job = self.live_job(study, application.name)
        today = contents(self._journal.instances.of_study(study))
        if job is None:  # it had no prior; those of today are told apart when it is routed again
            return all(studied_at(content.view.header) > latest for content in today)
        used = self._of_earlier(study, job)
        if used and min(used.values()) > latest and not came & used.keys():
            return False
        roles = self._journal.instances.roles_of_job(job.id)
        of_series = {one.series_instance_uid: roles.get(one.id, "") for one in self._journal.instances.of_job(job.id)}
        filled = {of_series[one.series_instance_uid]: one for one in today if of_series.get(one.series_instance_uid)}
        found = self.priors_in_roles(study, filled, route, application, known)
        wanted = {content.series_instance_uid: content for content in found.contents.values()}
        if not came & (wanted.keys() | used.keys()):
            return False
        everything = [*filled.values(), *wanted.values()]
        roles_now = {one.series_instance_uid: role for role, one in [*filled.items(), *found.contents.items()]}
        return digest_of(everything, roles_now) != job.input_digest

    def _differs(self, study: str, current: SeriesContent, prior: Prior, application: str) -> bool:
        job = self.live_job(study, application, current.series_instance_uid)
        wanted = None if prior.content is None else _digest(current, prior.content)
        return wanted != (None if job is None else job.input_digest)

    def _used(self, study: str, current: SeriesContent, application: str) -> dict[str, str]:
        """The series that the standing job compares with, and of when each is: it stays the prior after its pixels are gone."""
        job = self.live_job(study, application, current.series_instance_uid)
        used = self._journal.instances.of_job(job.id) if job is not None else []
        own = current.series_instance_uid
        return {one.series_instance_uid: studied_at(one.header) for one in used if one.series_instance_uid != own}

    def _declared(self, application: str) -> Application | None:
        try:
            return self._application_of(application)
        except HilumError:
            return None

    def _refused(self, study: str, current: SeriesContent, application: str) -> dict[str, str]:
        """The pairs, by their digests, of which the application refused the prior when it saw the images, and why."""
        return {
            job.input_digest: job.reason or job.code
            for job in self._analyses(study, application)
            if job.series_instance_uid == current.series_instance_uid and job.state is JobState.CANCELLED and job.code == UnfitPrior.code
        }

    def _earlier(
        self,
        study: str,
        members: Sequence[SeriesContent],
        used: Collection[str],
        unsuited: Callable[[Sequence[SeriesContent], Sequence[SeriesView]], dict[str, str]],
    ) -> EarlierStudy:
        views = tuple(member.view for member in members)
        found = {member.series_instance_uid: member.unfit for member in members if member.series_instance_uid not in used}
        unfit = {series: parks[1] for series, parks in found.items() if parks is not None}
        known = self._journal.shortage.shortfalls(study)  # a gap in its positions is found, and told, when its images are read
        for member in members:
            if member.series_instance_uid not in used and (shortage := shortage_of(member, known, volume=False)) is not None:
                unfit.setdefault(member.series_instance_uid, f"it is incomplete: {shortage.sentence}")
        return EarlierStudy(
            study_instance_uid=study,
            series=views,
            unfit=unsuited(members, views) | unfit,
            arriving=any(not one.waits for one in self._journal.arrivals.find(states=(ArrivalState.RECEIVED,), study=study)),
        )

    def _series(self, arrival: Arrival) -> list[SeriesContent]:
        return series_of(self._journal, arrival, self._journal.instances.of_arrival(arrival.id))


def _digest(current: SeriesContent, prior: SeriesContent) -> str:
    """`digest_of` a pair."""
    return digest_of([current, prior], {current.series_instance_uid: CURRENT, prior.series_instance_uid: PRIOR})
