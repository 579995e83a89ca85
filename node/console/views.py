"""The pages."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from node.console import queries
from node.console.access import Administering, At, Before, Chosen, Fields, Looking, Meant, Number, Operating, Visitor
from node.console.actions import act, act_on_each, ask_again, complete, decide_held, make_room, pause, resume, route_again
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.console.pictures import findings_of, pictured
from node.console.queries import JobWords, filter_of
from node.console.rendering import asked_by_htmx, page, rendered
from node.console.status import status
from node.domain.errors import JournalError
from node.domain.health import DependencyKind
from node.domain.instance import HeldFor
from node.domain.state import JobState
from node.flow.held_instances import Part
from node.journal.port import Pausable

router = APIRouter(include_in_schema=False)
_OURS = re.compile(r"/(?:queue|jobs|parked|peers|studies(?:/[0-9.]{1,64})?)?(?:\?[A-Za-z0-9=&%+._-]{0,300})?")
"""Pages to which an action leads back."""
_EVERY_S = 2.0
_MOST_DIGITS = 18
_LOOKS = 900
"""A stream ends after so many looks; the browser opens the next by itself, and is asked who it is."""
_STREAMS = asyncio.Semaphore(64)


@router.get("/")
def start(request: Request, at: At, who: Looking) -> HTMLResponse:
    """Whether the node is well, in one look."""
    return page(request, "start_now.html" if asked_by_htmx(request) else "start.html", who, told=status(at))


@router.get("/tabs")
def tabs(request: Request, who: Looking, path: Annotated[str, Query(max_length=200)] = "/") -> HTMLResponse:
    """The navigation of the page at `path`, with how much there is to look at now."""
    return page(request, "tabs.html", who, path=path)


@router.get("/queue")
def live(request: Request, at: At, who: Looking) -> HTMLResponse:
    """What is under way."""
    return page(request, "queue.html", who, queue=queries.queue(at, who))


@router.get("/live")
async def stream(request: Request, at: At, who: Looking) -> Response:
    """The same as server-sent events, whenever it has changed."""
    if _STREAMS.locked():
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "too many are watching", retry_after_s=30)
    return StreamingResponse(_told(request, at, who), media_type="text/event-stream")


async def _told(request: Request, at: ConsoleContext, who: Visitor) -> AsyncIterator[str]:
    before = ""
    async with _STREAMS:
        for _ in range(_LOOKS):
            key = await to_thread.run_sync(at.journal.accounts.key, who.key, at.journal.now(), at.settings.idle)
            if request.app.state.ending.is_set() or key is None or key.role is not who.role:
                return  # with another role the browser comes again, and is shown what that may see
            try:
                now = rendered("queue_now.html", who, queue=await to_thread.run_sync(queries.queue, at, who))
            except JournalError:
                now = before  # it is away for a moment: what stood there stands
            yield ": here\n\n" if now == before else "event: queue\n" + "".join(f"data: {line}\n" for line in now.splitlines()) + "\n"
            before = now
            await asyncio.sleep(_EVERY_S)


@router.get("/studies")
def studies(request: Request, at: At, who: Looking, q: Annotated[str, Query(max_length=200)] = "", before: Before = None) -> HTMLResponse:
    """What was received."""
    found, more = queries.studies(at, who, q, before)
    name = "studies_rows.html" if asked_by_htmx(request) else "studies.html"
    return page(request, name, who, studies=found, more=more, q=q, before=before)


@router.get("/studies/{uid}")
def study(request: Request, at: At, who: Looking, uid: str) -> HTMLResponse:
    """A study's passport."""
    told = queries.study(at, who, uid)
    at.accesses.saw(who.name, who.key, who.address, uid)
    return page(request, "study.html", who, study=told, pictured=pictured(who), findings=findings_of(at, who, told))


@router.get("/parked")
def parked(request: Request, at: At, who: Looking) -> HTMLResponse:
    """What waits for a person."""
    return page(request, "parked.html", who, jobs=queries.parked(at, who), studies=queries.unrouted(at, who))


