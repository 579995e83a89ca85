"""Filters of lists, as forms and addresses say them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Query

from node.console.errors import RequestRefused
from node.domain.state import JobState
from node.journal.port import JobFilter


def filter_of(said: Mapping[str, str], before: int | None) -> JobFilter:
    """What a form asks for.

    Raises
    ------
    RequestRefused
        A state that there is not, or no day.
    """
    try:
        states = (JobState(said["state"]),) if said["state"] else ()
        day = datetime.fromisoformat(said["day"]).astimezone() if said["day"] else None
        until = None if day is None else day + timedelta(days=1)
    except (ValueError, OverflowError) as neither:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "a state is one of the list, and a day is like 2026-03-01") from neither
    return JobFilter(
        states=states,
        peer=said["sender"] or None,
        route=said["route"] or None,
        application=said["application"] or None,
        code=said["code"].upper() or None,
        since=day,
        until=until,
        before=before,
    )


def job_words(
    state: Annotated[str, Query(max_length=20)] = "",
    sender: Annotated[str, Query(max_length=100)] = "",
    route: Annotated[str, Query(max_length=200)] = "",
    application: Annotated[str, Query(max_length=100)] = "",
    code: Annotated[str, Query(max_length=20)] = "",
    day: Annotated[str, Query(max_length=10)] = "",
) -> dict[str, str]:
    """What an address asks of jobs, as `filter_of` takes it."""
    return {"state": state, "sender": sender, "route": route, "application": application, "code": code, "day": day}


JobWords = Annotated[dict[str, str], Depends(job_words)]
