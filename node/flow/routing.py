"""Which routes take which series, and why: pure functions over merged headers, without journal or clock.

`node.flow.route` turns the decisions into jobs; `hilum routes explain` prints them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from node.domain.header import Header, Value
from node.domain.route import Condition, Decision, Operator, Route, Tried

NO_IMAGES = frozenset(
    {"SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTRECORD", "RTDOSE", "REG", "FID", "RWV", "DOC", "AU", "ECG", "PLAN"}
)
"""Modalities whose instances hold no images that could be analysed (PS3.3 C.7.3.1.1.1)."""

_AHEAD = timedelta(hours=14)  # a DA value has no zone: the sender's day may have begun 14 h before the UTC one
_SHOWN = 5  # values of one keyword in an explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesView:
    """One series as routes see it: the merged header of its instances, and how many there are."""

    series_instance_uid: str
    header: Header
    instances: int

    @property
    def slices(self) -> int:
        """Images in the series: frames of a multi-frame series, instances of any other."""
        frames = [value for value in self.header.get("NumberOfFrames", ()) if isinstance(value, int)]
        return max(self.instances, *frames) if frames else self.instances


def decide(
    routes: Sequence[Route],
    series: Sequence[SeriesView],
    *,
    peer: str | None,
    calling: str,
    called: str,
    now: datetime,
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
    """
    counted = [_with_counts(view, series) for view in series]
    decisions: list[Decision] = []
    for route in routes:
        tried = [(*_senders(route, peer, calling, called), *(_try(condition, view, now) for condition in route.when)) for view in counted]
        decisions.extend(_choose(route, counted, tried))
    return decisions


def _with_counts(view: SeriesView, series: Sequence[SeriesView]) -> SeriesView:
    header: dict[str, tuple[Value, ...]] = {
        **view.header,
        "NumberOfSeriesRelatedInstances": (view.instances,),
        "NumberOfStudyRelatedInstances": (sum(one.instances for one in series),),
        "NumberOfStudyRelatedSeries": (len(series),),
    }
    return SeriesView(series_instance_uid=view.series_instance_uid, header=header, instances=view.instances)


# ---- conditions


def _senders(route: Route, peer: str | None, calling: str, called: str) -> tuple[Tried, ...]:
    tried = []
    if route.peers:
        found = peer if peer is not None else f"no peer ({calling})"
        tried.append(Tried(key="from", expected=_one_of(route.peers), found=found, held=peer in route.peers))
    if route.called:
        tried.append(Tried(key="to", expected=_one_of(route.called), found=called, held=called in route.called))
    return tuple(tried)


def _try(condition: Condition, view: SeriesView, now: datetime) -> Tried:
    values = view.header.get(condition.keyword)
    held = _holds(condition, values or (), now) != condition.negated
    return Tried(key=condition.keyword, expected=expected_text(condition), found=_found_text(values), held=held)


def _holds(condition: Condition, values: tuple[Value, ...], now: datetime) -> bool:
    expected = condition.expected
    match condition.operator:
        case Operator.EXISTS:
            return bool(values) == bool(expected[0])
        case Operator.EQUALS:
            return any(value in expected for value in values)  # text exactly, numbers as numbers
        case Operator.MATCHES:
            patterns = [_pattern(str(one)) for one in expected]
            return any(pattern.search(_text(value)) is not None for value in values for pattern in patterns)
        case Operator.MIN:
            # a bound holds for all values: a series with one slice too thick is too thick
            return bool(values) and all(not isinstance(value, str) and value >= _bound(expected) for value in values)
        case Operator.MAX:
            return bool(values) and all(not isinstance(value, str) and value <= _bound(expected) for value in values)
        case Operator.WITHIN:
            return any(_within(value, timedelta(seconds=_bound(expected)), now) for value in values)


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _bound(expected: tuple[Value, ...]) -> float:
    return float(expected[0])


