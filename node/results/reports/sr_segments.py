"""The report about segments: TID 1411 groups that refer to a segmentation, one for each segment that has voxels."""

from collections.abc import Sequence

from highdicom import sr
from pydicom.dataset import Dataset

from node.domain.profile import Form, Kind
from node.results.codes import item
from node.results.identity import encoded, identify
from node.results.masks.segments import Numbered
from node.results.planes import Sources
from node.results.port import Encoded, Encoding
from node.results.reports.sr import report
from node.results.reports.sr_items import Groups, algorithm, measurements_of, numbers, sites, tracked


def segment_report(encoding: Encoding, sources: Sources, found: Sequence[Numbered], seg: Dataset, form: Form) -> Encoded:
    """The report that refers to one form of the segmentation, which is `encoded`."""
    encoding = encoding.replacing(Kind.SR, form)
    identity = identify(encoding, sources, "sr", "measurements")
    groups = _groups(encoding, found, seg)
    return encoded(Kind.SR, report(encoding, sources, groups, identity, segmentation=seg), identity, form.value)


def _groups(encoding: Encoding, found: Sequence[Numbered], seg: Dataset) -> Groups:
    """What each segment is, where its mask lies, how certain it is there, and its measurements."""
    by = algorithm(encoding)
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
