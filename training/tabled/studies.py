"""Which images the lines of a table name, and how each is read: by the assembling that serves, one image or one volume a case."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.applications.bundle.answering import single_image
from inference.applications.bundle.manifest import MIN_SLICES
from inference.applications.bundle.steps import ImageOnGrid, source_image
from inference.applications.bundle.views import together
from inference.imaging.header import read_instance
from inference.imaging.regrid import straightened
from inference.imaging.subject import Images, Takes, VolumeSet
from inference.imaging.subjects import subjects
from inference.imaging.tags import text
from inference.imaging.volume import Volume
from training.data.boxed import MarkedBox, within
from training.data.cases import Case, LabelledSubject, OwnSide
from training.data.dicom import LabelledSeries, patient_of, read_studies
from training.data.lines import IDENTIFIERS, INSTANCE
from training.data.outlined import ONE, Roles
from training.data.segments import attributes_of
from training.errors import UnfitData
from training.tabled.labels import LabelledLine, LabelTable

SINGLE = frozenset({"CR", "DX", "ES", "IO", "MG", "OP", "PX", "RF", "US", "XA", "XC"})
"""Modalities whose images are taken one by one; all others are volumes."""
_RADIOGRAPHS = frozenset({"CR", "DX"})
"""One kind of picture, from two kinds of receptor."""
_NAME, _BIRTH_DATE, _BURNED_IN = 0x00100010, 0x00100030, 0x00280301


@dataclass(frozen=True, slots=True, kw_only=True)
class TabledCase:
    """A line with what it names.

    Attributes
    ----------
    name
        The UID of the series, or of the image, with the frame behind it where one is named; of a table of files the file's; of several in
        roles the first one's.
    line
        Where it stands in the table.
    subject
        Reads the image, the volume, or the volumes in their roles on one grid, as serving assembles it.
    patient
        As of a `LabelledSeries`, or as the table says it of a file; "" where nothing names one.
    patient_id
        PatientID and its issuer as the header of a DICOM file has them, whatever a table says; "" where it has none.
    person
        PatientName and PatientBirthDate.
    burned_in
        Burned In Annotation (0028,0301) as the header has it.
    side
        Where the data's own split puts it; None where they bring none.
    boxes, size
        As of a `LabelledLine`.
    roles
        Those whose series its line names; one may be left out as it is read.
    """

    name: str
    line: int
    subject: Callable[[], Images | Volume | VolumeSet]
    patient: str
    person: tuple[str, str]
    modality: str
    files: tuple[Path, ...]
    labels: tuple[float, ...]
    burned_in: str
    attributes: Mapping[str, str]
    side: OwnSide | None = None
    boxes: tuple[MarkedBox, ...] = ()
    size: tuple[int, int] | None = None
    roles: tuple[str, ...] = ()
    patient_id: str = ""

    @property
    def said(self) -> tuple[tuple[float, ...], frozenset[MarkedBox]]:
        """All that its line says."""
        return self.labels, frozenset(self.boxes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TabledStudies:
    """What the lines name; `lost` says of lines why they name nothing, `unlabelled` are series of images that no line names, `unsaid` is
    what nothing says of the images, and is taken for granted. `empty` are images that no line names, and that are learned as such without a
    box; `doubted` are those that are not, since a line that was left out may mean them. `hounsfield` is whether a CT has its own values.
    `roles` are those of several series that each case has."""

    cases: tuple[TabledCase, ...]
    lost: tuple[str, ...]
    unlabelled: tuple[str, ...]
    left_out: tuple[str, ...]
    unsaid: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    doubted: tuple[str, ...] = ()
    hounsfield: bool = True
    roles: Roles = ONE

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of all cases, sorted."""
        return tuple(sorted({case.modality for case in self.cases}))


