"""What pages and the API tell, asked of the journal once, with what the visitor may not see left out."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from node.console import hiding
from node.console.access import Visitor
from node.console.desk import Desk
from node.console.errors import Refused
from node.domain.errors import JournalError
from node.domain.job import Job
from node.domain.state import DeliveryState, JobState
from node.records.jobs import page as job_record
from node.records.passport import passport
from node.records.studies import study_record

PAGE = 25
_WORDS = 8
_STUCK = (JobState.PARKED, JobState.FAILED)
_MOST_STUCK = 100
_UNDER_WAY = (JobState.QUEUED, JobState.INFERRED, JobState.ENCODED)
_SHOWN = 30


def studies(at: Desk, who: Visitor, search: str, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """A page of studies, the newest first, and before which arrival the next page begins."""
    found = at.journal.find_studies(search.split()[:_WORDS], patients=who.sees_patients, before=before, limit=PAGE + 1)
    shown = found[:PAGE]
    headers = at.journal.newest_headers([one.arrival for one in shown])
    told = []
    for one in shown:
        arrivals = at.journal.arrivals(study=one.study_instance_uid, newest=True)
        if not arrivals:
            continue  # it was erased a moment ago
        study, person = study_record(at.journal, one.study_instance_uid, arrivals), hiding.person(headers.get(one.arrival))
        if not who.sees_patients:
            study["reason"], person = hiding.reason_of(study), hiding.without_person(person)
        told.append({**study, **person})
    return _for(who, told), shown[-1].arrival if len(found) > PAGE else None


def study(at: Desk, who: Visitor, uid: str) -> dict[str, Any]:
    """A study's passport, with whose it is.

    Raises
    ------
    Refused
        Nothing of this UID was received.
    """
    arrivals = at.journal.arrivals(study=uid, newest=True)
    if not arrivals:
        raise Refused(HTTPStatus.NOT_FOUND, "no study of this UID was received")
    told, person = passport(at.journal, uid), hiding.person(at.journal.newest_headers([arrivals[0].id]).get(arrivals[0].id))
    if not who.sees_patients:
        told, person = hiding.without_patients(told), hiding.without_person(person)
    return dict(_for(who, {**told, **person, "state": study_record(at.journal, uid, arrivals)["state"]}))


def job(at: Desk, who: Visitor, number: int) -> dict[str, Any]:
    """Everything about a job.

    Raises
    ------
    Refused
        There is none of this number.
    """
    try:
        return dict(_for(who, job_record(at.journal, at.journal.job(number))))
    except JournalError as unknown:
        if unknown.retry:
            raise
        raise Refused(HTTPStatus.NOT_FOUND, f"there is no job {number}") from unknown


def parked(at: Desk, who: Visitor) -> list[dict[str, Any]]:
    """Jobs about which a person decides, the newest first: parked, failed, or with a delivery that is parked."""
    found = {one.id: one for one in at.journal.jobs(states=_STUCK, limit=_MOST_STUCK, newest=True)}
    for delivery in at.journal.deliveries(states=(DeliveryState.PARKED,), limit=_MOST_STUCK):
        if delivery.job not in found:
            found[delivery.job] = at.journal.job(delivery.job)
    return list(_for(who, [job_record(at.journal, found[number]) for number in sorted(found, reverse=True)]))


def queue(at: Desk) -> dict[str, Any]:
    """What waits, what is under way, and what ended last."""
    now = at.journal.now()
    census = at.journal.census(now)
    jobs = {state.value: sum(one.count for one in census.jobs if one.state is state) for state in (*_UNDER_WAY, *_STUCK)}
    sinks: dict[str, dict[str, int]] = {}
    for one in census.deliveries:
        by_state = sinks.setdefault(one.sink, {})
        by_state[one.state.value] = by_state.get(one.state.value, 0) + one.count
    going = at.journal.jobs(states=_UNDER_WAY, limit=_SHOWN)
    return {
        "jobs": jobs,
        "stuck": sum(jobs[one.value] for one in _STUCK) + sum(one.get(DeliveryState.PARKED.value, 0) for one in sinks.values()),
        "incoming": sum(one.count for one in census.arrivals),
        "at_work": census.jobs_held,
        "sending": census.deliveries_held,
        "sinks": sinks,
        "paused": [{"kind": kind.value, "name": name} for kind, name, _ in at.journal.paused()],
        "going": [_line(one, now) for one in going],
        "ended": [_line(one, now) for one in at.journal.jobs(states=(JobState.DONE,), limit=10, newest=True)],
    }


def _for(who: Visitor, record: Any) -> Any:
    return record if who.sees_patients else hiding.unquoted(record)


def _line(one: Job, now: datetime) -> dict[str, Any]:
    held = one.lease is not None and one.lease_until is not None and one.lease_until > now
    return {
        "id": one.id,
        "study_uid": one.study_instance_uid,
        "application": one.application,
        "state": one.state.value,
        "priority": one.priority.value,
        "at_work": held,
        "created_at": one.created_at.isoformat(),
        "attempts": one.attempts,
    }
