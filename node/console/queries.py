"""What pages and the API tell, asked of the journal once, by the filters of forms and addresses; what a visitor may not see is left out."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Query

from node.console import redaction
from node.console.access import Visitor
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.domain.errors import JournalError
from node.domain.instance import Header
from node.domain.job import Job
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal.port import JobFilter, Pausable
from node.records.jobs import at_work, waits, why
from node.records.jobs import page as job_record
from node.records.passport import passport
from node.records.remedies import remedy
from node.records.studies import HELD, RESULTS, held_studies, studies_of_results, study_record


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


PAGE = 25
JOBS = 40
_WORDS = 8
_STUCK = (JobState.PARKED, JobState.FAILED)
_MOST_STUCK = 100
_UNDER_WAY = (JobState.QUEUED, JobState.INFERRED, JobState.ENCODED)
_SHOWN = 30


def studies(at: ConsoleContext, who: Visitor, search: str, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """A page of studies, the newest first, and before which arrival the next page begins."""
    found = at.journal.studies.find(search.split()[:_WORDS], patients=who.sees_patients, before=before, limit=PAGE + 1)
    shown = found[:PAGE]
    headers = at.journal.studies.newest_headers([one.arrival for one in shown])
    told = []
    for one in shown:
        arrivals = at.journal.arrivals.find(study=one.study_instance_uid, newest=True)
        if not arrivals:
            continue  # it was erased a moment ago
        study, person = study_record(at.journal, one.study_instance_uid, arrivals), redaction.person(headers.get(one.arrival))
        if not who.sees_patients:
            study["reason"], person = redaction.reason_of(study), redaction.without_person(person)
        told.append({**study, **person})
    if not search and before is None:
        alone = [*held_studies(at.journal), *studies_of_results(at.journal, PAGE)]
        told = [*({**one, **redaction.person(None)} for one in alone), *told]
    return _for(who, told), shown[-1].arrival if len(found) > PAGE else None


def study(at: ConsoleContext, who: Visitor, uid: str) -> dict[str, Any]:
    """A study's passport, with whose it is.

    Raises
    ------
    RequestRefused
        Nothing of this UID was received.
    """
    arrivals = at.journal.arrivals.find(study=uid, newest=True)
    if not arrivals:
        state = HELD if at.journal.held.find(study=uid, limit=1) else RESULTS
        if state == RESULTS and not at.journal.instances.results_alone(study=uid):
            raise RequestRefused(HTTPStatus.NOT_FOUND, "no study of this UID was received")
        # whose it is waits for a person to decide, or nothing was looked at
        alone = passport(at.journal, uid)
        alone = alone if who.sees_patients else redaction.without_patients(alone)
        return dict(_for(who, {**alone, **redaction.person(None), "state": state}))
    told, person = passport(at.journal, uid), redaction.person(at.journal.studies.newest_headers([arrivals[0].id]).get(arrivals[0].id))
    if not who.sees_patients:
        told, person = redaction.without_patients(told), redaction.without_person(person)
    return dict(_for(who, {**told, **person, "state": study_record(at.journal, uid, arrivals)["state"]}))


def job(at: ConsoleContext, who: Visitor, number: int) -> dict[str, Any]:
    """Everything about a job.

    Raises
    ------
    RequestRefused
        There is none of this number.
    """
    try:
        return dict(_job_for(who, job_record(at.journal, at.journal.jobs.get(number))))
    except JournalError as unknown:
        if unknown.retry:
            raise
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no job {number}") from unknown


def parked(at: ConsoleContext, who: Visitor) -> list[dict[str, Any]]:
    """Jobs about which a person decides, the newest first: parked, failed, or with a delivery that is parked."""
    found = {one.id: one for one in at.journal.jobs.find(states=_STUCK, limit=_MOST_STUCK, newest=True)}
    for delivery in at.journal.deliveries.find(states=(DeliveryState.PARKED,), limit=_MOST_STUCK):
        if delivery.job not in found:
            found[delivery.job] = at.journal.jobs.get(delivery.job)
    jobs, now = [found[number] for number in sorted(found, reverse=True)], at.journal.now()
    headers = _headers(at, who, [one.arrival for one in jobs])
    return [
        {**_job_for(who, job_record(at.journal, one)), "age_s": _age_s(one.created_at, now), **redaction.person(headers.get(one.arrival))}
        for one in jobs
    ]


def unrouted(at: ConsoleContext, who: Visitor) -> list[dict[str, Any]]:
    """What could not be routed, the newest first: a person decides."""
    arrivals = at.journal.arrivals.find(states=(ArrivalState.PARKED,), limit=_MOST_STUCK, newest=True)
    headers, now = _headers(at, who, [one.id for one in arrivals]), at.journal.now()
    found = [
        {
            "study_uid": one.study_instance_uid,
            "peer": one.peer,
            "instances": one.instances,
            "attempts": one.attempts,
            "code": one.code,
            "reason": one.reason,
            "remedy": remedy(one.code),
            "received_at": one.last_instance_at.isoformat(),
            "age_s": _age_s(one.last_instance_at, now),
            **redaction.person(headers.get(one.id)),
        }
        for one in arrivals
    ]
    return list(_for(who, found))


def queue(at: ConsoleContext, who: Visitor) -> dict[str, Any]:
    """What waits, what is under way, and what ended last; whose it is for those who may see patients."""
    now = at.journal.now()
    census = at.journal.census.take(now)
    jobs = {state.value: sum(one.count for one in census.jobs if one.state is state) for state in (*_UNDER_WAY, *_STUCK)}
    sinks: dict[str, dict[str, int]] = {}
    for one in census.deliveries:
        by_state = sinks.setdefault(one.sink, {})
        by_state[one.state.value] = by_state.get(one.state.value, 0) + one.count
    for name, count in census.uncommitted.items():
        sinks.setdefault(name, {})["uncommitted"] = count
    going = at.journal.jobs.find(states=_UNDER_WAY, limit=_SHOWN)
    return {
        "jobs": jobs,
        "stuck": sum(jobs[one.value] for one in _STUCK)
        + sum(one.get(DeliveryState.PARKED.value, 0) for one in sinks.values())
        + sum(one.count for one in census.arrivals if one.state is ArrivalState.PARKED),
        "incoming": sum(one.count for one in census.arrivals if one.state is not ArrivalState.PARKED),
        "at_work": census.jobs_held,
        "sending": census.deliveries_held,
        "sinks": sinks,
        "paused": [{"kind": kind.value, "name": name} for kind, name, _ in at.journal.pauses.find()],
        "going": job_lines(at, who, going),
        "ended": job_lines(at, who, at.journal.jobs.find(states=(JobState.DONE,), limit=10, newest=True)),
    }


def jobs(at: ConsoleContext, who: Visitor, wanted: JobFilter) -> tuple[list[dict[str, Any]], int | None]:
    """A page of jobs, the newest first, and before which the next page begins."""
    found = at.journal.jobs.select(wanted, JOBS + 1)
    return job_lines(at, who, found[:JOBS]), found[JOBS - 1].id if len(found) > JOBS else None


def job_lines(at: ConsoleContext, who: Visitor, found: Sequence[Job]) -> list[dict[str, Any]]:
    """Jobs as a list shows them: whose they are, how old, why they stand where they stand, and when what is tried next."""
    now = at.journal.now()
    headers = _headers(at, who, [one.arrival for one in found])
    paused = [(kind, name) for kind, name, _ in at.journal.pauses.find()]
    return list(_for(who, [_line(at, one, now, paused, redaction.person(headers.get(one.arrival))) for one in found]))


def _headers(at: ConsoleContext, who: Visitor, arrivals: Sequence[int]) -> Mapping[int, Header]:
    """The newest header of each arrival's study, for those who may see whose it is."""
    return at.journal.studies.newest_headers(arrivals) if arrivals and who.sees_patients else {}


