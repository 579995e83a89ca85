"""A study's passport: instances, decisions, jobs with model digests, objects, and what every sink said of each.

What came and has no place in a study is told beside the study that it most likely belongs to: files that are no readable instances, and
instances that name no study, which stand under a UID of the node's own.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from node.dicom.header import names_no_study
from node.dicom.uid import device_uid
from node.domain.arrival import Arrival
from node.domain.instance import Header, Instance, ResultSource, Standing, ae_at_host
from node.domain.patient import Patient
from node.domain.shortage import numbering_remarks
from node.journal.port import Aside
from node.records.decisions import decision_record
from node.records.jobs import event_record, page
from node.records.remedies import remedy
from node.records.studies import held_records, incomplete, waits
from node.records.words import stamp
from node.routing.decisions import is_image

if TYPE_CHECKING:
    from node.journal.journal import Journal


_MOST = 20
"""Other studies of the patient that are looked at, the newest."""
_MEANWHILE = timedelta(hours=1)


def astray(journal: "Journal", study: str, members: Sequence[Instance]) -> list[dict[str, Any]]:
    """What most likely belongs to a study: it names the study, one of its series, or its patient with its AccessionNumber; where one of
    both has no such number, its patient, and came within an hour. Neither name nor identifier is told."""
    orders = {_orders(one.header) for one in members}
    series = {one.series_instance_uid for one in members}
    began = min((one.received_at for one in members), default=None)
    ended = max((one.received_at for one in members), default=None)

    def near(at: datetime) -> bool:
        return began is not None and ended is not None and began - _MEANWHILE <= at <= ended + _MEANWHILE

    found = []
    for one in journal.instances.asides_near(study):
        patient = Patient(patient_id=one.patient_id, issuer=one.issuer)
        named = one.study_instance_uid == study or one.series_instance_uid in series
        if named or _same_order(patient, one.accession, orders, meanwhile=near(one.at)):
            found.append(_aside(one))
    others = dict.fromkeys(one.study_instance_uid for one in journal.patients.related(study))
    for other in list(others)[:_MOST]:
        # one instance tells, and years of a patient are not read for a page
        first = next(
            (
                one
                for latest in journal.arrivals.find(study=other, newest=True, limit=1)
                for one in journal.instances.one_of_each(latest.id)
            ),
            None,
        )
        if first and _nameless(first) and _same_order(*_orders(first.header), orders, meanwhile=near(first.received_at)):
            found.append(_study(first, sum(journal.instances.count_by_series(other).values())))
    return found


def _orders(header: Header) -> tuple[Patient, str]:
    return Patient(patient_id=_of_header(header, "PatientID"), issuer=_of_header(header, "IssuerOfPatientID")), _of_header(
        header, "AccessionNumber"
    )


def _same_order(patient: Patient, accession: str, orders: Iterable[tuple[Patient, str]], *, meanwhile: bool) -> bool:
    """Whether it is of a patient and an order of the study; `meanwhile` is enough where an order has no number."""
    return bool(patient.patient_id) and any(
        not patient.contradicts(other) and (accession == theirs if accession and theirs else meanwhile) for other, theirs in orders
    )


def _nameless(one: Instance) -> bool:
    return names_no_study(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid, one.header)


def _aside(one: "Aside") -> dict[str, Any]:
    return {
        "kind": "set-aside",
        "study_uid": None,
        "entry": one.entry,
        "sender": one.sender,
        "code": one.code,
        "reason": one.reason,
        "instances": 1,
        "received_at": stamp(one.at),
    }


def _study(first: Instance, instances: int) -> dict[str, Any]:
    return {
        "kind": "nameless",
        "study_uid": first.study_instance_uid,
        "entry": None,
        "sender": ae_at_host(first.calling_ae, first.address),
        "code": None,
        "reason": "the images name no study, or no series: no result of them has a place in an archive",
        "instances": instances,
        "received_at": stamp(first.received_at),
    }


def _of_header(header: Header, keyword: str) -> str:
    return str(next(iter(header.get(keyword, ())), "")).strip()


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
        "sender": ae_at_host(one.calling_ae, one.address),
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
        "sender": ae_at_host(one.calling_ae, one.address),
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
            "senders": sorted({ae_at_host(one.calling_ae, one.address) for one in members}),
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
