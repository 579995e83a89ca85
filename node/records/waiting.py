"""What the reading verbs say of an arrival that is open because a route waits for a series."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from node.domain.arrival import Arrival
from node.domain.shortage import Hold
from node.domain.state import ArrivalState
from node.records.words import stamp, when

WAITS = "waits"
INCOMPLETE = "incomplete"
"""The state of a study of which a series is known to be short, while routes wait for its rest."""
"""The state of a study of which nothing more is expected but what a route waits for."""


def waits(arrival: Arrival) -> dict[str, Any] | None:
    """For scripts: `for` what a route waits, in words, and `until` when; None where the arrival does not wait."""
    if arrival.state is not ArrivalState.RECEIVED or not arrival.waits_for:
        return None
    return {"for": arrival.waits_for, "until": stamp(arrival.due_at)}


def incomplete(holds: Sequence[Hold]) -> list[dict[str, Any]]:
    """For scripts: the series that are known to be short, and until when which route waits for the rest."""
    return [
        {
            "series_uid": one.series_instance_uid,
            "route": one.route,
            "why": one.shortage.lack.value,
            "came": one.shortage.came,
            "expected": one.shortage.expected,
            "since": stamp(one.since),
            "until": stamp(one.until),
            "says": one.shortage.sentence,
        }
        for one in holds
    ]


def short_in_words(one: dict[str, Any]) -> str:
    """For people: what came of the series, until when its route waits, and how it is run now."""
    until = when(datetime.fromisoformat(one["until"]))
    return f"incomplete: {one['says']} (series {one['series_uid']}); route {one['route']} waits until {until}"


def in_words(waiting: dict[str, Any]) -> str:
    """For people: until when, and what is missing."""
    return f"a route waits until {when(datetime.fromisoformat(waiting['until']))}: {waiting['for']}"
