"""Throughput and latency: what is counted where, and that the page draws it."""

import re
from datetime import datetime, timedelta

import pytest

from node.console.pace import FOOT, HEIGHT, Span, buckets, by_application, drawn, nearest_rank, scale
from node.journal.port import DoneJob
from node.records.words import lasting
from tests.unit.cli.conftest import Hospital
from tests.unit.console.conftest import Open
from tests.unit.journal.story import Story

NOW = datetime(2026, 3, 2, 12, 30).astimezone()  # half an hour into a bucket, wherever this runs


def _done(hours_ago: float, took_s: float, application: str = "ct-liver") -> DoneJob:
    at = NOW - timedelta(hours=hours_ago)
    return DoneJob(
        application=application,
        last_instance_at=at - timedelta(seconds=took_s),
        queued_at=at - timedelta(seconds=took_s / 2),
        done_at=at,
    )


def test_an_hour_holds_what_ended_in_it() -> None:
    """By the median and the 95th percentile; hours are those of the clock, and what is older than the first is in none."""
    done = [_done(0.4, seconds) for seconds in range(1, 21)] + [_done(3.4, 60.0), _done(25, 5.0)]
    received = [NOW - timedelta(hours=hours) for hours in (0.1, 0.4, 0.6, 23.4, 23.6)]
    found = buckets(received, done, NOW, Span.DAY)
    assert len(found) == 24
    assert (found[-1].received, found[-1].done, found[-1].median_s, found[-1].p95_s) == (2, 20, 10.5, 19)
    assert found[-2].received == 1
    assert (found[-4].done, found[-4].median_s, found[-4].p95_s) == (1, 60.0, 60.0)
    assert found[0].received == 1
    assert sum(one.done for one in found) == 21
    assert len(buckets(received, done, NOW, Span.WEEK)) == 28


def test_a_rank_is_the_nearest() -> None:
    """As in the definition: of twenty values the nineteenth is the 95th percentile, of one it is that."""
    assert nearest_rank(list(range(1, 21)), 0.95) == 19
    assert nearest_rank([7.0], 0.95) == 7.0
    assert nearest_rank([3.0, 1.0, 2.0], 0.5) == 2.0


def test_applications_are_told_apart() -> None:
    """With how long of it they waited for their turn and were computed."""
    first, second = by_application([_done(1, 10.0), _done(2, 20.0), _done(1, 300.0, "mr-brain")])
    assert (first["application"], first["done"], first["median_s"], first["most_s"], first["queued_median_s"]) == (
        "ct-liver",
        2,
        15,
        20,
        7.5,
    )
    assert (second["application"], second["p95_s"]) == ("mr-brain", 300)


@pytest.mark.parametrize(("most", "steps"), [(0, [0, 1]), (3, [0, 1, 2, 3]), (37, [0, 10, 20, 30, 40]), (0.8, [0, 0.2, 0.4, 0.6, 0.8])])
def test_scales_are_round(most: float, steps: list[float]) -> None:
    """And reach what they measure."""
    assert scale(most) == pytest.approx(steps)


def test_every_scale_reaches_its_highest_value_in_few_steps() -> None:
    """Whatever that is."""
    for number in range(1, 4000):
        most = number * 0.37
        assert scale(most)[-1] >= most * 0.999
        assert len(scale(most)) <= 6


def test_the_tallest_bar_stands_inside_the_plot() -> None:
    """And an empty day is drawn too."""
    found = [{"since": NOW.isoformat(), "received": 7, "done": 0, "median_s": 3.0, "p95_s": 90.0}]
    (column,) = drawn(found, Span.DAY)["columns"]
    assert 0 < column["received_y"] < column["done_y"] == HEIGHT - FOOT
    assert 0 < column["p95_y"] < column["median_y"] < HEIGHT - FOOT
    empty = [{"since": NOW.isoformat(), "received": 0, "done": 0, "median_s": None, "p95_s": None}] * 24
    assert [one["text"] for one in drawn(empty, Span.DAY)["counts"]] == ["0", "1"]


@pytest.mark.parametrize(("seconds", "words"), [(0.42, "0.42 s"), (12.4, "12 s"), (119, "119 s"), (150, "2.5 min"), (7200, "2 h")])
def test_times_are_said_in_words(seconds: float, words: str) -> None:
    """Short enough for a scale."""
    assert lasting(seconds) == words


def test_the_page_shows_what_the_journal_has(browser: Open, hospital: Hospital) -> None:
    """Both plots, each bucket with its numbers as a title, and the table; another span is another page, a made-up one none."""
    Story(hospital.journal, now=hospital.journal.now() - timedelta(minutes=1)).done()
    client = browser("vera").client
    told = client.get("/api/pace").json()
    assert sum(one["done"] for one in told["buckets"]) == sum(one["done"] for one in told["applications"]) > 0
    text = client.get("/pace").text
    assert text.count("<svg") == 2
    (name, *_) = [one["application"] for one in told["applications"]]
    assert f"<td>{name}</td>" in text
    assert len(re.findall(r"<title>[^<]*received, [^<]*done</title>", text)) == 24
    assert client.get("/pace?span=week").text.count('<rect class="came"') == 28
    assert client.get("/pace?span=decade").status_code == 422
