"""`schedule:` when off-peak jobs run, and how long any job is passed over."""

import re
from dataclasses import dataclass
from datetime import time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ruamel.yaml.nodes import Node

from node.domain.window import Window
from node.settings.blocks import Block, Key, Nodes, Values
from node.settings.config import Schedule
from node.settings.errors import BadValue, MissingKey, UnknownName
from node.settings.kinds import DURATION, Scalar, Schema
from node.settings.source import Here, scalar_text, suggestion

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


def _schedule(*, offpeak: _Span | None, timezone: ZoneInfo | None, patience: timedelta) -> Schedule:
    window = None if offpeak is None or timezone is None else Window(begin=offpeak.begin, end=offpeak.end, zone=timezone)
    return Schedule(offpeak=window, patience=patience)


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if values["offpeak"] is not None and values["timezone"] is None:
        raise here.refuse(MissingKey, nodes["offpeak"], 'needs the key "timezone" beside it: a time zone such as `Europe/Berlin`')
    if values["patience"] <= timedelta(0):
        raise here.refuse(BadValue, nodes["patience"], "patience is longer than nothing: jobs that wait move up each time it has passed")


SCHEDULE = Block(
    build=_schedule,
    check=_check,
    keys=(
        Key(
            name="offpeak",
            kind=Scalar(wants="a window such as `20:00-06:00`", parse=_span, form={"type": "string", "pattern": _SPAN.pattern}),
            says="When jobs of priority `offpeak` may begin, every day; without it they only come after all others.",
        ),
        Key(name="timezone", kind=TimeZone(), says="Whose clock the window goes by, summer time included."),
        Key(
            name="patience",
            kind=DURATION,
            default="1h",
            says="A job that has waited for so long moves up one class of priority, each time again, so that none waits for ever: of each "
            "peer the first, where higher classes held up all of its jobs of that class.",
        ),
    ),
)
