"""The API for programs: the records that the pages show, as JSON; described at /api/openapi.json."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from node.console import queries
from node.console.access import Administering, At, Before, Looking, Meant, Number, Operating
from node.console.actions import act, ask_again, complete, decide_held, make_room, pause, resume, route_again
from node.console.queries import JobWords, filter_of
from node.console.status import status as status_record
from node.domain.health import DependencyKind
from node.flow.held_instances import Part
from node.journal.port import Pausable

router = APIRouter(prefix="/api", tags=["console"])


@router.get("/status")
def status(at: At, who: Looking) -> dict[str, Any]:
    """Whether the node is well: what is wrong of what, what to do, and who sends how often."""
    return status_record(at)


@router.post("/pauses/{kind}/{name:path}/{verb}", dependencies=[Meant])
def hold(at: At, who: Operating, kind: Pausable, name: str, verb: Literal["pause", "resume"]) -> dict[str, Any]:
    """Pause a route, a sink or an engine, or let it go on."""
    (pause if verb == "pause" else resume)(at, who, kind, name)
    return {"kind": kind.value, "name": name, "paused": verb == "pause"}


@router.post("/room", dependencies=[Meant])
def room(at: At, who: Administering) -> dict[str, Any]:
    """Delete the oldest pixels that nothing needs until the disk is roomy again."""
    return {"instances": make_room(at, who)}


@router.post("/ask/{kind}/{name:path}", dependencies=[Meant])
def ask(at: At, who: Operating, kind: DependencyKind, name: str) -> dict[str, Any]:
    """Have a peer, a sink or an engine asked now; `/api/health` has the answer when it is there."""
    ask_again(at, who, kind, name)
    return {"kind": kind.value, "name": name}


@router.get("/queue")
def queue(at: At, who: Looking) -> dict[str, Any]:
    """What waits, what is under way, what ended last."""
    return queries.queue(at, who)


@router.get("/studies")
def studies(at: At, who: Looking, q: Annotated[str, Query(max_length=200)] = "", before: Before = None) -> dict[str, Any]:
    """Studies, the newest first; `next` is the `before` of the following page."""
    found, more = queries.studies(at, who, q, before)
    return {"studies": found, "next": more}


@router.get("/studies/{uid}")
def study(at: At, who: Looking, uid: str) -> dict[str, Any]:
    """A study's passport."""
    told = queries.study(at, who, uid)
    at.accesses.saw(who.name, who.key, who.address, uid)
    return told


@router.get("/parked")
def parked(at: At, who: Looking) -> dict[str, Any]:
    """Jobs about which a person decides, and studies that could not be routed."""
    return {"jobs": queries.parked(at, who), "studies": queries.unrouted(at, who)}


@router.get("/jobs")
def jobs(
    at: At,
    who: Looking,
    said: JobWords,
    before: Before = None,
) -> dict[str, Any]:
    """Jobs by state, sender, application, code and day, the newest first; `next` is the `before` of the following page."""
    found, more = queries.jobs(at, who, filter_of(said, before))
    return {"jobs": found, "next": more}


@router.get("/jobs/{number}")
def job(at: At, who: Looking, number: Number) -> dict[str, Any]:
    """Everything about a job."""
    return queries.job(at, who, number)


@router.post("/studies/{uid}/complete", dependencies=[Meant])
def run_now(at: At, who: Operating, uid: str) -> dict[str, Any]:
    """Analyse what came of a study's short series, without waiting for the rest."""
    return {"study_uid": uid, "arrivals": complete(at, who, uid)}


@router.post("/studies/{uid}/retry", dependencies=[Meant])
def retry(at: At, who: Operating, uid: str) -> dict[str, Any]:
    """Route a parked study again."""
    return {"study_uid": uid, "arrivals": route_again(at, who, uid)}


@router.post("/studies/{uid}/held/{verb}", dependencies=[Meant])
def decide(at: At, who: Operating, uid: str, verb: Literal["accept", "refuse"], series: str | None = None) -> dict[str, Any]:
    """Accept or refuse what is held of a study, or of one of its series."""
    return {"study_uid": uid, "instances": decide_held(at, who, uid, verb, Part(series_instance_uid=series))}


@router.post("/jobs/{number}/{verb}", dependencies=[Meant])
def change(
    at: At, who: Operating, number: Number, verb: Literal["retry", "afresh", "cancel", "resend"], sink: str | None = None
) -> dict[str, Any]:
    """Retry a job, analyse it afresh, cancel it, or send its objects again (to one sink, or all)."""
    return {"id": number, "state": act(at, who, number, verb, sink)}
