"""Priors are earlier series that a series is compared with: which one, and why; pairing finds them in a journal, and what waits for one.

The newest earlier study of the same patient that has a series alike is taken: one that the same route would take (conditions on who sent
it, and on how old it may be, aside), of the same modality and orientation, and not called something else. docs/adr/ADR-0011 has the why.
Which one is chosen is pure functions over headers.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from inference.applications.port import Application
from inference.errors import HilumError
from inference.imaging.errors import UnfitPrior
from inference.imaging.subject import CURRENT, PRIOR
from node.domain.arrival import Arrival
from node.domain.instance import Header
from node.domain.job import Job, JobKind
from node.domain.patient import Patient, is_earlier, patient_of, studied_at
from node.domain.route import Asked, Condition, ConditionOperator, Derived, Junction, Route
from node.domain.state import ArrivalState, JobState
from node.routing.decisions import SeriesView, decide, named, preference
from node.routing.gate import exclusions
from node.routing.port import ComparedStudies
from node.routing.roles import asked_of_prior
from node.routing.series import SeriesContent, contents, digest_of, series_of
from node.routing.shortage import shortage_of

_ALIKE = 0.5
"""Share of words that two names have in common at least: "T1 ax" and "T1 ax Gd", not "T1 ax" and "T2 ax"."""
_NAMES = ("SeriesDescription", "ProtocolName")
_PLANES = ("sagittal", "coronal", "axial")
_OF_MOMENTS = frozenset({ConditionOperator.WITHIN, ConditionOperator.BETWEEN, ConditionOperator.WEEKDAY})
_NOW = datetime(1970, 1, 1, tzinfo=UTC)  # what WITHIN counts from, and there is none
_MOST_NAMED = 3
"""Series of a study that are named with why they cannot be given."""
_FIXED = ("PatientBirthDate", "PatientSex")
"""What stays with a person: two that differ are two people behind one ID, or a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierStudy:
    """A study of the same patient ID, as far as it is known.

    Attributes
    ----------
    unfit
        By series UID: why the application cannot be given it (its pixels are gone, its slices are too thick).
    arriving
        More of it is expected.
    """

    study_instance_uid: str
    series: tuple[SeriesView, ...]
    unfit: dict[str, str]
    arriving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorChoice:
    """The prior that was chosen, or None, and the sentence for people; `left_out` are series (UIDs) that would have come before it, each
    with why it did not."""

    series_instance_uid: str | None
    reason: str
    left_out: tuple[tuple[str, str], ...] = ()


def choose(current: SeriesView, earlier: Sequence[EarlierStudy], route: Route, within: timedelta | None = None) -> PriorChoice:
    """The prior of `current` among `earlier` studies, in whatever order these come; none that is more than `within` older.

    Equal inputs give the same choice and sentence: the newest study, then what it is called, then what a route prefers.
    """
    patient, when = patient_of(current.header), studied_at(current.header)
    if patient is None:
        return PriorChoice(series_instance_uid=None, reason="no prior: the series names no patient ID, or several")
    if not when:
        return PriorChoice(series_instance_uid=None, reason="no prior: the series has no date, so nobody can say what is earlier")
    passed_over: list[str] = []
    left_out: list[tuple[str, str]] = []
    candidates = [(_date(study), study) for study in earlier]
    for _, study in sorted(candidates, key=lambda each: (each[0], each[1].study_instance_uid), reverse=True):
        if within is not None and _too_old(study, when, within):
            passed_over.append(f"the study of {_day(study.series[0].header)} is more than {within.days} days older")
            break  # so are all that come behind it
        found, why_not, unfit = _in_study(current, patient, when, study, route)
        if why_not:
            passed_over.append(why_not)
        left_out += [(one.series_instance_uid, study.unfit[one.series_instance_uid]) for one in unfit]
        if found is not None:
            reason = f"compared with {named(found)} of {_day(found.header)} ({_title(found.header)})"
            if passed_over:
                reason += f"; passed over: {'; '.join(passed_over)}"
            return PriorChoice(series_instance_uid=found.series_instance_uid, reason=reason, left_out=tuple(left_out))
    if passed_over:
        return PriorChoice(series_instance_uid=None, reason=f"no prior: {'; '.join(passed_over)}", left_out=tuple(left_out))
    return PriorChoice(series_instance_uid=None, reason="no prior: no earlier study of this patient is here")


