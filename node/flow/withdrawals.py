"""What the note that withdraws superseded objects is made from: the work process' part."""

from collections.abc import Sequence
from dataclasses import replace

from inference.applications.port import Application
from inference.imaging.header import read_dataset
from node.blobs.port import Blobs
from node.domain.instance import Instance
from node.domain.job import Job
from node.domain.patient import named_by
from node.domain.profile import Profile
from node.domain.withdrawal import Withdrawal, WithdrawnObject
from node.flow.statements import header_of, of_no_findings, of_patients
from node.results.port import Encoding


def withdrawing(
    job: Job, application: Application, withdrawal: Withdrawal, instances: Sequence[Instance], blobs: Blobs, profiles: Sequence[Profile]
) -> list[tuple[Encoding, Withdrawal]]:
    """Everything that the notes of a withdrawal depend on, once for every patient whom the withdrawn objects name: results name one,
    statements may name several.

    Parameters
    ----------
    job
        As the journal has it: with the time at which it was begun.
    instances
        What the withdrawn objects were made from: patient and study are those that these objects name.
    """
    patients = of_patients(job, instances)
    objects: dict[int, list[WithdrawnObject]] = {}
    for one in withdrawal.objects:
        objects.setdefault(0 if len(patients) == 1 else _whose(one, patients, blobs), []).append(one)
    return [
        (_noted(job, application, patients[whose], blobs, profiles), replace(withdrawal, objects=tuple(own)))
        for whose, own in sorted(objects.items())
    ]


def _whose(withdrawn: WithdrawnObject, patients: Sequence[Sequence[Instance]], blobs: Blobs) -> int:
    """Which of the patients an object names, by its own bytes; the first where they are gone."""
    path = blobs.path(withdrawn.blob)
    if not path.is_file():
        return 0
    header = read_dataset(path)
    named = tuple(tuple(filter(None, [str(header.get(keyword) or "").strip()])) for keyword in ("PatientID", "IssuerOfPatientID"))
    return next((number for number, own in enumerate(patients) if named_by(own[0].header) == named), 0)


def _noted(job: Job, application: Application, own: Sequence[Instance], blobs: Blobs, profiles: Sequence[Profile]) -> Encoding:
    header = header_of(own, blobs)
    return of_no_findings(job, application, [] if header is None else [header], job.series_instance_uid, profiles)
