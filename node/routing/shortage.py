"""Shortage: is a series known to be short, and what do its routes do about it? Pure functions over what a journal knows and headers say.

Counts of whole studies hold nothing: they include other people's objects. Nor do gaps between instance numbers, ImagesInAcquisition and
NumberOfTemporalPositions: scanners number as they like, and count what they never send.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from inference.imaging.geometry import DIRECTION_TOLERANCE, missing_slices
from node.domain.instance import Header, Instance
from node.domain.job import Priority
from node.domain.route import Decision, Route, Tried, Withheld
from node.domain.shortage import Lack, NewHold, Shortage, Shortfalls, WhenShort
from node.routing.decisions import is_image
from node.routing.series import SeriesContent
from node.settings.peers import Settle

WHOLE = "whole"
"""The key of a decision's condition that the series is whole."""

_LONGEST = {Priority.URGENT: timedelta(minutes=2), Priority.ROUTINE: timedelta(minutes=30), Priority.OFFPEAK: timedelta(minutes=30)}
LONGEST = max(_LONGEST.values())
"""For how long a series is held where nobody says otherwise."""
_WHOLE = Shortfalls()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a route does with a series that is short, and for how long it waits before."""

    when: WhenShort
    longest: timedelta


def rule_of(route: Route, settle: Settle) -> Rule:
    """The route's own word, else its sender's, else what its priority asks: who needs a result in minutes gets what there is, and is
    told."""
    urgent = route.priority is Priority.URGENT
    when = route.short or settle.short or (WhenShort.REMARK if urgent else WhenShort.HOLD)
    return Rule(when=when, longest=route.longest or settle.longest or _LONGEST[route.priority])


def shortage_of(content: SeriesContent, known: Mapping[str, Shortfalls], *, volume: bool) -> Shortage | None:
    """How short a series is known to be; None where nothing says that it is.

    Parameters
    ----------
    known
        By series, what the journal knows of its study.
    volume
        A volume is to be made of it, so that no slice may be missing between others.
    """
    members = content.current + content.gone
    came = len(members)
    facts = known.get(content.series_instance_uid, _WHOLE)
    counts = [one for one in facts.counts if one.stands]
    listed = max((one.count for one in counts), default=0)
    gap = missing_between(_slices(members)) if volume else 0
    expected = max(came + facts.owed, listed, came + gap)
    if facts.owed:
        return Shortage(lack=Lack.REFUSED, came=came, expected=expected)
    if any(one.count > came + facts.aside.get(one.peer, 0) for one in counts):
        return Shortage(lack=Lack.COUNT, came=came, expected=expected)
    if gap:
        return Shortage(lack=Lack.GAP, came=came, expected=expected)
    if facts.torn and not counts:  # a count that is met says that everything had come before it broke off
        return Shortage(lack=Lack.TORN, came=came, expected=None)
    return None


def _slices(members: Sequence[Instance]) -> list[Header]:
    """Without what is no part of the stack: captures of a screen, and localizers."""
    images = [one.header for one in members if is_image(one.sop_class_uid, one.header, of_slices=True)]
    return [header for header in images if "LOCALIZER" not in header.get("ImageType", ())]


def missing_between(headers: Sequence[Header]) -> int:
    """How many slices are missing between others by ImagePositionPatient along the normal (PS3.3 C.7.6.2.1.1); 0 where images are not
    parallel, have no place, or lie otherwise than evenly, or evenly in blocks of one SliceThickness each."""
    planes = [(_numbers(one, "ImageOrientationPatient", 6), _numbers(one, "ImagePositionPatient", 3)) for one in headers]
    if any(orientation is None or position is None for orientation, position in planes):
        return 0
    orientations = np.array([orientation for orientation, _ in planes], dtype=np.float64)
    if not len(orientations) or float(np.abs(orientations - orientations[0]).max()) > DIRECTION_TOLERANCE:
        return 0
    thick = [_numbers(one, "SliceThickness", 1) for one in headers]
    if None in thick and len(set(thick)) > 1:
        return 0  # of some it is not known: blocks of thinner and of thicker slices may lie side by side
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    depths = [float(np.dot(normal, position)) for _, position in planes if position is not None]
    return missing_slices(depths, [mm[0] for mm in thick if mm is not None])


def condition(shortage: Shortage) -> Tried:
    """As a condition that did not hold, for the decision."""
    return Tried(key=WHOLE, expected="every instance of the series", found=shortage.sentence, held=False)


def held_text(rule: Rule, shortage: Shortage, until: datetime) -> str:
    """Why a route waits, for people."""
    then = "parked as incomplete" if rule.when is WhenShort.HOLD else "analysed as incomplete"
    return f"held until {until:%Y-%m-%d %H:%M:%S} UTC, then {then}: {shortage.sentence}"


def _numbers(header: Header, keyword: str, count: int) -> tuple[float, ...] | None:
    values = header.get(keyword, ())
    if len(values) != count or any(isinstance(value, str) for value in values):
        return None
    return tuple(float(value) for value in values)


@dataclass(slots=True, kw_only=True)
class PlannedHolds:
    """The series that are short: what waits for their rest, and what the decisions of which routes say of them."""

    holds: dict[NewHold, None] = field(default_factory=dict)
    words: dict[tuple[str, str], str] = field(default_factory=dict)
    conditions: dict[tuple[str, str], Shortage] = field(default_factory=dict)

    def add(self, new: NewHold, series: Sequence[str], words: str) -> None:
        """A route waits, with all of the series that its application is given together."""
        self.holds[new] = None
        self.words.update({(new.route, uid): words for uid in series})
        self.conditions[new.route, new.series_instance_uid] = new.shortage

    def waits(self) -> list[tuple[datetime, str]]:
        """Until when each waits, and why."""
        return [(one.until, one.shortage.sentence) for one in self.holds]

    def told(self, decision: Decision) -> Decision:
        """The decision with the condition that the series is whole; a route that waits for its rest chooses nothing."""
        key = decision.route, decision.series_instance_uid
        if key in self.conditions:
            decision = replace(decision, tried=(*decision.tried, condition(self.conditions[key])))
        if key not in self.words:
            return decision
        return replace(decision, chosen=False, reason=self.words[key], withheld=Withheld.WAITS)
