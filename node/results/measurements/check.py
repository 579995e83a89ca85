"""Reads back what the groups of a report say about segments and about the series, and compares it with the findings, one by one."""

from collections.abc import Iterator, Mapping, Sequence

from pydicom.dataset import Dataset

from inference.applications.port import LocationOutput, SegmentOutput
from inference.codes import ANATOMICAL_STRUCTURE, CUBIC_CENTIMETRE, VOLUME, Code
from inference.findings import Evaluation, Measurement, Span
from node.domain.profile import Form
from node.results.kind import Checking
from node.results.port import Encoding, ReferencesDiffer, ValuesDiffer
from node.results.reports.check import (
    SEGMENT,
    SEGMENTATION_FRAME,
    SOURCE_OF_SEGMENTATION,
    TRACKING_UID,
    Coded,
    Image,
    MeasurementGroup,
    Number,
    certainty,
    check_report,
    code,
    coded,
    compare,
    image,
    measurement_group,
    named,
    number,
)
from node.results.reports.sites import apart

_ABSENT = ("272519000", "SCT")
_UNDETERMINED = ("373068000", "SCT")
_ANYWHERE = ("", "")
"""A site that the findings do not name: the application's or the images' word; the side is theirs alone where the findings name none."""
_NO_SIDE = (None, ("51440002", "SCT"))
"""Sides that leave out none."""


def check(checking: Checking) -> None:
    """Groups about segments are those of the segmentation that the report refers to, all others are those of the series.

    Raises
    ------
    ResultMalformed, ValuesDiffer, ReferencesDiffer
    """

    def check_groups(groups: Sequence[Dataset]) -> None:
        if checking.one.form == Form.NO_MASKS:
            _check_unmasked_groups(groups, checking.encoding, [each.dataset for each in checking.others if each.one.form == Form.BINARY])
        elif named(groups[0], SEGMENT) or named(groups[0], SEGMENTATION_FRAME):
            _check_segment_groups(groups, checking.encoding, checking.masks())
        else:
            _check_series_groups(groups, checking.encoding)

    check_report(checking, check_groups, coordinates=False)


def _check_segment_groups(groups: Sequence[Dataset], encoding: Encoding, segmentations: Sequence[Dataset]) -> None:
    """One group for each segment of the segmentations, tracked under the same UID, with its measurements and no other."""
    by_uid = {str(one.SOPInstanceUID): one for one in segmentations}
    # 0 is the background of a label map, of which there is nothing to say
    described = {(uid, int(item.SegmentNumber)): item for uid, one in by_uid.items() for item in one.SegmentSequence if item.SegmentNumber}
    meant = {one.label[:64]: one for one in encoding.findings.segments}
    numbered = []
    for group in groups:
        uid, segment_number = _referred_segment(group, by_uid)
        if (uid, segment_number) not in described:
            raise ReferencesDiffer(f"the report refers to segment {segment_number} of {uid}, which is not this job's")
        described_as = described[uid, segment_number]
        label = str(described_as.SegmentLabel)
        if described_as.TrackingUID != named(group, TRACKING_UID)[0].UID:
            raise ValuesDiffer(f'segment "{label}" is tracked under another UID in the report')
        says, segment = measurement_group(group), meant[label]
        if says.finding != coded(described_as.SegmentedPropertyTypeCodeSequence[0]) or says.finding != code(segment.type):
            raise ValuesDiffer(f'the report calls segment "{label}" {says.finding}')
        site = (code(segment.finding_site) or (code(segment.type) if segment.laterality else None), code(segment.laterality))
        if (says.site, says.side) != site or says.answers:
            raise ValuesDiffer(f'the report says of segment "{label}" {says.site}, {says.side}, {says.answers}')
        measured = [number(one) for one in encoding.findings.measurements if one.segment == segment.label]
        compare(says.numbers, measured + certainty(segment.certainty), label)
        images = [image(one) for one in named(group, SOURCE_OF_SEGMENTATION)]
        meant_images = [] if segment.image is None else _images(encoding, (segment.image,), None)
        if images != [*meant_images]:
            raise ReferencesDiffer(f'the report says that segment "{label}" is of {images}, which is not its image')
        numbered.append((uid, segment_number))
    if sorted(numbered) != sorted(described):
        raise ValuesDiffer(f"the report speaks of segments {sorted(numbered)}, the segmentation holds {sorted(described)}")


