"""A window of the day, by the clock on the wall of one time zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From `begin` until `end` every day; an `end` that is not after `begin` is the next day's.

    Each day has one window, also when the clocks change: of an hour that comes twice the first one counts, and a time that is skipped is
    as long after midnight as on any other day.
    """

    begin: time
    end: time
    zone: ZoneInfo

    def opened_at(self, now: datetime) -> datetime | None:
        """Since when the window is open; None outside of it."""
        today = now.astimezone(self.zone).date()
        for day in (today, today - timedelta(days=1)):
            opens = self._moment(day, self.begin)
            closes = self._moment(day if self.end > self.begin else day + timedelta(days=1), self.end)
            if opens <= now < closes:
                return opens
        return None

    def _moment(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, self.zone).astimezone(UTC)
