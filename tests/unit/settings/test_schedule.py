"""`schedule:` and `deadline:`: what the YAML says, and the window by the clock on the wall, through summer time and back."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.assembly.configuration import load
from node.settings.config import Config
from node.settings.schedule import DayWindow

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)


def _read(folder: Path, text: str) -> Config:
    path = folder / "hilum.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, applications=("mr-brain",))


def test_the_whole_block_is_what_it_says(tmp_path: Path) -> None:
    """A window of the day in a zone, and patience; nothing of it is needed."""
    schedule = _read(tmp_path, "schedule: {offpeak: 20:00-06:00, timezone: Europe/Berlin, patience: 30m}\n").schedule
    window = DayWindow(begin=time(20), end=time(6), zone=BERLIN)
    assert (schedule.offpeak, schedule.patience) == (window, timedelta(minutes=30))
    without = _read(tmp_path, "node: {}\n").schedule
    assert (without.offpeak, without.patience) == (None, timedelta(hours=1))


def test_a_deadline_routes_otherwise(tmp_path: Path) -> None:
    """It belongs to the meaning of the configuration; without one the meaning is what it was."""
    plain = "sinks: {out: {kind: folder, path: out}}\nroutes: [{name: head, run: mr-brain, send: out}]\n"
    without, with_ = _read(tmp_path, plain), _read(tmp_path, plain.replace("send", "deadline: 20m, send"))
    assert (without.routes[0].deadline, with_.routes[0].deadline) == (None, timedelta(minutes=20))
    assert without.digest != with_.digest


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


# UTC offsets of Europe/Berlin written out by hand: +01:00 in winter, +02:00 in summer; 2026-03-29 02:00 → 03:00, 2026-10-25 03:00 → 02:00
@pytest.mark.parametrize(
    ("begin", "end", "now", "opened"),
    [
        ("20:00", "06:00", "2026-01-10T19:59:59+01:00", None),
        ("20:00", "06:00", "2026-01-10T20:00:00+01:00", "2026-01-10T20:00:00+01:00"),
        ("20:00", "06:00", "2026-01-11T05:59:59+01:00", "2026-01-10T20:00:00+01:00"),
        ("20:00", "06:00", "2026-01-11T06:00:00+01:00", None),
        ("12:00", "13:30", "2026-07-01T13:29:00+02:00", "2026-07-01T12:00:00+02:00"),
        ("12:00", "13:30", "2026-07-01T11:59:00+02:00", None),
        # the night that is an hour shorter, and the one that is an hour longer, end at six by the clock
        ("20:00", "06:00", "2026-03-29T05:59:00+02:00", "2026-03-28T20:00:00+01:00"),
        ("20:00", "06:00", "2026-03-29T06:00:00+02:00", None),
        ("20:00", "06:00", "2026-10-25T05:59:00+01:00", "2026-10-24T20:00:00+02:00"),
        ("20:00", "06:00", "2026-10-25T06:00:00+01:00", None),
        # a beginning that is skipped comes when it would have; an hour that comes twice counts the first time
        ("02:30", "06:00", "2026-03-29T03:29:00+02:00", None),
        ("02:30", "06:00", "2026-03-29T03:30:00+02:00", "2026-03-29T03:30:00+02:00"),
        ("22:00", "02:30", "2026-10-25T02:29:00+02:00", "2026-10-24T22:00:00+02:00"),
        ("22:00", "02:30", "2026-10-25T02:29:00+01:00", None),
        ("02:30", "06:00", "2026-10-25T02:15:00+01:00", "2026-10-25T02:30:00+02:00"),
    ],
)
def test_the_window_goes_by_the_clock_on_the_wall(begin: str, end: str, now: str, opened: str | None) -> None:
    """Open from its beginning, shut at its end, on ordinary days and where the clocks change."""
    window = DayWindow(begin=time.fromisoformat(begin), end=time.fromisoformat(end), zone=BERLIN)
    assert window.opened_at(_at(now)) == (None if opened is None else _at(opened))


@given(st.times(), st.times(), st.datetimes(datetime(2026, 4, 2), datetime(2026, 10, 20)))
def test_on_an_ordinary_day_the_window_is_a_comparison_of_two_clocks(begin: time, end: time, wall: datetime) -> None:
    """Between two changes of the clocks: open exactly when the wall's clock stands between the two times, midnight or not."""
    now = wall.replace(tzinfo=BERLIN)
    between = begin <= wall.time() < end if begin < end else wall.time() >= begin or wall.time() < end
    opened = DayWindow(begin=begin, end=end, zone=BERLIN).opened_at(now)
    assert (opened is not None) == between
    if opened is not None:
        assert opened <= now
        assert opened.astimezone(BERLIN).time() == begin
