"""One job: in a list, and everything that the journal knows of it: its series, its objects, and what became of each at each sink."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from node.domain.commitment import REASONS, Transaction
from node.domain.instance import Instance
from node.domain.job import Delivery, Demand, Job, ResultObject, method_digest
from node.domain.patient import studied_at
from node.domain.state import DeliveryState, JobState
from node.journal.port import Pausable
from node.records.remedies import remedy
from node.records.words import plural, stamp, when

if TYPE_CHECKING:
    from node.journal.journal import Journal
from node.journal.port import Event

_WORDS = {"prior": "compared with", "with": "together with"}
_NOTES = ("delivery.left_out", "delivery.cine_masks_left_out", "delivery.wanting")


def why(job: Job, deliveries: list[Delivery]) -> tuple[str | None, str | None]:
    """Code and reason of a job: its own, else those of a delivery that did not arrive, the parked first."""
    if job.code or job.reason:
        return job.code, job.reason
    troubled = sorted((one for one in deliveries if one.code), key=lambda one: one.state is not DeliveryState.PARKED)
    if not troubled:
        return None, None
    said, sink = troubled[0].reason or "", troubled[0].sink
    return troubled[0].code, said if sink in said else f"to {sink}: {said}"


def record(job: Job, deliveries: list[Delivery]) -> dict[str, Any]:
    """One job for scripts."""
    code, reason = why(job, deliveries)
    return {
        "id": job.id,
        "study_uid": job.study_instance_uid,
        "series_uid": job.series_instance_uid,
        "state": job.state.value,
        "kind": job.kind.value,
        "application": job.application,
        "application_version": job.application_version,
        "code": code,
        "reason": reason,
        "engine": job.engine,
        "routes": list(job.routes),
        "demands": [{"route": name, "version": one.version, "accepted": one.accepted} for name, one in job.demands.items()],
        "sinks": list(job.sinks),
        "priority": job.priority.value,
        "attempts": job.attempts,
        "created_at": stamp(job.created_at),
        "due_at": stamp(job.due_at),
        "deadline_at": stamp(job.deadline_at),
        "inferred_at": stamp(job.inferred_at),
        "model_digest": None if _calls_no_model(job) else job.model_digest,
        "predecessor": job.predecessor,
    }


def routes_asking(job: dict[str, Any]) -> list[str]:
    """The routes of a job, each with what it asks of the application, for people: "archive (asks for version 1.2, one accepted here)"."""
    asks = {one["route"]: Demand(version=one["version"], accepted=one["accepted"]).text for one in job["demands"]}
    return [f"{name} (asks for {asks[name]})" if name in asks else name for name in job["routes"]]


def _calls_no_model(job: Job) -> bool:
    """Whether what stands in the place of the models' digest is the application's own."""
    versions = {job.application_version, job.findings_version or job.application_version}
    return job.model_digest in {method_digest(job.application, version) for version in versions}


def page(journal: "Journal", job: Job) -> dict[str, Any]:
    """Everything that the journal knows of a job, for scripts and for people."""
    deliveries = journal.deliveries.find(job=job.id)
    content = record(job, deliveries)
    content["remedy"] = remedy(content["code"]) if content["code"] else None
    used = journal.instances.of_job(job.id)
    content["instances"] = len(used)
    content["series"] = series_records(job, used)
    content["objects"] = [object_record(one) for one in journal.results.of_job(job.id)]
    content["deliveries"] = [delivery_record(journal, one) for one in deliveries]
    content["events"] = [event_record(one) for one in journal.events.of("job", job.id)]
    return content


def event_record(one: "Event") -> dict[str, Any]:
    """One line of history for scripts."""
    return {"at": stamp(one.at), "name": one.name, "detail": one.detail}


def series_records(job: Job, instances: Sequence[Instance]) -> list[dict[str, Any]]:
    """For scripts, the job's own series first. `role` is "own", "prior" (of another study) or "with" (of the same)."""
    by_series: dict[tuple[str, str], list[Instance]] = {}
    for one in instances:
        by_series.setdefault((one.study_instance_uid, one.series_instance_uid), []).append(one)
    own = job.series_instance_uid
    return [
        {
            "study_uid": study,
            "series_uid": series,
            "role": "own" if series == own else "with" if study == job.study_instance_uid else "prior",
            "number": _first(members[0], "SeriesNumber"),
            "description": _first(members[0], "SeriesDescription"),
            "study_date": studied_at(members[0].header)[:8],
            "instances": len(members),
        }
        for (study, series), members in sorted(by_series.items(), key=lambda each: (each[0][1] != own, each[0]))
    ]


def own_instances(content: dict[str, Any]) -> int:
    """How many instances of its own series a job uses."""
    return sum(int(one["instances"]) for one in content["series"] if one["role"] == "own")


def other_series(content: dict[str, Any]) -> list[tuple[str, str]]:
    """What a job uses beside its own series, in words."""
    return [(_WORDS[one["role"]], _said(one)) for one in content["series"] if one["role"] != "own"]


def _said(one: dict[str, Any]) -> str:
    day = one["study_date"]
    of = f"of {day[:4]}-{day[4:6]}-{day[6:]}" if one["role"] == "prior" and day else ""
    counted = f"{one['series_uid']} ({plural(one['instances'], 'instance')})"
    return " ".join(word for word in (one["description"], of, counted) if word)


