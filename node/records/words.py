"""Moments, durations and counts as records and pages write them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from node.domain.job import JobKind
from node.settings.kinds import duration

_NOTES = {JobKind.STATEMENT: "no result", JobKind.WITHDRAWAL: "withdraws a result"}


def when(at: datetime | None) -> str:
    """A moment in this machine's time zone, to the second."""
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def zone() -> str:
    """The time zone that `when` tells times in, as it holds now: `UTC`, or `CET (UTC+01:00)`."""
    now = datetime.now().astimezone()
    name, offset = now.tzname() or "", now.isoformat()[-6:]
    return name if name == "UTC" else f"{name} (UTC{offset})"


def work_of(job: Mapping[str, Any]) -> str:
    """The application of a job's record, as people are to read it: a note that is done is no analysis that is."""
    name, note = str(job["application"]), _NOTES.get(JobKind(job["kind"]))
    return name if note is None else f"{name} (note: {note})"


def stamp(at: datetime | None) -> str | None:
    """A moment for scripts: ISO 8601 with its offset."""
    return None if at is None else at.isoformat()


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 job`, `2 jobs`, `2 studies`."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"


def since(text: str, now: datetime) -> datetime:
    """When `text` says: so long ago (`30d`, `12h`), or a date with or without a time, in UTC.

    Raises
    ------
    ValueError
        It says no such thing.
    """
    try:
        return now - duration(text)
    except ValueError:
        pass
    try:
        said = datetime.fromisoformat(text)
    except ValueError as neither:
        raise ValueError(f'"{text}" is no duration (30d, 12h) and no date (2026-03-01, 2026-03-01T14:00)') from neither
    return said if said.tzinfo is not None else said.replace(tzinfo=UTC)


def lasting(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3.5 min`, `2 h`, `3 days`."""
    for least, unit, name in ((48 * 3600, 86400, "days"), (5400, 3600, "h"), (120, 60, "min")):
        if seconds >= least:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
