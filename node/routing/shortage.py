"""Shortage: is a series known to be short, and what do its routes do about it? Pure functions over what a journal knows and headers say.

Counts of whole studies hold nothing: they include other people's objects. Nor do gaps between instance numbers, ImagesInAcquisition and
NumberOfTemporalPositions: scanners number as they like, and count what they never send.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from inference.applications.port import Application
from inference.imaging.geometry import DIRECTION_TOLERANCE, missing_slices
from node.domain.arrival import Arrival
from node.domain.instance import Header, Instance, numbers_of
from node.domain.job import Priority
from node.domain.route import Decision, Route, Tried, Withheld
from node.domain.shortage import Lack, NewHold, Shortage, Shortfalls, WhenShort
from node.routing.decisions import is_image
from node.routing.gate import not_applicable
from node.routing.planned_job import PlannedJob
from node.routing.port import KnownShortfalls
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
    planes = [(numbers_of(one, "ImageOrientationPatient", 6), numbers_of(one, "ImagePositionPatient", 3)) for one in headers]
    if any(orientation is None or position is None for orientation, position in planes):
        return 0
    orientations = np.array([orientation for orientation, _ in planes], dtype=np.float64)
    if not len(orientations) or float(np.abs(orientations - orientations[0]).max()) > DIRECTION_TOLERANCE:
        return 0
    thick = [numbers_of(one, "SliceThickness", 1) for one in headers]
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


class ShortageRules:
    """The rules of routes and senders for what is known to be short, applied to the jobs that are planned.

    Parameters
    ----------
    known
        What is known of what series lack; None: nothing, and none is short.
    settle_of
        How what a peer sends settles.
    declared
        The application of a name, as it declares itself; None where it cannot be loaded.
    """

    def __init__(
        self, known: KnownShortfalls | None, settle_of: Callable[[str | None], Settle], declared: Callable[[str], Application | None]
    ) -> None:
        self._known = known
        self._settle_of = settle_of
        self._declared = declared

    def withhold(
        self, arrival: Arrival, plans: Sequence[PlannedJob], said: dict[tuple[str, str], list[str]], now: datetime, *, over: bool
    ) -> PlannedHolds:
        """Withhold jobs on what is short from the routes that wait for its rest; park, or mark, those that are asked for all the same."""
        held = PlannedHolds()
        facts: dict[str, Mapping[str, Shortfalls]] = {}
        for planned in plans:
            # too few images are no reason: the rest of them may come
            application = self._declared(planned.application) if planned.unfit else None
            excluded = application is not None and not_applicable(application, planned.series[0].view)
            if planned.missing or excluded or any(content.unfit for content in planned.series):
                continue  # it ends whatever else comes
            found = self._shortest(planned, arrival.study_instance_uid, facts)
            if found is None:
                continue
            short, planned.shortage = found
            members = short.current + short.gone
            last = max((one.received_at for one in members), default=now)
            running: list[Route] = []
            parking: list[Route] = []
            for route in planned.routes:
                rule = rule_of(route, self._settle_of(arrival.peer))
                until = min(last, now) + rule.longest  # when the clock went back, from now on
                uids = [content.series_instance_uid for content in planned.series]
                if rule.when is not WhenShort.RUN and not over and now < until:
                    new = NewHold(series_instance_uid=short.series_instance_uid, route=route.name, shortage=planned.shortage, until=until)
                    held.add(new, uids, held_text(rule, planned.shortage, until))
                    continue
                held.conditions.update({(route.name, uid): planned.shortage for uid in uids})
                if rule.when is WhenShort.HOLD and not over:
                    parking.append(route)
                else:
                    running.append(route)
                    planned.marked = planned.marked or rule.when is not WhenShort.RUN
            if planned.unfit and running:  # what is missing, not a header, is why it has too few images: somebody must be told
                parking, running = [*parking, *running], []
            if parking and not running:
                planned.incomplete = f"series {short.series_instance_uid} is incomplete: {planned.shortage.sentence}"
            becomes = f"is run for {', '.join(one.name for one in running)} alone" if running else "is parked as incomplete"
            for route, words in [*((one, becomes) for one in parking), *((one, "is run though it is incomplete") for one in running)]:
                for content in planned.series:
                    told = said.setdefault((route.name, content.series_instance_uid), [])
                    told.append(f"{planned.application} {words}: {planned.shortage.sentence}")
            planned.routes = running or parking
        return held

    def _shortest(
        self, planned: PlannedJob, study: str, facts: dict[str, Mapping[str, Shortfalls]]
    ) -> tuple[SeriesContent, Shortage] | None:
        """The series of a planned job that lacks most, and what; None: nothing says that any lacks anything. A prior is passed over: one
        that is short is not chosen."""
        if self._known is None:
            return None
        application = self._declared(planned.application)
        volume = application is None or application.accepts.takes.of_slices
        found = []
        if study not in facts:
            facts[study] = self._known.shortfalls(study)
        of_study = [one for one in planned.series if one.series_instance_uid not in planned.priors]
        for content in of_study if planned.together else planned.series[:1]:
            shortage = shortage_of(content, facts[study], volume=volume)
            if shortage is not None:
                found.append((content, shortage))
        return max(found, key=lambda one: (one[1].expected or one[1].came) - one[1].came, default=None)
