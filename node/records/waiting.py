"""What the reading verbs say of an arrival that is open because a route waits for a series."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from node.domain.arrival import Arrival
from node.domain.state import ArrivalState
from node.flow.needs import awaits
from node.records.words import stamp, when

if TYPE_CHECKING:
    from node.journal.port import Journal

WAITS = "waits"
"""The state of a study of which nothing more is expected but what a route waits for."""


def waits(journal: "Journal", arrival: Arrival) -> dict[str, Any] | None:
    """For scripts: `for` what a route waits, in words, and `until` when; None where the arrival does not wait."""
    if arrival.state is not ArrivalState.RECEIVED or not (missing := awaits(journal, arrival)):
        return None
    return {"for": missing, "until": stamp(arrival.due_at)}


def in_words(waiting: dict[str, Any]) -> str:
    """For people: until when, and what is missing."""
    return f"a route waits until {when(datetime.fromisoformat(waiting['until']))}: {waiting['for']}"
