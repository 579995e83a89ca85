"""The image library of a report: the series and instances that were really used, with what describes them (PS3.16 TID 1600 to 1604)."""

from collections.abc import Sequence
from typing import Any

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.codes import MILLIMETRE, Code
from inference.imaging.subject import Pair, volume_of
from inference.imaging.volume import SliceSource, Volume
from node.dicom.uid import is_uid
from node.results.items import item
from node.results.normalise import text
from node.results.port import Encoding
from node.results.reports.context import imaged
from node.results.reports.items import Images, gathered
from node.results.sources import Sources, SourceSeries
from node.results.written import as_explicit, hold, image_items, items

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
    subject = encoding.subject
    every = (*subject.sources, *(subject.prior.sources if isinstance(subject, Pair) else ()))
    return [source for source in every if source.sop_instance_uid in uids]


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
    subject = encoding.subject
    volumes = (subject.current, subject.prior) if isinstance(subject, Pair) else (volume_of(subject),)
    alike = (series.study_instance_uid, series.series_instance_uid)
    return next((one for one in volumes if one and (one.study_instance_uid, one.series_instance_uid) == alike), None)
