"""Throughput and latency: how many studies came and went, and how long results took, over the last day or week, drawn as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from node.console.access import At, Looking
from node.console.context import ConsoleContext
from node.console.rendering import page
from node.journal.port import DoneJob
from node.records.words import lasting

pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api", tags=["console"])
_MOST = 100_000
WIDTH, HEIGHT, LEFT, FOOT = 960, 220, 56, 26
"""Of a plot, in the units of its view box: the whole, and what the two scales take."""


class Span(StrEnum):
    """How far a plot looks back."""

    DAY = "day"
    WEEK = "week"


_BUCKETS = {Span.DAY: (timedelta(hours=1), 24), Span.WEEK: (timedelta(hours=6), 28)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeBucket:
    """What happened from `since` on for as long as a bucket lasts. Seconds run from the last instance of a study to its results being with
    every sink; None where nothing was done."""

    since: datetime
    received: int
    done: int
    median_s: float | None
    p95_s: float | None


def buckets(received: Sequence[datetime], done: Sequence[DoneJob], now: datetime, span: Span) -> list[TimeBucket]:
    """The last day by hours, or the last week by six, as the clock on the wall has them; the last bucket has not ended."""
    size, count = _BUCKETS[span]
    came, took = [0] * count, [[] for _ in range(count)]  # type: list[int], list[list[float]]
    begin = begins(now, span)
    for at in received:
        if 0 <= (number := (at - begin) // size) < count:
            came[number] += 1
    for one in done:
        if 0 <= (number := (one.done_at - begin) // size) < count:
            took[number].append(_seconds(one))
    return [
        TimeBucket(
            since=begin + number * size,
            received=came[number],
            done=len(took[number]),
            median_s=median(took[number]) if took[number] else None,
            p95_s=nearest_rank(took[number], 0.95) if took[number] else None,
        )
        for number in range(count)
    ]


def begins(now: datetime, span: Span) -> datetime:
    """When the first bucket begins, in this machine's time zone."""
    size, count = _BUCKETS[span]
    here = now.astimezone()
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + ((here - midnight) // size + 1 - count) * size


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def by_application(done: Sequence[DoneJob]) -> list[dict[str, Any]]:
    """For each application how many jobs were done, and how long they took: in all, and from when they could be claimed."""
    found: dict[str, list[DoneJob]] = {}
    for one in done:
        found.setdefault(one.application, []).append(one)
    return [
        {
            "application": name,
            "done": len(ones),
            "median_s": median(map(_seconds, ones)),
            "p95_s": nearest_rank([_seconds(one) for one in ones], 0.95),
            "most_s": max(map(_seconds, ones)),
            "queued_median_s": median((one.done_at - one.queued_at).total_seconds() for one in ones),
        }
        for name, ones in sorted(found.items())
    ]


def _seconds(one: DoneJob) -> float:
    return max(0.0, (one.done_at - one.last_instance_at).total_seconds())


def scale(most: float) -> list[float]:
    """Round numbers from 0 to at least `most`, at most five steps: 1, 2 or 5 times a power of ten apart."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def told(at: ConsoleContext, span: Span) -> dict[str, Any]:
    """What the page shows and the API says."""
    now = at.journal.now()
    since = begins(now, span)
    done = at.journal.jobs.done_since(since, _MOST)
    return {
        "span": span.value,
        "since": since.isoformat(),
        "cut": len(done) == _MOST,
        "buckets": [
            {
                "since": one.since.isoformat(),
                "received": one.received,
                "done": one.done,
                "median_s": one.median_s,
                "p95_s": one.p95_s,
            }
            for one in buckets(at.journal.arrivals.last_received(since, _MOST), done, now, span)
        ],
        "applications": by_application(done),
    }


def drawn(found: list[dict[str, Any]], span: Span) -> dict[str, Any]:
    """Where everything stands in the two plots."""
    counts = scale(max((max(one["received"], one["done"]) for one in found), default=0))
    if counts[-1] < 5:
        counts = [float(number) for number in range(max(2, int(counts[-1]) + 1))]  # half a study is none
    times = scale(max((one["p95_s"] or 0.0 for one in found), default=0.0))
    wide = (WIDTH - LEFT) / len(found)
    columns = []
    for number, one in enumerate(found):
        begin = datetime.fromisoformat(one["since"]).astimezone()
        every = 3 if span is Span.DAY else 4
        columns.append(
            {
                **one,
                "x": LEFT + number * wide,
                "label": (f"{begin:%H:%M}" if span is Span.DAY else f"{begin:%a %d}") if number % every == 0 else "",
                "begin": f"{begin:%Y-%m-%d %H:%M}",
                "received_y": _height(one["received"], counts),
                "done_y": _height(one["done"], counts),
                "median_y": None if one["median_s"] is None else _height(one["median_s"], times),
                "p95_y": None if one["p95_s"] is None else _height(one["p95_s"], times),
            }
        )
    return {
        "columns": columns,
        "wide": wide,
        "floor": HEIGHT - FOOT,
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "counts": [{"y": _height(one, counts), "text": f"{one:g}"} for one in counts],
        "times": [{"y": _height(one, times), "text": lasting(one)} for one in times],
    }


def _height(value: float, steps: Sequence[float]) -> float:
    """Where a value stands, from the top; the highest step is 10 below it."""
    return round((HEIGHT - FOOT) - (HEIGHT - FOOT - 10) * value / steps[-1], 2)


@pages.get("/pace")
def pace(request: Request, at: At, who: Looking, span: Annotated[Span, Query()] = Span.DAY) -> HTMLResponse:
    """How much, how fast."""
    found = told(at, span)
    return page(request, "pace.html", who, pace=found, plot=drawn(found["buckets"], span), lasting=lasting, spans=list(Span))


@calls.get("/pace")
def pace_call(at: At, who: Looking, span: Annotated[Span, Query()] = Span.DAY) -> dict[str, Any]:
    """Throughput and latency of the last day by hours, or of the last week by six hours each."""
    return told(at, span)
