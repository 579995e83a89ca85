"""The last look: every object is read back from its bytes and compared with what it was made from, before it may leave.

Nothing of the writing code is used here: the bytes are parsed by pydicom and taken apart by hand.
"""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SpatialRegistrationStorage,
)

from node.domain.profile import Kind
from node.domain.uid import is_uid
from node.results.errors import PageDiffers, ReferencesDiffer, ResultMalformed, ResultMisidentified
from node.results.images.check_derived import check_derived_series
from node.results.images.check_explanation import check_explanation, check_words
from node.results.images.check_map import check_map
from node.results.images.check_registration import check_registration
from node.results.masks.check_segmentation import FRAMES, NATIVE, SYNTAXES, check_segmentation, class_of
from node.results.narrative.check_narrative import check_narrative
from node.results.narrative.check_pdf import check_pdf
from node.results.planes import Sources
from node.results.port import Encoded, Encoding
from node.results.reports.check_report import check_report

_CLASSES = {
    "sr": Comprehensive3DSRStorage,
    "detections": Comprehensive3DSRStorage,
    "sc": SecondaryCaptureImageStorage,
    "overlay": SecondaryCaptureImageStorage,
    "map": ParametricMapStorage,
    "narrative": EnhancedSRStorage,
    "pdf": EncapsulatedPDFStorage,
    "explanation": SecondaryCaptureImageStorage,
    "explanation-map": ParametricMapStorage,
    "registration": SpatialRegistrationStorage,
    "statement": EnhancedSRStorage,
    "withdrawal": KeyObjectSelectionDocumentStorage,
}
"""The class of each kind; of derived images it is their source's."""

_COMMON = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "Modality"),
    *("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime", "SeriesDescription"),
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "ContentQualification"),
    "ContributingEquipmentSequence",
)
"""Present with a value in every result."""

_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"),
    "ReferringPhysicianName",
)
_LONGEST_REMEMBERED = 1024
_Raw: TypeAlias = tuple[int, str | None, bytes]
_UNREADABLE = (InvalidDicomError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError, IndexError, EOFError)


def check(encoded: Sequence[Encoded], encoding: Encoding, sources: Sources) -> None:
    """Read back all objects of a job; they also have to agree with each other.

    Raises
    ------
    ResultError
        What differs, and in which object; none of them may leave.
    """
    read = []
    # the instances of one derived series have nearly all of their elements in common: those are looked at once
    met: set[_Raw] = set()
    for one in encoded:
        dataset, elements = _read(one, met if one.kind == Kind.DERIVED else set())
        read.append((one, dataset))
        _common(one, dataset, encoding, sources)
        _values(one, elements)
    segmentations: dict[str, list[Dataset]] = {}
    for one, dataset in read:
        if one.kind == "seg":
            segmentations.setdefault(one.form, []).append(dataset)
    for form, several in segmentations.items():
        if len(several) > 1:
            raise ResultMalformed(f"{len(several)} segmentations of one job in the form {form}")
    for one, dataset in read:
        # a report goes with the segmentation of its own form
        _contents(one, dataset, encoding.replacing(one.kind, one.form), sources, segmentations.get(one.form, []))
    results = [dataset for one, dataset in read if one.kind not in (Kind.NARRATIVE, Kind.PDF)]
    for one, dataset in read:
        _document(one, dataset, encoding, sources, results)
    derived: dict[str, list[Dataset]] = {}
    for one, dataset in read:
        if one.kind == Kind.DERIVED:
            derived.setdefault(one.series_instance_uid, []).append(dataset)
    for series in derived.values():
        _derived(series, encoding)
    alone = [one.series_instance_uid for one in encoded if one.kind != Kind.DERIVED]
    for uids in ([one.sop_instance_uid for one in encoded], [*alone, *derived]):
        if len(set(uids)) != len(uids):
            raise ResultMisidentified(f"two objects of one job share the UID {uids[0]}")


