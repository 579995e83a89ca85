"""Configurations that came into force: who wanted each, when and why, in what two of them differ, and the way back to one. Pages and calls
do the same.

Operators see who changed what when; what stands in a configuration (peers, addresses) is shown to admins alone, who put one back.
"""

from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from node.console.access import Administering, At, Fields, Meant, Number, Operating, Visitor
from node.console.context import ConsoleContext
from node.console.editing import Saved
from node.console.errors import RequestRefused
from node.console.file_differences import DiffLine, differences
from node.console.rendering import page
from node.console.routing import LONGEST_REASON, begun_of, count_try, done, problem
from node.domain.config_revision import ConfigRevision
from node.domain.errors import ConfigError
from node.routing.replay import LAST

pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api", tags=["routes"])
FILE = "file"
"""What a revision is compared with that is none: the file as it is now."""
_MOST = 200
_With = Annotated[str, Query(alias="with", pattern="^(file|[0-9]{1,9})?$", description="Another one's number, or `file`; the one before")]
_Reason = Annotated[str, Query(max_length=LONGEST_REASON, description="Why, for those who look later")]


@pages.get("/routes/revisions")
def revisions(request: Request, at: At, who: Operating) -> HTMLResponse:
    """The newest, the newest first."""
    return page(request, "revisions.html", who, revisions=at.journal.config_revisions.find(limit=_MOST), most=_MOST)


@pages.get("/routes/revisions/{number}")
def revision(request: Request, at: At, who: Administering, number: Number, other: _With = "") -> HTMLResponse:
    """One, and what differs in it."""
    return _page(request, at, who, number, other)


@pages.post("/routes/revisions/{number}/replay", dependencies=[Meant])
def replay(request: Request, at: At, who: Administering, number: Number, fields: Fields) -> HTMLResponse:
    """Begin to replay its routes."""
    found = get(at, number)
    if not who.sees_patients:  # whether a rule holds tells of the patient, and this account may have written the rule
        raise RequestRefused(HTTPStatus.FORBIDDEN, "a replay may tell of patients, whom your role may not see")
    try:
        one = begun_of(at, who, fields.get("since", ""), lambda since: at.editing.replay_back(found, since, who.name))
    except ConfigError as refused:
        return page(request, "routes_trouble.html", who, problems=(problem(refused),), wrong=False, text="")
    return page(request, "routes_replay.html", who, one=one)


@pages.post("/routes/revisions/{number}/rollback", dependencies=[Meant])
def rollback(request: Request, at: At, who: Administering, number: Number, fields: Fields) -> HTMLResponse:
    """Put it into the file, and in force."""
    try:
        saved = rolled_back(at, who, number, fields.get("reason", ""))
    except ConfigError as refused:
        return _page(request, at, who, number, FILE, trouble=refused, reason=fields.get("reason", ""))
    return _page(request, at, who, number, FILE, saved=saved)


@calls.get("/routes/revisions")
def revisions_now(at: At, who: Operating) -> list[dict[str, Any]]:
    """The configurations that came into force, the newest first: number, when, by whom, why, and what its routes are called."""
    return [_record(one) for one in at.journal.config_revisions.find(limit=_MOST)]


@calls.get("/routes/revisions/{number}")
def revision_record(at: At, who: Administering, number: Number, other: _With = "") -> dict[str, Any]:
    """One of them, and the places in which it differs from another one, or in which the file of now differs from it."""
    one = get(at, number)
    return {**_record(one), "differences": [[asdict(line) for line in place] for place in done(lambda: compared(at, one, other))]}


@calls.post("/routes/revisions/{number}/rollback", dependencies=[Meant])
def rollback_call(at: At, who: Administering, number: Number, reason: _Reason = "") -> dict[str, Any]:
    """Put it into the configuration file, and have the node take it up."""
    return asdict(done(lambda: rolled_back(at, who, number, reason)))


def get(at: ConsoleContext, number: int) -> ConfigRevision:
    """The revision of this number."""
    found = at.journal.config_revisions.get(number)
    if found is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "there is no revision of this number")
    return found


def compared(at: ConsoleContext, one: ConfigRevision, other: str) -> tuple[tuple[DiffLine, ...], ...]:
    """The places in which it differs from an older or newer one (lines of this one are the added ones), or the file from it."""
    if other == FILE:
        return differences(*at.editing.file_and(one), 1)
    if not other and one.number == 1:
        return ()
    return differences(get(at, int(other or one.number - 1)).text, one.text, 1)


def rolled_back(at: ConsoleContext, who: Visitor, number: int, reason: str) -> Saved:
    """A revision that stands in the file again; the node is told why.

    Raises
    ------
    ConfigError
        It cannot come back, and nothing was written; or it stands there, and may not outlive a loss of power.
    """
    count_try(at, who)
    found = get(at, number)
    why = f"back to revision {number}" + (f": {reason.strip()}" if reason.strip() else "")
    return at.editing.rolled_back(found, who.name, who.address, why[:LONGEST_REASON])


def _page(
    request: Request,
    at: ConsoleContext,
    who: Visitor,
    number: int,
    other: str,
    *,
    saved: Saved | None = None,
    trouble: ConfigError | None = None,
    reason: str = "",
) -> HTMLResponse:
    one = get(at, number)
    places, unread = _readable(lambda: compared(at, one, other))
    return page(
        request,
        "revision.html",
        who,
        path="/routes",
        one=one,
        other=other,
        others=[each for each in at.journal.config_revisions.find(limit=_MOST) if each.number != number],
        differences=places,
        unread=unread,
        saved=saved,
        trouble=None if trouble is None else problem(trouble),
        reason=reason,
        longest=LONGEST_REASON,
        last=LAST,
    )


def _readable(ask: Callable[[], tuple[tuple[DiffLine, ...], ...]]) -> tuple[tuple[tuple[DiffLine, ...], ...], str]:
    """Differences, or why the file cannot be compared."""
    try:
        return ask(), ""
    except ConfigError as gone:
        return (), f"{gone} [{gone.code}]"


def _record(one: ConfigRevision) -> dict[str, Any]:
    return {
        "revision": one.number,
        "at": one.at.isoformat(),
        "author": one.author,
        "reason": one.reason,
        "host": one.host,
        "path": one.path,
        "digest": one.digest,
        "text_digest": one.text_digest,
    }
