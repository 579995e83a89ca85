"""Structured reports: Comprehensive 3D SR on TID 1500, one kind of measurement group a report (PS3.16 A, PS3.3 A.35.13).

Here is what the reports share: title, observer, image library, comments, evidence. A report about segments holds TID 1411 groups
(sr_segments.py), one about images TID 1501 groups (sr_series.py), one of detections TID 1410 groups (sr_detections.py).
"""

from collections.abc import Iterator, Sequence

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.codes import Code
from node.results.codes import item
from node.results.identity import MANUFACTURER, Identity, software_versions, stamp
from node.results.planes import Sources
from node.results.port import Encoding
from node.results.reports.sr_evidence import give_evidence, name_predecessors
from node.results.reports.sr_items import Groups
from node.results.reports.sr_library import library
from node.results.written import hold, items, settled

TITLE = Code("126001", "DCM", "Oncology Measurement Report")
TITLE_OF_PET = Code("126003", "DCM", "PET Measurement Report")
TITLE_OF_COORDINATES = Code("126000", "DCM", "Imaging Measurement Report")
"""Document titles. TID 1500 takes its title from CID 7021, which has four: 126000, and one each for oncology, PET and dynamic contrast MR.
126000 fits best, and OHIF 3.13 draws what a report of that title holds in coordinates; but it opens it as an empty viewport when its
groups hold none, and shows any other title as a text tree. A title from outside CID 7021, though the group is extensible, keeps
PixelMed's validator from applying TID 1500 at all. So: 126000 for coordinates; without, the title for PET where it is PET, else the one
that claims no technique.
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
    "XA": Code("77343006", "SCT", "Angiography"),
}
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
"""CID 100 "Quantitative Diagnostic Imaging Procedures", by the source's modality; the last for any other."""

COMMENTS = Code("C0034375", "UMLS", "Qualitative Evaluations")
COMMENT = Code("121106", "DCM", "Comment")
"""Sentences for the reader stand as texts under TID 1500 row 12: the templates of the groups have no place for them."""


def report(
    encoding: Encoding,
    sources: Sources,
    groups: Groups,
    identity: Identity,
    *,
    segmentation: Dataset | None = None,
    coordinates: bool = False,
    comments: Sequence[str] = (),
) -> Dataset:
    """Encode one report over `groups`, which are all of one template.

    Parameters
    ----------
    segmentation
        What TID 1411 groups refer to; None for another report.
    coordinates
        Whether the groups hold coordinates: TID 1410.
    comments
        Sentences beside those that stand in every report: which part of the series it is about, and what the quality gate said.
    """
    title = TITLE_OF_COORDINATES if coordinates else TITLE_OF_PET if encoding.subject.modality == "PT" else TITLE
    root = _root(encoding, groups, title)
    # kept from the library, which would copy all of them and look for evidence, which is written below
    measurements = _settled_groups(root.ContentSequence.pop())
    made: Dataset = sr.Comprehensive3DSR(
        # the library takes the patient from it
        evidence=[sources.base],
        content=root,
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
    # as TID 1500 orders its rows
    made.ContentSequence.extend([library(encoding, sources, read=not coordinates), measurements])
    said = [*_always(encoding), *comments]
    if said:
        made.ContentSequence.append(_comments(said))
    give_evidence(made, encoding, sources, segmentation)
    name_predecessors(made, encoding.predecessors)
    stamp(made, encoding, sources, identity)
    return made


def _root(encoding: Encoding, groups: Groups, title: Code) -> Dataset:
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
        title=item(title),
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(item(ENGLISH)),
    )[0]
    return root


def _settled_groups(measurements: Dataset) -> Dataset:
    """The container of the groups, these written already: what says by which algorithm is the same in all, and half of each."""
    known: dict[int, tuple[Dataset, bytes]] = {}
    for group in measurements.ContentSequence:
        hold(group, Tag("ContentSequence"), items(group.ContentSequence, known))
        settled(group)
    return settled(measurements)


def _always(encoding: Encoding) -> Iterator[str]:
    """What a reader of any report has to know."""
    if encoding.part:
        yield f"Analysed of the series: {encoding.part}."
    # blanks at its ends are no part of a text (PS3.5 6.2)
    yield from filter(None, (remark.strip() for remark in encoding.findings.remarks))


def _comments(said: Sequence[str]) -> Dataset:
    container: Dataset = sr.ContainerContentItem(name=item(COMMENTS), relationship_type=sr.RelationshipTypeValues.CONTAINS)
    container.ContentSequence = [sr.TextContentItem(item(COMMENT), sentence, sr.RelationshipTypeValues.CONTAINS) for sentence in said]
    return container
