"""One job: in a list, and everything that the journal knows of it."""

from typing import TYPE_CHECKING, Any

from node.domain.job import Delivery, Job
from node.domain.state import DeliveryState
from node.records.deliveries import delivery_record, object_record
from node.records.job_series import series_records
from node.records.remedies import remedy
from node.records.words import stamp

if TYPE_CHECKING:
    from node.journal.port import Event, Journal


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
        "sinks": list(job.sinks),
        "priority": job.priority.value,
        "attempts": job.attempts,
        "created_at": stamp(job.created_at),
        "due_at": stamp(job.due_at),
        "deadline_at": stamp(job.deadline_at),
        "inferred_at": stamp(job.inferred_at),
        "model_digest": job.model_digest,
        "predecessor": job.predecessor,
    }


def page(journal: "Journal", job: Job) -> dict[str, Any]:
    """Everything that the journal knows of a job, for scripts and for people."""
    deliveries = journal.deliveries(job=job.id)
    content = record(job, deliveries)
    content["remedy"] = remedy(content["code"]) if content["code"] else None
    used = journal.job_instances(job.id)
    content["instances"] = len(used)
    content["series"] = series_records(job, used)
    content["objects"] = [object_record(one) for one in journal.objects(job.id)]
    content["deliveries"] = [delivery_record(journal, one) for one in deliveries]
    content["events"] = [event_record(one) for one in journal.events("job", job.id)]
    return content


def event_record(one: "Event") -> dict[str, Any]:
    """One line of history for scripts."""
    return {"at": stamp(one.at), "name": one.name, "detail": one.detail}
