"""Hours: whether a study came when a route is about it. Pure functions over the moment at which its last image came, which the journal
keeps: a replay answers as the node did.
"""

from datetime import datetime, timedelta
from typing import Final

from node.domain.route import WEEKDAYS, Hours, Tried, Window
from node.routing.conditions import one_of

_DAY_MIN: Final = 24 * 60
KEY = "hours"
"""The key of the condition, as in the configuration."""


def try_hours(hours: Hours, came: datetime) -> Tried:
    """Whether a moment (aware) lies in one of the windows."""
    local = came.astimezone(hours.zone)
    found = f"{WEEKDAYS[local.weekday()]} {local:%Y-%m-%d %H:%M}"
    return Tried(key=KEY, expected=hours_text(hours), found=found, held=any(_holds(one, local) for one in hours.windows))


def hours_text(hours: Hours) -> str:
    """Its windows, for people ("from 22:00 until 06:00 or sat or sun")."""
    return " or ".join(_text(one) for one in hours.windows)


def _holds(window: Window, local: datetime) -> bool:
    began = local
    if window.between is not None:
        begin, end = map(_minute, window.between)
        now = local.hour * 60 + local.minute
        if not (now - begin) % _DAY_MIN < (end - begin) % _DAY_MIN:
            return False
        if now < begin:  # past midnight, in a window of the day before
            began = local - timedelta(days=1)
    return not window.weekdays or WEEKDAYS[began.weekday()] in window.weekdays


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def _text(window: Window) -> str:
    between = "" if window.between is None else f"from {window.between[0]} until {window.between[1]}"
    return " on ".join(filter(None, (between, one_of(window.weekdays) if window.weekdays else "")))