def check_alone(one: Encoded, encoding: Encoding, sources: Sources, content: Callable[[Dataset], None]) -> None:
    """Read back an object that stands for no findings: what all results share, and what `content` looks at.

    Raises
    ------
    ResultError
        What differs; it may not leave.
    """
    dataset, elements = _read(one, set())
    _common(one, dataset, encoding, sources)
    _values(one, elements)
    try:
        content(dataset)
    except _UNREADABLE as absent:
        raise ResultMalformed(f"{_name(one)} lacks what its check looks at: {absent}") from absent


def _document(one: Encoded, dataset: Dataset, encoding: Encoding, sources: Sources, results: Sequence[Dataset]) -> None:
    """A document for people, which speaks of the other objects."""
    try:
        if one.kind == Kind.NARRATIVE:
            check_narrative(dataset, one.form, encoding, sources, results)
        elif one.kind == Kind.PDF:
            check_pdf(dataset, sources, frozenset(str(other.SOPInstanceUID) for other in results))
    except _UNREADABLE as absent:
        raise ResultMalformed(f"{_name(one)} lacks what its check looks at: {absent}") from absent


def _derived(series: Sequence[Dataset], encoding: Encoding) -> None:
    try:
        check_derived_series(series, encoding)
    except _UNREADABLE as absent:
        raise ResultMalformed(f"derived series {series[0].SeriesInstanceUID} lacks what its check looks at: {absent}") from absent


def _read(one: Encoded, met: set[_Raw]) -> tuple[Dataset, list[DataElement]]:
    """The object, and every element in it that differs from all others, parsed: items of one form share most of theirs."""
    elements: list[DataElement] = []
    try:
        segmentation = one.kind == "seg"
        # the check of segmentations takes native pixels and what is said of each frame from the bytes itself
        dataset = dcmread(BytesIO(one.data), stop_before_pixels=segmentation and one.form in NATIVE)
        _look(dataset, elements, met, *((FRAMES,) if segmentation else ()))
    except _UNREADABLE as broken:
        raise ResultMalformed(f"{_name(one)} cannot be read back: {broken}") from broken
    return dataset, elements


def _look(dataset: Dataset, elements: list[DataElement], seen: set[_Raw], *but: int) -> None:
    """Elements are parsed when they are looked at: look at each that was not met before with the very same bytes."""
    for tag in sorted(dataset.keys() - set(but)):
        raw = dataset.get_item(tag)
        if raw.VR == "SQ":
            for item in dataset[tag].value:
                _look(item, elements, seen)
            continue
        if isinstance(raw.value, bytes) and len(raw.value) <= _LONGEST_REMEMBERED:
            known = (int(tag), raw.VR, raw.value)
            if known in seen:
                continue
            seen.add(known)
        elements.append(dataset[tag])


def _contents(one: Encoded, dataset: Dataset, encoding: Encoding, sources: Sources, segmentations: Sequence[Dataset]) -> None:
    try:
        if one.kind == "seg":
            check_segmentation(one, dataset, encoding, sources)
        elif one.kind in (Kind.SR, Kind.DETECTIONS):
            check_report(dataset, one.kind, encoding, sources, segmentations)
        elif one.kind == Kind.MAP:
            check_map(dataset, encoding, sources)
        elif one.kind == Kind.REGISTRATION:
            check_registration(dataset, encoding, sources)
        elif one.kind == Kind.EXPLANATION_MAP:
            check_explanation(dataset, encoding, sources)
        elif one.kind in (Kind.SC, Kind.OVERLAY, Kind.EXPLANATION):
            _check_page(dataset, sources)
            if one.kind == Kind.EXPLANATION:
                check_words(dataset)
    except _UNREADABLE as absent:
        raise ResultMalformed(f"{_name(one)} lacks what its check looks at: {absent}") from absent


