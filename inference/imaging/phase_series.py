"""Phases that came as a series each, as scanners send 4-D CT: which series of one grid are phases, in what order, and which are none.

What routing and reading both go by: values of headers by keyword, of images whose places are known. Elements are believed in one order:
shares of a beat or of a breath, such shares in SeriesDescription ("T=30%", "Gated, 30.0%"), temporal positions, times from a trigger, and
acquisition times last. Averages and projections that were computed of all phases lie on the same grid and are none.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final, TypeAlias

import numpy as np
from pydicom.datadict import tag_for_keyword

from inference.errors import InputError, quoted
from inference.imaging import tags
from inference.imaging.errors import OVER_MIDNIGHT, DuplicatePosition, NoClock, PhasesApart, PhasesMissing, naming
from inference.imaging.geometry import Plane, places_of
from inference.imaging.groups import macro
from inference.imaging.judge.computed import computed_by
from inference.imaging.slices import FrameData
from inference.imaging.subject import Clock

Said: TypeAlias = Mapping[str, tuple[str | float | int, ...]]
"""What the header of an image says, by keyword: numbers as numbers, times and descriptions as text."""

_NUMBERS: Final = (
    *("NominalPercentageOfCardiacPhase", "NominalPercentageOfRespiratoryPhase", "TemporalPositionIdentifier", "NumberOfTemporalPositions"),
    *("TemporalPositionIndex", "TriggerTime", "SeriesNumber", "HeartRate"),
)
_TEXTS: Final = (
    "SeriesDescription",
    "ProtocolName",
    "BodyPartExamined",
    "ImageType",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "AcquisitionTime",
)
LOOKED_AT = frozenset({*_NUMBERS, *_TEXTS})
"""The keywords that anything here is decided by."""

_SHARES: Final = {"NominalPercentageOfCardiacPhase": Clock.HEART, "NominalPercentageOfRespiratoryPhase": Clock.BREATH}
_DATE, _TIME = "AcquisitionDate", "AcquisitionTime"
_DAY = re.compile(r"\d{8}")
_HALF_A_DAY: Final = 120000.0
"""Of the digits of a TM."""
_POSITIONS: Final = ("TemporalPositionIdentifier", "TemporalPositionIndex")
_GROUPS: Final = {
    "NominalPercentageOfCardiacPhase": 0x00189118,
    "NominalPercentageOfRespiratoryPhase": 0x00209253,
    "TemporalPositionIndex": tags.FRAME_CONTENT,
}
"""In the functional groups of an enhanced image (PS3.3 C.7.6.16.2): Cardiac and Respiratory Synchronization, Frame Content."""
_READ: Final = 256
"""Characters of a description that are looked at."""
_PERCENT = re.compile(r"(?<![\d.,])(\d{1,3}(?:[.,]\d+)?)\s?%")
_BLENDED = re.compile(r"(?<![a-z])asir(?:[ -]?v)?[ :=]*\d{1,3}\s?%|(?<![\d.,])\d{1,3}\s?%[ ]?asir", re.IGNORECASE)
"""Shares of how an image was computed: series of one acquisition that differ in it are no phases."""
_AMPLITUDE = re.compile(r"%\s?(?:in|ex)", re.IGNORECASE)
"""Shares of the depth of a breath ("25% In", "25% Ex"): each comes twice in a breath, and none is a time."""
_OF_HEART = re.compile(r"(?<![a-z])(?:card|coron|cor|heart|herz|cta|diast|syst|best|ecg|ekg|r-?r(?![a-z]))", re.IGNORECASE)
_OF_BREATH = re.compile(r"(?<![a-z])(?:resp|breath|atem|t\s?=|gated|4-?d(?![a-z]))", re.IGNORECASE)
_CERTAINLY_OF_BREATH = re.compile(r"(?<![a-z])(?:resp|breath|atem|t\s?=)", re.IGNORECASE)
"""Words that say what a share is of: "gated" and "4D" stand in descriptions of hearts too."""
_HEARTS = frozenset({"HEART", "CORONARY", "CORONARYARTERY"})
_AVERAGES = frozenset({"AVERAGE", "AVG", "MEAN", "AIP"})
"""Values of ImageType of what was computed over all phases, beside those of projections."""
_AVERAGED = re.compile(r"(?<![A-Z])(?:AVERAGED?|AVG|AVE|AIP|AVIP|MEAN|MIPS?|MAXIP|MINIPS?|MNIP)(?![A-Z])")
_WHOLE = 100.0
"""Percent of a breath."""
_ROUNDED = 0.02
"""Of a step: by how much shares may be off where writers round them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One series with one image at each of its places: what the header of each says, in the order of the places, and where these lie
    along the normal."""

    series_instance_uid: str
    images: tuple[Said, ...]
    depths_mm: tuple[float, ...]

    @property
    def name(self) -> str:
        """What people call it by."""
        number = _first(self.images, "SeriesNumber")
        return f"series {number:g}" if isinstance(number, int | float) else f"series {self.series_instance_uid}"

    @property
    def description(self) -> str:
        return str(_first(self.images, "SeriesDescription") or "")[:_READ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSeries:
    """Series of one grid as phases.

    Attributes
    ----------
    order
        The phases in the order of time; where `fault` is, all that are of them. Fewer than two: nothing tells the series apart.
    left_out
        By UID those that are no phases, and why, for people.
    keyword
        The element that tells them apart; "" where none does.
    clock
        What the time is counted by, of `shares` and of acquisition times; None where that is not said, or for others to find.
    shares
        Percent of a beat or a breath, one per phase; None where they were told apart by something else.
    called
        By UID which phase each is, for people; of those of which nothing says it, none.
    missing
        The phases, by what tells them apart, that are missing among the others.
    fault
        Why they are not one volume over time: a phase is missing, came twice, lacks slices, or cannot be told.
    """

    order: tuple[Stack, ...]
    left_out: Mapping[str, str]
    keyword: str = ""
    clock: Clock | None = None
    shares: tuple[float, ...] | None = None
    called: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[float, ...] = ()
    fault: InputError | None = None


def a_series_each(planes: Sequence[Plane], series: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """By series the indices of its planes in the order of their places, where several series hold one image at each of two places or more;
    {} of anything else.

    Parameters
    ----------
    series
        SeriesInstanceUID of each plane.

    Raises
    ------
    InputError
        The planes of a series are not parallel, or nowhere.
    """
    members: dict[str, list[int]] = {}
    for index, uid in enumerate(series):
        members.setdefault(uid, []).append(index)
    if len(members) < 2:
        return {}
    found = {}
    for uid, indices in members.items():
        places = places_of([planes[index] for index in indices])
        if len(places) < 2 or any(len(place) > 1 for place in places):
            return {}
        found[uid] = tuple(indices[place[0]] for place in places)
    return found


def stack_of(series_instance_uid: str, planes: Sequence[Plane], images: Iterable[Said]) -> Stack:
    """A series as a stack: its planes in the order of their places, and what the image of each says."""
    across, down = np.array(planes[0].orientation[:3]), np.array(planes[0].orientation[3:])
    depths = np.array([one.position for one in planes]) @ np.cross(across, down)
    return Stack(series_instance_uid=series_instance_uid, images=tuple(images), depths_mm=tuple(map(float, depths)))


def said_of(frame: FrameData) -> Said:
    """What the header of an image, and the functional groups of a frame, say of all that is looked at here."""
    found: dict[str, tuple[str | float | int, ...]] = {}
    for keyword in _NUMBERS:
        enhanced = frame.enhanced and keyword in _GROUPS
        holder = macro(frame.own, frame.common, _GROUPS[keyword], frame.uid) if enhanced else frame.header
        if (number := tags.stated(holder, tag_for_keyword(keyword) or 0, 1)) is not None:
            found[keyword] = number
    for keyword in _TEXTS:
        if text := tags.text(frame.header, tag_for_keyword(keyword) or 0):
            found[keyword] = tuple(part.strip() for part in text.split("\\"))
    return found


def no_phase(stack: Stack) -> str:
    """Why a series is none of the phases on its grid, for people; "" where nothing says so. It is an average of them, or a projection."""
    kinds = [str(value).upper() for value in stack.images[0].get("ImageType", ())]
    if value := next((one for one in kinds if one in _AVERAGES), ""):
        return f"ImageType has {value}: it was computed of all phases"
    if _AVERAGED.search(stack.description.upper().replace("_", " ")):
        return f"SeriesDescription is {quoted(stack.description)}: it was computed of all phases"
    return computed_by(kinds, stack.description)


def phase_series(stacks: Sequence[Stack]) -> PhaseSeries:
    """Which of several series on one grid are phases, and in what order.

    Parameters
    ----------
    stacks
        In any order; of each the images in the order of their places. Some may lack places that others have.
    """
    left_out = {one.series_instance_uid: why for one in stacks if (why := no_phase(one))}
    there = [one for one in stacks if one.series_instance_uid not in left_out]
    for keyword, read in _READINGS.items():
        told = read(there)
        if len(told) < 2 or len(set(told.values())) < 2 or 2 * len(told) < len(there):
            continue
        clock = _clock(keyword, there)
        phases = sorted((one for one in there if one.series_instance_uid in told), key=lambda one: told[one.series_instance_uid])
        values = [told[one.series_instance_uid] for one in phases]
        missing = _missing(keyword, values, clock, phases)
        untold = [one for one in there if one.series_instance_uid not in told]
        fault = (
            _over_midnight(keyword, values, phases)
            or _doubled(keyword, phases, values)
            or _untold(keyword, untold, missing)
            or _lacking(keyword, values, missing)
        )
        if untold and not fault:
            left_out |= {one.series_instance_uid: f"{keyword} does not say which phase it is, and none is missing" for one in untold}
        elif untold:
            phases += untold
        shares = tuple(values) if keyword in _SHARES or keyword == _DESCRIBED else None
        return PhaseSeries(
            order=tuple(phases),
            left_out=left_out,
            keyword=keyword,
            clock=clock,
            shares=None if fault else shares,
            called={uid: f"phase {_called(keyword, value)}" for uid, value in told.items() if shares or keyword in _POSITIONS},
            missing=tuple(missing),
            fault=fault or _short(phases),
        )
    return PhaseSeries(order=(), left_out=left_out)


def told_by(keyword: str, stacks: Sequence[Stack]) -> dict[str, float]:
    """What one element says of the phase of each series, by UID of those of which it says one."""
    return _READINGS[keyword](stacks)


def _first(images: Sequence[Said], keyword: str) -> str | float | int | None:
    return next((value for one in images for value in one.get(keyword, ())[:1]), None)


def _constant(keyword: str) -> Callable[[Sequence[Stack]], dict[str, float]]:
    """Reads one number that all images of a series have alike; by UID of those that do."""

    def read(stacks: Sequence[Stack]) -> dict[str, float]:
        found = {}
        for one in stacks:
            values = {tuple(image.get(keyword, ())) for image in one.images}
            (only,) = values if len(values) == 1 else ((),)
            if len(only) == 1 and not isinstance(only[0], str):
                found[one.series_instance_uid] = float(only[0])
        return found

    return read


def _described(stacks: Sequence[Stack]) -> dict[str, float]:
    """The share that the description of each has and those of the others have not: a "dose 40%" stands in all of them."""
    stated: dict[str, Counter[float]] = {}
    for one in stacks:
        described = _BLENDED.sub(" ", one.description)
        shares = [float(number.replace(",", ".")) for number in _PERCENT.findall(described)]
        if shares and max(shares) <= _WHOLE and not _AMPLITUDE.search(described):
            stated[one.series_instance_uid] = Counter(shares)
    if not stated:
        return {}
    first, *others = stated.values()
    common = first.copy()
    for each in others:
        common &= each
    own = {uid: [*(each - common).elements()] for uid, each in stated.items()}
    return {uid: shares[0] for uid, shares in own.items() if len(shares) == 1}


def _timed(keyword: str, *, apart: bool) -> Callable[[Sequence[Stack]], dict[str, float]]:
    """Reads times that rise from series to series at every place (`apart`: all of one before all of the next); of all series, or none."""

    def read(stacks: Sequence[Stack]) -> dict[str, float]:
        if len({len(one.images) for one in stacks}) != 1:
            return {}
        times = {one.series_instance_uid: [_ms(image, keyword) for image in one.images] for one in stacks}
        if keyword == _TIME and _dated(stacks):
            times = {one.series_instance_uid: [_ms(image, _DATE, keyword) for image in one.images] for one in stacks}
        known = {uid: [time for time in each if time is not None] for uid, each in times.items()}
        if any(len(each) < len(times[uid]) for uid, each in known.items()):
            return {}
        ordered = sorted(known.values(), key=median)
        rises = all(
            max(one) < min(two) if apart else all(before < after for before, after in zip(one, two, strict=True))
            for one, two in pairwise(ordered)
        )
        return {uid: median(each) for uid, each in known.items()} if rises else {}

    return read


def _dated(stacks: Sequence[Stack]) -> bool:
    """Whether every image says the day of its acquisition (DA, PS3.5 6.2), and not all the same: that may be the study's."""
    days = {str(next(iter(image.get(_DATE, ())), "")).strip() for one in stacks for image in one.images}
    return len(days) > 1 and all(_DAY.fullmatch(day) for day in days)


