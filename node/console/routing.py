"""The routes of the configuration file: looked at, edited, checked, tried on what was received, and saved. Pages and calls do the same."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from node.console import queries, redaction
from node.console.access import Administering, At, Body, Fields, Meant, Number, Operating, Visitor
from node.console.accounts import digest_of
from node.console.context import ConsoleContext
from node.console.editing import MOST_TEXT, BlockInFile, Checked, EditRefused, LiveBlock, Problem, Progress, Saved
from node.console.errors import RequestRefused
from node.console.rendering import page
from node.dicom.vr import identifies
from node.domain.errors import ConfigError
from node.records.decisions import replayed_from
from node.routing.replay import LAST

pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api", tags=["routes"])
_FOUND = 8
LONGEST_REASON = 500
YAML: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": f"The block as it is to stand in the file, its key included; at most {MOST_TEXT} characters.",
            "content": {"application/yaml": {"schema": {"type": "string", "maxLength": MOST_TEXT}}},
        }
    }
}
_Since = Annotated[
    str, Query(max_length=40, description=f"`30d`, `12h`, `2026-03-01` or `2026-03-01T14:00` (UTC); without it the last {LAST} arrivals")
]
Reason = Annotated[str, Query(max_length=LONGEST_REASON, description="Why, for those who look later")]
_Study = Annotated[str, Query(max_length=64, pattern=r"^[0-9.]+$")]
Digest = Annotated[str, Query(pattern="^[0-9a-f]{64}$", description="`file_digest`, as GET told it")]
_T = TypeVar("_T")


@pages.get("/routes")
def routes(request: Request, at: At, who: Operating) -> HTMLResponse:
    """The editor."""
    return editor(request, at, who, LiveBlock.ROUTES)


@pages.get("/routes/studies")
def studies(request: Request, at: At, who: Operating, q: Annotated[str, Query(max_length=200)] = "") -> HTMLResponse:
    """Studies to explain with, by search."""
    return page(request, "routes_studies.html", who, studies=queries.studies(at, who, q, None)[0][:_FOUND])


@pages.post("/routes/check", dependencies=[Meant])
def check(request: Request, at: At, who: Operating, fields: Fields) -> HTMLResponse:
    """What is wrong with the text, or what would change with it."""
    return compared(request, at, who, LiveBlock.ROUTES, fields)


@pages.post("/routes/explain", dependencies=[Meant])
def explain(request: Request, at: At, who: Operating, fields: Fields) -> HTMLResponse:
    """What the text would decide about a study."""
    text, study = fields.get("text", ""), fields.get("study", "")
    return _part(request, who, "routes_explained.html", lambda: {"told": explained(at, who, text, study)})


@pages.post("/routes/replay", dependencies=[Meant])
def replay(request: Request, at: At, who: Operating, fields: Fields) -> HTMLResponse:
    """Begin to replay the text."""
    return _part(request, who, "routes_replay.html", lambda: {"one": begun(at, who, fields.get("text", ""), fields.get("since", ""))})


@pages.get("/routes/replays/{number}")
def replay_now(request: Request, at: At, who: Operating, number: Number) -> HTMLResponse:
    """How far a replay is."""
    return page(request, "routes_replay.html", who, one=progress(at, who, number))


@pages.post("/routes/replays/{number}/stop", dependencies=[Meant])
def replay_stop(request: Request, at: At, who: Operating, number: Number) -> HTMLResponse:
    """End a replay."""
    return page(request, "routes_replay.html", who, one=stopped(at, who, number))


@pages.post("/routes/save", dependencies=[Meant])
def save(request: Request, at: At, who: Administering, fields: Fields) -> HTMLResponse:
    """Write the text into the file and have the node take it up; of a text whose differences nobody was shown, show them."""
    return written(request, at, who, LiveBlock.ROUTES, fields)


@calls.get("/routes")
def routes_now(at: At, who: Operating) -> dict[str, Any]:
    """The block `routes:` as it stands in the configuration file, its revision, and the revision that the node goes by."""
    return asdict(done(at.editing.shown))


@calls.post("/routes/check", dependencies=[Meant], **YAML)
def check_call(at: At, who: Operating, body: Body) -> dict[str, Any]:
    """What is wrong with edited routes, at the lines of the file; nothing is changed."""
    return asdict(done(lambda: checked(at, who, LiveBlock.ROUTES, text_of(body))))


@calls.post("/routes/explain", dependencies=[Meant], **YAML)
def explain_call(at: At, who: Operating, study: _Study, body: Body) -> dict[str, Any]:
    """What edited routes would decide about a study that was received, condition by condition; nothing is changed."""
    return done(lambda: explained(at, who, text_of(body), study))


@calls.post("/routes/replays", dependencies=[Meant], status_code=HTTPStatus.ACCEPTED, **YAML)
def replay_call(at: At, who: Operating, body: Body, since: _Since = "") -> dict[str, Any]:
    """Begin to replay edited routes against what was received; ends a replay that this account began before."""
    return asdict(done(lambda: begun(at, who, text_of(body), since)))


@calls.get("/routes/replays/{number}")
def replay_record(at: At, who: Operating, number: Number) -> dict[str, Any]:
    """How far a replay of this account is, and what it found so far."""
    return asdict(progress(at, who, number))


@calls.post("/routes/replays/{number}/stop", dependencies=[Meant])
def stop_call(at: At, who: Operating, number: Number) -> dict[str, Any]:
    """End a replay of this account."""
    return asdict(stopped(at, who, number))


@calls.put("/routes", dependencies=[Meant], **YAML)
def save_call(at: At, who: Administering, digest: Digest, body: Body, reason: Reason = "") -> dict[str, Any]:
    """Write edited routes into the configuration file that has this digest, and have the node take them up."""
    return asdict(done(lambda: saved(at, who, LiveBlock.ROUTES, text_of(body), digest, reason)))


def editor(request: Request, at: ConsoleContext, who: Visitor, block: LiveBlock) -> HTMLResponse:
    """The page that edits a block; where the file cannot be edited, why."""
    try:
        shown: BlockInFile | None = at.editing.of(block).shown()
        trouble = None
    except ConfigError as unreadable:
        shown, trouble = None, problem(unreadable)
    template = "routes.html" if block is LiveBlock.ROUTES else "block.html"
    return _page(request, who, template, block, shown=shown, trouble=trouble, most=MOST_TEXT, last=LAST)


def compared(request: Request, at: ConsoleContext, who: Visitor, block: LiveBlock, fields: dict[str, str]) -> HTMLResponse:
    """What would change; saving names the text that this was told of."""
    text = fields.get("text", "")
    known = {"began": fields.get("digest", ""), "compared": digest_of(text), "reason": fields.get("reason", ""), "longest": LONGEST_REASON}
    return _part(request, who, "routes_checked.html", lambda: {"checked": checked(at, who, block, text), **known}, block)


def written(request: Request, at: ConsoleContext, who: Visitor, block: LiveBlock, fields: dict[str, str]) -> HTMLResponse:
    """What came of saving; of a text whose differences nobody was shown, these."""
    text, digest, reason = fields.get("text", ""), fields.get("digest", ""), fields.get("reason", "")
    if fields.get("compared") != digest_of(text):
        return compared(request, at, who, block, fields)

    def save() -> dict[str, Any]:
        return {"saved": saved(at, who, block, text, digest, reason), "shown": at.editing.of(block).shown()}

    return _part(request, who, "routes_saved.html", save, block, text=text)


def checked(at: ConsoleContext, who: Visitor, block: LiveBlock, text: str) -> Checked:
    """What is wrong with an edited block."""
    return at.editing.of(block).checked(_bounded(at, who, text))


def explained(at: ConsoleContext, who: Visitor, text: str, study: str) -> dict[str, Any]:
    """What they would decide about a study; told to the audit trail, as its values are shown."""
    _allowed(at, who, _bounded(at, who, text))
    if not study or not at.journal.arrivals.find(study=study, limit=1):
        raise RequestRefused(HTTPStatus.NOT_FOUND, "no study of this UID was received")
    told = at.editing.explained(text, study)
    at.accesses.saw(who.name, who.key, who.address, study)
    if who.sees_patients:
        return told
    series = [{**one, "description": "", "decisions": redaction.decisions(one["decisions"])} for one in told["series"]]
    return dict(redaction.unquoted({**told, "series": series, "recorded": redaction.decisions(told["recorded"])}))


def begun(at: ConsoleContext, who: Visitor, text: str, since: str) -> Progress:
    """A replay that has begun."""
    _allowed(at, who, _bounded(at, who, text))
    return _begun(at, who, since, lambda began: at.editing.replay(text, began, who.name))


def begun_of(at: ConsoleContext, who: Visitor, since: str, begin: Callable[[datetime], Progress]) -> Progress:
    """The same of routes that nobody edited."""
    count_try(at, who)
    return _begun(at, who, since, begin)


def _begun(at: ConsoleContext, who: Visitor, since: str, begin: Callable[[datetime], Progress]) -> Progress:
    try:
        began = replayed_from(at.journal.routing_history, since.strip(), at.journal.now())
    except ValueError as neither:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"since {neither}") from neither
    return _for(at, who, begin(began))


def progress(at: ConsoleContext, who: Visitor, number: int) -> Progress:
    """How far somebody's own replay is; the studies that it shows are told to the audit trail."""
    found = at.editing.progress(number)
    if found is None or found.by != who.name:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "there is no such replay; begin another")
    return _for(at, who, found)


