"""Arrivals: what came for one study or series until nothing more was expected; and quiet windows that are learned: how long a sender
pauses inside its studies, and how long an arrival of it waits by that. Pure functions over what the journal keeps of each arrival; who
applies the window is `QuietWindows` (node.flow.settle).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from node.domain.state import ArrivalState

FEWEST = 300
"""Studies of which the pauses are known before anything is learned from them."""
LAST = 1000
"""The newest studies of a sender that count: an older pause is forgotten, so that a sender that became quicker is waited for less."""
LAST_ARRIVALS = 2 * LAST
"""The newest arrivals in which these studies are looked for: revisions are among them."""
FACTOR = 1.5


class Completeness(StrEnum):
    """Why an arrival counts as complete."""

    QUIET = "quiet"  # nothing came for the quiet window
    COUNT = "count"  # the count (C-FIND) of its sender, or of the archive asked instead, was met, and the shortened window passed
    GROWING = "growing"  # it went on growing, or never met a count, for as long as any may
    OPERATOR = "operator"  # completed by hand
    PRIOR = "prior"  # nothing of its own came, but what it is compared with, or needs beside it, did, changed, or does not fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One revision of a study (`series_instance_uid` None) or of a series, as it came from one peer.

    `supersedes` is the arrival that this one revises because instances came late. `counted`: the sender's count is met by what came last.
    `waits`: an open one is kept open for what a route needs, and nothing came since; `waits_for` says for what. `attempts` counts how often
    routing it failed, since it was complete or put back; `code` and `reason` say why it did last.
    """

    id: int
    peer: str | None
    study_instance_uid: str
    series_instance_uid: str | None
    called_ae: str
    state: ArrivalState
    revision: int
    supersedes: int | None
    opened_at: datetime
    last_instance_at: datetime
    due_at: datetime
    completed_at: datetime | None
    completed_by: Completeness | None
    instances: int
    counted: bool = False
    waits: bool = False
    waits_for: str = ""
    attempts: int = 0
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalGap:
    """How one arrival came: the longest pause between two instances that came for it, and, of a revision, how long after the last instance
    of its predecessor its own first came."""

    study_instance_uid: str
    series_instance_uid: str | None
    largest: timedelta
    after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyGap:
    """The longest pause inside one study (or series, where these settle one by one), its revisions included; `additions` are how many times
    more came after a longer pause than any window may be."""

    study_instance_uid: str
    largest: timedelta
    additions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBounds:
    """What the operator lets be learned: the configured window, which holds until enough is known, and the shortest and longest one."""

    quiet: timedelta
    least: timedelta
    most: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedWindow:
    """What was learned of a sender, and from what.

    Attributes
    ----------
    window
        The quiet window; None while fewer than `FEWEST` studies are known.
    studies
        How many it rests on.
    longest
        The study with the largest pause; None: none is known.
    additions
        To how many of the studies something came after a longer pause than any window may be.
    """

    window: timedelta | None
    studies: int
    longest: StudyGap | None
    additions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What learned windows would have done to the studies behind the first `FEWEST`, each by what was known before it came.

    Attributes
    ----------
    studies
        How many.
    early
        How many would have been closed before they were whole, and healed by a revision.
    early_configured
        How many the configured window closes before they are whole.
    waits
        The window of each, in their order.
    """

    studies: int
    early: int
    early_configured: int
    waits: tuple[timedelta, ...]


def by_study(arrivals: Iterable[ArrivalGap], bounds: WindowBounds) -> list[StudyGap]:
    """The pauses of each study, in the order in which these came to their ends, of arrivals in their own order.

    What comes after a longer pause than `bounds.most` is an addition: no window that the operator allows could have waited for it, and
    waiting for the next one would be in vain.
    """
    found: dict[tuple[str, str | None], StudyGap] = {}
    for one in arrivals:
        key = (one.study_instance_uid, one.series_instance_uid)
        before = found.pop(key, StudyGap(study_instance_uid=one.study_instance_uid, largest=timedelta()))
        pauses = [one.largest, *([] if one.after is None else [one.after])]
        inside = [pause for pause in pauses if pause <= bounds.most]
        found[key] = StudyGap(
            study_instance_uid=one.study_instance_uid,
            largest=max([before.largest, *inside]),
            additions=before.additions + len(pauses) - len(inside),
        )
    return list(found.values())


def window_for(largest: timedelta, bounds: WindowBounds) -> timedelta:
    """The window that waits for a pause of `largest`, and half as long again, within the bounds."""
    return max(bounds.least, min(bounds.most, FACTOR * largest))


def learn(studies: Sequence[StudyGap], bounds: WindowBounds) -> LearnedWindow:
    """What the newest `LAST` of these studies, the oldest first, teach."""
    counted = studies[-LAST:]
    longest = max(counted, key=lambda one: one.largest, default=None)
    enough = longest is not None and len(counted) >= FEWEST
    return LearnedWindow(
        window=window_for(longest.largest, bounds) if longest is not None and enough else None,
        studies=len(counted),
        longest=longest,
        additions=sum(one.additions > 0 for one in counted),
    )


def rehearse(studies: Sequence[StudyGap], bounds: WindowBounds) -> Rehearsal:
    """Walk through the newest `LAST` studies, the oldest first, as if learned windows had been in force."""
    counted = studies[-LAST:]
    largest = timedelta()
    waits: list[timedelta] = []
    early = early_configured = 0
    for number, one in enumerate(counted):
        if number >= FEWEST:
            waits.append(window_for(largest, bounds))
            early += one.largest > waits[-1]
            early_configured += one.largest > bounds.quiet
        largest = max(largest, one.largest)
    return Rehearsal(studies=len(waits), early=early, early_configured=early_configured, waits=tuple(waits))
