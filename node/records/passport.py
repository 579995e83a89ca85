"""A study's passport: instances, decisions, jobs with model digests, objects, and what every sink said of each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from node.dicom.uid import device_uid
from node.domain.arrival import Arrival
from node.domain.instance import Header, Instance, ResultSource, Standing
from node.domain.shortage import numbering_remarks
from node.records.astray import astray
from node.records.decisions import decision_record
from node.records.held_instances import held_records
from node.records.jobs import event_record, page
from node.records.remedies import remedy
from node.records.studies import incomplete, waits
from node.records.words import stamp
from node.routing.decisions import is_image

if TYPE_CHECKING:
    from node.journal.journal import Journal


def passport(journal: "Journal", study: str) -> dict[str, Any]:
    """Everything that the journal knows of a study, for scripts and for pages. No patient name and no patient identifier."""
    arrivals = journal.arrivals.find(study=study)
    found = journal.jobs.find(study=study)
    jobs = [page(journal, job) for job in found]
    analysed = [
        ResultSource(
            device_uid=device_uid(job.application, job.model_digest), series=frozenset(each["series_uid"] for each in one["series"])
        )
        for job, one in zip(found, jobs, strict=True)
        if job.model_digest
    ]
    members = {one.id: one for arrival in arrivals for one in journal.instances.of_arrival(arrival.id)}
    lines = [
        {**event_record(event), "subject": f"{subject} {number}"}
        for subject, number in [("arrival", one.id) for one in arrivals] + [("job", job["id"]) for job in jobs]
        for event in journal.events.of(subject, number)
    ]
    for job in jobs:
        for delivery in journal.deliveries.find(job=job["id"]):
            about = f"to {delivery.sink}"
            lines += [{**event_record(event), "subject": about} for event in journal.events.of("delivery", delivery.id)]
    return {
        "study_uid": study,
        "arrivals": [_arrival(journal, one) for one in arrivals],
        "series": _series(list(members.values())),
        "incomplete": incomplete(journal.shortage.holds(study=study)),
        "conflicts": [_conflict(one) for one in journal.instances.conflicts(study=study)],
        "held": held_records(journal.held.find(study=study)),
        "astray": astray(journal, study, list(members.values())),
        "other_results": _other_results(journal, study, analysed),
        "jobs": jobs,
        "events": sorted(lines, key=lambda line: str(line["at"])),
    }


def _arrival(journal: "Journal", one: Arrival) -> dict[str, Any]:
    return {
        "id": one.id,
        "peer": one.peer,
        "called": one.called_ae,
        "series_uid": one.series_instance_uid,
        "state": one.state.value,
        "revision": one.revision,
        "supersedes": one.supersedes,
        "instances": one.instances,
        "opened_at": stamp(one.opened_at),
        "last_instance_at": stamp(one.last_instance_at),
        "completed_at": stamp(one.completed_at),
        "completed_by": None if one.completed_by is None else one.completed_by.value,
        "waits": waits(one),
        "attempts": one.attempts,
        "code": one.code,
        "reason": one.reason,
        "remedy": None if one.code is None else remedy(one.code),
        "config_digest": journal.routing.config_digest(one.id),
        "decisions": [decision_record(decision) for decision in journal.routing.decisions(one.id)],
    }


def _conflict(one: Instance) -> dict[str, Any]:
    return {
        "sop_instance_uid": one.sop_instance_uid,
        "series_uid": one.series_instance_uid,
        "sender": f"{one.calling_ae}@{one.address}",
        "received_at": stamp(one.received_at),
        "blob": one.blob,
    }


def _other_results(journal: "Journal", study: str, analysed: Sequence[ResultSource]) -> list[dict[str, Any]]:
    """What other nodes made of the study; `analysed`: by which devices this node analysed it, and from which series."""
    sources = journal.instances.result_sources(study)
    return [_other_result(one, sources[one.id], analysed) for one in journal.instances.other_results(study)]


def _other_result(one: Instance, source: ResultSource, analysed: Sequence[ResultSource]) -> dict[str, Any]:
    """One of them; `same_model`: by an application and a model file that this node analysed it with too; `same_inputs`: from the very
    series that this node analysed with these, null where the result names no series that was analysed here."""
    alike = [job for job in analysed if job.device_uid == source.device_uid]
    inputs = source.series & frozenset().union(*(job.series for job in analysed))
    return {
        "sop_instance_uid": one.sop_instance_uid,
        "modality": _first(one.header, "Modality"),
        "description": _first(one.header, "SeriesDescription"),
        "application": _first(one.header, "ManufacturerModelName"),
        "software": [str(version) for version in one.header.get("SoftwareVersions", ())],
        "device_uid": source.device_uid,
        "inputs": sorted(inputs),
        "same_model": bool(alike),
        "same_inputs": any(inputs == job.series for job in alike) if inputs else None,
        "sender": f"{one.calling_ae}@{one.address}",
        "received_at": stamp(one.received_at),
    }


def _series(instances: Sequence[Instance]) -> list[dict[str, Any]]:
    by_series: dict[str, list[Instance]] = {}
    for one in instances:
        by_series.setdefault(one.series_instance_uid, []).append(one)
    return [
        {
            "series_uid": uid,
            "modality": _first(members[0].header, "Modality"),
            "number": _first(members[0].header, "SeriesNumber"),
            "description": _first(members[0].header, "SeriesDescription"),
            "instances": sum(one.standing is Standing.CURRENT for one in members),
            "standings": {word.value: count for word in Standing if (count := sum(one.standing is word for one in members))},
            "bytes": sum(one.size for one in members),
            "transfer_syntaxes": sorted({one.transfer_syntax_uid for one in members}),
            "remarks": list(numbering_remarks(_image_headers(members))),
            "senders": sorted({f"{one.calling_ae}@{one.address}" for one in members}),
        }
        for uid, members in by_series.items()
    ]


def _image_headers(members: Sequence[Instance]) -> list[Header]:
    """Of the images that count."""
    counts = (Standing.CURRENT, Standing.PURGED)
    return [one.header for one in members if one.standing in counts and is_image(one.sop_class_uid, one.header)]


def _first(header: Header, keyword: str) -> str | None:
    values = header.get(keyword, ())
    return f"{values[0]}" if values else None