def stopped(at: ConsoleContext, who: Visitor, number: int) -> Progress:
    """Somebody's own replay, ended."""
    progress(at, who, number)
    at.editing.stop(number)
    return progress(at, who, number)


def saved(at: ConsoleContext, who: Visitor, block: LiveBlock, text: str, digest: str, reason: str) -> Saved:
    """A block that stands in the file; the revision that it becomes has the reason."""
    return at.editing.of(block).saved(_bounded(at, who, text), digest, who.name, who.address, reason.strip()[:LONGEST_REASON])


def text_of(body: bytes) -> str:
    """What a program sent."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as other:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "what was sent is not UTF-8") from other


def _bounded(at: ConsoleContext, who: Visitor, text: str) -> str:
    """The same text, if it is not too long and not one of too many."""
    if len(text) > MOST_TEXT:
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MOST_TEXT} characters are edited in the file itself")
    count_try(at, who)
    return text


def count_try(at: ConsoleContext, who: Visitor) -> None:
    """Count what costs the node, and refuse one of too many."""
    wait_s = at.tries.take(who.name)
    if wait_s > 0:
        raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, "too many tries in a minute", retry_after_s=math.ceil(wait_s))


def _allowed(at: ConsoleContext, who: Visitor, text: str) -> None:
    """Refuse to try rules about the patient, or about free text, for those who may not see patients: the verdicts would tell who it is."""
    asked = [] if who.sees_patients else sorted(one for one in at.editing.asks_of(text) if identifies(one))
    if asked:
        raise RequestRefused(
            HTTPStatus.FORBIDDEN,
            f"these routes ask for {', '.join(asked)}, which may tell the patient, whom your role may not see: they are not tried for it",
        )


def _for(at: ConsoleContext, who: Visitor, one: Progress) -> Progress:
    for study in {each["study_uid"]: None for each in one.differences}:
        at.accesses.saw(who.name, who.key, who.address, study)
    return one if who.sees_patients else replace(one, differences=tuple(redaction.unquoted(redaction.differences(one.differences))))


def done(ask: Callable[[], _T]) -> _T:
    """For programs: what is wrong with what they sent, in sentences."""
    try:
        return ask()
    except EditRefused as wrong:
        words = "; ".join(f"line {one.line}: {one.words or 'a mistake outside of the block'} [{one.code}]" for one in wrong.problems)
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, words) from wrong
    except ConfigError as wrong:
        raise RequestRefused(HTTPStatus.CONFLICT, f"{wrong} [{wrong.code}]") from wrong


def _part(
    request: Request,
    who: Visitor,
    template: str,
    make: Callable[[], dict[str, Any]],
    block: LiveBlock = LiveBlock.ROUTES,
    text: str = "",
) -> HTMLResponse:
    """A part of the page; where the block is no good, what is wrong with it in its place."""
    try:
        return _page(request, who, template, block, **make())
    except ConfigError as wrong:
        problems = wrong.problems if isinstance(wrong, EditRefused) else (problem(wrong),)
        return _page(request, who, "routes_trouble.html", block, problems=problems, wrong=isinstance(wrong, EditRefused), text=text)


def _page(request: Request, who: Visitor, template: str, block: LiveBlock, **content: Any) -> HTMLResponse:
    """A template about a block; those that are not routes belong to the page of peers."""
    if block is LiveBlock.ROUTES:
        return page(request, template, who, block=block, base="/routes", **content)
    return page(request, template, who, path="/peers", block=block, base=f"/config/{block}", **content)


def problem(wrong: ConfigError) -> Problem:
    return Problem(line=0, column=0, code=wrong.code, words=str(wrong), remedy=wrong.remedy)
