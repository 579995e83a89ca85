"""Priors are earlier series that a series is compared with: which one, and why. `node.routing.pairing` finds them in a journal.

The newest earlier study of the same patient that has a series alike is taken: one that the same route would take (conditions on who sent
it, and on how old it may be, aside), of the same modality and orientation, and not called something else. docs/adr/ADR-0011 has the why.
Pure functions over headers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from node.domain.instance import Header, first_text
from node.domain.patient import Patient, is_earlier, patient_of, studied_at
from node.domain.route import Asked, Condition, ConditionOperator, Derived, Junction, Route
from node.routing.decisions import SeriesView, decide, named, preference

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


def choose(
    current: SeriesView, earlier: Sequence[EarlierStudy], route: Route, within: timedelta | None = None, *, alike: bool = True
) -> PriorChoice:
    """The prior of `current` among `earlier` studies, in whatever order these come; none that is more than `within` older.

    `alike` asks that modality, orientation and name are those of `current`; without, the conditions of `route` alone say what it is.

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
        found, why_not, unfit = _in_study(current, patient, when, study, route, alike)
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
    current: SeriesView, patient: Patient, when: str, study: EarlierStudy, route: Route, alike: bool
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
        mine, theirs = (first_text(header, keyword) for header in (current.header, views[0].header))
        if mine and theirs and mine != theirs:
            return None, f"the study of {day} has the patient ID and another {keyword}", ()
    decisions = decide([_as_prior(route)], views, peer=None, calling="", called="", now=_NOW)
    fits = {one.series_instance_uid for one in decisions if one.chosen}
    fitting = [view for view in views if view.series_instance_uid in fits]
    likely = [(likeness, view) for view in fitting if (likeness := _likeness(current, view) if alike else _ALIKE) is not None]
    if not likely:
        return None, f"the study of {day} has no series {'like this one' if alike else 'that the route asks for'}", ()
    ordered = [view for _, view in sorted(likely, key=_best)]
    unfit = list(takewhile(lambda view: view.series_instance_uid in study.unfit, ordered))
    why_not = "; ".join(f"{named(one)} of {day}: {study.unfit[one.series_instance_uid]}" for one in unfit[:_MOST_NAMED])
    return next(iter(ordered[len(unfit) :]), None), why_not, unfit


def _as_prior(route: Route) -> Route:
    """The route without who sends, which studies are a sample, what else one holds, what other routes take and when it was taken: priors
    come from elsewhere, and are old."""
    return replace(
        route,
        peers=(),
        called=(),
        when=_whenever(route.when),
        any_series=(),
        all_series=(),
        each=True,
        sample=1.0,
        fallback=False,
        choose="",
        hours=None,
    )


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
    if first_text(current.header, "Modality") != first_text(other.header, "Modality"):
        return None
    planes = {plane for plane in (_plane(current.header), _plane(other.header)) if plane}
    if len(planes) > 1:
        return None
    shares = []
    for keyword in _NAMES:
        mine, theirs = (_words(first_text(header, keyword)) for header in (current.header, other.header))
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


def _day(header: Header) -> str:
    day = studied_at(header)[:8]
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def _title(header: Header) -> str:
    return first_text(header, "SeriesDescription") or first_text(header, "ProtocolName") or first_text(header, "Modality")
