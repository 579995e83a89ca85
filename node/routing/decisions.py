"""Decisions say which routes take which series, and why: pure functions over merged headers, without journal or clock.

`node.flow.route` turns the decisions into jobs; `hilum routes explain` prints them.
"""

import hashlib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

from inference.imaging.sop_classes import MODALITIES_WITHOUT_IMAGES, class_name, holds_image, is_capture, is_slice
from node.dicom.header import merge
from node.domain.instance import Header, Value
from node.domain.route import Asked, Decision, Preference, Preferred, Route, Tried
from node.routing.conditions import (
    TriedTogether,
    against_text,
    one_of,
    seconds_of,
    together_text,
    try_hours,
    try_together,
)

_OF_STUDY = ("disabled", "from", "to", "hours", "sample", "any_series", "all_series")
ELSE = "else"
"""The key of a fallback's condition, as in the configuration."""
_MOST_NAMED = 50
"""Series of a study that a condition on the study names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesView:
    """One series as routes see it (`seen`).

    Attributes
    ----------
    header
        The merged header of its images; of all instances where none is an image.
    instances, images
        How many there are, and how many of them hold an image.
    without
        What the others are: modalities, or names of SOP classes; captures of a screen, where the images are slices, among them.
    members
        The header of each image; () where only the merged one is known.
    counted
        Whether `images` is how many there are; False where nobody said.
    """

    series_instance_uid: str
    header: Header
    instances: int
    images: int
    without: tuple[str, ...] = ()
    members: tuple[Header, ...] = field(default=(), repr=False, compare=False)
    counted: bool = True

    @property
    def slices(self) -> int:
        """Images in the series: frames of a multi-frame series, instances of any other."""
        frames = [value for value in self.header.get("NumberOfFrames", ()) if isinstance(value, int)]
        return max(self.images, *frames) if frames else self.images


def seen(series_instance_uid: str, instances: Sequence[tuple[str, Header]]) -> SeriesView:
    """The view of a series of these instances: SOP Class UID ("" where it is not known) and header of each.

    A data set that names no class is of the one that its file's meta information names.
    """
    images: list[Header] = []
    without: dict[str, None] = {}
    of_slices = holds_slices(instances)
    for sop_class_uid, header in instances:
        if is_image(sop_class_uid, header, of_slices=of_slices):
            images.append(header if class_of(header) or not sop_class_uid else {**header, "SOPClassUID": (sop_class_uid,)})
        else:
            modality = _modality(header)
            without[modality if modality in MODALITIES_WITHOUT_IMAGES else class_name(sop_class_uid)] = None
    return SeriesView(
        series_instance_uid=series_instance_uid,
        header=merge(images or [header for _, header in instances]),
        instances=len(instances),
        images=len(images),
        without=tuple(without),
        members=tuple(images),
    )


def is_image(sop_class_uid: str, header: Header, *, of_slices: bool = False) -> bool:
    """Whether an instance is an image, by the table that reading goes by as well (`inference.imaging.sop_classes`).

    `of_slices`: it stands among slices (`holds_slices`), where a capture of a screen is none.
    """
    captured = of_slices and is_capture(sop_class_uid, placed=_says_where(header))
    return not captured and holds_image(sop_class_uid, _modality(header), rows="Rows" in header)


def holds_slices(instances: Iterable[tuple[str, Header]]) -> bool:
    """Whether any of these instances of one series (SOP Class UID and header) is one of a stack."""
    return any(is_slice(uid, placed=_says_where(header)) and is_image(uid, header) for uid, header in instances)


def _says_where(header: Header) -> bool:
    return "ImagePositionPatient" in header or "ImageOrientationPatient" in header


def class_of(header: Header) -> str:
    """The SOP Class UID that a header names; "" where it names none."""
    return str(next(iter(header.get("SOPClassUID", ())), ""))


def _modality(header: Header) -> str:
    return "\\".join(map(str, header.get("Modality", ())))


def decide(
    routes: Sequence[Route],
    series: Sequence[SeriesView],
    *,
    peer: str | None,
    calling: str,
    called: str,
    now: datetime,
    study: Sequence[SeriesView] | None = None,
    excluded: Callable[[Route, SeriesView], bool] = lambda _route, _view: False,
    taken: Mapping[str, str] = MappingProxyType({}),
    came: datetime | None = None,
) -> list[Decision]:
    """One decision for every route and series, in the order of `routes`, then of `series`.

    Every condition is tried, also after one that did not hold, so that an explanation is complete. NumberOfSeriesRelatedInstances,
    NumberOfStudyRelatedInstances and NumberOfStudyRelatedSeries count what was received.

    Parameters
    ----------
    peer, calling
        Who sent the series: the peer's name (None: a stranger) and the calling AE title.
    called
        The AE title of this node that was called.
    now
        Aware UTC; what WITHIN counts from.
    study
        All series of the study, for conditions on any and all of them; None: `series` are all.
    excluded
        Whether no application of a route is for a series, by its headers: then it is the best only where none is better.
    taken
        By series: which route takes it, so that a fallback does not (`node.routing.untaken`).
    came
        When the last image of the study came (aware); None: nobody knows, and hours are not asked.
    """
    counted = counted_views(series)
    # the gate answers once about each view that it is given, and has put those of one subject together
    as_given = {one.series_instance_uid: one for one in series}

    def for_none(route: Route, view: SeriesView) -> bool:
        return excluded(route, as_given[view.series_instance_uid])

    of_study = []
    if any(route.any_series or route.all_series for route in routes):
        same = study is None or (len(study) == len(series) and all(map(operator.is_, study, series)))
        of_study = counted if study is None or same else counted_views(study)
    tried: dict[str, list[TriedTogether]] = {}
    for route in routes:
        before, behind = _senders(route, peer, calling, called, came), _of_study(route, of_study, now)
        tried[route.name] = [_tried(route, view, before, behind, _left(route, view, taken), now) for view in counted]
    together: dict[str, list[Route]] = {}
    for route in routes:
        together.setdefault(_chooses_with(route), []).append(route)
    fitting = {name: [view for view, one in zip(counted, of, strict=True) if one.held and holds_images(view)] for name, of in tried.items()}
    best = {name: _best(of, fitting, for_none, now) for name, of in together.items()}
    return [
        decision
        for route in routes
        for decision in _choose(
            route,
            best[_chooses_with(route)],
            zip(counted, tried[route.name], strict=True),
            len(fitting[route.name]),
            for_none,
            now,
        )
    ]


def counted_views(series: Sequence[SeriesView]) -> list[SeriesView]:
    """The series with how many instances and series these are all together."""
    of_study: dict[str, tuple[Value, ...]] = {
        "NumberOfStudyRelatedInstances": (sum(one.instances for one in series),),
        "NumberOfStudyRelatedSeries": (len(series),),
    }
    counts = "NumberOfSeriesRelatedInstances"
    return [replace(view, header={**view.header, counts: (view.instances,), **of_study}) for view in series]


# ---- conditions


def _tried(
    route: Route, view: SeriesView, before: tuple[Tried, ...], behind: tuple[Tried, ...], left: tuple[Tried, ...], now: datetime
) -> TriedTogether:
    """All that the route asks about one series: `before` its conditions, the conditions, and what is told `behind` them."""
    own = try_together(route.when, view.header, now)
    if not (before or behind or left) and route.sample >= 1:
        return own
    first, last = (*before, *_sampled(route, view)), (*behind, *left)
    told = (*first, *own.tried, *last)
    against = own.against if all(one.held for one in (*first, *last)) else against_text(told)
    return TriedTogether(tried=told, held=not against, against=against)


def _senders(route: Route, peer: str | None, calling: str, called: str, came: datetime | None) -> tuple[Tried, ...]:
    tried = []
    if route.disabled:
        tried.append(Tried(key="disabled", expected="false", found="true", held=False))
    if route.peers:
        found = peer if peer is not None else f"no peer ({calling})"
        tried.append(Tried(key="from", expected=one_of(route.peers), found=found, held=peer in route.peers))
    if route.called:
        tried.append(Tried(key="to", expected=one_of(route.called), found=called, held=called in route.called))
    if route.hours is not None and came is not None:
        tried.append(try_hours(route.hours, came))
    return tuple(tried)


def _sampled(route: Route, view: SeriesView) -> tuple[Tried, ...]:
    """Whether the study is one of the sample; a series that names no study is."""
    if route.sample >= 1:
        return ()
    study = next(iter(view.header.get("StudyInstanceUID", ())), "")
    share = _share(str(study)) if study else 0.0
    found = f"at {100 * share:.2f} %" if study else "no StudyInstanceUID, taken to be one of them"
    return (Tried(key="sample", expected=f"the first {100 * route.sample:g} % of studies", found=found, held=share < route.sample),)


def _left(route: Route, view: SeriesView, taken: Mapping[str, str]) -> tuple[Tried, ...]:
    """Whether a fallback finds that no other route takes the series."""
    if not route.fallback:
        return ()
    by = taken.get(view.series_instance_uid)
    found = "taken by none" if by is None else f"taken by {by}"
    return (Tried(key=ELSE, expected="taken by no other route", found=found, held=by is None),)


@lru_cache(maxsize=1024)
def _share(study: str) -> float:
    """Where a study lies among all, 0 to 1, by its UID alone."""
    return int.from_bytes(hashlib.sha256(f"sample\n{study}".encode()).digest()[:8], "big") / 2**64


def _of_study(route: Route, counted: Sequence[SeriesView], now: datetime) -> tuple[Tried, ...]:
    """Those on any and on all series of the study, which know how many they are."""
    tried = []
    if route.any_series:
        tried.append(_try_any("any_series", route.any_series, counted, now))
    if route.all_series:
        images = [view for view in counted if holds_images(view)]
        others = [view for view in images if not _fits(route.all_series, view, now)]
        found = f"not {_all_named(others)}" if others else f"all {len(images)}" if images else "no series of images"
        held = bool(images) and not others
        tried.append(Tried(key="all_series", expected=together_text(route.all_series), found=found, held=held))
    return tuple(tried)


def try_any(key: str, conditions: Sequence[Asked], study: Sequence[SeriesView], now: datetime) -> Tried:
    """Whether all of the conditions hold for at least one series of the study."""
    return _try_any(key, conditions, counted_views(study), now)


def _try_any(key: str, conditions: Sequence[Asked], counted: Sequence[SeriesView], now: datetime) -> Tried:
    fitting = [view for view in counted if _fits(conditions, view, now)]
    found = _all_named(fitting) if fitting else f"none of {len(counted)} series"
    return Tried(key=key, expected=together_text(conditions), found=found, held=bool(fitting))


def _fits(conditions: Sequence[Asked], counted: SeriesView, now: datetime) -> bool:
    return try_together(tuple(conditions), counted.header, now).held


def about_study(decisions: Iterable[Decision]) -> bool:
    """Whether the route of these decisions is about their study, whatever it says of single series."""
    return any(all(one.held for one in decision.tried if one.key in _OF_STUDY) for decision in decisions)


# ---- the series that a route runs on


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """The best series of a route, or of all that choose together, and which of these takes it; `prefers` is the route that says by what it
    is the best, and `of` how many series there were."""

    route: Route
    view: SeriesView
    prefers: Route
    of: int


def _chooses_with(route: Route) -> str:
    """A text that routes have in common of which one takes one series."""
    return f"choose {route.choose}" if route.choose else f"route {route.name}"


def outchosen(routes: Sequence[Route], decisions: Iterable[Decision]) -> frozenset[str]:
    """The routes of which another one takes the series of the study that they choose together."""
    taking = {one.route for one in decisions if one.chosen}
    won = {route.choose for route in routes if route.choose and route.name in taking}
    return frozenset(route.name for route in routes if route.choose in won and route.name not in taking)


def _best(
    together: Sequence[Route],
    fitting: Mapping[str, Sequence[SeriesView]],
    excluded: Callable[[Route, SeriesView], bool],
    now: datetime,
) -> _Best | None:
    found = [(route, view) for route in together for view in fitting[route.name]]
    if not found:
        return None
    # one that no application is for wins over none that one is for
    several = len(found) > 1 and not together[0].each
    fit = [(route, view) for route, view in found if not excluded(route, view)] if several else []
    prefers = next((route for route in together if route.prefer), together[0])
    # of several routes that take it the first: min() keeps the order
    route, view = min(fit or found, key=lambda one: (ranks_of(prefers, one[1], now), preference(one[1])))
    return _Best(route=route, view=view, prefers=prefers, of=len({one.series_instance_uid for _, one in found}))


def _choose(
    route: Route,
    best: _Best | None,
    series: Iterable[tuple[SeriesView, TriedTogether]],
    fitting: int,
    excluded: Callable[[Route, SeriesView], bool],
    now: datetime,
) -> list[Decision]:
    """About each of the series, with the conditions as tried; `fitting` is of how many all hold, which are of images."""
    decisions = []
    for view, conditions in series:
        has, fits = holds_images(view), conditions.held
        chosen = fits and has and (route.each or (best is not None and route is best.route and view is best.view))
        if not fits:
            reason = conditions.against
        elif not has:
            reason = f"the series holds no images ({', '.join(view.without)})"
        elif chosen:
            assert best is not None, "of what fits something is the best"
            reason = _why_chosen(route, view, fitting if route.each else best.of)
        else:
            assert best is not None, "a series that fits and is not chosen lost against another"
            reason = _why_lost(route, view, best, excluded, now)
        decisions.append(
            Decision(
                route=route.name,
                series_instance_uid=view.series_instance_uid,
                matched=fits,
                chosen=chosen,
                tried=conditions.tried,
                reason=reason,
            )
        )
    return decisions


NEWEST = (("AcquisitionDate", "AcquisitionTime"), ("SeriesDate", "SeriesTime"), ("StudyDate", "StudyTime"))
"""What says when a series was taken, the first that is there."""


def ranks_of(route: Route, view: SeriesView, now: datetime) -> tuple[float, ...]:
    """Smallest first, in the order of what the route prefers."""
    return tuple(_rank(one, view, now) for one in route.prefer)


def _rank(one: Preference, view: SeriesView, now: datetime) -> float:
    match one:
        case Preferred.THINNEST:
            return _least(view.header, "SliceThickness")
        case Preferred.MOST_IMAGES:
            return -view.slices
        case Preferred.NEWEST:
            return -_taken(view.header)
    return float(not _fits(one, view, now))


def _taken(header: Header) -> float:
    """Its last date and time as one number (YYYYMMDDHHMMSS.FFFFFF); 0 where no date says it."""
    for day, time in NEWEST:
        days = [text for value in header.get(day, ()) if len(text := str(value)) == 8 and text.isascii() and text.isdigit()]
        if days:
            seconds = [found for value in header.get(time, ()) if (found := seconds_of(str(value))) is not None]
            return float(max(days)) * 1e5 + max(seconds, default=0.0)
    return 0.0


def _less_preferred(route: Route, view: SeriesView, best: SeriesView, now: datetime) -> str:
    """Which preference of the route decided against a series; "" where none did."""
    for one in route.prefer:
        mine, other = _rank(one, view, now), _rank(one, best, now)
        if mine != other:
            match one:
                case Preferred.THINNEST:
                    return f"{named(best)} has thinner slices ({_mm(other)} < {_mm(mine)})"
                case Preferred.MOST_IMAGES:
                    return f"{named(best)} has more images ({-other:g} > {-mine:g})"
                case Preferred.NEWEST:
                    return f"{named(best)} is newer"
            return f"{named(best)} is preferred: {together_text(one)}"
    return ""


def holds_images(view: SeriesView) -> bool:
    """Whether there is anything in the series that could be analysed."""
    return view.images > 0


def series_number(view: SeriesView) -> float:
    """The lowest SeriesNumber; infinite where there is none."""
    return _least(view.header, "SeriesNumber")


def preference(view: SeriesView) -> tuple[int, float, float, str]:
    """Smallest first: most slices, then the thinnest, then the lowest SeriesNumber, then the UID."""
    return -view.slices, _least(view.header, "SliceThickness"), series_number(view), view.series_instance_uid


def _least(header: Mapping[str, tuple[Value, ...]], keyword: str) -> float:
    return min((float(value) for value in header.get(keyword, ()) if not isinstance(value, str)), default=float("inf"))


def _why_chosen(route: Route, view: SeriesView, fitting: int) -> str:
    if fitting == 1:
        return "all conditions hold; the only series of images that fits"
    if route.each:
        return f"all conditions hold; one of {fitting} series, each is run"
    among = f" a route of {route.choose}" if route.choose else ""
    return f"all conditions hold; {named(view)} is the best of {fitting} that fit{among}"


def _why_lost(route: Route, view: SeriesView, best: _Best, excluded: Callable[[Route, SeriesView], bool], now: datetime) -> str:
    """Why another series is taken, or another route takes this one."""
    if excluded(route, view) and not excluded(best.route, best.view):
        return "no application of the route is for it"
    if view is best.view:
        return f"{best.route.name} takes it, which stands before this one; one route of {route.choose} does"
    why = _less_preferred(best.prefers, view, best.view, now) or _why_not(view, best.view)
    return why if best.route is route else f"{why}; {best.route.name} takes that, and one route of {route.choose} takes one"


def _why_not(view: SeriesView, best: SeriesView) -> str:
    name = named(best)
    if best.slices != view.slices:
        return f"{name} has more images ({best.slices} > {view.slices})"
    if (thinner := _least(best.header, "SliceThickness")) != (thicker := _least(view.header, "SliceThickness")):
        return f"{name} has thinner slices ({_mm(thinner)} < {_mm(thicker)})"
    if (lower := _least(best.header, "SeriesNumber")) != (higher := _least(view.header, "SeriesNumber")):
        return f"{name} has the lower SeriesNumber ({lower:g} < {higher:g})"
    return f"{name} is equal in all that counts and has the lower UID"


def named(view: SeriesView) -> str:
    number = _least(view.header, "SeriesNumber")
    return f"series {view.series_instance_uid}" if number == float("inf") else f"series {number:g}"


def _all_named(series: Sequence[SeriesView]) -> str:
    """The sentence stands in the decision on every series: it does not grow with their number."""
    names = ", ".join(named(view) for view in series[:_MOST_NAMED])
    return names if len(series) <= _MOST_NAMED else f"{names} and {len(series) - _MOST_NAMED} more"


def _mm(thickness: float) -> str:
    return "unknown" if thickness == float("inf") else f"{thickness:g} mm"