def _over_midnight(keyword: str, values: Sequence[float], stacks: Sequence[Stack]) -> InputError | None:
    """Times without a day that are half a day apart run over midnight, and put the later phases first."""
    if keyword != _TIME or _dated(stacks) or max(two - one for one, two in pairwise(values)) <= _HALF_A_DAY:
        return None
    return PhasesApart(OVER_MIDNIGHT.format(keyword=keyword))


def _ms(image: Said, *keywords: str) -> float | None:
    """A time from the trigger; of a DT or TM (PS3.5 6.2), or of a DA and a TM, the digits, which rise as time does."""
    values = [next(iter(image.get(keyword, ())), None) for keyword in keywords]
    text = [value.strip() for value in values if isinstance(value, str)]
    if len(text) < len(keywords):
        value = values[-1]
        return None if value is None or isinstance(value, str) else float(value)
    digits, _, fraction = "".join(text).partition("+")[0].partition("-")[0].partition(".")
    return float(f"{digits}.{fraction or '0'}") if digits.isdigit() and (fraction or "0").isdigit() else None


_DESCRIBED: Final = "SeriesDescription"
_ACQUIRED: Final = ("AcquisitionDateTime", _TIME)
_READINGS: Final[Mapping[str, Callable[[Sequence[Stack]], dict[str, float]]]] = {
    **{keyword: _constant(keyword) for keyword in _SHARES},
    _DESCRIBED: _described,
    **{keyword: _constant(keyword) for keyword in _POSITIONS},
    "TriggerTime": _timed("TriggerTime", apart=False),
    **{keyword: _timed(keyword, apart=True) for keyword in _ACQUIRED},
}