def tabled(folder: Path, table: LabelTable) -> TabledStudies:
    """Read the headers of a folder of DICOM files, and find what each line names.

    Raises
    ------
    UnfitData
        No line names an image, or the images are of several kinds.
    """
    found, _ = read_studies(folder)
    series = [*found.series, *found.unlabelled]
    there = _by_instance(series) if table.identifier == INSTANCE else _by_series(series, table.identifier)
    cases: list[TabledCase] = []
    lost: list[str] = []
    doubtful: set[Path] = set()
    anywhere = False
    for line in table.lines:
        named = there.get(line.name, [])
        if len(named) == 1:
            cases.append(_case(line, *named[0]))
        elif named:
            lost.append(f"line {line.number}: {len(named)} series have the {table.identifier} that it names: name each by its own UID")
            doubtful.update(path for _, files in named for path in files)
        else:
            lost.append(f"line {line.number}: no image here has the {table.identifier} that it names")
            anywhere = anywhere or bool(line.boxes)
    used = {path for case in cases for path in case.files}
    kinds = {case.modality for case in cases} if table.rest_is_empty else set()
    empty: list[TabledCase] = []
    if not anywhere:
        # what a line may mean that was left out shows what that line says, and not nothing; a line that names no image may mean any
        not_blank = used | doubtful
        rest = [(one, path) for one in series if one.modality in kinds for path in one.files if path not in not_blank]
        empty = [_case(empty_line(table, read_instance(path).sop_instance_uid), one, (path,)) for one, path in rest]
        used |= {path for _, path in rest}
    unlabelled = tuple(one.uid for one in series if not used.intersection(one.files))
    names = tuple(case.name for case in empty)
    made = TabledStudies(
        cases=(*cases, *empty),
        lost=tuple(lost),
        unlabelled=unlabelled,
        left_out=found.left_out,
        empty=names,
        doubted=tuple(filter(None, (_not_used(one, used) for one in series if one.modality in kinds))),
    )
    return of_one_modality(made, folder, len(table.lines))


def _not_used(series: LabelledSeries, used: Collection[Path]) -> str:
    """The images of a series that are not used, for people; "" where all are."""
    left = sum(path not in used for path in series.files)
    return series.uid if left == len(series.files) else f"{left} of {len(series.files)} images of {series.uid}" if left else ""


def empty_line(table: LabelTable, name: str) -> LabelledLine:
    """What a line would say of an image that none names, where such an image shows nothing."""
    return LabelledLine(number=0, name=name, instance=name, frame=None, labels=(False,) * len(table.channels))


def of_one_modality(found: TabledStudies, folder: Path, lines: int) -> TabledStudies:
    """What was found, which is something, and all of one kind.

    Raises
    ------
    UnfitData
    """
    if not found.cases:
        raise UnfitData(f"none of {lines} lines names an image in {folder}: {found.lost[0] if found.lost else 'no line has a label'}")
    if len(found.modalities) > 1 and not set(found.modalities) <= _RADIOGRAPHS:
        raise UnfitData(f"the table names images of {', '.join(found.modalities)}: one network learns one modality")
    return found


def image_of(case: TabledCase) -> tuple[Images | Volume | VolumeSet, ImageOnGrid]:
    """A case as serving assembles it, and its values (Z, Y, X), of several volumes those of the first, of a single image (1, Y, X).

    Raises
    ------
    InputError
    UnfitData
        It is not one image, or a volume of fewer than `MIN_SLICES`.
    """
    subject = case.subject()
    if isinstance(subject, Images):
        return subject, single_image(subject.images[0])
    image = source_image(subject.reference if isinstance(subject, VolumeSet) else subject)
    if (slices := image.grid.shape[0]) < MIN_SLICES:
        raise UnfitData(f"{case.name} has {slices} slices: a volume of fewer than {MIN_SLICES} would not be served either")
    return subject, image


def boxes_on(case: TabledCase, image: ImageOnGrid) -> tuple[MarkedBox, ...]:
    """A case's boxes within its image (1, Y, X), as it is read.

    Raises
    ------
    UnfitData
        One reaches beyond it, or they are of an image of another size.
    """
    rows, columns = image.values.shape[-2:]
    return within(case.boxes, rows, columns, case.size)


def of_dicom(name: str, files: Sequence[Path], modality: str, frame: int | None) -> Images | Volume:
    """The volume of a series, straight and even, or the one image that is meant.

    Raises
    ------
    InputError
    UnfitData
        It is not one image.
    """
    if modality not in SINGLE:
        (assembled,) = subjects(Takes.VOLUME, "refuse", files)
        assert isinstance(assembled.subject, Volume), "which was asked for"
        upright = straightened(assembled.subject)
        return assembled.subject if upright is None else upright.volume
    (assembled,) = subjects(Takes.IMAGES, "refuse", files)
    assert isinstance(assembled.subject, Images), "which was asked for"
    every = assembled.subject
    meant = [one for one in every.images if frame is None or one.source.frame == frame]
    if len(meant) != 1:
        how = f"no frame {frame}" if frame else f"{len(every.images)} images: name one by its {INSTANCE}, or its Frame"
        raise UnfitData(f"{name} has {how}")
    return Images(
        images=(meant[0],),
        modality=every.modality,
        study_instance_uid=every.study_instance_uid,
        series_instance_uid=every.series_instance_uid,
    )


