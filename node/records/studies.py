"""One study in a list: where it stands, from all of its arrivals and jobs, what its routes wait for, and what is held of it: how many
instances of which series, from whom, and why; and studies that have no arrival. Of what is held no patient name and no identifier.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from node.domain.arrival import Arrival
from node.domain.instance import HeldFor, Instance, ae_at_host
from node.domain.job import Job
from node.domain.shortage import Hold
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal.port import Aside
from node.records.jobs import doing, why
from node.records.words import stamp, when

if TYPE_CHECKING:
    from node.journal.journal import Journal


HELD = "held"
RESULTS = "results"
_WITHOUT_ARRIVAL: dict[str, Any] = {
    "application": None,
    "code": None,
    "instances": 0,
    "attempts": 0,
    "conflicts": 0,
    "held": 0,
    "held_because": [],
    "revision": 0,
    "due_at": None,
    "waits": None,
    "incomplete": [],
    "jobs": [],
}
"""What a study's record says that has no arrival (`node.records.studies.study_record`)."""
_SAYS = {
    HeldFor.IDENTITY: "they name another patient (PatientID, IssuerOfPatientID) or study than the series, or the study, has",
    HeldFor.ADDED: "they were added to a series that another sender sent first",
    HeldFor.REWRITTEN: "they rewrite instances that another sender sent first",
}
_BRIEFLY = {
    HeldFor.IDENTITY: "another patient or study",
    HeldFor.ADDED: "added by another sender",
    HeldFor.REWRITTEN: "rewritten by another sender",
}


def held_briefly(held: Sequence[Instance]) -> list[str]:
    """Why instances are held, each reason once, in a few words for lists."""
    reasons = {one.held_for for one in held}
    return [words for why, words in _BRIEFLY.items() if why in reasons]


def held_records(held: Sequence[Instance]) -> list[dict[str, Any]]:
    """What is held, by series, sender and reason, in the order in which it came."""
    groups: dict[tuple[str, str, str, HeldFor], list[Instance]] = {}
    for one in held:
        if one.held_for is not None:
            sender = ae_at_host(one.calling_ae, one.address)
            groups.setdefault((one.study_instance_uid, one.series_instance_uid, sender, one.held_for), []).append(one)
    return [
        {
            "study_uid": study,
            "series_uid": series,
            "sender": sender,
            "peer": members[0].peer,
            "held_for": why.value,
            "reason": _SAYS[why],
            "instances": len(members),
            "sop_instance_uids": [one.sop_instance_uid for one in members],
            "received_at": stamp(members[0].received_at),
        }
        for (study, series, sender, why), members in groups.items()
    ]


def studies_of_results(opened: "Journal", limit: int) -> list[dict[str, Any]]:
    """Studies of which nothing came but what says that hilum made it, and this node did not: no arrival tells of them."""
    return [
        {
            **_WITHOUT_ARRIVAL,
            "study_uid": one.study_instance_uid,
            "state": RESULTS,
            "reason": f"{len(opened.instances.other_results(one.study_instance_uid))} received; all say that hilum made them, and this "
            "node did not: kept, never analysed",
            "peer": one.peer,
            "called": one.called_ae,
            "received_at": stamp(one.received_at),
        }
        for one in opened.instances.results_alone(limit=limit)
        if not opened.held.find(study=one.study_instance_uid, limit=1)
    ]


def held_studies(opened: "Journal") -> list[dict[str, Any]]:
    """Studies of which nothing but held instances came: no arrival tells of them."""
    studies: dict[str, int] = {}
    for one in opened.held.by_series():
        studies[one.study_instance_uid] = studies.get(one.study_instance_uid, 0) + one.instances
    found: list[dict[str, Any]] = []
    for uid, many in studies.items():
        if opened.arrivals.find(study=uid, limit=1):
            continue
        held = opened.held.find(study=uid)
        if not held:
            continue  # a person decided about it in this moment
        first = held[0]
        found.append(
            {
                **_WITHOUT_ARRIVAL,
                "study_uid": uid,
                "state": HELD,
                "reason": "all that came of it is held",
                "peer": first.peer,
                "called": first.called_ae,
                "held": many,
                "held_because": held_briefly(held),
                "received_at": stamp(first.received_at),
            }
        )
    return found


