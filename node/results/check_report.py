"""Reads a structured report back and compares numbers, codes, tracking identifiers and references with the findings."""

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from inference.codes import Code
from inference.findings import Measurement
from node.results.errors import ReferencesDiffer, ResultMalformed, ValuesDiffer
from node.results.planes import Sources
from node.results.port import Encoding

_RELATIVE = 1e-9
_GROUP, _SEGMENT, _TRACKING_UID, _FINDING = "125007", "121191", "112040", "121071"


def check_report(dataset: Dataset, encoding: Encoding, sources: Sources, segmentations: Sequence[Dataset]) -> None:
    """Every value, unit, code and tracking identifier is what was found; every reference is in the evidence, and the evidence is known.

    Raises
    ------
    ResultMalformed, ValuesDiffer, ReferencesDiffer
        What differs.
    """
    flags = (dataset.CompletionFlag, dataset.VerificationFlag, dataset.PreliminaryFlag)
    if flags != ("COMPLETE", "UNVERIFIED", "PRELIMINARY") or dataset.ContentTemplateSequence[0].TemplateIdentifier != "1500":
        raise ResultMalformed(f"the report is marked {flags}, or is not on TID 1500")
    groups = [item for item in _walk(dataset) if _name(item) == _GROUP]
    about_segments = [group for group in groups if _named(group, _SEGMENT)]
    if not groups or len(about_segments) not in (0, len(groups)):
        raise ResultMalformed(f"{len(about_segments)} of {len(groups)} groups refer to a segment: one template a report")
    if any(len(_named(group, _TRACKING_UID)) != 1 for group in groups):
        raise ResultMalformed("a measurement group cannot be tracked")
    if about_segments:
        _segment_groups(groups, encoding, segmentations)
    else:
        _study_groups(groups, encoding)
    _references(dataset, encoding, sources, segmentations if about_segments else ())


def _segment_groups(groups: Sequence[Dataset], encoding: Encoding, segmentations: Sequence[Dataset]) -> None:
    """One group for each segment of the segmentation, tracked under the same UID, with its measurements and no other."""
    (segmentation,) = segmentations
    described = {int(item.SegmentNumber): item for item in segmentation.SegmentSequence}
    numbers = []
    for group in groups:
        (image,) = _named(group, _SEGMENT)
        referenced = image.ReferencedSOPSequence[0]
        number = int(referenced.ReferencedSegmentNumber)
        if referenced.ReferencedSOPInstanceUID != segmentation.SOPInstanceUID or number not in described:
            raise ReferencesDiffer(
                f"the report refers to segment {number} of {referenced.ReferencedSOPInstanceUID}, which is not this job's"
            )
        segment = described[number]
        if segment.TrackingUID != _named(group, _TRACKING_UID)[0].UID:
            raise ValuesDiffer(f'segment "{segment.SegmentLabel}" is tracked under another UID in the report')
        finding = _coded(_named(group, _FINDING)[0].ConceptCodeSequence[0])
        if finding != _coded(segment.SegmentedPropertyTypeCodeSequence[0]):
            raise ValuesDiffer(f'the report calls segment "{segment.SegmentLabel}" {finding}')
        meant = [one for one in encoding.findings.measurements if one.segment is not None and one.segment[:64] == segment.SegmentLabel]
        _compare(_numbers(group), [_meant(one) for one in meant], str(segment.SegmentLabel))
        numbers.append(number)
    if sorted(numbers) != sorted(described):
        raise ValuesDiffer(f"the report speaks of segments {sorted(numbers)}, the segmentation holds {sorted(described)}")


def _study_groups(groups: Sequence[Dataset], encoding: Encoding) -> None:
    """All measurements of the series and of empty segments, and all evaluations; an empty segment without any reports a volume of 0."""
    found = {segment.label for segment in encoding.findings.segments if segment.mask.any()}
    silent = [
        segment
        for segment in encoding.findings.segments
        if segment.label not in found and not any(one.segment == segment.label for one in encoding.findings.measurements)
    ]
    meant = [_meant(one) for one in encoding.findings.measurements if one.segment not in found]
    meant += [("118565006", "SCT", 0.0, "cm3", "")] * len(silent)
    _compare([number for group in groups for number in _numbers(group)], meant, "the series")
    said = sorted(_coded(item.ConceptNameCodeSequence[0]) + _coded(item.ConceptCodeSequence[0]) for item in _evaluations(groups, encoding))
    wanted = sorted(_code(one.finding) + _code(one.value) for one in encoding.findings.evaluations)
    if said != wanted:
        raise ValuesDiffer(f"the report evaluates {said}, found was {wanted}")


