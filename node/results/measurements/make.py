"""Measurement reports: TID 1411 groups about segments; TID 1501 groups about images, for what has no mask or was not found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from highdicom import sr
from pydicom.dataset import Dataset

from inference.codes import ABSENT, Code
from inference.findings import Evaluation, Segment
from node.domain.profile import Form, Kind, Language
from node.results.identity import encoded, identify
from node.results.kind import Making
from node.results.narrative.sentences import WORDINGS
from node.results.narrative.terms_chinese import structure
from node.results.narrative.wording import Wording
from node.results.port import Encoded, Encoding
from node.results.reports.absent import Sought, not_found, place_of
from node.results.reports.context import imaged
from node.results.reports.items import (
    Groups,
    Images,
    algorithm,
    evaluated,
    images_of,
    measurements_of,
    numbers,
    of_the_series,
    series_tracked_by,
    shown_on,
    shown_probability,
    sites,
    times,
    tracked,
)
from node.results.reports.root import report
from node.results.segmentation.frames import Numbered
from node.results.sources import Sources, item

_SEGMENTATION_FRAME = "121214"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A segmentation, which is `encoded`, and its segments."""

    found: Sequence[Numbered]
    seg: Dataset


def segment_report(encoding: Encoding, sources: Sources, several: Sequence[Described], form: Form) -> Encoded:
    """The report that refers to the segmentations of one form: to one, or to that of each image."""
    encoding = encoding.replacing(Kind.SR, form)
    identity = identify(encoding, sources, Kind.SR, "measurements")
    groups = [group for one in several for group in _groups(encoding, sources, one.found, one.seg)]
    made = report(encoding, sources, groups, identity, segmentations=[one.seg for one in several])
    return encoded(Kind.SR, made, identity, form.value)


def unmasked_report(encoding: Encoding, sources: Sources, found: Sequence[Numbered]) -> Encoded:
    """The same of all segments without a reference to any mask, for sinks that get none: groups about the images (TID 1501)."""
    encoding = encoding.replacing(Kind.SR, Form.NO_MASKS)
    identity = identify(encoding, sources, Kind.SR, "measurements")
    groups = [
        _group(
            encoding,
            segment.label,
            labelled=True,
            finding=segment.type,
            site=(segment.finding_site or (segment.type if segment.laterality else None), segment.laterality),
            measurements=numbers(measurements_of(encoding, segment), segment.certainty),
            images=[] if segment.image is None else images_of(sources, (segment.image,), None),
        )
        for segment in (one.segment for one in found)
    ]
    return encoded(Kind.SR, report(encoding, sources, groups, identity), identity, Form.NO_MASKS.value)


def _groups(encoding: Encoding, sources: Sources, found: Sequence[Numbered], seg: Dataset) -> Groups:
    """What each segment is, where its mask lies, how certain it is there, and its measurements."""
    by = algorithm(encoding)
    if found[0].segment.image is not None:
        return [_on_image(encoding, sources, one, seg) for one in found]
    return [
        sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracked(encoding, one.segment.label, labelled=True),
            # by hand: the library's own way fails on segmentations of one segment, which stands in the shared groups
            referenced_segment=sr.ReferencedSegment(
                sop_class_uid=str(seg.SOPClassUID),
                sop_instance_uid=str(seg.SOPInstanceUID),
                segment_number=one.number,
                source_series=sr.SourceSeriesForSegmentation(encoding.subject.series_instance_uid),
            ),
            finding_type=item(one.segment.type),
            # a left kidney without a site lies where the left kidney is: the side would be lost
            finding_sites=sites(one.segment.finding_site or one.segment.type, one.segment.laterality)
            if one.segment.finding_site or one.segment.laterality
            else None,
            algorithm_id=by,
            measurements=numbers(measurements_of(encoding, one.segment), one.segment.certainty),
        )
        for one in found
    ]


def _on_image(encoding: Encoding, sources: Sources, one: Numbered, seg: Dataset) -> Groups:
    """The same of a segment on a single image: planar (TID 1410), which names its frame, the image's, and the image."""
    segment = one.segment
    assert segment.image is not None
    source = sources.slices[segment.image]
    made: Any = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracked(encoding, segment.label, labelled=True),
        referenced_segment=sr.ReferencedSegmentationFrame(
            sop_class_uid=str(seg.SOPClassUID),
            sop_instance_uid=str(seg.SOPInstanceUID),
            # a segment has one frame, and they follow each other as the segments do
            frame_number=one.number,
            segment_number=one.number,
            source_image=sr.SourceImageForSegmentation(
                referenced_sop_class_uid=source.sop_class_uid,
                referenced_sop_instance_uid=source.sop_instance_uid,
                referenced_frame_numbers=[source.frame] if source.frame is not None else None,
            ),
        ),
        finding_type=item(segment.type),
        finding_sites=sites(segment.finding_site or segment.type, segment.laterality)
        if segment.finding_site or segment.laterality
        else None,
        algorithm_id=algorithm(encoding),
        measurements=numbers(measurements_of(encoding, segment), segment.certainty),
    )
    for content in made[0].ContentSequence:
        # beside a frame no segment is named (PS3.3 10.3): the frame says which it is of; the library names both
        if content.name.value == _SEGMENTATION_FRAME:
            del content.ReferencedSOPSequence[0].ReferencedSegmentNumber
    return made  # type: ignore[no-any-return]