def _too_old(study: EarlierStudy, when: str, within: timedelta) -> bool:
    days = (_date(study)[:8], when[:8])
    then, now = (datetime.strptime(day, "%Y%m%d") if len(day) == 8 and day.isdigit() else None for day in days)
    return then is not None and now is not None and now - then > within


def _in_study(
    current: SeriesView, patient: Patient, when: str, study: EarlierStudy, route: Route
) -> tuple[SeriesView | None, str, Sequence[SeriesView]]:
    """The series of `study` to compare with; what speaks against the study or its best series, "" where it is not worth a word (another
    patient, a later study); and the series before it that cannot be given."""
    views = [view for view in study.series if patient_of(view.header) == patient and is_earlier(studied_at(view.header), when)]
    if not views:
        return None, "", ()
    day = _day(views[0].header)
    if study.arriving:
        return None, f"the study of {day} is still arriving", ()
    for keyword in _FIXED:
        mine, theirs = (_first(header, keyword) for header in (current.header, views[0].header))
        if mine and theirs and mine != theirs:
            return None, f"the study of {day} has the patient ID and another {keyword}", ()
    decisions = decide([_as_prior(route)], views, peer=None, calling="", called="", now=_NOW)
    fits = {one.series_instance_uid for one in decisions if one.chosen}
    alike = [(likeness, view) for view in views if view.series_instance_uid in fits and (likeness := _likeness(current, view)) is not None]
    if not alike:
        return None, f"the study of {day} has no series like this one", ()
    ordered = [view for _, view in sorted(alike, key=_best)]
    unfit = list(takewhile(lambda view: view.series_instance_uid in study.unfit, ordered))
    why_not = "; ".join(f"{named(one)} of {day}: {study.unfit[one.series_instance_uid]}" for one in unfit[:_MOST_NAMED])
    return next(iter(ordered[len(unfit) :]), None), why_not, unfit


def _as_prior(route: Route) -> Route:
    """The route without who sends, which studies are a sample, what else one holds and when it was taken: priors come from elsewhere, and
    are old."""
    return replace(route, peers=(), called=(), when=_whenever(route.when), any_series=(), all_series=(), each=True, sample=1.0)


def _whenever(asked: Sequence[Asked]) -> tuple[Asked, ...]:
    """What still has to hold of a series that was taken at any time: whatever could hold then does."""
    left: list[Asked] = []
    for one in asked:
        if isinstance(one, Condition):
            left += [] if _of_a_moment(one) else [one]
        elif one.junction is Junction.NONE:
            # an entry with a moment in it may not have held
            kept = tuple(entry for each in one.entries if (entry := _at_all_times(each)) is not None)
            left += [replace(one, entries=kept)] if kept else []
        else:
            entries = [_whenever(entry) for entry in one.entries]
            if all(entries):
                left.append(replace(one, entries=tuple(entries)))
            elif one.junction is Junction.ALL and any(entries):
                left.append(replace(one, entries=tuple(filter(None, entries))))
    return tuple(left)


def _at_all_times(asked: Sequence[Asked]) -> tuple[Asked, ...] | None:
    """What holds whenever a series was taken if it holds at all; None where a moment decides."""
    kept: list[Asked] = []
    for one in asked:
        if isinstance(one, Condition):
            if _of_a_moment(one):
                return None
            kept.append(one)
        elif one.junction is Junction.NONE:
            may = [_whenever(entry) for entry in one.entries]
            if not all(may):
                return None
            kept.append(replace(one, entries=tuple(may)))
        else:
            must = [_at_all_times(entry) for entry in one.entries]
            sure = tuple(entry for entry in must if entry is not None)
            if not sure or (one.junction is Junction.ALL and len(sure) < len(must)):
                return None
            kept.append(replace(one, entries=sure))
    return tuple(kept)


