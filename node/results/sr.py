"""Structured reports: Comprehensive 3D SR on TID 1500, one kind of measurement group a report (PS3.16 A, PS3.3 A.35.13).

A report about segments holds TID 1411 groups that refer to the segmentation; a report about the series holds TID 1501 groups.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import SegmentationStorage

from inference.codes import CUBIC_CENTIMETRE, VOLUME, Code
from inference.findings import Evaluation, Measurement, Segment
from node.results.codes import item
from node.results.identity import MANUFACTURER, Identity, model_names, software_versions, stamp, tracking
from node.results.planes import Sources
from node.results.port import Encoding, Predecessor
from node.results.segments import Numbered
from node.results.written import hold, references, settled

TITLE = Code("126001", "DCM", "Oncology Measurement Report")
TITLE_OF_PET = Code("126003", "DCM", "PET Measurement Report")
"""Document titles. TID 1500 takes its title from CID 7021, which has four: (126000, DCM, Imaging Measurement Report), and one each for
oncology, PET and dynamic contrast MR. 126000 would fit best, but OHIF 3.13 opens a report of that title as an empty viewport when its
groups hold no coordinates, and shows any other as a text tree. A title from outside CID 7021, though the group is extensible, keeps
PixelMed's validator from applying TID 1500 at all. So: the title for PET where it is PET, else the one that claims no technique.
"""
ENGLISH = Code("en", "RFC5646", "English")
DEVICE = Code("121007", "DCM", "Device")
PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
    "CR": Code("43468-8", "LN", "XR unspecified body region"),
    "DX": Code("43468-8", "LN", "XR unspecified body region"),
}
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
"""CID 100 "Quantitative Diagnostic Imaging Procedures", by the source's modality; the last for any other."""

SOURCE = Code("260753009", "SCT", "Source")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
NOTHING = Measurement(name=VOLUME, value=0.0, unit=CUBIC_CENTIMETRE)
"""What a report says of a segment without a voxel when the application says nothing of it."""

Groups: TypeAlias = list[Any]


def segment_groups(encoding: Encoding, found: Sequence[Numbered], seg_uid: str) -> Groups:
    """A TID 1411 group for every segment that has voxels: what it is, where its mask lies, its measurements."""
    return [
        sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(encoding, one.segment.label),
            # by hand: the library's own way fails on segmentations of one segment, which stands in the shared groups
            referenced_segment=sr.ReferencedSegment(
                sop_class_uid=SegmentationStorage,
                sop_instance_uid=seg_uid,
                segment_number=one.number,
                source_series=sr.SourceSeriesForSegmentation(encoding.subject.series_instance_uid),
            ),
            finding_type=item(one.segment.type),
            finding_sites=_sites(one.segment.finding_site, one.segment.laterality),
            algorithm_id=_algorithm(encoding),
            measurements=_measurements(measurements_of(encoding, one.segment.label)),
        )
        for one in found
    ]


def study_groups(encoding: Encoding, nothing: Sequence[Segment]) -> Groups:
    """TID 1501 groups: the segments of which nothing was found, the evaluations, and the measurements of the whole series."""
    groups = []
    for segment in nothing:
        stated = measurements_of(encoding, segment.label) or (NOTHING,)
        groups.append(_group(encoding, segment.label, segment.type, (segment.finding_site, segment.laterality), stated))
    for number, evaluation in enumerate(encoding.findings.evaluations, 1):
        groups.append(_group(encoding, f"finding {number}", evaluation.finding, (evaluation.finding_site, None), (), evaluation))
    series = measurements_of(encoding, None)
    if series:
        groups.append(_group(encoding, "series", None, (None, None), series))
    return groups


def report(encoding: Encoding, sources: Sources, groups: Groups, identity: Identity, segmentation: Dataset | None) -> Dataset:
    """Encode one report over `groups`, which are all of one template.

    Parameters
    ----------
    segmentation
        What TID 1411 groups refer to; None for a report about the series.
    """
    made: Dataset = sr.Comprehensive3DSR(
        # the library takes the patient from the first, and wants to see what the content refers to; the evidence is written below
        evidence=[sources.base, *_sources(encoding, sources), *([segmentation] if segmentation is not None else [])],
        content=_content(encoding, sources, groups, library=segmentation is None),
        series_instance_uid=identity.series_instance_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=encoding.application.name,
        software_versions=software_versions(encoding),
        device_serial_number=encoding.model_digest[:16],
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    made.CurrentRequestedProcedureEvidenceSequence = [_evidence(encoding, sources, segmentation)]
    if "PertinentOtherEvidenceSequence" in made:
        del made.PertinentOtherEvidenceSequence
    if encoding.predecessors:
        made.PredecessorDocumentsSequence = [_predecessor(one) for one in encoding.predecessors]
    stamp(made, encoding, sources, identity)
    return made


def measurements_of(encoding: Encoding, segment: str | None) -> tuple[Measurement, ...]:
    """The measurements of one segment by its label, or (None) of the whole series."""
    return tuple(measurement for measurement in encoding.findings.measurements if measurement.segment == segment)


def _content(encoding: Encoding, sources: Sources, groups: Groups, *, library: bool) -> Dataset:
    device = sr.ObserverContext(
        observer_type=item(DEVICE),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=encoding.device_uid,
            name=f"{encoding.application.name} {encoding.application.version}",
            manufacturer_name=MANUFACTURER,
            model_name=encoding.application.name,
            serial_number=encoding.model_digest[:16],
        ),
    )
    root: Dataset = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=item(PROCEDURES.get(encoding.subject.modality, IMAGING_PROCEDURE)),
        imaging_measurements=groups,
        title=item(TITLE_OF_PET if encoding.subject.modality == "PT" else TITLE),
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(item(ENGLISH)),
    )[0]
    if library:
        # before the measurements, as TID 1500 orders its rows
        root.ContentSequence.insert(len(root.ContentSequence) - 1, _library(sources))
    return root


