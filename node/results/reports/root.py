"""Structured reports: Comprehensive 3D SR on TID 1500, one kind of measurement group a report (PS3.16 A, PS3.3 A.35.13).

Here is what the reports share: title, observer, image library (the series and instances that were really used, with what describes them,
PS3.16 TID 1600 to 1604), comments, evidence. A report about segments holds TID 1411 groups, of single images
TID 1410 groups, one about images TID 1501 groups (measurements/make.py), one of detections TID 1410 groups (detections/make.py).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.codes import MILLIMETRE, Code
from inference.imaging.subject import all_sources, volumes_in
from inference.imaging.volume import SliceSource, Volume
from node.dicom.uid import is_uid
from node.results.identity import MANUFACTURER, ResultIdentity, stamp
from node.results.narrative.sentences import WORDINGS, conclusion
from node.results.normalise import text
from node.results.part10 import as_explicit, hold, image_items, items
from node.results.port import Encoding
from node.results.reports.context import give_evidence, imaged, name_predecessors, observer, procedure
from node.results.reports.items import Groups, Images, gathered
from node.results.sources import Sources, SourceSeries, item

_SOURCE = Code("260753009", "SCT", "Source")
_LIBRARY, _GROUP = Code("111028", "DCM", "Image Library"), Code("126200", "DCM", "Image Library Group")
_MODALITY, _REGION = Code("121139", "DCM", "Modality"), Code("123014", "DCM", "Target Region")
_SIDE, _STUDY_DATE = Code("111027", "DCM", "Image Laterality"), Code("111060", "DCM", "Study Date")
_FRAME_OF_REFERENCE = Code("112227", "DCM", "Frame of Reference UID")
_ROWS, _COLUMNS = Code("110910", "DCM", "Pixel Data Rows"), Code("110911", "DCM", "Pixel Data Columns")
_HORIZONTAL, _VERTICAL = Code("111026", "DCM", "Horizontal Pixel Spacing"), Code("111066", "DCM", "Vertical Pixel Spacing")
_BETWEEN_SLICES = Code("112226", "DCM", "Spacing between slices")
_PIXELS = Code("{pixels}", "UCUM", "Pixels")
_MODALITIES = (
    *(Code("CT", "DCM", "Computed Tomography"), Code("MR", "DCM", "Magnetic Resonance"), Code("NM", "DCM", "Nuclear Medicine")),
    *(Code("PT", "DCM", "Positron emission tomography"), Code("US", "DCM", "Ultrasound"), Code("MG", "DCM", "Mammography")),
    *(Code("CR", "DCM", "Computed Radiography"), Code("DX", "DCM", "Digital Radiography"), Code("XA", "DCM", "X-Ray Angiography")),
    *(Code("RF", "DCM", "Radiofluoroscopy"), Code("RG", "DCM", "Radiographic imaging"), Code("PX", "DCM", "Panoramic X-Ray")),
    *(Code("IVUS", "DCM", "Intravascular Ultrasound"), Code("ES", "DCM", "Endoscopy"), Code("OP", "DCM", "Ophthalmic Photography")),
    *(Code("OPT", "DCM", "Ophthalmic Tomography"), Code("XC", "DCM", "External-camera Photography")),
)
"""CID 29 "Acquisition Modality"."""

_DESCRIBES = sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
_CONTAINS = sr.RelationshipTypeValues.CONTAINS


LONGEST_READ = 64
"""Images of one series that a report which is read as text lists one by one. Viewers write a line for each of them, without any use to a
reader, before the first finding: of more images the report says what series they are, and its evidence which instances."""


def library(encoding: Encoding, sources: Sources, *, read: bool) -> Dataset:
    """A group for each series: what its images have in common, then every image once, with its frames where not all of them were used.

    Parameters
    ----------
    read
        Whether people read the report as a text: then it lists no long series.
    """
    made: Dataset = sr.ContainerContentItem(name=item(_LIBRARY), relationship_type=_CONTAINS)
    longest = LONGEST_READ if read else None
    made.ContentSequence = [_group(encoding, sources, series, longest) for series in sources.series]
    return as_explicit(made)


def _group(encoding: Encoding, sources: Sources, series: SourceSeries, longest: int | None) -> Dataset:
    slices = _slices(encoding, series)
    entry = Dataset()
    entry.RelationshipType, entry.ValueType, entry.ConceptNameCodeSequence = _CONTAINS.value, "IMAGE", [item(_SOURCE)]
    group: Dataset = sr.ContainerContentItem(name=item(_GROUP), relationship_type=_CONTAINS)
    # as bytes: hundreds of images of one form
    described = items(_descriptors(encoding, sources, series, slices))
    listed = longest is None or len(series.instances) <= longest
    hold(group, Tag("ContentSequence"), [*described, *(image_items(_used(sources, slices), entry) if listed else ())])
    return as_explicit(group)


def _slices(encoding: Encoding, series: SourceSeries) -> Sequence[SliceSource]:
    """What of a series was used."""
    uids = {uid for _, uid in series.instances}
    return [source for source in all_sources(encoding.subject) if source.sop_instance_uid in uids]


def _used(sources: Sources, slices: Sequence[SliceSource]) -> Images:
    """The images, with frames only where an instance holds others that were not used."""
    used: Images = []
    for sop_class_uid, uid, frames in gathered(slices):
        stated = text(sources.headers[uid], "NumberOfFrames") or "1"
        used.append((sop_class_uid, uid, () if stated == str(len(frames)) else frames))
    return used


def _descriptors(encoding: Encoding, sources: Sources, series: SourceSeries, slices: Sequence[SliceSource]) -> list[Dataset]:
    """TID 1602 and, of what is in space, 1604; what the images do not share is not said."""
    header = sources.headers[slices[0].sop_instance_uid]
    found: list[Any] = []
    modality = next((code for code in _MODALITIES if code.value == text(header, "Modality")), None)
    if modality is not None:
        found.append(sr.CodeContentItem(item(_MODALITY), item(modality), _DESCRIBES))
    for name, code in zip((_REGION, _SIDE), imaged(slices, sources.headers), strict=True):
        if code is not None:
            found.append(sr.CodeContentItem(item(name), item(code), _DESCRIBES))
    date = text(header, "StudyDate")
    if date:
        found.append(sr.DateContentItem(item(_STUDY_DATE), date, _DESCRIBES))
    volume = _volume(encoding, series)
    if volume is None:
        return found
    if is_uid(volume.frame_of_reference_uid):
        found.append(sr.UIDRefContentItem(item(_FRAME_OF_REFERENCE), volume.frame_of_reference_uid, _DESCRIBES))
    _, rows, columns = volume.voxels.shape
    between, vertical, horizontal = volume.spacing_mm
    for name, value, unit in (
        *((_ROWS, rows, _PIXELS), (_COLUMNS, columns, _PIXELS)),
        *((_HORIZONTAL, horizontal, MILLIMETRE), (_VERTICAL, vertical, MILLIMETRE)),
        # of slices in unequal steps none is true
        *(((_BETWEEN_SLICES, between, MILLIMETRE),) if volume.steps is None else ()),
    ):
        found.append(
            sr.NumContentItem(
                item(name), value if isinstance(value, int) else float(f"{value:.7g}"), item(unit), relationship_type=_DESCRIBES
            )
        )
    return found


def _volume(encoding: Encoding, series: SourceSeries) -> Volume | None:
    """The volume that a series was assembled to."""
    alike = (series.study_instance_uid, series.series_instance_uid)
    return next((one for one in volumes_in(encoding.subject) if (one.study_instance_uid, one.series_instance_uid) == alike), None)


TITLE = Code("18748-4", "LN", "Diagnostic Imaging Report")
TITLE_OF_COORDINATES = Code("126000", "DCM", "Imaging Measurement Report")
"""Document titles (ADR-0036: what each viewer makes of each). TID 1500 takes its title from CID 7021, which is extensible and has
four: 126000, and one each for oncology, PET and dynamic contrast MR. OHIF 3.13 draws what a report titled 126000 holds in coordinates,
but opens it as an empty viewport when its groups hold none; it writes any other title over a tree of text, where "Oncology Measurement
Report" stood over healthy heads. So: 126000 for coordinates; without, the title of CID 7000 that claims no disease and no technique.
"""

COMMENTS = Code("C0034375", "UMLS", "Qualitative Evaluations")
CONCLUSION = Code("121077", "DCM", "Conclusion")
COMMENT = Code("121106", "DCM", "Comment")
"""Sentences for the reader stand as texts in the container of TID 1500 row 12, the one place that no validator objects to; and it is the
first of the report, for readers of a tree see observers and UIDs else before the first word about the patient (ADR-0036)."""


def report(
    encoding: Encoding,
    sources: Sources,
    groups: Groups,
    identity: ResultIdentity,
    *,
    segmentations: Sequence[Dataset] = (),
    coordinates: bool = False,
    comments: Sequence[str] = (),
) -> Dataset:
    """Encode one report over `groups`, which are all of one template.

    Parameters
    ----------
    segmentations
        What groups about segments refer to; none for another report.
    coordinates
        Whether the groups hold coordinates: TID 1410.
    comments
        Sentences beside those that stand in every report: which part of the series it is about, and what the quality gate said.
    """
    title = TITLE_OF_COORDINATES if coordinates else TITLE
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
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    # as TID 1500 orders its rows
    made.ContentSequence.extend([library(encoding, sources, read=not coordinates), measurements])
    concluded = conclusion(encoding, sources, WORDINGS[encoding.language])
    made.ContentSequence.insert(0, _said(concluded, [*_always(encoding), *comments]))
    give_evidence(made, encoding, sources, segmentations)
    name_predecessors(made, encoding.predecessors)
    stamp(made, encoding, sources, identity)
    return made


def _root(encoding: Encoding, groups: Groups, title: Code) -> Dataset:
    root: Dataset = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer(encoding)),
        procedure_reported=item(procedure(encoding)),
        imaging_measurements=groups,
        title=item(title),
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(item(WORDINGS[encoding.language].tag)),
    )[0]
    return root


def _settled_groups(measurements: Dataset) -> Dataset:
    """The container of the groups, these written already: what says by which algorithm is the same in all, and half of each."""
    known: dict[int, tuple[Dataset, bytes]] = {}
    for group in measurements.ContentSequence:
        hold(group, Tag("ContentSequence"), items(group.ContentSequence, known))
        as_explicit(group)
    return as_explicit(measurements)


def _always(encoding: Encoding) -> Iterator[str]:
    """What a reader of any report has to know."""
    wording = WORDINGS[encoding.language]
    if encoding.part:
        yield wording.analysed_part(encoding.part)
    # blanks at its ends are no part of a text (PS3.5 6.2)
    yield from (wording.noted(remark).strip() for remark in encoding.findings.remarks if remark.strip())


def _said(concluded: str, comments: Sequence[str]) -> Dataset:
    """The conclusion, and what else there is to say in words."""
    contains = sr.RelationshipTypeValues.CONTAINS
    container: Dataset = sr.ContainerContentItem(name=item(COMMENTS), relationship_type=contains)
    sentences = [(CONCLUSION, concluded), *((COMMENT, sentence) for sentence in comments)]
    container.ContentSequence = [sr.TextContentItem(item(name), sentence, contains) for name, sentence in sentences]
    return container
