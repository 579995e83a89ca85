"""Pages of what stands around the studies: peers, sinks, engines and processes with their health, and models with their cards."""

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt

from inference.engines.errors import ModelMissing, UnreadableModel
from inference.engines.repository import CARD, Listed, Repository
from inference.engines.serving import Served, served
from node.console.access import At, Looking, Number
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.console.health import Line
from node.console.rendering import asked_by_htmx, page
from node.domain.health import DependencyKind
from node.journal.port import Pausable

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
    """How peers, sinks, engines and the node's processes are, as far as is known now; whoever was not asked lately is asked then."""
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
    """Every version of every model; which is served, where it comes from, under which licence."""
    return [_model(one, at.models) for one in Repository(at.models).list()]


def _model(one: Listed, repository: Path) -> dict[str, Any]:
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
