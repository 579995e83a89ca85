"""When a sender's silence is unusual: against the same hours of the days before, by times that are written down by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from node.domain.arrival import Completeness
from node.records.associations import sender_records, silence
from tests.unit.cli.conftest import Hospital, Run, empty, place

__all__ = ["empty", "place"]
MONDAY = datetime(2025, 3, 3, tzinfo=UTC)


def _days(count: int, *, every: timedelta = timedelta(minutes=20), weekends: bool = False, until: datetime) -> list[datetime]:
    """A scanner that works from 7 to 19 h, up to a moment."""
    found, at = [], MONDAY - timedelta(days=count)
    while at <= until:
        if 7 <= at.hour < 19 and (weekends or at.weekday() < 5):
            found.append(at)
        at += every
    return found


@pytest.mark.parametrize(
    ("last", "now", "unusual"),
    [
        ((0, 10), (0, 10.5), False),  # half an hour is no silence
        ((0, 10), (0, 13), True),  # Monday, three hours in the middle of the day
        ((0, 18.9), (1, 2), False),  # a night
        ((0, 18.9), (1, 9.5), True),  # nothing in the morning
        ((4, 18.9), (6, 18), False),  # a weekend
        ((4, 18.9), (7, 6.5), False),  # up to Monday morning
        ((4, 18.9), (7, 11), True),  # and not beyond
    ],
)
def test_silence_is_told_from_night_and_weekend(last: tuple[int, float], now: tuple[int, float], unusual: bool) -> None:
    """By day and hour after a Monday, after two weeks of working days."""
    until, at = (MONDAY + timedelta(days=day, hours=hour) for day, hour in (last, now))
    assert silence(_days(14, until=until), at).is_unusual is unusual


def test_what_is_not_known_is_not_unusual() -> None:
    """On the second day of a sender nobody can say what is usual."""
    until = MONDAY + timedelta(hours=10)
    found = silence(_days(2, weekends=True, until=until), until + timedelta(hours=4))
    assert (found.is_unusual, found.days, found.usual_gap) == (False, 2, timedelta(minutes=20))
    assert silence([until], until + timedelta(days=30)).usual_gap is None


def test_a_silence_of_weeks_stays_one(empty: Hospital) -> None:
    """Held against what was usual before it, however long it lasts: a scanner that sent each day, and then nothing for three weeks."""
    last = empty.journal.now() - timedelta(days=21)
    for number in range(20):
        empty.now = last - timedelta(hours=6) * number
        arrival = empty.receive(f"1.2.{number}", "ct1", "HILUM", (1, {"Modality": ("CT",)}))
        empty.journal.arrivals.complete(arrival, Completeness.QUIET, empty.now + timedelta(seconds=10))
    never, once = (one for one in sender_records(empty.journal, ["pacs", "ct1"]))
    assert (never["silent"], never["last_at"]) == (False, None)
    assert (once["silent"], once["usual_gap_s"], once["quiet_s"]) == (True, 21600, pytest.approx(21 * 86400, abs=600))


@pytest.mark.parametrize(("ahead", "told"), [(timedelta(hours=1), True), (timedelta(seconds=30), False)])
def test_the_doctor_says_that_the_clock_went_back(ahead: timedelta, told: bool, run: Run, empty: Hospital) -> None:
    """What came bears a later time than this host's clock has: by more than a clock that is disciplined is ever put right."""
    empty.now = empty.journal.now() + ahead
    empty.receive("1.2.3", "ct1", "HILUM", (1, {"Modality": ("CT",)}))
    found = [one for one in run("doctor", "--config", str(empty.config.path), "--json").json["findings"] if one["subject"] == "clock"]
    assert [(one["level"], "before the newest that the journal has" in one["detail"]) for one in found] == [("warning", True)] * told


def test_the_doctor_says_who_is_silent(run: Run, empty: Hospital) -> None:
    """By name, with how long and how often it had sent; who is as ever is not named."""
    now = empty.journal.now()
    for peer, until in (("pacs", now), ("ct1", now - timedelta(hours=13))):
        at = now - timedelta(days=5)
        number = 0
        while at <= until:
            empty.now = at
            empty.receive(f"1.2.{len(peer)}.{number}", peer, "HILUM", (1, {"Modality": ("CT",)}))
            at += timedelta(hours=3)
            number += 1
    told = {one["name"]: one for one in sender_records(empty.journal, ["pacs", "ct1", "mr9"])}
    assert (told["pacs"]["silent"], told["ct1"]["silent"], told["mr9"]["last_at"]) == (False, True, None)
    assert told["ct1"]["usual_gap_s"] == 10800
    findings = {one["subject"]: one for one in run("doctor", "--config", str(empty.config.path), "--json").json["findings"]}
    assert findings["sender ct1"]["level"] == "warning"
    assert findings["sender ct1"]["area"] == "senders"
    assert "nothing came for 1" in findings["sender ct1"]["detail"]
    assert "sender pacs" not in findings
