"""Moments and counts as records and pages write them."""

from datetime import datetime


def when(at: datetime | None) -> str:
    """A moment in this machine's time zone, to the second."""
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def stamp(at: datetime | None) -> str | None:
    """A moment for scripts: ISO 8601 with its offset."""
    return None if at is None else at.isoformat()


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 job`, `2 jobs`, `2 studies`."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"
