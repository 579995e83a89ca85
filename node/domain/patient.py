"""Patients, who they are by their headers, and the marks of what was erased of them: digests by which a study is known again unnamed."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from node.domain.instance import Header


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Patient:
    """PatientID (0010,0020) with IssuerOfPatientID (0010,0021). Equal IDs of different issuers are different patients, and so are those
    of which one has no issuer: nobody can say."""

    patient_id: str
    issuer: str

    def contradicts(self, other: "Patient") -> bool:
        """Whether they cannot be one: another ID, or another issuer. Where one issuer is not said nothing speaks against it."""
        return self.patient_id != other.patient_id or bool(self.issuer and other.issuer and self.issuer != other.issuer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """A series of another study that some header calls the same patient's. Headers decide whether it still is; this is where to look."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    studied_at: str


def patient_of(header: Header) -> Patient | None:
    """The patient of an instance or a series; None without an ID, or where a series' instances name several."""
    ids, issuers = named_by(header)
    if len(ids) != 1 or len(issuers) > 1:
        return None
    return Patient(patient_id=ids[0], issuer=issuers[0] if issuers else "")


def named_by(header: Header) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values of PatientID and of IssuerOfPatientID that are not blank: instances with equal ones are of one patient, or of nobody."""
    ids, issuers = (tuple(_texts(header, keyword)) for keyword in ("PatientID", "IssuerOfPatientID"))
    return ids, issuers


def studied_at(header: Header) -> str:
    """When the study began, as text that sorts (YYYYMMDDHHMMSS.FFFFFF, or a part of it); "" where no date says it.

    StudyDate with StudyTime; the dates of series and acquisition are asked where the study has none.
    """
    for date, time in (("StudyDate", "StudyTime"), ("SeriesDate", "SeriesTime"), ("AcquisitionDate", "AcquisitionTime")):
        days = [day for day in _texts(header, date) if len(day) == 8 and day.isdigit()]
        if days:
            times = [moment for moment in _texts(header, time) if moment.replace(".", "").isdigit()]
            return min(days) + (min(times) if times else "")
    return ""


def is_earlier(one: str, other: str) -> bool:
    """Whether moments of `studied_at` say so: on one day only where both have a time."""
    if not one or (one[:8] == other[:8] and min(len(one), len(other)) <= 8):
        return False
    return one < other


def _texts(header: Header, keyword: str) -> list[str]:
    """The distinct values that are not blank."""
    return list(dict.fromkeys(text for value in header.get(keyword, ()) if (text := str(value).strip())))


STILL_KNOWN = timedelta(days=3)
"""How long a mark outlives its time: senders may send the study again, and what the node itself had left somewhere is still dropped."""


def mark_of(study_instance_uid: str, patient: Patient | None) -> str:
    """The mark of a study as far as its headers name this patient; None: as far as they name nobody."""
    return _digest(study_instance_uid, "nobody" if patient is None else f"of\n{patient.patient_id}\n{patient.issuer}")


def mark_of_all(study_instance_uid: str) -> str:
    """The mark of a study whoever it is of."""
    return _digest(study_instance_uid, "whosever")


def marks(study_instance_uid: str, header: Header) -> set[str]:
    """The marks under which an instance may have been erased."""
    return {mark_of(study_instance_uid, patient_of(header)), mark_of_all(study_instance_uid)}


def _digest(study_instance_uid: str, whose: str) -> str:
    return hashlib.sha256(f"{study_instance_uid}\n{whose}".encode("utf-8", "surrogatepass")).hexdigest()
