"""Pages of what stands around the studies: peers, sinks, engines and processes with their health, models with their cards; what happened,
line by line, and who called (`hilum events`, `hilum associations`).
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt

from inference.applications.standing import Standing, Standings
from inference.engines.errors import ModelMissing, UnreadableModel
from inference.engines.repository import CARD, Listed, Repository
from inference.engines.serving import Served, served
from node.console import redaction
from node.console.access import At, Looking, Number, Visitor
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.console.health import Line
from node.console.rendering import asked_by_htmx, page
from node.domain.health import DependencyKind
from node.journal.port import EventFilter, Pausable
from node.records.associations import association_in_words, association_records
from node.records.history import about_in_words, event_in_words, located_record
from node.records.peers import rests_on, would_have
from node.records.words import since as moment

pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api", tags=["console"])
_LONGEST_CARD = 200_000
_PAGE = "card.html"
"""The page of a version's evaluation, in its folder, as `hilum export` enters it."""
_LONGEST_PAGE = 8_000_000
_PAGE_MAY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
"""Whoever wrote it is not trusted: as a page of nowhere it runs nothing, fetches nothing and asks for nothing."""
_SILENT_S = 60.0


@pages.get("/peers")
def peers(request: Request, at: At, who: Looking) -> HTMLResponse:
    """Peers, sinks, engines and processes; those that are asked now are shown when they have answered."""
    told = health_record(at)
    template = "peers_now.html" if asked_by_htmx(request) else "peers.html"
    return page(request, template, who, health=told, kinds=[kind.value for kind in DependencyKind])


@calls.get("/health")
def health(at: At, who: Looking) -> dict[str, Any]:
    """How peers, sinks, engines and the node's processes are, as far as is known now; whoever was not asked lately is asked then. `windows`
    are the peers' quiet windows, as `hilum peers` tells them."""
    return health_record(at)


@pages.get("/models")
def models(request: Request, at: At, who: Looking) -> HTMLResponse:
    """The model repository."""
    return page(request, "models.html", who, models=model_records(at), repository=str(at.models))


@calls.get("/models")
def model_list(at: At, who: Looking) -> dict[str, Any]:
    """The models of the repository."""
    return {"models": model_records(at)}


@pages.get("/models/{name}")
def model(request: Request, at: At, who: Looking, name: str) -> HTMLResponse:
    """A model, with its card."""
    mine = [one for one in model_records(at) if one["model"] == name]
    if not mine:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "there is no model of this name")
    return page(request, "model.html", who, name=name, versions=mine, card=_card(at.models / name / CARD))


@pages.get("/models/{name}/{version}/card")
def evaluation_page(at: At, who: Looking, name: str, version: Number) -> HTMLResponse:
    """The page of a version's evaluation, alone in the window: plots and pictures, of numbered cases."""
    known = any((one.model.name, one.model.version) == (name, version) for one in Repository(at.models).list())
    content = _page(at.models / name / str(version) / _PAGE) if known else None
    if content is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "there is no page of an evaluation of this version")
    return HTMLResponse(content, headers={"Content-Security-Policy": _PAGE_MAY})


def health_record(at: ConsoleContext) -> dict[str, Any]:
    """For scripts and for pages."""
    lines, now = at.health.look(), at.journal.now()
    processes = [
        {"name": name, "seen_at": seen.isoformat(), "silent": (now - seen).total_seconds() > _SILENT_S}
        for name, (seen, _) in sorted(at.journal.processes.beats().items())
    ]
    held = list(at.journal.pauses.find())
    paused = {(kind.value, name) for kind, name, _ in held}
    return {
        "windows": [one | {"rests_on": rests_on(one), "says": would_have(one)} for one in at.windows.told()],
        "subjects": [_line(one, paused=(one.subject.kind.value, one.subject.name) in paused) for one in lines],
        "processes": processes,
        "paused": [{"kind": kind.value, "name": name, "since": since.isoformat()} for kind, name, since in held],
        "routes": list(at.pausable()[Pausable.ROUTE]),
        "asking": any(one.asking for one in lines),
    }


def _line(one: Line, *, paused: bool) -> dict[str, Any]:
    """What nothing is sent to, though it would take it, is paused; what is away stays away."""
    state = "only calls" if one.subject.ask is None else "not asked yet" if one.answer is None else "ready" if one.answer.ready else "away"
    if paused and state != "away":
        state = "paused"
    return {
        "kind": one.subject.kind.value,
        "name": one.subject.name,
        "where": one.subject.where,
        "words": one.subject.words,
        "state": state,
        "detail": "" if one.answer is None else one.answer.detail,
        "age_s": None if one.age_s is None else round(one.age_s, 1),
        "asking": one.asking,
    }


def model_records(at: ConsoleContext) -> list[dict[str, Any]]:
    """Every version of every model; which is served, what it is good for, where it comes from, under which licences."""
    standings = Standings(at.models, at.application_folders)
    return [_model(one, at.models, standings.of(one)) for one in Repository(at.models).list()]


def _model(one: Listed, repository: Path, standing: Standing) -> dict[str, Any]:
    told, entry = _served(one, repository), one.entry
    return {
        "model": one.model.name,
        "version": one.model.version,
        "serving": told is not None and told.version == one.model.version,
        "history": []
        if told is None
        else [{"at": line.at, "by": line.by, "why": line.why, "serving": line.serving} for line in told.history],
        "backend": one.backend,
        "problem": one.problem or None,
        "sha256": entry.sha256 if entry else None,
        "licence": entry.licence if entry else None,
        "grade": standing.grade or None,
        "accepted": list(standing.accepted),
        "licences": asdict(standing.licences),
        "attribution": entry.attribution if entry else None,
        "source": entry.source if entry else None,
        "evaluated": (repository / one.model.name / str(one.model.version) / _PAGE).is_file(),
    }


def _served(one: Listed, repository: Path) -> Served | None:
    try:
        return served(repository, one.model.name)
    except (ModelMissing, UnreadableModel):  # the record's `problem` says what is wrong with it
        return None


def _card(path: Path) -> str | None:
    """A card as HTML. Whoever wrote it is not trusted: no HTML of its own, no pictures, no links but of the web's usual kinds."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:_LONGEST_CARD]
    except OSError:
        return None
    return str(_markdown().render(text))


def _page(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_PAGE + 1)
    except OSError:
        return None
    return content if len(content) <= _LONGEST_PAGE else None


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("js-default").disable("image")


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
    return page(request, "events.html", who, events=found, said=said, peers=list(at.peers()), most=_MOST_EVENTS)


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