WAITS = "waits"
"""The state of a study of which nothing more is expected but what a route waits for."""
INCOMPLETE = "incomplete"
"""The state of a study of which a series is known to be short, while routes wait for its rest."""
_WORST = (
    JobState.PARKED,
    JobState.FAILED,
    JobState.QUEUED,
    JobState.INFERRED,
    JobState.ENCODED,
    JobState.CANCELLED,
    JobState.DONE,
    JobState.NOT_APPLICABLE,
    JobState.SUPERSEDED,
)
"""A study is in the first of these states that one of its jobs is in."""

_DECIDED_BY_A_PERSON = (JobState.PARKED, JobState.FAILED)
"""States that are more urgent than a route that waits."""


def study_record(opened: "Journal", uid: str, arrivals: Sequence[Arrival]) -> dict[str, Any]:
    """One study for scripts; `arrivals` are its own, newest first."""
    newest = arrivals[0]
    jobs = [job for job in opened.jobs.find(study=uid) if job.state is not JobState.SUPERSEDED]
    worst = min(jobs, key=lambda job: _WORST.index(job.state), default=None)
    deliveries = [] if worst is None else opened.deliveries.find(job=worst.id)
    waiting = {one.id: found for one in arrivals if (found := waits(one)) is not None}
    soonest = min(waiting.values(), key=lambda one: str(one["until"]), default=None)
    short = incomplete(opened.shortage.holds(study=uid)) if waiting else []
    open_states = [one.state for one in arrivals if one.state is not ArrivalState.ROUTED and one.id not in waiting]
    state: str = open_states[0].value if open_states else worst.state.value if worst is not None else newest.state.value
    if soonest is not None and not open_states and (worst is None or worst.state not in _DECIDED_BY_A_PERSON):
        state = INCOMPLETE if short else WAITS
    if any(one.state is DeliveryState.PARKED for one in deliveries):
        state = DeliveryState.PARKED.value  # a person decides, as about a parked job
    held = opened.held.find(study=uid)
    code, reason = (None, None) if worst is None else why(worst, deliveries)
    parked = next((one for one in arrivals if one.state is ArrivalState.PARKED), None)
    if parked is not None:
        state, code, reason = ArrivalState.PARKED.value, parked.code, parked.reason
    if code is None and short:
        reason = short_in_words(short[0])
    elif code is None and soonest is not None:
        reason = waits_in_words(soonest)
    elif not jobs and newest.state is ArrivalState.ROUTED:
        reason = _why_nothing_ran(opened, newest)
    return {
        "study_uid": uid,
        "state": state,
        "application": ", ".join(dict.fromkeys(job.application for job in jobs)) or None,
        "code": code,
        "reason": reason,
        "peer": newest.peer,
        "called": newest.called_ae,
        "instances": newest.instances if newest.series_instance_uid is None else sum(_latest_by_series(arrivals)),
        "attempts": 0 if parked is None else parked.attempts,
        "conflicts": len(opened.instances.conflicts(study=uid)),
        "held": len(held),
        "held_because": held_briefly(held),
        "revision": newest.revision,
        "received_at": stamp(newest.last_instance_at),
        "due_at": stamp(newest.due_at) if newest.state is ArrivalState.RECEIVED else None,
        "waits": soonest,
        "incomplete": short,
        "jobs": [_brief(job) for job in jobs],
    }


class Ending(StrEnum):
    """How far a study is: nothing of it is under way any more where it is not `UNDER_WAY`."""

    UNDER_WAY = "under way"
    GOOD = "good"  # every job is done or not applicable, or no route took it
    BAD = "bad"  # something of it is parked, failed or cancelled, or all of it is held


def ending(opened: "Journal", uid: str) -> Ending:
    """Whether a study has ended, and how; what waits for a person has ended."""
    arrivals = {one.state for one in opened.arrivals.find(study=uid)}
    jobs = [job for job in opened.jobs.find(study=uid) if job.state is not JobState.SUPERSEDED]
    if arrivals & {ArrivalState.RECEIVED, ArrivalState.COMPLETE} or any(_moves(opened, job) for job in jobs):
        return Ending.UNDER_WAY
    good = all(job.state in (JobState.DONE, JobState.NOT_APPLICABLE) for job in jobs) and ArrivalState.PARKED not in arrivals
    all_held = not arrivals and opened.held.find(study=uid, limit=1)  # nobody has decided whether it counts
    return Ending.GOOD if good and not all_held else Ending.BAD


