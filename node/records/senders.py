"""Senders: when each sent last, how often it usually does, and whether it is silent for longer than it ever is at this time.

What is usual is read from the journal: the same hours of the days before, so that a night or a Sunday is no silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from node.records.words import stamp

if TYPE_CHECKING:
    from node.journal.journal import Journal

_DAY = timedelta(days=1)
_LOOKS_BACK = 15 * _DAY
_MOST = 50_000
_FEWEST_DAYS = 3
_SHARE = 0.7
_SHORTEST = timedelta(minutes=30)
_GAPS = 4.0
"""So many usual gaps are no silence, whatever the days before say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """How long nothing came, against the same hours of earlier days: of `days` that are known it sent on `days_sent`."""

    quiet: timedelta
    usual_gap: timedelta | None
    days: int
    days_sent: int
    is_unusual: bool


def silence(came: Sequence[datetime], now: datetime) -> Silence:
    """What the silence since the last of `came` (in any order, at least one) means.

    It is unusual where in the same hours something came on seven of ten of the days before (weekends count; three are known at least), and
    on the same weekday a week ago, where that is known.
    """
    times = sorted(came)
    quiet = max(now - times[-1], timedelta())
    gaps = [later - earlier for earlier, later in pairwise(times)]
    usual = timedelta(seconds=median(gap.total_seconds() for gap in gaps)) if gaps else None
    known = [days for days in range(1, _LOOKS_BACK // _DAY) if times[0] <= now - quiet - days * _DAY]
    sent = {days for days in known if any(now - quiet - days * _DAY < one <= now - days * _DAY for one in times)}
    as_ever = len(known) >= _FEWEST_DAYS and len(sent) >= _SHARE * len(known) and (7 not in known or 7 in sent)
    long = quiet > _SHORTEST and usual is not None and quiet > _GAPS * usual
    return Silence(quiet=quiet, usual_gap=usual, days=len(known), days_sent=len(sent), is_unusual=as_ever and long)


def sender_records(journal: "Journal", peers: Sequence[str]) -> list[dict[str, Any]]:
    """Of each of these peers, for scripts and for pages; one that has sent nothing within two weeks has no `last_at`."""
    now = journal.now()
    came = journal.arrivals.received_from(now - _LOOKS_BACK, _MOST)
    return [_record(name, came.get(name, []), now) for name in peers]


def _record(name: str, came: Sequence[datetime], now: datetime) -> dict[str, Any]:
    if not came:
        return {"name": name, "last_at": None, "quiet_s": None, "usual_gap_s": None, "silent": False, "days": 0, "days_sent": 0}
    found = silence(came, now)
    return {
        "name": name,
        "last_at": stamp(max(came)),
        "quiet_s": found.quiet.total_seconds(),
        "usual_gap_s": None if found.usual_gap is None else found.usual_gap.total_seconds(),
        "silent": found.is_unusual,
        "days": found.days,
        "days_sent": found.days_sent,
    }
