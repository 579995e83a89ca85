"""Marks of what was erased: a digest by which a study of a patient is known again without being named."""

import hashlib
from datetime import timedelta

from node.domain.header import Header
from node.domain.patient import Patient, patient_of

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