@router.post("/studies/{uid}/complete", dependencies=[Meant])
def run_now(at: At, who: Operating, uid: str) -> Response:
    """Analyse what came of a study's short series, without waiting for the rest, and go back to the study."""
    complete(at, who, uid)
    return RedirectResponse(f"/studies/{uid}", HTTPStatus.SEE_OTHER)


@router.post("/studies/{uid}/retry", dependencies=[Meant])
def retry(at: At, who: Operating, uid: str) -> Response:
    """Route a parked study again, and go back to it."""
    route_again(at, who, uid)
    return RedirectResponse(f"/studies/{uid}", HTTPStatus.SEE_OTHER)


@router.post("/studies/{uid}/held/{verb}", dependencies=[Meant])
def decide(at: At, who: Operating, uid: str, verb: str, fields: Fields) -> Response:
    """Accept or refuse what is held of a study, as far as it was shown, and go back to the study."""
    why, seen = fields.get("held_for", ""), fields.get("instances", "")
    if why not in list(HeldFor) or not seen.isdecimal() or len(seen) > _MOST_DIGITS:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "the form is not one of ours")
    part = Part(series_instance_uid=fields.get("series"), sender=fields.get("sender"), held_for=HeldFor(why))
    decide_held(at, who, uid, verb, part, seen=int(seen))
    return RedirectResponse(f"/studies/{uid}", HTTPStatus.SEE_OTHER)


@router.post("/pauses/{kind}/{name:path}/{verb}", dependencies=[Meant])
def hold(at: At, who: Operating, kind: Pausable, name: str, verb: Literal["pause", "resume"], fields: Fields) -> Response:
    """Pause a route, a sink or an engine, or let it go on, and go back to where it was asked."""
    (pause if verb == "pause" else resume)(at, who, kind, name)
    return _back(fields, "/peers")


@router.post("/room", dependencies=[Meant])
def room(at: At, who: Administering, fields: Fields) -> Response:
    """Delete the oldest pixels that nothing needs, and go back to where it was asked."""
    make_room(at, who)
    return _back(fields, "/")


@router.post("/ask/{kind}/{name:path}", dependencies=[Meant])
def ask(at: At, who: Operating, kind: DependencyKind, name: str, fields: Fields) -> Response:
    """Ask a peer, a sink or an engine now how it is, and go back to where it was asked."""
    ask_again(at, who, kind, name)
    return _back(fields, "/peers")


@router.get("/jobs")
def jobs(
    request: Request,
    at: At,
    who: Looking,
    said: JobWords,
    before: Before = None,
) -> HTMLResponse:
    """Jobs by state, sender, application, code and day."""
    found, more = queries.jobs(at, who, filter_of(said, before))
    return page(
        request,
        "jobs.html",
        who,
        jobs=found,
        more=more,
        before=before,
        said=said,
        states=list(JobState),
        senders=list(at.peers()),
        routes=at.pausable()[Pausable.ROUTE],
    )


@router.post("/jobs/{number}/{verb}", dependencies=[Meant])
def change(at: At, who: Operating, number: Number, verb: str, fields: Fields) -> Response:
    """Retry, analyse afresh, cancel or send a job again, and go back to where it was asked."""
    act(at, who, number, verb, fields.get("sink") or None)
    study_uid = fields.get("study", "")
    return _back(fields, f"/studies/{study_uid}" if study_uid.replace(".", "").isdigit() else "/parked")


@router.post("/jobs/chosen", dependencies=[Meant])
def change_each(request: Request, at: At, who: Operating, fields: Fields, numbers: Chosen) -> HTMLResponse:
    """Do one thing to each ticked job, and say what became of each."""
    verb = fields.get("verb", "")
    if verb not in ("retry", "cancel", "resend") or not numbers:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "tick jobs first, and press one of the buttons")
    back = fields.get("back", "")
    leads = back if _OURS.fullmatch(back) else "/jobs"
    return page(request, "acted.html", who, verb=verb, said=act_on_each(at, who, numbers, verb), back=leads)


def _back(fields: Mapping[str, str], otherwise: str) -> Response:
    said = fields.get("back", "")
    return RedirectResponse(said if _OURS.fullmatch(said) else otherwise, HTTPStatus.SEE_OTHER)