def _first(one: Instance, keyword: str) -> str:
    return next((str(value) for value in one.header.get(keyword, ())), "")


def object_record(one: ResultObject) -> dict[str, Any]:
    """One object for scripts."""
    return {
        "kind": one.kind,
        "form": one.form,
        "description": one.description,
        "sop_uid": one.sop_instance_uid,
        "sop_class_uid": one.sop_class_uid,
        "series_uid": one.series_instance_uid,
        "size": one.size,
        "sha256": one.digest,
    }


def delivery_record(journal: "Journal", one: Delivery) -> dict[str, Any]:
    """One delivery for scripts: `form` is that of the masks and their reports where it had to be chosen; `notes` say why, and what is
    missing at the sink; an object that is `left_out` was not sent. `awaits_commitment`: it is delivered, and not over."""
    receipts = [
        {
            "kind": each.one.kind,
            "form": each.one.form,
            "sop_uid": each.one.sop_instance_uid,
            "accepted": each.accepted,
            "left_out": each.left_out,
            "status": each.status,
            "detail": each.detail,
        }
        for each in journal.deliveries.receipts(one.id)
    ]
    return {
        "sink": one.sink,
        "state": one.state.value,
        "awaits_commitment": one.awaits_commitment,
        "attempts": one.attempts,
        "form": one.form,
        "notes": _notes(journal, one),
        "due_at": stamp(one.due_at),
        "code": one.code,
        "reason": one.reason,
        "remedy": remedy(one.code) if one.code else None,
        "commitment": [_transaction_record(each) for each in journal.commitments.transactions(one.id)],
        "objects": receipts,
    }


def _transaction_record(one: Transaction) -> dict[str, Any]:
    """What a sink was asked to commit to, and what it said, for scripts."""
    return {
        "transaction_uid": one.transaction_uid,
        "state": one.state.value,
        "asked_at": stamp(one.asked_at),
        "answered_at": stamp(one.answered_at),
        "asked": one.asked,
        "committed": one.committed,
        "failed": [{"sop_uid": uid, "reason": reason, "words": REASONS.get(reason)} for uid, reason in one.failed],
        "detail": one.detail,
    }


def _notes(journal: "Journal", one: Delivery) -> list[str]:
    """Why masks go in another form than was asked for, and what the sink does not get although its profile asks for it."""
    said: dict[str, str] = {}
    for line in journal.events.of("delivery", one.id):
        if line.name in ("delivery.waiting", "delivery.again"):
            said = {}  # a new round
        elif line.name == "delivery.form":
            said[line.name] = line.detail.partition(": ")[2]
        elif line.name in _NOTES:
            said[line.name] = line.detail
    return [note for note in said.values() if note]


_ANALYSED = frozenset({JobState.QUEUED, JobState.INFERRED})


def at_work(job: Job, deliveries: Sequence[Delivery], now: datetime) -> bool:
    """Whether some process computes it, makes its objects, or sends them."""
    held = job.lease is not None and job.lease_until is not None and job.lease_until > now
    return (job.state in _ANALYSED and held) or (job.state is JobState.ENCODED and any(_leaves(one) for one in deliveries))


def waits(job: Job, deliveries: Sequence[Delivery], paused: Collection[tuple[Pausable, str]], now: datetime) -> str:
    """What it waits for; nothing where it is over, or at work."""
    if at_work(job, deliveries, now):
        return ""
    if job.state in _ANALYSED:
        return _for_analysis(job, paused, now)
    if job.state is JobState.ENCODED:
        return "; ".join(said for one in deliveries if (said := _for_sink(one, paused, now)))
    return ""


def doing(job: Job, deliveries: list[Delivery], paused: Collection[tuple[Pausable, str]], now: datetime) -> str:
    """That it is at work, or what it waits for, and what was wrong with it last, for people."""
    code, reason = why(job, deliveries)
    said = "at work" if at_work(job, deliveries, now) else waits(job, deliveries, paused, now)
    return "; ".join(each for each in (said, f"{code} {reason}" if code else reason) if each)


def _leaves(one: Delivery) -> bool:
    return one.state is DeliveryState.WAITING and one.lease is not None


def _for_analysis(job: Job, paused: Collection[tuple[Pausable, str]], now: datetime) -> str:
    if (Pausable.ENGINE, job.engine) in paused:
        return f'waits: engine "{job.engine}" is paused'
    if job.routes and all((Pausable.ROUTE, name) in paused for name in job.routes):
        return f'waits: route "{job.routes[0]}" is paused'
    if job.due_at > now:
        return f"tried again at {when(job.due_at)}" if job.attempts or job.code else f"not before {when(job.due_at)}"
    return "waits for its turn"


def _for_sink(one: Delivery, paused: Collection[tuple[Pausable, str]], now: datetime) -> str:
    if one.awaits_commitment and one.state is DeliveryState.DELIVERED:
        return f"waits for the commitment of {one.sink}"
    if one.state is not DeliveryState.WAITING:
        return ""
    if (Pausable.SINK, one.sink) in paused:
        return f'waits: sink "{one.sink}" is paused'
    return f"sent to {one.sink} again at {when(one.due_at)}" if one.due_at > now else f"waits to be sent to {one.sink}"