def values_in_roles(subject: Images | Volume | VolumeSet, roles: Roles) -> Mapping[str, NDArray[np.float32]]:
    """The values of each image of a case that has several, (Z, Y, X), of a view (1, Y, X); the first role's stand first."""
    if isinstance(subject, Images):
        places = views_of(roles.names, roles.optional, subject)
        return {role: single_image(subject.images[place]).values for role, place in places.items()}
    assert isinstance(subject, VolumeSet), "what else has roles"
    return {role: source_image(volume).values for role, volume in subject.volumes.items()}


def views_of(roles: Sequence[str], optional: Sequence[str], images: Images) -> Mapping[str, int]:
    """The places of the views of a case, by their roles, as serving finds them.

    Raises
    ------
    RoleUnfilled
    UnfitData
        They are of both sides: an answer would be of each.
    """
    found, _ = together(roles, optional, images)
    if len(found) > 1:
        raise UnfitData(
            f"the views of {len(found)} sides are there, and each would be answered by itself: name those of one side, or the sides in the "
            f'roles, --roles "L {roles[0]}" "R {roles[0]}"'
        )
    return found[0]


def cases_of(cases: Sequence[TabledCase], patients: Sequence[str], table: LabelTable) -> tuple[Case, ...]:
    """Cases for training; `patients` are all whose images have to stand on one side with each. Every side gets its share of every class, or
    of each quarter of the first number."""
    first = np.array([case.labels[0] for case in cases])
    quarters = np.searchsorted(np.quantile(first, (0.25, 0.5, 0.75)), first) if table.units else None
    return tuple(
        _case_of(case, patient, str(list(map(int, case.labels))) if quarters is None else f"quarter {quarters[at] + 1}")
        for at, (case, patient) in enumerate(zip(cases, patients, strict=True))
    )


def _case_of(case: TabledCase, patient: str, stratum: str) -> Case:
    def load() -> LabelledSubject:
        subject, image = image_of(case)
        return LabelledSubject(subject=subject, labels=case.labels, boxes=boxes_on(case, image), attributes=case.attributes)

    ids = tuple(sorted({case.patient, case.patient_id} - {""}))
    return Case(patient=patient, name=case.name, load=load, stratum=stratum, labels=case.labels, side=case.side, ids=ids)


def _by_series(series: Sequence[LabelledSeries], identifier: str) -> dict[str, list[tuple[LabelledSeries, tuple[Path, ...]]]]:
    there: dict[str, list[tuple[LabelledSeries, tuple[Path, ...]]]] = {}
    for one in series:
        name = text(read_instance(one.files[0]).header, IDENTIFIERS[identifier])
        if name:
            there.setdefault(name, []).append((one, one.files))
    return there


def _by_instance(series: Sequence[LabelledSeries]) -> dict[str, list[tuple[LabelledSeries, tuple[Path, ...]]]]:
    return {read_instance(path).sop_instance_uid: [(one, (path,))] for one in series for path in one.files}


def _case(line: LabelledLine, series: LabelledSeries, files: tuple[Path, ...]) -> TabledCase:
    name = line.name if len(files) < len(series.files) or line.instance == line.name else series.uid
    patient = series.patient if series.patient.partition("\\")[0] else ""
    return dicom_case(line, name, files, read_instance(files[0]).header, patient=patient, modality=series.modality)


def dicom_case(line: LabelledLine, name: str, files: tuple[Path, ...], header: Dataset, *, patient: str, modality: str) -> TabledCase:
    """A line with the DICOM files that it names; `header` is that of the first."""
    named = name if line.frame is None else f"{name} frame {line.frame}"
    own = patient_of(header)
    return TabledCase(
        name=named,
        line=line.number,
        subject=partial(of_dicom, named, files, modality, line.frame),
        patient=patient,
        patient_id=own if own.partition("\\")[0] else "",
        person=(text(header, _NAME), text(header, _BIRTH_DATE)),
        modality=modality,
        files=files,
        labels=line.labels,
        burned_in=text(header, _BURNED_IN).upper(),
        attributes=attributes_of(header),
        boxes=line.boxes,
        size=line.size,
    )