def awaited(opened: "Journal", uid: str) -> str:
    """What a study that has not ended waits for, for people."""
    if any(one.state in (ArrivalState.RECEIVED, ArrivalState.COMPLETE) for one in opened.arrivals.find(study=uid)):
        return "its instances come, or are routed"
    paused, now, said = [(kind, name) for kind, name, _ in opened.pauses.find()], opened.now(), []
    for job in opened.jobs.find(study=uid):
        if job.state is not JobState.SUPERSEDED and _moves(opened, job):
            deliveries = opened.deliveries.find(job=job.id)
            said.append(f"job {job.id}: {doing(job, deliveries, paused, now)}")
    return "; ".join(said)


def _moves(opened: "Journal", job: Job) -> bool:
    if job.state is not JobState.ENCODED:
        return job.state in (JobState.QUEUED, JobState.INFERRED)
    deliveries = opened.deliveries.find(job=job.id)
    if any(one.state is DeliveryState.WAITING or (one.awaits_commitment and one.state is DeliveryState.DELIVERED) for one in deliveries):
        return True
    # none is left to go: its end, which is committed with the last of them, came between the two looks
    return all(one.state is not DeliveryState.PARKED for one in deliveries)


def _latest_by_series(arrivals: Sequence[Arrival]) -> list[int]:
    latest: dict[str | None, int] = {}
    for one in arrivals:
        latest.setdefault(one.series_instance_uid, one.instances)
    return list(latest.values())


def _brief(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind.value,
        "application": job.application,
        "state": job.state.value,
        "code": job.code,
        "reason": job.reason,
    }


def _why_nothing_ran(opened: "Journal", arrival: Arrival) -> str:
    decisions = opened.routing.decisions(arrival.id)
    if not decisions:
        return "no routes are configured"
    # every route says why of every series; the nearest miss tells most, its first unmet condition enough for a list
    # a route of which all conditions hold is nearer than any other: its reason says what else stood against it (no image is there)
    nearest = min(decisions, key=lambda one: (not one.matched, sum(tried.unmet for tried in one.tried)))
    if nearest.matched:
        return f"no route took it; nearest: {nearest.route} ({nearest.reason})"
    unmet = next((f"{one.key} is {one.found}, expected {one.expected}" for one in nearest.tried if one.held is False), nearest.reason)
    return f"no route took it; nearest: {nearest.route} ({unmet})"


def aside_record(one: "Aside") -> dict[str, Any]:
    return {
        "study_uid": None,
        "state": "set-aside",
        "application": None,
        "code": one.code,
        "reason": one.reason,
        "peer": one.sender,
        "entry": one.entry,
        "received_at": stamp(one.at),
    }


def waits(arrival: Arrival) -> dict[str, Any] | None:
    """For scripts: `for` what a route waits, in words, and `until` when; None where the arrival does not wait."""
    if arrival.state is not ArrivalState.RECEIVED or not arrival.waits:
        return None
    return {"for": arrival.waits_for, "until": stamp(arrival.due_at)}


def incomplete(holds: Sequence[Hold]) -> list[dict[str, Any]]:
    """For scripts: the series that are known to be short, and until when which route waits for the rest."""
    return [
        {
            "series_uid": one.series_instance_uid,
            "route": one.route,
            "why": one.shortage.lack.value,
            "came": one.shortage.came,
            "expected": one.shortage.expected,
            "since": stamp(one.since),
            "until": stamp(one.until),
            "says": one.shortage.sentence,
        }
        for one in holds
    ]


def short_in_words(one: dict[str, Any]) -> str:
    """For people: what came of the series, until when its route waits, and how it is run now."""
    until = when(datetime.fromisoformat(one["until"]))
    return f"incomplete: {one['says']} (series {one['series_uid']}); route {one['route']} waits until {until}"


def waits_in_words(waiting: dict[str, Any]) -> str:
    """For people: until when, and what is missing."""
    return f"a route waits until {when(datetime.fromisoformat(waiting['until']))}: {waiting['for']}"