def _common(one: Encoded, dataset: Dataset, encoding: Encoding, sources: Sources) -> None:
    """Modules that all results share: patient, study, series, equipment, SOP common (PS3.3 C.7, C.12.1)."""
    absent = [keyword for keyword in _COMMON if not dataset.get(keyword) and dataset.get(keyword) != 0]
    absent += [keyword for keyword in _TYPE_2 if keyword not in dataset]
    if absent:
        raise ResultMalformed(f"{_name(one)} lacks {', '.join(absent)}")
    meta = dataset.file_meta
    expected = {
        "SOP Class UID": (dataset.SOPClassUID, one.sop_class_uid),
        "kind": (dataset.SOPClassUID, class_of(one.form) if one.kind == "seg" else _CLASSES.get(one.kind, one.sop_class_uid)),
        "SOP Instance UID": (dataset.SOPInstanceUID, one.sop_instance_uid),
        "series": (dataset.SeriesInstanceUID, one.series_instance_uid),
        "study": (dataset.StudyInstanceUID, encoding.subject.study_instance_uid),
        "class in the meta information": (meta.MediaStorageSOPClassUID, one.sop_class_uid),
        "instance in the meta information": (meta.MediaStorageSOPInstanceUID, one.sop_instance_uid),
        "transfer syntax": (meta.TransferSyntaxUID, SYNTAXES[one.form] if one.kind == "seg" else ExplicitVRLittleEndian),
        "character set": (dataset.SpecificCharacterSet, "ISO_IR 192"),
        "patient's name": (str(dataset.PatientName), str(sources.entities.PatientName)),
        "patient ID": (dataset.PatientID, sources.entities.PatientID),
        "accession number": (dataset.AccessionNumber, sources.entities.AccessionNumber),
        "content qualification": (dataset.ContentQualification, encoding.application.qualification),
        "device": (dataset.ContributingEquipmentSequence[0].get("DeviceUID"), encoding.device_uid),
    }
    for what, (found, meant) in expected.items():
        if (found or "") != (meant or ""):
            raise ResultMisidentified(f"{_name(one)}: the {what} is {found!r}, not {meant!r}")
    if dataset.SeriesInstanceUID == encoding.subject.series_instance_uid or dataset.SOPInstanceUID in sources.headers:
        raise ResultMisidentified(f"{_name(one)} has a UID of its source")


def _values(one: Encoded, elements: Sequence[DataElement]) -> None:
    """What holds for single values wherever they stand: UIDs are UIDs, decimal strings fit 16 characters (PS3.5 6.2)."""
    for element in elements:
        if element.VR == "UI":
            for uid in _each(element.value):
                if uid and not is_uid(uid):
                    raise ResultMalformed(f"{_name(one)}: {element.keyword} {uid!r} is no UID")
        elif element.VR == "DS":
            for value in _each(element.value):
                if len(value) > 16:
                    raise ResultMalformed(f"{_name(one)}: {element.keyword} {value} is longer than 16 characters")


def _each(value: Any) -> list[str]:
    """The values of an element, one or many."""
    several = value if isinstance(value, (MultiValue, list, tuple)) else [value]
    return [str(each) for each in several if each is not None]


def _check_page(dataset: Dataset, sources: Sources) -> None:
    """An RGB picture that is not empty, about source images of this job."""
    size = dataset.Rows * dataset.Columns * 3
    if dataset.PhotometricInterpretation != "RGB" or (dataset.BitsAllocated, dataset.SamplesPerPixel) != (8, 3):
        raise PageDiffers("the summary page is not 8-bit RGB")
    pixels = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    if pixels.size != size + size % 2 or not np.ptp(pixels):
        raise PageDiffers(f"the summary page has {pixels.size} bytes of pixels, where {size} are meant, or is blank")
    known = {uid for _, uid in sources.instances}
    strangers = [item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence if item.ReferencedSOPInstanceUID not in known]
    if strangers:
        raise ReferencesDiffer(f"the summary page refers to {strangers[0]}, which is no source")


def _name(one: Encoded) -> str:
    return f"{one.kind} {one.sop_instance_uid}"