def _clock(keyword: str, stacks: Sequence[Stack]) -> Clock | None:
    """What shares are of: by their element, else by the words beside them."""
    if keyword != _DESCRIBED:
        return Clock.TIME if keyword in _ACQUIRED else _SHARES.get(keyword)
    heart = breath = certainly = False
    for one in stacks:
        words = f"{one.description} {_first(one.images, 'ProtocolName') or ''}"
        rate = _first(one.images, "HeartRate")
        heart |= bool(_OF_HEART.search(words)) or str(_first(one.images, "BodyPartExamined")).upper() in _HEARTS
        heart |= not isinstance(rate, str | None) and rate > 0
        breath |= bool(_OF_BREATH.search(words))
        certainly |= bool(_CERTAINLY_OF_BREATH.search(words))
    if heart:
        return None if certainly else Clock.HEART
    return Clock.BREATH if breath else None


def _missing(keyword: str, values: Sequence[float], clock: Clock | None, stacks: Sequence[Stack]) -> list[float]:
    """The phases that are missing among those that are there: between even shares, of a breath around it; between positions, and up to how
    many there are stated to be."""
    there = sorted(set(values))
    if keyword in _POSITIONS:
        stated = {_first(one.images, "NumberOfTemporalPositions") for one in stacks}
        (count,) = stated if len(stated) == 1 else (None,)
        begin = int(min(there[0], 1))
        end = max(int(there[-1]), begin + int(count) - 1 if isinstance(count, int | float) and count <= _MOST_COUNTED else 0)
        return [float(one) for one in range(begin, min(end, begin + _MOST_COUNTED) + 1) if one not in there]
    if keyword not in _SHARES and keyword != _DESCRIBED:
        return []
    steps = [two - one for one, two in pairwise(there)]
    if clock is not Clock.HEART and there[-1] < _WHOLE:
        steps.append(there[0] + _WHOLE - there[-1])
    least = min(steps)
    if max(steps) > _MOST_COUNTED * least:
        return []
    counts = [round(step / least) for step in steps]
    even = all(abs(step / least - count) <= _ROUNDED * count for step, count in zip(steps, counts, strict=True))
    if not even or 2 * counts.count(1) < len(counts):
        return []
    # of a heart some windows of the beat are made, each of several phases: what is far apart is another window
    gaps = [count if clock is not Clock.HEART or count == _LOST else 1 for count in counts]
    return [(begin + least * (number + 1)) % _WHOLE for begin, gap in zip(there, gaps, strict=False) for number in range(gap - 1)]


