"""Earlier values stand beside today's: which measurement of an earlier study of the same patient is the same measurement.

Pure: over findings and what the journal found, without journal or clock. Only numbers stand side by side, with the day; what a change means
is for people.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from inference.codes import MORPHOLOGICALLY_ABNORMAL_STRUCTURE, Code
from inference.findings import Earlier, Findings, Measurement, Segment
from node.domain.measured import Concept, EarlierResult, Measured, MeasuredOf


def measured_in(findings: Findings, part: str, version: str) -> list[Measured]:
    """What may be compared later: exact values of what is the same thing in another study, each said once."""
    concepts = zip(_concepts(findings, part), findings.measurements, strict=True)
    return [Measured(concept=concept, version=version, value=one.value) for concept, one in concepts if concept is not None]


def with_earlier(findings: Findings, part: str, version: str, model_digest: str, results: Sequence[EarlierResult]) -> Findings:
    """The findings, each measurement with the nearest earlier value of the same concept; whoever made them knows of none.

    Parameters
    ----------
    version, model_digest
        The application's and the models' that measured today.
    results
        What the journal found, the newest study first.
    """
    concepts: list[Concept | None] = _concepts(findings, part) if results else [None] * len(findings.measurements)
    found = [None if concept is None else _nearest(concept, version, model_digest, results) for concept in concepts]
    beside = zip(findings.measurements, found, strict=True)
    return replace(findings, measurements=tuple(replace(one, earlier=earlier) for one, earlier in beside))


def _concepts(findings: Findings, part: str) -> list[Concept | None]:
    """What each measurement is of; None for what is compared with nothing, and for what is said twice."""
    # the number of a lesion is another one in the next study; an empty mask is nothing that was measured
    whole = (each for each in findings.segments if each.category != MORPHOLOGICALLY_ABNORMAL_STRUCTURE and each.mask.any())
    segments = {each.label: each for each in whole}
    found = [_concept(one, segments, part) for one in findings.measurements]
    often = Counter(found)
    return [concept if often[concept] == 1 else None for concept in found]


def _concept(one: Measurement, segments: Mapping[str, Segment], part: str) -> Concept | None:
    """What is measured; None for a bound, for a detection, for some frames of a cine, and for what is of other segments."""
    labels = [one.segment] if one.segment is not None else list(one.parts)
    if one.at_least or one.location is not None or one.span is not None or any(label not in segments for label in labels):
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


def _nearest(concept: Concept, version: str, model_digest: str, results: Sequence[EarlierResult]) -> Earlier | None:
    """The value of the newest earlier study that has one; none where that study has several, for nobody can say which is meant."""
    fits = [
        (result, one) for result in results for one in result.measured if one.concept == concept and _major(one.version) == _major(version)
    ]
    if not fits:
        return None
    nearest, found = fits[0]
    if sum(result.study_instance_uid == nearest.study_instance_uid for result, _ in fits) > 1:
        return None
    day = nearest.studied_at
    return Earlier(
        value=found.value,
        date=f"{day[:4]}-{day[4:6]}-{day[6:8]}",
        version="" if found.version == version else found.version,
        another_model=nearest.model_digest != model_digest,
    )


def _major(version: str) -> str:
    """Up to this, versions of an application measure the same."""
    return version.partition(".")[0]


def _coded(code: Code | None) -> str:
    return "" if code is None else f"{code.value} {code.scheme}"