def _library(sources: Sources) -> Any:
    """TID 1600 in its least form: the images that the report is about, once each."""
    images = [
        sr.ImageContentItem(
            name=item(SOURCE),
            referenced_sop_class_uid=sop_class_uid,
            referenced_sop_instance_uid=sop_instance_uid,
            relationship_type=sr.RelationshipTypeValues.CONTAINS,
        )
        for sop_class_uid, sop_instance_uid in sources.instances
    ]
    group = sr.ContainerContentItem(name=item(IMAGE_LIBRARY_GROUP), relationship_type=sr.RelationshipTypeValues.CONTAINS)
    group.ContentSequence = sr.ContentSequence(images)
    library = sr.ContainerContentItem(name=item(IMAGE_LIBRARY), relationship_type=sr.RelationshipTypeValues.CONTAINS)
    library.ContentSequence = sr.ContentSequence([group])
    return library


def _group(
    encoding: Encoding,
    what: str,
    finding: Code | None,
    site: tuple[Code | None, Code | None],
    measurements: Sequence[Measurement],
    evaluation: Evaluation | None = None,
) -> Any:
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(encoding, what),
        finding_type=item(finding) if finding else None,
        finding_sites=_sites(*site),
        algorithm_id=_algorithm(encoding),
        measurements=_measurements(measurements),
        qualitative_evaluations=[sr.QualitativeEvaluation(name=item(evaluation.finding), value=item(evaluation.value))]
        if evaluation
        else None,
    )


def _tracking(encoding: Encoding, what: str) -> Any:
    identifier, uid = tracking(encoding, what)
    return sr.TrackingIdentifier(uid=uid, identifier=identifier)


def _algorithm(encoding: Encoding) -> Any:
    return sr.AlgorithmIdentification(
        name=encoding.application.name,
        version=encoding.application.version,
        manufacturer=encoding.application.manufacturer,
        parameters=[model_names(encoding)],
    )


def _sites(site: Code | None, laterality: Code | None) -> list[Any] | None:
    return [sr.FindingSite(item(site), laterality=item(laterality) if laterality else None)] if site else None


def _measurements(measurements: Sequence[Measurement]) -> list[Any]:
    return [_measurement(one) for one in measurements]


def _measurement(one: Measurement) -> Any:
    """A number twice: exactly as a float (FloatingPointValue), and in seven significant digits for people, whom viewers show the text."""
    value = float(one.value)
    made = sr.Measurement(
        name=item(one.name), value=value, unit=item(one.unit), derivation=item(one.derivation) if one.derivation else None
    )
    made[0].MeasuredValueSequence[0].NumericValue = f"{float(f'{value:.7g}'):.10g}"
    return made


def _sources(encoding: Encoding, sources: Sources) -> list[Dataset]:
    """The source instances, as far as the library looks at them."""
    seen = []
    for sop_class_uid, sop_instance_uid in sources.instances:
        instance = Dataset()
        instance.SOPClassUID, instance.SOPInstanceUID = sop_class_uid, sop_instance_uid
        instance.StudyInstanceUID, instance.SeriesInstanceUID = encoding.subject.study_instance_uid, encoding.subject.series_instance_uid
        seen.append(instance)
    return seen


def _evidence(encoding: Encoding, sources: Sources, segmentation: Dataset | None) -> Dataset:
    """All that the report rests on and refers to (PS3.3 C.17.2.3), by study and series."""
    study = Dataset()
    study.StudyInstanceUID = encoding.subject.study_instance_uid
    study.ReferencedSeriesSequence = [_series(encoding.subject.series_instance_uid, sources.instances)]
    if segmentation is not None:
        made = (str(segmentation.SOPClassUID), str(segmentation.SOPInstanceUID))
        study.ReferencedSeriesSequence.append(_series(segmentation.SeriesInstanceUID, [made]))
    return settled(study)


def _predecessor(one: Predecessor) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = one.study_instance_uid
    study.ReferencedSeriesSequence = [_series(one.series_instance_uid, [(one.sop_class_uid, one.sop_instance_uid)])]
    return settled(study)


def _series(uid: str, instances: Sequence[tuple[str, str]]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = uid
    hold(series, Tag("ReferencedSOPSequence"), references(instances))
    return settled(series)