_LOST: Final = 2
"""Steps where between two phases one is missing."""
_MOST_COUNTED: Final = 1000
"""Of a breath or a beat, and of positions: what is counted finer counts no phases."""
_MOST_NAMED: Final = 5


def _called(keyword: str, value: float) -> str:
    """A phase, for people."""
    return f"{value:g}" if keyword in _POSITIONS else f"{value:.4g} %"


def _phases_called(keyword: str, values: Sequence[float]) -> str:
    named = ", ".join(_called(keyword, value) for value in values[:_MOST_NAMED])
    return named if len(values) <= _MOST_NAMED else f"{named} and {len(values) - _MOST_NAMED} more"


def _doubled(keyword: str, phases: Sequence[Stack], values: Sequence[float]) -> InputError | None:
    for value, count in Counter(values).items():
        if count > 1:
            named = naming(one.name for one, its in zip(phases, values, strict=True) if its == value)
            return DuplicatePosition(
                f"phase {_called(keyword, value)} by {keyword} came in {count} series, {named}: which counts nobody says"
            )
    return None


def _untold(keyword: str, untold: Sequence[Stack], missing: Sequence[float]) -> InputError | None:
    if not untold or not missing:
        return None
    named, lacking = naming(one.name for one in untold), _phases_called(keyword, missing)
    return NoClock(
        f"{len(untold)} of the series on one grid have no {keyword} that says which phase they are, and {lacking} is missing: {named}"
    )


def _lacking(keyword: str, values: Sequence[float], missing: Sequence[float]) -> InputError | None:
    if not missing:
        return None
    there, lacking = sorted(set(values)), _phases_called(keyword, missing)
    return PhasesMissing(
        f"{len(there)} phases came as a series each, told apart by {keyword}, and the study lacks phase {lacking} "
        f"(it has {_phases_called(keyword, there)})"
    )


def _short(phases: Sequence[Stack]) -> InputError | None:
    usual = max(Counter(len(one.images) for one in phases).items(), key=lambda each: (each[1], each[0]))[0]
    others = [one for one in phases if len(one.images) != usual]
    if not others:
        return None
    told = naming(f"{one.name} has {len(one.images)}" for one in others)
    return PhasesMissing(f"{len(others)} of {len(phases)} phases have not {usual} slices as the others: {told}")