def _check_unmasked_groups(groups: Sequence[Dataset], encoding: Encoding, of_masks: Sequence[Dataset]) -> None:
    """One group for each segment that has a voxel, with its measurements and no other, tracked as in the masks; none is named."""
    found = [one for one in encoding.findings.segments if one.has_voxels]
    if any(named(group, SEGMENT) or named(group, SEGMENTATION_FRAME) for group in groups):
        raise ReferencesDiffer("a report for sinks without masks refers to one")
    if len(groups) != len(found):
        raise ValuesDiffer(f"the report has {len(groups)} groups about {len(found)} segments")
    tracked = {str(item.TrackingUID): item for one in of_masks for item in one.get("SegmentSequence") or () if "TrackingUID" in item}
    meant = {one.label[:64]: one for one in found}
    for group in groups:
        uid = str(named(group, TRACKING_UID)[0].UID)
        if uid not in tracked:
            raise ValuesDiffer(f"the report tracks {uid}, which is no segment of this job")
        segment = meant.pop(str(tracked[uid].SegmentLabel), None)
        if segment is None:
            raise ValuesDiffer(f"two groups of the report are tracked as {uid}")
        says = measurement_group(group)
        site = (code(segment.finding_site) or (code(segment.type) if segment.laterality else None), code(segment.laterality))
        images = () if segment.image is None else _images(encoding, (segment.image,), None)
        if (says.finding, says.site, says.side, says.answers, says.images) != (code(segment.type), *site, (), images):
            raise ValuesDiffer(f'the report says of segment "{segment.label}" {says}')
        measured = [number(one) for one in encoding.findings.measurements if one.segment == segment.label]
        compare(says.numbers, measured + certainty(segment.certainty), segment.label)


def _referred_segment(group: Dataset, segmentations: Mapping[str, Dataset]) -> tuple[str, int]:
    """The segmentation and the segment that a group is about: named, or, of a single image, told by the frame that is named."""
    (reference,) = named(group, SEGMENT) or named(group, SEGMENTATION_FRAME)
    referenced = reference.ReferencedSOPSequence[0]
    uid = str(referenced.ReferencedSOPInstanceUID)
    if uid not in segmentations:
        raise ReferencesDiffer(f"the report refers to a segment of {uid}, which is not this job's")
    if "ReferencedFrameNumber" not in referenced:
        return uid, int(referenced.ReferencedSegmentNumber)
    segmentation = segmentations[uid]
    shared = segmentation.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
    frame = segmentation.PerFrameFunctionalGroupsSequence[int(referenced.ReferencedFrameNumber) - 1]
    return uid, int((shared or frame.SegmentIdentificationSequence)[0].ReferencedSegmentNumber)


def _check_series_groups(groups: Sequence[Dataset], encoding: Encoding) -> None:
    """First what was not found, then the evaluations, then the measurements of the series, each a group, and no other."""
    meant = [*_not_found(encoding), *(_evaluated(encoding, one) for one in encoding.findings.evaluations), *_measured(encoding)]
    if len(groups) != len(meant):
        raise ValuesDiffer(f"the report has {len(groups)} groups about the series, {len(meant)} were found")
    for position, (group, expected) in enumerate(zip(groups, meant, strict=True), 1):
        says = measurement_group(group)
        compare(says.numbers, expected.numbers, f"group {position} of the series")
        anywhere = expected.site == _ANYWHERE and expected.side in (None, says.side)
        same = (says.finding, says.answers, says.images) == (expected.finding, expected.answers, expected.images)
        if not same or not (anywhere or (says.site, says.side) == (expected.site, expected.side)):
            raise ValuesDiffer(f"group {position} of the series says {says}, found was {expected}")
    uids = [str(named(group, TRACKING_UID)[0].UID) for group in groups]
    if len(set(uids)) != len(uids):
        raise ValuesDiffer("two groups about the series are tracked under one UID")


