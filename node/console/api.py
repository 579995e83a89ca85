"""The API for programs: the records that the pages show, as JSON; described at /api/openapi.json."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from node.console import asking
from node.console.access import At, Looking, Meant, Operating
from node.console.acting import act

router = APIRouter(prefix="/api", tags=["console"])


@router.get("/queue")
def queue(at: At, who: Looking) -> dict[str, Any]:
    """What waits, what is under way, what ended last."""
    return asking.queue(at)


@router.get("/studies")
def studies(
    at: At, who: Looking, q: Annotated[str, Query(max_length=200)] = "", before: Annotated[int | None, Query(ge=1)] = None
) -> dict[str, Any]:
    """Studies, the newest first; `next` is the `before` of the following page."""
    found, more = asking.studies(at, who, q, before)
    return {"studies": found, "next": more}


@router.get("/studies/{uid}")
def study(at: At, who: Looking, uid: str) -> dict[str, Any]:
    """A study's passport."""
    told = asking.study(at, who, uid)
    at.accesses.saw(who.name, who.key, uid)
    return told


@router.get("/parked")
def parked(at: At, who: Looking) -> dict[str, Any]:
    """Jobs about which a person decides."""
    return {"jobs": asking.parked(at, who)}


@router.get("/jobs/{number}")
def job(at: At, who: Looking, number: int) -> dict[str, Any]:
    """Everything about a job."""
    return asking.job(at, who, number)


@router.post("/jobs/{number}/{verb}", dependencies=[Meant])
def change(at: At, who: Operating, number: int, verb: Literal["retry", "cancel"]) -> dict[str, Any]:
    """Retry or cancel a job."""
    return {"id": number, "state": act(at, who, number, verb)}
