"""Hours of a route: about studies that come then, by the hospital's clock and by when the last image came, now and in a replay."""

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from node.domain.route import Hours, Route, Window
from node.routing.conditions import hours_text, try_hours
from tests.unit.flow.mini import MiniNode
from tests.unit.routing.test_fallback import REST, replayed, routed

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Hours(windows=(Window(between=("22:00", "06:00"), weekdays=("fri",)),), zone=BERLIN)
NOON = Route(name="noon", run=("threshold",), send=("archive",), hours=Hours(windows=(Window(between=("12:00", "14:00")),), zone=BERLIN))


@pytest.mark.parametrize(
    ("came", "held"),
    [
        ("2026-03-13T21:59+01:00", False),
        ("2026-03-13T22:00+01:00", True),
        ("2026-03-14T05:59+01:00", True),  # a Saturday morning in the night of Friday
        ("2026-03-14T06:00+01:00", False),
        ("2026-03-13T05:59+01:00", False),  # a Friday morning in the night of Thursday
        ("2026-03-14T22:30+01:00", False),
        ("2026-07-10T20:30+00:00", True),  # half past ten in summer time
        ("2026-01-09T20:30+00:00", False),  # half past nine in winter
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_began(came: str, held: bool) -> None:
    """By the clock of the hospital, summer time included."""
    assert try_hours(NIGHT, datetime.fromisoformat(came)).held is held


def test_one_of_several_windows_is_enough_and_told() -> None:
    """At nights and on weekends."""
    either = Hours(windows=(Window(between=("22:00", "06:00")), Window(weekdays=("sat", "sun"))), zone=BERLIN)
    tried = try_hours(either, datetime.fromisoformat("2026-03-14T11:00+00:00"))
    assert (tried.held, tried.found) == (True, "sat 2026-03-14 12:00")
    assert hours_text(either) == tried.expected == "from 22:00 until 06:00 or one of sat, sun"
    assert hours_text(NIGHT) == "from 22:00 until 06:00 on fri"


def test_the_arrival_decides_and_not_the_moment_of_routing_or_of_a_replay(node: MiniNode) -> None:
    """The last image came at 13:00 in Berlin; a day later, at another hour, the replay says the same."""
    node.receive("1.1", "1.1.1", range(24))
    assert routed(node, NOON, REST) == {"1.1.1": ["noon"]}
    (decision, _) = node.journal.routing.decisions(node.arrivals()[0].id)
    assert [(one.key, one.found) for one in decision.tried[:1]] == [("hours", "tue 2026-03-10 13:00")]
    node.clock.advance(timedelta(hours=31).total_seconds())
    assert replayed(node, replace(NOON, deadline=None), REST, replace(NOON, name="more", disabled=True)) == []
    later = replace(NOON, hours=Hours(windows=(Window(between=("13:01", "14:00")),), zone=BERLIN))
    assert replayed(node, later, REST) == [("1.1.1", "noon", False), ("1.1.1", "the rest", True)]
