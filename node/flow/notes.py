"""Notes are results of no analysis: the statement that there is none, and the withdrawal of superseded objects; what each is made from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pydicom.dataset import Dataset

from inference.applications.port import Accepts, Application, Infer
from inference.errors import HilumError
from inference.findings import Findings
from inference.imaging.header import read_dataset
from node.blobs.port import Blobs
from node.dicom.uid import device_uid
from node.domain.instance import Instance
from node.domain.job import Job, JobKind, WhenExcluded, method_digest
from node.domain.notes import NoResult, Statement, Why, Withdrawal, WithdrawnObject
from node.domain.patient import named_by
from node.domain.profile import Profile
from node.domain.stage import Clock
from node.domain.state import JobState
from node.flow.encode import parameters
from node.journal.jobs import Jobs
from node.journal.results import Results
from node.results.port import Encoding
from node.results.sources import SourceSeries
from node.results.statement.port import Stated, nothing_of

_UNDER_WAY = (JobState.QUEUED, JobState.INFERRED)
_TRIED = 3
"""Of so many files of a series one can be read, or none."""


def statement_due(jobs: Jobs, results: Results, job: Job, clock: Clock) -> Statement | None:
    """Why the study of a statement has no result; None where it may have one after all: somebody had a job tried again."""
    now = clock()
    others = [one for one in jobs.find(study=job.study_instance_uid) if one.application == job.application]
    analyses = [one for one in others if one.kind is JobKind.ANALYSIS]
    late = [one for one in analyses if one.state in _UNDER_WAY and one.deadline_at is not None and one.deadline_at < now]
    if any(one.state in _UNDER_WAY and one not in late for one in analyses):
        return None
    stuck = [one for one in analyses if one in late or one.state in (JobState.PARKED, JobState.FAILED) or _told(one)]
    if not stuck:
        return None
    said = tuple(
        NoResult(
            job=one.id,
            series_instance_uid=one.series_instance_uid,
            why=_why(one),
            code=one.code or "",
            reason=one.reason or "",
            shortage=one.shortage,
        )
        for one in stuck
    )
    return Statement(series=said, replaces=any(results.of_predecessor(one.id) for one in stuck))


def analysis_under_way(jobs: Jobs, job: Job) -> bool:
    """Whether an analysis that the statement is about is under way."""
    others = (one for one in jobs.find(study=job.study_instance_uid) if one.application == job.application)
    return any(one.kind is JobKind.ANALYSIS and one.state in _UNDER_WAY for one in others)


def _told(job: Job) -> bool:
    """Whether nobody but the reader need know of it."""
    return job.state is JobState.NOT_APPLICABLE and job.when_excluded is WhenExcluded.TELL


def _why(job: Job) -> Why:
    if job.state is JobState.NOT_APPLICABLE:
        return Why.NOT_TAKEN
    if job.state in _UNDER_WAY:
        return Why.LATE
    return Why.DECLINED if job.declined else Why.FAILED


def stated(
    job: Job, application: Application, statement: Statement, instances: Sequence[Instance], blobs: Blobs, profiles: Sequence[Profile]
) -> list[Stated]:
    """Everything that the objects of a statement depend on, once for every patient whom the images of the study name: each is told, and
    refers to no image that names another. Images that name nobody have a statement that names nobody.

    Parameters
    ----------
    job
        As the journal has it: with the time at which it was decided what there is to say.
    instances
        What the analyses were to use.
    """
    patients = instances_by_patient(job, instances)
    found = []
    for own in patients:
        others = {one.series_instance_uid for other in patients if other is not own for one in other}
        by_series: dict[str, list[Instance]] = {}
        for one in own:
            by_series.setdefault(one.series_instance_uid, []).append(one)
        headers = [header for members in by_series.values() if (header := header_of(members, blobs)) is not None]
        if not headers and len(patients) > 1:
            continue  # nothing is left that says how this patient's objects are to be filed; the others are told
        first = next(iter(by_series), job.series_instance_uid)
        encoding = encoding_without_findings(job, application, headers, first, profiles)
        looked_at = [_listed(job.study_instance_uid, series, members) for series, members in by_series.items()]
        apart = frozenset(by_series) & others
        found.append(
            Stated(
                encoding=encoding,
                statement=statement,
                looked_at=looked_at,
                shared=len(patients) > 1,
                apart=apart,
                numbers=dict(_numbered(own)),
            )
        )
    return found


def encoding_without_findings(
    job: Job, application: Application, headers: Sequence[Dataset], series: str, profiles: Sequence[Profile]
) -> Encoding:
    """What the objects of a note depend on, but what it says. `headers` say whose it is, `series` where it is filed by number."""
    assert job.inferred_at is not None, "what there is to say was journaled"
    assert job.model_digest is not None, "with what stands for the model"
    modality = str(headers[0].get("Modality") or "") if headers else ""
    return Encoding(
        application=application,
        findings=Findings(),
        sources=headers,
        subject=nothing_of(job.study_instance_uid, series, modality),
        at=job.inferred_at,
        input_digest=job.input_digest,
        model_digest=job.model_digest,
        findings_digest=job.findings_blob or "",
        parameters=parameters(),
        device_uid=device_uid(application.name, job.model_digest),
        profiles=profiles,
    )


def instances_by_patient(job: Job, instances: Sequence[Instance]) -> list[list[Instance]]:
    """The instances of the job's study by whom they name, those of the job's own series first; one list where none is left."""
    own = [one for one in instances if one.study_instance_uid == job.study_instance_uid]
    own.sort(key=lambda one: (one.series_instance_uid != job.series_instance_uid, one.series_instance_uid))
    patients: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Instance]] = {}
    for one in own:
        patients.setdefault(named_by(one.header), []).append(one)
    return list(patients.values()) or [[]]


def loadable(job: Job, application_of: Callable[[str], Application]) -> Application:
    """The application of a statement; of one that cannot be loaded, which may be why there is no result, its name and version."""
    try:
        return application_of(job.application)
    except HilumError:
        name, version = job.application, job.application_version
        return Application(name=name, version=version, title=name, accepts=Accepts(modality=()), models=(), outputs=(), analyse=_never)


def _never(_: object, __: Infer) -> Findings:
    raise NotImplementedError("an application that cannot be loaded says nothing")


def digest_for_model(application: Application) -> str:
    """No model was asked: the application's version alone decides what is said."""
    return method_digest(application.name, application.version)


def _numbered(instances: Sequence[Instance]) -> Iterator[tuple[str, str]]:
    for one in instances:
        for number in one.header.get("InstanceNumber", ()):
            yield one.sop_instance_uid, f"{number:.0f}" if isinstance(number, float) else str(number)


def _listed(study: str, series: str, members: Sequence[Instance]) -> SourceSeries:
    instances = tuple(sorted((one.sop_class_uid, one.sop_instance_uid) for one in members))
    return SourceSeries(study_instance_uid=study, series_instance_uid=series, instances=instances)


def header_of(members: Sequence[Instance], blobs: Blobs) -> Dataset | None:
    """Of the first instance that can be read: it may be the pixels that nobody can."""
    for one in members[:_TRIED]:
        path = blobs.path(one.blob)
        try:
            if path.is_file():
                return read_dataset(path)
        except HilumError:
            continue
    return None


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
    patients = instances_by_patient(job, instances)
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
    return encoding_without_findings(job, application, [] if header is None else [header], job.series_instance_uid, profiles)