def _not_found(encoding: Encoding) -> Iterator[MeasurementGroup]:
    """Segments without a voxel say absent, and a volume of 0 where they say nothing; so does what is always looked for. Where images are
    missing they say undetermined, and no volume.

    Nobody says either of what is evaluated, or found by a mask or a location, on a side that may be the same, unless it is where another
    mask of its kind is and this one, of a site apart from it, is not.
    """
    findings, outputs = encoding.findings, encoding.application.outputs
    heard = [(code(one.finding), code(one.laterality), code(one.finding_site)) for one in findings.evaluations]
    heard += [(code(one.finding), code(one.laterality), code(one.finding_site)) for one in findings.locations]
    heard += [(code(one.type), code(one.laterality), code(one.finding_site)) for one in findings.segments if one.has_voxels]
    zero = [] if findings.cut else [number(Measurement(name=VOLUME, value=0.0, unit=CUBIC_CENTIMETRE))]
    answer = _UNDETERMINED if findings.cut else _ABSENT
    declared = {one.label: one for one in outputs if isinstance(one, SegmentOutput)}
    for segment in findings.segments:
        if not segment.has_voxels:
            measured = [number(one) for one in findings.measurements if one.segment == segment.label] or zero
            searched = declared[segment.label].searched if segment.label in declared else None
            if segment.laterality and segment.category == ANATOMICAL_STRUCTURE:
                searched = segment.type
            kind, side = code(segment.type), code(segment.laterality)
            sites = [one.finding_site for one in findings.segments if one.finding_site and code(one.type) == kind]
            parted = {code(one) for one in sites if segment.finding_site and apart(segment.finding_site, one)}
            silent = any(
                what == kind and (side == other or side in _NO_SIDE or other in _NO_SIDE) and where not in parted
                for what, other, where in heard
            )
            yield _sought(segment.type, segment.finding_site or searched, segment.laterality, measured, None if silent else answer)
    labels = {segment.label for segment in findings.segments}
    told = {what for what, _, _ in heard}
    for one in outputs:
        if isinstance(one, SegmentOutput) and one.searched and one.label not in labels and code(one.type) not in told:
            yield _sought(one.type, one.searched, None, zero, answer)
        if isinstance(one, LocationOutput) and not one.of_segment and code(one.finding) not in told:
            told.add((one.finding.value, one.finding.scheme))
            yield _sought(one.finding, one.searched, None, [], answer)


def _sought(finding: Code, site: Code | None, side: Code | None, numbers: Sequence[Number], answer: Coded | None) -> MeasurementGroup:
    what = (finding.value, finding.scheme)
    return MeasurementGroup(
        finding=what,
        site=code(site) or _ANYWHERE,
        side=code(side),
        answers=() if answer is None else ((what, answer),),
        numbers=tuple(numbers),
        images=(),
    )


def _evaluated(encoding: Encoding, one: Evaluation) -> MeasurementGroup:
    what: Coded = (one.finding.value, one.finding.scheme)
    return MeasurementGroup(
        finding=what,
        site=code(one.finding_site) or (_ANYWHERE if one.laterality or (one.value.value, one.value.scheme) == _ABSENT else None),
        side=code(one.laterality),
        answers=((what, (one.value.value, one.value.scheme)),),
        numbers=tuple(certainty(None if (one.value.value, one.value.scheme) == _ABSENT else one.probability)),
        images=_images(encoding, one.images, one.span),
    )


def _measured(encoding: Encoding) -> Iterator[MeasurementGroup]:
    groups: dict[tuple[Coded | None, Span | None, tuple[int, ...]], list[Number]] = {}
    for one in encoding.findings.measurements:
        if one.segment is None and one.location is None:
            groups.setdefault((code(one.total), one.span, one.images), []).append(number(one))
    for (total, span, indices), numbers in groups.items():
        images = _images(encoding, indices, span)
        yield MeasurementGroup(finding=total, site=None, side=None, answers=(), numbers=tuple(numbers), images=images)


def _images(encoding: Encoding, indices: Sequence[int], span: Span | None) -> tuple[Image, ...]:
    """The instances that hold these images, in the order of the subject, each with those of its frames that are meant."""
    meant = set(indices) | (set(range(span.first, span.last + 1)) if span else set())
    chosen = [source for index, source in enumerate(encoding.subject.sources) if index in meant]
    instances = dict.fromkeys((source.sop_class_uid, source.sop_instance_uid) for source in chosen)
    return tuple(
        (*uids, tuple(sorted(one.frame for one in chosen if one.sop_instance_uid == uids[1] and one.frame is not None)))
        for uids in instances
    )
