"""Marks of what was erased: a digest by which a study of a patient is known again without being named."""

import hashlib

from node.domain.patient import Patient

_ANYBODY = "\n"


def mark_of(study_instance_uid: str, patient: Patient | None) -> str:
    """The mark of a study as far as it is this patient's; None: whoever's it is."""
    whose = _ANYBODY if patient is None else f"{patient.patient_id}\n{patient.issuer}"
    return hashlib.sha256(f"{study_instance_uid}\n{whose}".encode("utf-8", "surrogatepass")).hexdigest()