def _within(value: Value, duration: timedelta, now: datetime) -> bool:
    """Whether some moment of the day `value` (DA: YYYYMMDD) lies between `duration` ago and now."""
    try:
        day = datetime.strptime(str(value).strip(), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    # a difference, not a point in time: now - duration may lie before year 1
    return day - now <= _AHEAD and now - day < duration + timedelta(days=1)


# ---- the series that a route runs on


def _choose(route: Route, series: Sequence[SeriesView], tried: Sequence[tuple[Tried, ...]]) -> list[Decision]:
    matched = [all(one.held for one in conditions) for conditions in tried]
    images = [not _imageless(view) for view in series]
    fitting = [view for view, fits, has in zip(series, matched, images, strict=True) if fits and has]
    best = min(fitting, key=preference, default=None)
    decisions = []
    for view, fits, has, conditions in zip(series, matched, images, tried, strict=True):
        chosen = fits and has and (route.each or view is best)
        if not fits:
            reason = "; ".join(f"{one.key} is {one.found}, expected {one.expected}" for one in conditions if not one.held)
        elif not has:
            reason = f"the series holds no images ({_imageless(view)})"
        elif chosen:
            reason = _why_chosen(route, view, fitting)
        else:
            assert best is not None, "a series that fits and is not chosen lost against another"
            reason = _why_not(view, best)
        decisions.append(
            Decision(
                route=route.name,
                series_instance_uid=view.series_instance_uid,
                matched=fits,
                chosen=chosen,
                tried=conditions,
                reason=reason,
            )
        )
    return decisions


def holds_images(view: SeriesView) -> bool:
    """Whether there is anything in the series that could be analysed."""
    return not _imageless(view)


def _imageless(view: SeriesView) -> str:
    """The series' modality when that one holds no images, else the empty text."""
    found = [str(value) for value in view.header.get("Modality", ()) if value in NO_IMAGES]
    return ", ".join(found)


def preference(view: SeriesView) -> tuple[int, float, float, str]:
    """Smallest first: most slices, then the thinnest, then the lowest SeriesNumber, then the UID."""
    return -view.slices, _least(view.header, "SliceThickness"), _least(view.header, "SeriesNumber"), view.series_instance_uid


def _least(header: Mapping[str, tuple[Value, ...]], keyword: str) -> float:
    return min((float(value) for value in header.get(keyword, ()) if not isinstance(value, str)), default=float("inf"))


def _why_chosen(route: Route, view: SeriesView, fitting: Sequence[SeriesView]) -> str:
    if len(fitting) == 1:
        return "all conditions hold; the only series of images that fits"
    if route.each:
        return f"all conditions hold; one of {len(fitting)} series, each is run"
    return f"all conditions hold; {named(view)} is the best of {len(fitting)} that fit"


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


def _mm(thickness: float) -> str:
    return "unknown" if thickness == float("inf") else f"{thickness:g} mm"


# ---- texts


def expected_text(condition: Condition) -> str:
    """What a condition asks for, in a person's words ("one of ABDOMEN, LIVER", "not CT", "at most 5")."""
    first = condition.expected[0] if condition.expected else ""
    match condition.operator:
        case Operator.EQUALS:
            text = _one_of([_text(one) for one in condition.expected])
        case Operator.MATCHES:
            text = "a match of " + " or ".join(_text(one) for one in condition.expected)
        case Operator.MIN:
            text = f"at least {_text(first)}"
        case Operator.MAX:
            text = f"at most {_text(first)}"
        case Operator.EXISTS:
            text = "present" if first else "absent"
        case Operator.WITHIN:
            text = f"within {_duration_text(float(first))}"
    return f"not {text}" if condition.negated else text


def _one_of(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else "one of " + ", ".join(values)


def _found_text(values: tuple[Value, ...] | None) -> str:
    if values is None:
        return "absent"
    if not values:
        return "empty"
    shown = ", ".join(_text(value) for value in values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown} and {len(values) - _SHOWN} more"


def _text(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def _duration_text(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
