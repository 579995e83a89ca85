"""Final check: every object is read back from its bytes and compared with what it was made from, before it may leave.

Nothing of the writing code is used here: the bytes are parsed by pydicom and taken apart by hand.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, TypeAlias

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from node.dicom.uid import is_uid
from node.domain.profile import Kind
from node.results.kind import Checking, ReadBack, ResultKind
from node.results.kinds import checker_of, record_of
from node.results.port import Encoded, Encoding, ResultMalformed, ResultMisidentified
from node.results.segmentation.check import FRAMES, NATIVE
from node.results.sources import Sources

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
    read: list[ReadBack] = []
    # the instances of one derived series have nearly all of their elements in common: those are looked at once
    met: set[_Raw] = set()
    for one in encoded:
        dataset, elements = _read(one, met if record_of(one.kind).series_of_images else set())
        read.append(ReadBack(one=one, dataset=dataset))
        _common(one, dataset, encoding, sources)
        _values(one, elements)
    masks = Counter(one.form for one in encoded if one.kind is Kind.SEG)
    # of single images each has its own
    images = len({one.image for one in encoding.findings.segments if one.has_voxels})
    for form, several in masks.items():
        if several > max(images, 1):
            raise ResultMalformed(f"{several} segmentations of one job in the form {form}")
    results = [each for each in read if not record_of(each.one.kind).document]
    looked_at = [(record_of(series[0].one.kind), series) for series in _series(read)]
    # documents last: they are compared with what they speak of
    for record, series in sorted(looked_at, key=lambda each: each[0].document):
        _content(record, series, encoding, sources, results)
    for uids in ([one.sop_instance_uid for one in encoded], [series[0].one.series_instance_uid for _, series in looked_at]):
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


def _series(read: Sequence[ReadBack]) -> list[list[ReadBack]]:
    """The images of each derived series together, every other object alone."""
    alone, together = [], dict[str, list[ReadBack]]()
    for each in read:
        if record_of(each.one.kind).series_of_images:
            together.setdefault(each.one.series_instance_uid, []).append(each)
        else:
            alone.append([each])
    return [*alone, *together.values()]


def _content(record: ResultKind, series: list[ReadBack], encoding: Encoding, sources: Sources, results: Sequence[ReadBack]) -> None:
    """What the check of the kind looks at."""
    one = series[0].one
    try:
        checker_of(record)(Checking(series=series, encoding=encoding.replacing(one.kind, one.form), sources=sources, others=results))
    except _UNREADABLE as absent:
        raise ResultMalformed(f"{_name(one)} lacks what its check looks at: {absent}") from absent


def _read(one: Encoded, met: set[_Raw]) -> tuple[Dataset, list[DataElement]]:
    """The object, and every element in it that differs from all others, parsed: items of one form share most of theirs."""
    elements: list[DataElement] = []
    try:
        segmentation = one.kind is Kind.SEG
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


def _common(one: Encoded, dataset: Dataset, encoding: Encoding, sources: Sources) -> None:
    """Modules that all results share: patient, study, series, equipment, SOP common (PS3.3 C.7, C.12.1)."""
    absent = [keyword for keyword in _COMMON if not dataset.get(keyword) and dataset.get(keyword) != 0]
    absent += [keyword for keyword in _TYPE_2 if keyword not in dataset]
    if absent:
        raise ResultMalformed(f"{_name(one)} lacks {', '.join(absent)}")
    meta, record = dataset.file_meta, record_of(one.kind)
    expected = {
        "SOP Class UID": (dataset.SOPClassUID, one.sop_class_uid),
        "kind": (dataset.SOPClassUID, record.class_of(one.form) or one.sop_class_uid),
        "SOP Instance UID": (dataset.SOPInstanceUID, one.sop_instance_uid),
        "series": (dataset.SeriesInstanceUID, one.series_instance_uid),
        "study": (dataset.StudyInstanceUID, encoding.subject.study_instance_uid),
        "class in the meta information": (meta.MediaStorageSOPClassUID, one.sop_class_uid),
        "instance in the meta information": (meta.MediaStorageSOPInstanceUID, one.sop_instance_uid),
        "transfer syntax": (meta.TransferSyntaxUID, record.syntax_of(one.form)),
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


def _name(one: Encoded) -> str:
    return f"{one.kind} {one.sop_instance_uid}"
