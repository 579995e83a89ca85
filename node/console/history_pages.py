"""What happened, line by line, and who called: the pages and calls of `hilum events` and `hilum associations`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from node.console import redaction
from node.console.access import At, Looking, Visitor
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.console.rendering import page
from node.journal.port import EventFilter
from node.records.associations import association_in_words, association_records
from node.records.history import about_in_words, event_in_words, located_record
from node.records.words import since as moment

pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api", tags=["console"])
_MOST_EVENTS = 200
_MOST_CALLS = 500
_Study = Annotated[str, Query(max_length=64, pattern=r"^[0-9.]*$")]
_Word = Annotated[str, Query(max_length=100)]
_Since = Annotated[str, Query(max_length=40, description="`30m`, `12h`, `2026-03-01` or `2026-03-01T14:00` (UTC)")]


@pages.get("/events")
def events(
    request: Request, at: At, who: Looking, study: _Study = "", peer: _Word = "", code: _Word = "", since: _Since = "24h"
) -> HTMLResponse:
    """What happened, the newest first."""
    found = event_records(at, who, study, peer, code, since)
    said = {"study": study, "peer": peer, "code": code, "since": since}
    return page(request, "events.html", who, events=found, said=said, peers=list(at.peers), most=_MOST_EVENTS)


@calls.get("/events")
def event_call(at: At, who: Looking, study: _Study = "", peer: _Word = "", code: _Word = "", since: _Since = "24h") -> dict[str, Any]:
    """Lines of the journal's history, the newest first."""
    return {"events": event_records(at, who, study, peer, code, since)}


@pages.get("/associations")
def associations(request: Request, at: At, who: Looking, since: _Since = "1h", refused: bool = False) -> HTMLResponse:
    """Who called, and what became of it, the newest first."""
    found = caller_records(at, since, refused=refused)
    return page(request, "associations.html", who, calls=found, said={"since": since, "refused": refused}, most=_MOST_CALLS)


@calls.get("/associations")
def association_call(at: At, who: Looking, since: _Since = "1h", refused: bool = False) -> dict[str, Any]:
    """Associations and connections of this host's receivers, the newest first."""
    return {"associations": caller_records(at, since, refused=refused)}


def event_records(at: ConsoleContext, who: Visitor, study: str, peer: str, code: str, since: str) -> list[dict[str, Any]]:
    """Events with their words."""
    sinks = tuple(at.sinks_of(peer)) if peer else ()
    began = _moment(since, at.journal.now())
    wanted = EventFilter(study=study or None, peer=peer or None, sinks=sinks, codes=(code.upper(),) if code else (), since=began)
    found = [located_record(one) for one in reversed(at.journal.events.find(wanted, limit=_MOST_EVENTS))]
    told = [{**one, "about": about_in_words(one), "words": event_in_words(one)} for one in found]
    return told if who.sees_patients else list(redaction.unquoted(told))


def caller_records(at: ConsoleContext, since: str, *, refused: bool) -> list[dict[str, Any]]:
    """Associations with their words."""
    found = association_records(at.associations.told(), _moment(since, datetime.now(UTC)))
    wanted = [one for one in reversed(found) if one["outcome"] == "refused" or not refused]
    return [_worded(one) for one in wanted[:_MOST_CALLS]]


def _worded(one: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, "words": association_in_words(one)}


def _moment(text: str, now: datetime) -> datetime:
    try:
        return moment(text, now)
    except (ValueError, OverflowError) as neither:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "since when: 30m, 12h, 7d, or a date like 2026-03-01") from neither
