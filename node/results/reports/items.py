"""Content items that the measurement groups of all templates have in common: tracking, algorithm, site, numbers, references to images."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from highdicom import sr

from inference import codes
from inference.codes import ABSENT, Code
from inference.findings import Evaluation, Location, Measurement, Segment, Span
from inference.imaging.subject import Cine
from inference.imaging.volume import SliceSource
from node.dicom.uid import derive_uid
from node.results.identity import model_names, tracking
from node.results.narrative.wording import Wording
from node.results.page.naming import interval_distances, number
from node.results.port import Encoding
from node.results.sources import Sources, item

CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
"""Certainty is a number of percent, 0 to 100, as TID 4003 and its like have it (PS3.16 A)."""

BOUND = Code("BOUND", "99HILUM", "Value is a bound")
AT_LEAST = Code("AT-LEAST", "99HILUM", "At least: the true value is this or more")
"""Modifies the concept of a number. No code of the standard says so: qualifiers (CID 42) are for values that there are none of."""
UPPER_UNCERTAINTY = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
LOWER_UNCERTAINTY = Code("371885007", "SCT", "-, range of lower measurement uncertainty")
"""How far above and below a number its interval ends, in its unit (PS3.16 TID 310). The template has no place for the interval's level:
sentences say it."""

Groups: TypeAlias = list[Any]
Images: TypeAlias = list[tuple[str, str, tuple[int, ...]]]
"""(SOP Class UID, SOP Instance UID, frames from 1): no frames for an instance that has one only, or of which all are meant."""


def tracked(encoding: Encoding, what: str, *, labelled: bool) -> Any:
    """Tracking Identifier and Tracking Unique Identifier (PS3.16 TID 4108).

    Parameters
    ----------
    labelled
        Whether `what` is the label of a segment or a location. What has none is named by the report: should a label read the same, it is
        another finding nevertheless.
    """
    identifier, uid = tracking(encoding, what)
    return sr.TrackingIdentifier(uid=uid if labelled else derive_uid("tracking without a label", uid), identifier=identifier)


def algorithm(encoding: Encoding) -> Any:
    """What found it: application, version, family, and the models by their digest (PS3.16 TID 4019)."""
    return sr.AlgorithmIdentification(
        name=encoding.application.name,
        version=encoding.application.version,
        manufacturer=encoding.application.manufacturer,
        parameters=[model_names(encoding)],
        family=item(encoding.application.family),
    )


def sites(site: Code | None, laterality: Code | None) -> list[Any] | None:
    """Finding Site with its laterality; None where nothing says where."""
    return [sr.FindingSite(item(site), laterality=item(laterality) if laterality else None)] if site else None


def numbers(measurements: Iterable[Measurement], certainty: float | None = None, *, sources: Sources | None = None) -> list[Any]:
    """The measurements of one group, and how certain its finding is, which is a number like any other.

    Parameters
    ----------
    sources
        Given where a number has to name the frames that it was taken from itself, because its group does not.
    """
    made = [_number(one, sources) for one in measurements]
    if certainty is not None:
        percent = Measurement(name=CERTAINTY, value=round(certainty * 100, 6), unit=codes.PERCENT)
        made.append(_number(percent))
        # as the sentences say it: whole, and never 0 or 100 for what is neither
        shown = f"{percent.value:.0f}" if percent.value in (0, 100) or 0.5 <= percent.value < 99.5 else f"{percent.value:.10g}"
        made[-1][0].MeasuredValueSequence[0].NumericValue = shown
    return made


def shown_probability(one: Evaluation) -> float | None:
    """The number beside an evaluation: the probability of the finding. None beside Absent: there it would be read as that of absence, and
    stands in the sentence alone."""
    return None if one.value == ABSENT else one.probability


def evaluated(finding: Code, value: Code) -> Any:
    """A qualitative evaluation: whether the finding is there (CID 240)."""
    return sr.QualitativeEvaluation(name=item(finding), value=item(value))


def qualities(location: Location) -> list[Any]:
    """What is said of a location besides numbers: questions and answers as codes (PS3.16 TID 1410 row 11)."""
    return [sr.QualitativeEvaluation(name=item(one.name), value=item(one.value)) for one in location.qualities]


def shown_on(images: Images) -> list[Any]:
    """The images that a group rests on, for those groups that do not rest on all (TID 1501 row 10b)."""
    return [
        sr.SourceImageForMeasurementGroup(
            referenced_sop_class_uid=sop_class_uid,
            referenced_sop_instance_uid=sop_instance_uid,
            referenced_frame_numbers=list(frames) or None,
        )
        for sop_class_uid, sop_instance_uid, frames in images
    ]


def images_of(sources: Sources, indices: Sequence[int], span: Span | None) -> Images:
    """The instances (and the frames of a multi-frame one) that stand behind images of the subject; empty when all of them do."""
    chosen = sorted({*indices, *(range(span.first, span.last + 1) if span else ())})
    return gathered(sources.slices[index] for index in chosen)


def gathered(slices: Iterable[SliceSource]) -> Images:
    """Slices or frames by the instance that holds them, in their order."""
    frames: dict[tuple[str, str], list[int]] = {}
    for source in slices:
        of_instance = frames.setdefault((source.sop_class_uid, source.sop_instance_uid), [])
        if source.frame is not None:
            of_instance.append(source.frame)
    return [(*uids, tuple(sorted(of_instance))) for uids, of_instance in frames.items()]


def measurements_of(encoding: Encoding, one: Segment | Location) -> tuple[Measurement, ...]:
    """The measurements of one segment, or of one location."""
    if isinstance(one, Segment):
        return tuple(each for each in encoding.findings.measurements if each.segment == one.label)
    return tuple(each for each in encoding.findings.measurements if each.location == one.label)


def of_the_series(measurements: Iterable[Measurement]) -> dict[tuple[Code | None, Span | None, tuple[int, ...]], list[Measurement]]:
    """Those of no single segment and no location, by what they are the total of, by their span of time, and by their images."""
    found: dict[tuple[Code | None, Span | None, tuple[int, ...]], list[Measurement]] = {}
    for one in measurements:
        if one.segment is None and one.location is None:
            found.setdefault((one.total, one.span, one.images), []).append(one)
    return found


def series_tracked_by(total: Code | None, span: Span | None, images: tuple[int, ...]) -> str:
    """Under which name a group of them is tracked."""
    if total is not None:
        return f"total {total.meaning}"
    if images:
        return f"images {', '.join(str(index + 1) for index in images)}"
    return "series" if span is None else f"frames {span.first + 1} to {span.last + 1}"


def times(encoding: Encoding, spans: Iterable[Span | None], wording: Wording) -> Iterator[str]:
    """When the frames were that something was taken from: no template has a temporal coordinate for images, only for waveforms."""
    subject = encoding.subject
    if not isinstance(subject, Cine) or subject.times_s is None:
        return
    for span in filter(None, dict.fromkeys(spans)):
        first_s, last_s = (round(float(subject.times_s[frame]), 3) for frame in (span.first, span.last))
        yield wording.timed(span.first, span.last, first_s, last_s)


def _number(one: Measurement, sources: Sources | None = None) -> Any:
    """A number twice: exactly as a float (FloatingPointValue), and as people read it: viewers show them the text (NumericValue)."""
    value = float(one.value)
    made = sr.Measurement(
        name=item(one.name),
        value=value,
        unit=item(one.unit),
        method=item(one.method) if one.method else None,
        derivation=item(one.derivation) if one.derivation else None,
        referenced_images=_taken_from(images_of(sources, (), one.span)) if sources and one.span else None,
    )
    made[0].MeasuredValueSequence[0].NumericValue = number(value, one.unit)
    if one.at_least:
        bound = sr.CodeContentItem(item(BOUND), item(AT_LEAST), sr.RelationshipTypeValues.HAS_CONCEPT_MOD)
        made[0].ContentSequence = [bound, *made[0].get("ContentSequence", [])]
    if one.interval is not None:
        above, below = interval_distances(one)
        ends = ((UPPER_UNCERTAINTY, one.interval.high - value, above), (LOWER_UNCERTAINTY, value - one.interval.low, below))
        made[0].ContentSequence = [*made[0].get("ContentSequence", []), *(_uncertainty(*end, one.unit) for end in ends)]
    return made


def _uncertainty(name: Code, size: float, shown: str, unit: Code) -> Any:
    """A distance twice, as a number is: exactly from the exact number, and as people read it from the one that they read."""
    made = sr.NumContentItem(name=item(name), value=size, unit=item(unit), relationship_type=sr.RelationshipTypeValues.HAS_PROPERTIES)
    made.MeasuredValueSequence[0].NumericValue = shown
    return made


def _taken_from(images: Images) -> list[Any]:
    return [
        sr.SourceImageForMeasurement(
            referenced_sop_class_uid=sop_class_uid,
            referenced_sop_instance_uid=sop_instance_uid,
            referenced_frame_numbers=list(frames) or None,
        )
        for sop_class_uid, sop_instance_uid, frames in images
    ]
