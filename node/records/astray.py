"""What came and has no place in a study, told beside the study that it most likely belongs to: files that are no readable instances, and
instances that name no study, which stand under a UID of the node's own."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from node.dicom.header import names_no_study
from node.domain.instance import Header, Instance
from node.domain.patient import Patient
from node.records.words import stamp

if TYPE_CHECKING:
    from node.journal.journal import Journal
from node.journal.port import Aside

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
    return Patient(patient_id=_first(header, "PatientID"), issuer=_first(header, "IssuerOfPatientID")), _first(header, "AccessionNumber")


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
        "sender": f"{first.calling_ae}@{first.address}",
        "code": None,
        "reason": "the images name no study, or no series: no result of them has a place in an archive",
        "instances": instances,
        "received_at": stamp(first.received_at),
    }


def _first(header: Header, keyword: str) -> str:
    return str(next(iter(header.get(keyword, ())), "")).strip()
