"""Encoding reads what the result objects of a job are made from, earlier values beside today's, and freezes their bytes.

Which measurement of an earlier study is the same measurement is decided over findings and what the journal found, without journal or clock.
Only numbers stand side by side, with the day; what a change means is for people.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

from inference import findings_file
from inference.applications.port import Application
from inference.codes import MORPHOLOGICALLY_ABNORMAL_STRUCTURE, Code
from inference.findings import Caution, Earlier, Findings, Measurement, Segment
from inference.translatable import Translatable, Value, say
from node.blobs.port import Blobs
from node.dicom.uid import device_uid
from node.domain.job import Concept, EarlierResult, Job, JobKind, Measured, MeasuredOf, ResultObject
from node.domain.profile import Kind, Profile
from node.domain.state import DeliveryState
from node.flow.infer import Analysed
from node.journal.journal import Journal
from node.journal.results import Results
from node.results.kinds import record_of
from node.results.port import Encoded, Encoding, Predecessor

Encode: TypeAlias = Callable[[Encoding], list[Encoded]]

_LEFT = (DeliveryState.DELIVERED, DeliveryState.COMMITTED)
_WRITERS = ("hilum", "highdicom", "pydicom")


def encoding_of(
    job: Job, application: Application, part: Analysed, predecessors: Sequence[Predecessor], profiles: Sequence[Profile]
) -> Encoding:
    """Everything that the objects of one part depend on; all of it is in the journal, in the blobs, or in the installed software.

    Parameters
    ----------
    job
        As the journal has it: with the time and the model of its findings.
    part
        What was analysed, and the headers of its sources: localizers, which were left out, are none.
    profiles
        What the job's sinks want (`Config.profiles_of`).
    """
    assert job.inferred_at is not None, "only findings are encoded"
    assert job.model_digest is not None, "findings have a model"
    return Encoding(
        application=application,
        findings=part.findings,
        sources=part.assembled.headers,
        subject=part.assembled.subject,
        part=part.assembled.part,
        at=job.inferred_at,
        input_digest=job.input_digest,
        model_digest=job.model_digest,
        findings_digest=part.digest or findings_file.digest(part.findings),
        parameters=parameters(),
        device_uid=device_uid(application.name, job.model_digest),
        predecessors=predecessors,
        profiles=profiles,
    )


def freeze(blobs: Blobs, job: int, encoded: Sequence[Encoded]) -> list[ResultObject]:
    """Keep the bytes, durable before the journal names them; from here on they never change."""
    frozen = []
    for one in encoded:
        digest = hashlib.sha256(one.data).hexdigest()
        # the digest in the name: what an attempt that died before the journal left behind is never in the way
        blob = f"results/{job}-{one.kind}-{digest[:32]}.dcm"
        blobs.put(blob, one.data)
        frozen.append(
            ResultObject(
                job=job,
                kind=one.kind,
                sop_instance_uid=one.sop_instance_uid,
                sop_class_uid=one.sop_class_uid,
                series_instance_uid=one.series_instance_uid,
                description=one.description,
                blob=blob,
                size=len(one.data),
                digest=digest,
                form=one.form,
                part=one.part,
                one_cine=one.one_cine,
            )
        )
    return frozen


def predecessors_of(results: Results, job: Job, part: str = "") -> list[Predecessor]:
    """The reports that this job's reports of a part replace: of the nearest earlier job of which anything reached a sink.

    An earlier report of all of the series, or of another part, is another report.
    """
    return [
        Predecessor(
            study_instance_uid=job.study_instance_uid,
            series_instance_uid=one.series_instance_uid,
            sop_instance_uid=one.sop_instance_uid,
            sop_class_uid=one.sop_class_uid,
            kind=Kind(one.kind),
            form=one.form,
        )
        for one in results.of_predecessor(job.id)
        if record_of(Kind(one.kind)).replaces and one.part == part
    ]


def replacing(journal: Journal, job: Job) -> list[Caution]:
    """What a reader must know of a result where an earlier one, or the note that there was none, stands in an archive; behind what is to be
    known of its images."""
    cautions = []
    before = journal.results.of_predecessor(job.id)
    if before:
        replaced, revision = journal.jobs.get(before[0].job), 1
        while before:
            revision += 1
            before = journal.results.of_predecessor(before[0].job)
        named: dict[str, Value] = {"revision": str(revision), "made": _of(replaced.inferred_at)}
        if replaced.input_digest == job.input_digest and replaced.shortage is not None and job.shortage is None:
            # a transfer that broke off was made again, say, and brought nothing new
            said = say(
                "This is revision {revision}: it replaces the result{made}, which said of the same images that some may be missing.",
                **named,
            )
        elif replaced.input_digest == job.input_digest:
            said = say(
                "This is revision {revision}: it replaces the result{made}, which another version or other models made of the same images.",
                **named,
            )
        else:
            said = say("This is revision {revision}: it replaces the result{made}, which was made from other images.", **named)
        cautions.append(Caution(sentence=said, mark=say("Revision {revision}", revision=str(revision))))
    notes = [
        one
        for one in journal.jobs.find(study=job.study_instance_uid)
        if (one.kind, one.application) == (JobKind.STATEMENT, job.application)
    ]
    left = [one for one in notes if any(delivery.state in _LEFT for delivery in journal.deliveries.find(job=one.id))]
    if left:
        cautions.append(Caution(sentence=say("This result replaces the note{made} that there was none.", made=_of(left[-1].inferred_at))))
    return cautions


def _of(moment: datetime | None) -> Translatable:
    return say("") if moment is None else say(" of {moment} UTC", moment=f"{moment:%Y-%m-%d %H:%M}")


@cache
def parameters() -> str:
    """What writes the objects: another version may write other bytes, and then their UIDs differ too. Looked up once a process."""
    return json.dumps({name: _version(name) for name in _WRITERS}, sort_keys=True)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unpackaged"


def measured_in(findings: Findings, part: str, version: str) -> list[Measured]:
    """What may be compared later: exact values of what is the same thing in another study, each said once."""
    concepts = zip(_concepts(findings, part), findings.measurements, strict=True)
    return [Measured(concept=concept, version=version, value=one.value) for concept, one in concepts if concept is not None]


def with_earlier(findings: Findings, part: str, version: str, model_digest: str, results: Sequence[EarlierResult]) -> Findings:
    """The findings, each measurement with the nearest earlier value of the same concept, where whoever made them did not compare it with a
    prior. A remark says where the nearest study has several values and nobody can say which is meant.

    Parameters
    ----------
    version, model_digest
        The application's and the models' that measured today.
    results
        What the journal found, the newest study first.
    """
    concepts: list[Concept | None] = _concepts(findings, part) if results else [None] * len(findings.measurements)
    found = [[] if concept is None else _of_nearest(concept, version, model_digest, results) for concept in concepts]
    unclear = dict.fromkeys(_day(several[0][0]) for several in found if len(several) > 1)
    beside = [
        replace(one, earlier=_earlier(*fits[0], version, model_digest) if len(fits) == 1 else one.earlier)
        for one, fits in zip(findings.measurements, found, strict=True)
    ]
    remarks = (
        say("Values of {date} are left out: that study has several results, and nothing tells which is meant.", date=day) for day in unclear
    )
    return replace(findings, measurements=tuple(beside), remarks=(*findings.remarks, *remarks))


def _concepts(findings: Findings, part: str) -> list[Concept | None]:
    """What each measurement is of; None for what is compared with nothing, and for what is said twice."""
    if findings.deformation is not None:
        # the bending of another pair of visits
        return [None] * len(findings.measurements)
    # the number of a lesion is another one in the next study; an empty mask is nothing that was measured
    # nor is what another camera, with another field, made of a structure
    whole = (
        each for each in findings.segments if each.category != MORPHOLOGICALLY_ABNORMAL_STRUCTURE and each.image is None and each.has_voxels
    )
    segments = {each.label: each for each in whole}
    found = [_concept(one, segments, part) for one in findings.measurements]
    often = Counter(found)
    return [concept if often[concept] == 1 else None for concept in found]


def _concept(one: Measurement, segments: Mapping[str, Segment], part: str) -> Concept | None:
    """What is measured; None for a bound, for a detection, for some images or frames, and for what is of other segments."""
    labels = [one.segment] if one.segment is not None else list(one.parts)
    if one.at_least or one.location is not None or one.span is not None or one.images or any(label not in segments for label in labels):
        return None
    segment = segments[one.segment] if one.segment is not None else None
    structure = segment.type if segment is not None else one.total
    of = MeasuredOf.SEGMENT if segment is not None else MeasuredOf.SERIES if one.total is None else MeasuredOf.TOTAL
    return Concept(
        part=part,
        of=of,
        structure=_coded(structure),
        laterality=_coded(segment.laterality if segment is not None else None),
        site=_coded(segment.finding_site if segment is not None else None),
        label="\n".join(sorted(labels)),
        name=_coded(one.name),
        unit=_coded(one.unit),
        derivation=_coded(one.derivation),
    )


def _of_nearest(
    concept: Concept, version: str, model_digest: str, results: Sequence[EarlierResult]
) -> list[tuple[EarlierResult, Measured]]:
    """The values of the newest earlier study that has any. Where several models measured the same images, those of today's, if there are
    any."""
    fits = [
        (result, one) for result in results for one in result.measured if one.concept == concept and _major(one.version) == _major(version)
    ]
    nearest = [(result, one) for result, one in fits if result.study_instance_uid == fits[0][0].study_instance_uid]
    by_today = [(result, one) for result, one in nearest if result.model_digest == model_digest]
    return by_today if by_today and len({result.input_digest for result, _ in nearest}) == 1 else nearest


def _earlier(result: EarlierResult, found: Measured, version: str, model_digest: str) -> Earlier:
    return Earlier(
        value=found.value,
        date=_day(result),
        version="" if found.version == version else found.version,
        another_model=result.model_digest != model_digest,
    )


def _day(result: EarlierResult) -> str:
    day = result.studied_at
    return f"{day[:4]}-{day[4:6]}-{day[6:8]}"


def _major(version: str) -> str:
    """Up to this, versions of an application measure the same."""
    return version.partition(".")[0]


def _coded(code: Code | None) -> str:
    return "" if code is None else f"{code.value} {code.scheme}"
