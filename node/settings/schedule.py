"""`schedule:` when off-peak jobs run, and how long any job is passed over."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ruamel.yaml.nodes import Node

from node.settings.blocks import Nodes, Values, block, setting
from node.settings.kinds import DURATION, Scalar, Schema
from node.settings.source import BadValue, Here, MissingKey, UnknownName, scalar_text, suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class DayWindow:
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


_SPAN = re.compile("^([01][0-9]|2[0-3]):([0-5][0-9]) *- *([01][0-9]|2[0-3]):([0-5][0-9])$")


@dataclass(frozen=True, slots=True)
class _Span:
    begin: time
    end: time


def _span(text: str) -> _Span:
    """`20:00-06:00`."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise ValueError(f'"{text}" is no window of the day; write 20:00-06:00')
    begin, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    if begin == end:
        raise ValueError(f'"{text}" ends when it begins; without a window off-peak jobs run at any time')
    return _Span(begin, end)


class TimeZone:
    """A name of the IANA time zone database."""

    wants = "a time zone such as `Europe/Berlin`"

    def read(self, at: Node, here: Here) -> ZoneInfo:
        name = scalar_text(at, here, self.wants)
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
            raise here.refuse(UnknownName, at, f'unknown time zone "{name}"{suggestion(name, available_timezones())}') from unknown

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When off-peak jobs may begin (`offpeak` None: at any time, after the others); how long a job waits before it moves up one class."""

    span: _Span | None = setting(
        Scalar(wants="a window such as `20:00-06:00`", parse=_span, form={"type": "string", "pattern": _SPAN.pattern}),
        name="offpeak",
        says="When jobs of priority `offpeak` may begin, every day; without it they only come after all others.",
    )
    timezone: ZoneInfo | None = setting(TimeZone(), says="Whose clock the window goes by, summer time included.")
    patience: timedelta = setting(
        DURATION,
        default="1h",
        says="A job that has waited for so long moves up one class of priority, each time again, so that none waits for ever: of each "
        "peer the first, where higher classes held up all of its jobs of that class.",
    )

    @property
    def offpeak(self) -> DayWindow | None:
        """The window of each day."""
        return (
            None if self.span is None or self.timezone is None else DayWindow(begin=self.span.begin, end=self.span.end, zone=self.timezone)
        )


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if values["offpeak"] is not None and values["timezone"] is None:
        raise here.refuse(MissingKey, nodes["offpeak"], 'needs the key "timezone" beside it: a time zone such as `Europe/Berlin`')
    if values["patience"] <= timedelta(0):
        raise here.refuse(BadValue, nodes["patience"], "patience is longer than nothing: jobs that wait move up each time it has passed")


SCHEDULE = block(Schedule, build=Schedule, check=_check)
