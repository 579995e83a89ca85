"""A folder of DICOM studies, nested in any way: the series of images that have segmentations, by what the segmentations refer to.

Nothing is said here about voxels: `segments` lays a segmentation over its images.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID, SegmentationStorage

from inference import codes
from inference.codes import Code
from inference.errors import InputError
from inference.imaging.errors import NoPixelData, NotDicom
from inference.imaging.header import Instance, read_instance
from inference.imaging.tags import CODE_MEANING, CODE_VALUE, PER_FRAME_GROUPS, SERIES_INSTANCE_UID, SHARED_GROUPS, items, text
from training.errors import UnfitData

LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
SEGMENTATIONS = frozenset({SegmentationStorage, LABEL_MAP_STORAGE})

_REFERENCED_SERIES, _REFERENCED_INSTANCE = 0x00081115, 0x00081155
_DERIVATION, _SOURCE = 0x00089124, 0x00082112
_CONTRIBUTING, _PURPOSE, _MANUFACTURER, _PROCESSING = 0x0018A001, 0x0040A170, 0x00080070, "109102"
_PATIENT_ID, _ISSUER = 0x00100020, 0x00100021
_SEGMENTS, _NUMBER, _LABEL = 0x00620002, 0x00620004, 0x00620005
_CATEGORY, _TYPE, _MODIFIER = 0x00620003, 0x0062000F, 0x00620011
_SCHEME, _LONG_VALUE = 0x00080102, 0x00080119
_SIDES = {side.value: side for side in (codes.LEFT, codes.RIGHT, codes.BOTH_SIDES)}
_BETWEEN = "\\"
"""Stands in no PatientID (PS3.5 6.2, LO)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment of a file, as its author describes it (PS3.3 C.8.20.4); of a map of labels, one label by its value."""

    number: int
    label: str
    type: Code
    category: Code
    laterality: Code | None = None
    site: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """A file of segments, and the series and instances that it refers to."""

    path: Path
    segments: tuple[Segment, ...]
    series: frozenset[str]
    instances: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSeries:
    """The files of one series, and the segmentations of it.

    Attributes
    ----------
    patient
        PatientID and its issuer: one ID of two issuers is two patients. An ID that stands somewhere without an issuer may be anybody's
        who has it: all who have it count as one patient, so that nobody stands on two sides of a split.
    """

    uid: str
    patient: str
    modality: str
    files: tuple[Path, ...]
    segmentations: tuple[Segmentation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """What a folder holds; `left_out` says of every image and segmentation that is not used why not, with its file.

    `unlabelled` are the series of images that no segmentation refers to.
    """

    series: tuple[LabelledSeries, ...]
    left_out: tuple[str, ...]
    unlabelled: tuple[LabelledSeries, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Series:
    patient: str
    modality: str
    files: list[Path] = field(default_factory=list)
    segmentations: list[Segmentation] = field(default_factory=list)


def studies(folder: Path) -> Studies:
    """Read the headers of all files under a folder; files that are no images (reports, DICOMDIR, anything else) are passed over.

    Raises
    ------
    UnfitData
        There is no segmentation of images that lie here.
    """
    found, segmentations = read_studies(folder)
    if not found.series:
        raise UnfitData(none_together(folder, found, segmentations))
    return found


def none_together(folder: Path, found: Studies, segmentations: int) -> str:
    """What is said of a folder in which nothing is segmented."""
    return (
        f"{folder} holds {len(found.unlabelled)} series of images and {segmentations} segmentations (DICOM SEG), but none of them together"
        + "".join(f"; {reason}" for reason in found.left_out[:3])
    )


def read_studies(folder: Path) -> tuple[Studies, int]:
    """The same of any folder, whether or not something in it is segmented; and how many segmentations it holds.

    Raises
    ------
    UnfitData
        It is no folder.
    """
    series: dict[str, _Series] = {}
    of_instance: dict[str, str] = {}
    found: list[Segmentation] = []
    left_out: list[str] = []
    for instance in _instances(folder, left_out):
        if instance.sop_class_uid in SEGMENTATIONS:
            try:
                if _made_by_hilum(instance):
                    left_out.append(f"{instance.path}: a result of hilum: what an application said is no truth about it")
                else:
                    found.append(_segmentation(instance))
            except InputError as broken:
                left_out.append(f"{instance.path}: {broken}")
        elif instance.sop_instance_uid not in of_instance:  # the same file twice is one instance
            of_instance[instance.sop_instance_uid] = instance.series_instance_uid
            its = series.setdefault(instance.series_instance_uid, _Series(patient=patient_of(instance.header), modality=instance.modality))
            its.files.append(instance.path)
    for segmentation in found:
        meant = _meant(segmentation, series, of_instance)
        if len(meant) == 1:
            series[meant[0]].segmentations.append(segmentation)
        else:
            left_out.append(f"{segmentation.path}: " + (f"refers to {len(meant)} series" if meant else "its images are not here"))
    open_ids = {one.patient for one in series.values() if one.patient.endswith(_BETWEEN)}
    all_series = [
        LabelledSeries(
            uid=uid,
            patient=_patient(one.patient, open_ids),
            modality=one.modality,
            files=tuple(one.files),
            segmentations=tuple(one.segmentations),
        )
        for uid, one in sorted(series.items())
    ]
    labelled = tuple(one for one in all_series if one.segmentations)
    unlabelled = tuple(one for one in all_series if not one.segmentations)
    return Studies(series=labelled, left_out=tuple(left_out), unlabelled=unlabelled), len(found)


def _instances(folder: Path, left_out: list[str]) -> Iterator[Instance]:
    if not folder.is_dir():
        raise UnfitData(f"{folder} is no folder")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                yield read_instance(path)
            except (NotDicom, NoPixelData):
                continue
            except InputError as broken:
                # what serving could not read either; a series that lacks an image is refused when it is assembled
                left_out.append(f"{path}: {broken}")


def _segmentation(instance: Instance) -> Segmentation:
    header, uid = instance.header, instance.sop_instance_uid
    referenced = items(header, _REFERENCED_SERIES, uid)
    return Segmentation(
        path=instance.path,
        segments=segments_of(header, instance.path),
        series=frozenset(text(each, SERIES_INSTANCE_UID) for each in referenced),
        instances=frozenset(_sources(header, uid)),
    )


def _made_by_hilum(instance: Instance) -> bool:
    """Whether its contributing equipment (PS3.3 C.12.1) names hilum as what processed it, as every result of it does."""
    return any(
        text(one, _MANUFACTURER) == "hilum" and any(text(purpose, CODE_VALUE) == _PROCESSING for purpose in items(one, _PURPOSE, ""))
        for one in items(instance.header, _CONTRIBUTING, instance.sop_instance_uid)
    )


def _sources(header: Dataset, uid: str) -> Iterator[str]:
    """The instances that frames were derived from (PS3.3 C.7.6.16.2.6); their own group's, or the shared one's."""
    for groups in (PER_FRAME_GROUPS, SHARED_GROUPS):
        for group in items(header, groups, uid):
            for derivation in items(group, _DERIVATION, uid):
                for source in items(derivation, _SOURCE, uid):
                    yield text(source, _REFERENCED_INSTANCE)


def _meant(segmentation: Segmentation, series: Mapping[str, _Series], of_instance: Mapping[str, str]) -> Sequence[str]:
    """The series that are here and that it refers to: of several that it names, those whose images its frames name."""
    by_frames = {of_instance[uid] for uid in segmentation.instances if uid in of_instance}
    named = {uid for uid in segmentation.series if uid in series}
    return sorted((named & by_frames) or named or by_frames)


def _patient(patient: str, open_ids: Container[str]) -> str:
    known = f"{patient.split(_BETWEEN)[0]}{_BETWEEN}"
    return known if known in open_ids else patient


def patient_of(header: Dataset) -> str:
    """PatientID and its issuer, as one name."""
    return _BETWEEN.join(text(header, tag) for tag in (_PATIENT_ID, _ISSUER))


def segments_of(header: Dataset, path: Path) -> tuple[Segment, ...]:
    """The segments that a header describes, without a label map's background (number 0).

    Raises
    ------
    MissingAttribute
        The header cannot be read.
    """
    uid = path.name
    made = []
    for item in items(header, _SEGMENTS, uid):
        said = item[_NUMBER].value if _NUMBER in item else None
        number = int(said) if said is not None else 0
        label = " ".join(str(item[_LABEL].value or "").split()) if _LABEL in item else ""
        type = _code(item, _TYPE, uid) or Code("", "", label)
        modifiers = items(items(item, _TYPE, uid)[0], _MODIFIER, uid) if items(item, _TYPE, uid) else ()
        if number:
            made.append(
                Segment(
                    number=number,
                    label=(label or type.meaning)[:64].strip(),
                    type=type,
                    category=_code(item, _CATEGORY, uid) or codes.ANATOMICAL_STRUCTURE,
                    laterality=next((_SIDES[value] for each in modifiers if (value := text(each, CODE_VALUE)) in _SIDES), None),
                )
            )
    return tuple(made)


def _code(item: Dataset, sequence: int, uid: str) -> Code | None:
    found = items(item, sequence, uid)
    value = (text(found[0], CODE_VALUE) or text(found[0], _LONG_VALUE)) if found else ""
    if not value:
        return None
    meaning = str(found[0][CODE_MEANING].value or "") if CODE_MEANING in found[0] else ""
    return Code(value, text(found[0], _SCHEME), meaning or value)