def make(making: Making) -> list[Encoded]:
    """The report, when there is anything to say of the images as a whole."""
    encoding, sources = making.encoding, making.sources
    nothing = not_found(encoding, sources)
    groups = [
        *(_absent(encoding, one) for one in nothing),
        *(_evaluation(encoding, sources, number, one) for number, one in enumerate(encoding.findings.evaluations, 1)),
        *_values(encoding, sources),
    ]
    if not groups:
        return []
    encoding = encoding.replacing(Kind.SR, "")
    identity = identify(encoding, sources, Kind.SR, "report", number=1)
    spans = [one.span for one in encoding.findings.evaluations]
    spans += [one.span for one in encoding.findings.measurements if one.location is None]
    comments = [*_sought(encoding, sources, nothing), *times(encoding, spans, WORDINGS[encoding.language])]
    return [encoded(Kind.SR, report(encoding, sources, groups, identity, comments=comments), identity)]


def _absent(encoding: Encoding, one: Sought) -> Groups:
    """What was looked for and not found, absent or undetermined; of a segment also its measurements, which say that it is 0, or why."""
    return _group(
        encoding,
        one.tracked_by,
        labelled=one.is_segment,
        finding=one.finding,
        site=(one.site, one.laterality),
        measurements=numbers(one.measurements),
        evaluations=[evaluated(one.finding, one.answer)] if one.answer else [],
    )


def _evaluation(encoding: Encoding, sources: Sources, number: int, one: Evaluation) -> Groups:
    """One statement: Present, Absent or Undetermined, where, how probable, and on which images it rests.

    What is absent is absent somewhere: in what was imaged, where the application does not say. So is what has a side and no site.
    """
    site = (one.finding_site, one.laterality)
    if one.finding_site is None and (one.value == ABSENT or one.laterality is not None):
        site = place_of(one.finding, site, imaged(sources.slices, sources.headers))
    return _group(
        encoding,
        f"finding {number}",
        finding=one.finding,
        site=site,
        measurements=numbers((), shown_probability(one)),
        evaluations=[evaluated(one.finding, one.value)],
        images=images_of(sources, one.images, one.span),
    )


def _values(encoding: Encoding, sources: Sources) -> Iterator[Groups]:
    """The measurements of the series, those of one total, of one span of time, or of the same images, together."""
    for (total, span, indices), measurements in of_the_series(encoding.findings.measurements).items():
        images = images_of(sources, indices, span)
        yield _group(encoding, series_tracked_by(total, span, indices), finding=total, measurements=numbers(measurements), images=images)


def _group(
    encoding: Encoding,
    what: str,
    *,
    labelled: bool = False,
    finding: Code | None = None,
    site: tuple[Code | None, Code | None] = (None, None),
    measurements: Groups,
    evaluations: Groups | None = None,
    images: Images | None = None,
) -> Groups:
    made: Groups = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracked(encoding, what, labelled=labelled),
        finding_type=item(finding) if finding else None,
        finding_sites=sites(*site),
        algorithm_id=algorithm(encoding),
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=shown_on(images) if images else None,
    )
    return made


def _sought(encoding: Encoding, sources: Sources, nothing: Sequence[Sought]) -> Iterator[str]:
    """In how many images it was looked for; where others are missing, that this decides nothing."""
    wording = WORDINGS[encoding.language]
    labels = {one.label: one for one in encoding.findings.segments}
    names = [_called(one, labels.get(one.tracked_by), encoding.language, wording) for one in nothing if one.answer]
    if names:
        yield wording.looked_for(list(dict.fromkeys(names)), len(sources.slices), cut=encoding.findings.cut)


def _called(one: Sought, segment: Segment | None, language: Language, wording: Wording) -> str:
    if not one.is_segment:
        return wording.term(one.finding) if language is Language.CHINESE else one.finding.meaning
    if language is Language.CHINESE:
        return structure(one.tracked_by, one.finding, segment.laterality if segment else one.laterality)
    return one.tracked_by