def _of_a_moment(one: Condition) -> bool:
    return one.operator in _OF_MOMENTS or one.keyword == Derived.AGE


def _best(each: tuple[float, SeriesView]) -> tuple[float, tuple[int, float, float, str]]:
    likeness, view = each
    return -likeness, preference(view)


def _likeness(current: SeriesView, other: SeriesView) -> float | None:
    """How much the names of the two have in common, 0 to 1; None where they cannot be compared with profit."""
    if _first(current.header, "Modality") != _first(other.header, "Modality"):
        return None
    planes = {plane for plane in (_plane(current.header), _plane(other.header)) if plane}
    if len(planes) > 1:
        return None
    shares = []
    for keyword in _NAMES:
        mine, theirs = (_words(_first(header, keyword)) for header in (current.header, other.header))
        if mine and theirs:
            shares.append(len(mine & theirs) / len(mine | theirs))
    if not shares:
        return _ALIKE  # nobody called either anything: the route alone says that they belong together
    return max(shares) if max(shares) >= _ALIKE else None


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]+", text.casefold()))


def _plane(header: Header) -> str:
    """ "axial", "coronal" or "sagittal"; "" where the header has no orientation."""
    cosines = [float(value) for value in header.get("ImageOrientationPatient", ())[:6] if not isinstance(value, str)]
    if len(cosines) < 6:
        return ""
    (rx, ry, rz), (cx, cy, cz) = cosines[:3], cosines[3:]
    normal = [abs(ry * cz - rz * cy), abs(rz * cx - rx * cz), abs(rx * cy - ry * cx)]
    return _PLANES[normal.index(max(normal))] if max(normal) > 0 else ""


def _date(study: EarlierStudy) -> str:
    return max((studied_at(view.header) for view in study.series), default="")


def _first(header: Header, keyword: str) -> str:
    return next((text for value in header.get(keyword, ()) if (text := str(value).strip())), "")


def _day(header: Header) -> str:
    day = studied_at(header)[:8]
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def _title(header: Header) -> str:
    return _first(header, "SeriesDescription") or _first(header, "ProtocolName") or _first(header, "Modality")


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
    """

    application: Application
    used: Mapping[str, str]
    refused: Mapping[str, str]
    within: timedelta | None = None
    study: str = ""
    passed: Collection[str] = ()


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
        choices = [choose(current.view, earlier, route, None if asked is None else asked.within) for route in routes]
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
                    application=application.in_role(role), used=used, refused=refused, within=within, study=of, passed=frozenset(passed)
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
        modalities = {str(value) for content in came for value in content.view.header.get("Modality", ())}
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

    def mistaken(self, study: str, current: SeriesContent, application: str) -> Job | None:
        """The standing job on a series, where what it compares with is by now another patient's: somebody corrected an ID."""
        job = self.live_job(study, application, current.series_instance_uid)
        if job is None:
            return None
        mine = patient_of(current.view.header)
        used = {(one.study_instance_uid, one.series_instance_uid) for one in self._journal.instances.of_job(job.id)}
        for other, series in sorted(used - {(study, current.series_instance_uid)}):
            now = [content for content in contents(self._journal.instances.of_study(other)) if content.series_instance_uid == series]
            if any((theirs := patient_of(content.view.header)) is not None and theirs != mine for content in now):
                return job
        return None

    def live_job(self, study: str, application: str, series: str | None = None) -> Job | None:
        """The job that stands for this application: of the study, or of one of its series; None where there is none."""
        ended = (JobState.SUPERSEDED, JobState.CANCELLED)
        found = [job for job in self._analyses(study, application) if series in (None, job.series_instance_uid)]
        return next((job for job in reversed(found) if job.state not in ended), None)

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
            if overtaken or current.unfit() is not None:
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
        found = {member.series_instance_uid: member.unfit() for member in members if member.series_instance_uid not in used}
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