def _age_s(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())


def _for(who: Visitor, record: Any) -> Any:
    return record if who.sees_patients else redaction.unquoted(record)


def _job_for(who: Visitor, record: dict[str, Any]) -> dict[str, Any]:
    return record if who.sees_patients else dict(redaction.unquoted(redaction.job(record)))


def _line(at: ConsoleContext, one: Job, now: datetime, paused: Collection[tuple[Pausable, str]], person: dict[str, str]) -> dict[str, Any]:
    deliveries = at.journal.deliveries.find(job=one.id) if one.state in (JobState.ENCODED, JobState.SUPERSEDED) else []
    code, reason = why(one, deliveries)
    due = [one.due_at] if one.state in (JobState.QUEUED, JobState.INFERRED) else []
    due += [each.due_at for each in deliveries if each.state is DeliveryState.WAITING]
    return {
        "id": one.id,
        "study_uid": one.study_instance_uid,
        "kind": one.kind.value,
        "application": one.application,
        "state": one.state.value,
        "priority": one.priority.value,
        "at_work": at_work(one, deliveries, now),
        "created_at": one.created_at.isoformat(),
        "age_s": _age_s(one.created_at, now),
        "attempts": one.attempts,
        "code": code,
        "reason": reason,
        "waits": waits(one, deliveries, paused, now) or None,
        "next_try_at": min(due).isoformat() if due and min(due) > now else None,
        "stuck": any(each.state is DeliveryState.PARKED for each in deliveries),
        **person,
    }