def _evaluations(groups: Sequence[Dataset], encoding: Encoding) -> Iterator[Dataset]:
    names = {_code(one.finding) for one in encoding.findings.evaluations}
    for group in groups:
        for item in group.ContentSequence:
            if item.ValueType == "CODE" and _coded(item.ConceptNameCodeSequence[0]) in names:
                yield item


def _numbers(group: Dataset) -> list[tuple[str, str, float, str, str]]:
    """(name, scheme, value, unit, derivation) of every number in a group."""
    numbers = []
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            measured = item.MeasuredValueSequence[0]
            unit = measured.MeasurementUnitsCodeSequence[0]
            derivations = [part.ConceptCodeSequence[0].CodeValue for part in item.get("ContentSequence") or () if _name(part) == "121401"]
            exact = float(measured.get("FloatingPointValue", measured.NumericValue))
            if abs(exact - float(measured.NumericValue)) > 1e-6 * max(abs(exact), 1.0):
                raise ValuesDiffer(f"the report says {measured.NumericValue} and {exact} of one measurement")
            numbers.append((*_coded(item.ConceptNameCodeSequence[0]), exact, str(unit.CodeValue), str((derivations or [""])[0])))
    return numbers


def _compare(said: list[tuple[str, str, float, str, str]], meant: list[tuple[str, str, float, str, str]], about: str) -> None:
    def key(one: tuple[str, str, float, str, str]) -> tuple[str, str, str, str, float]:
        return one[0], one[1], one[3], one[4], one[2]

    pairs = list(zip(sorted(said, key=key), sorted(meant, key=key), strict=False))
    same = len(said) == len(meant) and all(
        key(one)[:4] == key(other)[:4] and abs(one[2] - other[2]) <= _RELATIVE * max(abs(other[2]), 1.0) for one, other in pairs
    )
    if not same:
        raise ValuesDiffer(f"of {about} the report says {said}, found was {meant}")


def _references(dataset: Dataset, encoding: Encoding, sources: Sources, segmentations: Sequence[Dataset]) -> None:
    evidence = {
        (str(series.SeriesInstanceUID), str(item.ReferencedSOPInstanceUID))
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    known = {(encoding.subject.series_instance_uid, uid) for _, uid in sources.instances}
    known |= {(str(one.SeriesInstanceUID), str(one.SOPInstanceUID)) for one in segmentations}
    if evidence != known:
        raise ReferencesDiffer(f"the report's evidence holds {len(evidence)} instances, its sources and segmentation are {len(known)}")
    instances = {uid for _, uid in evidence}
    for item in _walk(dataset):
        if item.ValueType in ("IMAGE", "COMPOSITE"):
            uid = str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            if uid not in instances:
                raise ReferencesDiffer(f"the report refers to {uid}, which is not in its evidence")
    before = [
        item.ReferencedSOPInstanceUID
        for study in dataset.get("PredecessorDocumentsSequence") or ()
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    if before != [one.sop_instance_uid for one in encoding.predecessors]:
        raise ReferencesDiffer(f"the report names {before} as what it replaces")


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or ():
        yield child
        yield from _walk(child)


def _named(group: Dataset, code: str) -> list[Dataset]:
    return [item for item in group.get("ContentSequence") or () if _name(item) == code]


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _coded(item: Dataset) -> tuple[str, str]:
    return str(item.CodeValue), str(item.CodingSchemeDesignator)


def _code(code: Code) -> tuple[str, str]:
    return code.value, code.scheme


def _meant(one: Measurement) -> tuple[str, str, float, str, str]:
    return one.name.value, one.name.scheme, float(one.value), one.unit.value, one.derivation.value if one.derivation else ""
