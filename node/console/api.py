"""The API for programs: the records that the pages show, as JSON; described at /api/openapi.json."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from node.console import queries
from node.console.access import At, Before, Looking, Meant, Number, Operating
from node.console.actions import act, complete, decide_held, route_again
from node.flow.held import Part

router = APIRouter(prefix="/api", tags=["console"])


@router.get("/queue")
def queue(at: At, who: Looking) -> dict[str, Any]:
    """What waits, what is under way, what ended last."""
    return queries.queue(at)


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
def change(at: At, who: Operating, number: Number, verb: Literal["retry", "cancel"]) -> dict[str, Any]:
    """Retry or cancel a job."""
    return {"id": number, "state": act(at, who, number, verb)}
