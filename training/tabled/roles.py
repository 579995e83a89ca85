"""Series that the lines of a table name in roles: files, or series of a DICOM folder by UID or description; read as serving reads them."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from inference.applications.bundle.manifest import MIN_SLICES
from inference.errors import InputError
from inference.imaging.header import read_instance
from inference.imaging.roles import RolePlace, on_one_grid
from inference.imaging.subject import Images, Takes, VolumeSet
from inference.imaging.subjects import subjects
from inference.imaging.tags import text
from training.data.dicom import LabelledSeries, patient_of, read_studies
from training.data.drawn import placed_on
from training.data.lines import IDENTIFIERS, STUDY
from training.data.outlined import Roles
from training.errors import UnfitData, UnfitSetting
from training.tabled.files import FilesBelow, is_image, is_nifti, modality_of, volume_in
from training.tabled.labels import LabelledLine, LabelTable
from training.tabled.studies import SINGLE, TabledCase, TabledStudies, dicom_case, of_one_modality, views_of

_SERIES_DESCRIPTION = 0x0008103E
_UID = re.compile(r"2\.25\.[0-9]+|[0-9]+(\.[0-9]+){3,}")
"""Of a UUID (PS3.5 B.2) or of another root: what has fewer points may be a file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    """A series of a folder, with what its first header says of it."""

    series: LabelledSeries
    header: Dataset

    @property
    def study(self) -> str:
        return text(self.header, IDENTIFIERS[STUDY])

    @property
    def description(self) -> str:
        return text(self.header, _SERIES_DESCRIPTION).strip().casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class _DescribedFolder:
    """The series of a folder, looked up by what names them: with a search through all for each line, thousands of studies take minutes."""

    every: Sequence[_Described] = ()
    of_uid: Mapping[str, Sequence[_Described]] = field(default_factory=dict)
    of_study: Mapping[str, Sequence[_Described]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def in_roles(folder: Path, table: LabelTable, modality: str | None, roles: Roles) -> TabledStudies:
    """Find the series of each line: what the columns of the roles name, or, in a table of studies without such columns, the series of each
    study that are described as the roles are called.

    Raises
    ------
    UnfitData
        No line names a series, or they are of several modalities.
    UnfitSetting
        The roles contradict each other, or a modality is said of files that say it.
    """
    checked = roles.checked()
    if len(checked.names) < 2:
        raise UnfitSetting(f"--roles {checked.names[0]}: one series a case has no role: name it in a column path, or SeriesInstanceUID")
    by_header = table.identifier == STUDY or any(_UID.fullmatch(cell) for line in table.lines for cell in line.series)
    if by_header and modality is not None:
        raise UnfitSetting(f"--modality {modality}: a table that names DICOM series needs none, they say it themselves: leave it out")
    if not folder.is_dir():
        raise UnfitData(f"{folder} is no folder")
    folder = Path(os.path.abspath(folder))
    below = FilesBelow(folder)
    there = _series_in(folder) if by_header else _DescribedFolder()
    cases: list[TabledCase] = []
    lost: list[str] = []
    first: dict[str, int] = {}
    for line in table.lines:
        try:
            case = _by_header(line, checked, there, table) if by_header else _by_file(line, checked, below, modality)
            if (before := first.setdefault(case.name, line.number)) != line.number:
                raise UnfitData(f"{case.name} is what line {before} names as {checked.names[0]}, too")
            cases.append(case)
        except (UnfitData, InputError) as unfit:
            lost.append(f"line {line.number}: {unfit}")
    used = {path for case in cases for path in case.files}
    if by_header:
        unlabelled = tuple(one.series.uid for one in there.every if not used.intersection(one.series.files))
    else:
        unlabelled = tuple(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if is_image(path) and path not in used)
    found = TabledStudies(cases=tuple(cases), lost=tuple(lost), unlabelled=unlabelled, left_out=there.left_out, roles=checked)
    return of_one_modality(found, folder, len(table.lines))


def of_series(files: Mapping[str, Sequence[Path]], roles: Roles) -> VolumeSet:
    """The volumes of DICOM series in their roles, on the grid of the first; an optional one that does not fit is left out, as in serving.

    Raises
    ------
    InputError
    UnfitData
        A series that has to be there would not be served.
    """
    given = {path: role for role, paths in files.items() for path in paths}
    places = [RolePlace(name=name, optional=name in roles.optional) for name in roles.names]
    (assembled,) = subjects(Takes.VOLUMES, "refuse", tuple(given), given=given, roles=places)
    assert isinstance(assembled.subject, VolumeSet), "which was asked for"
    kept = assembled.subject.volumes
    for role, volume in assembled.subject.volumes.items():
        if (slices := volume.voxels.shape[0]) >= MIN_SLICES:
            continue
        if role not in roles.optional:
            raise UnfitData(f"{role} has {slices} slices: a volume of fewer than {MIN_SLICES} would not be served either")
        kept = {name: one for name, one in kept.items() if name != role}
    motions = {role: motion for role, motion in assembled.subject.motions.items() if role in kept}
    return on_one_grid(replace(assembled.subject, volumes=kept, motions=motions))


def of_views(files: Sequence[Path], roles: Roles) -> Images:
    """The images of a study that show the roles, in their order; an optional one that none shows is left out, as in serving.

    Raises
    ------
    InputError
    UnfitData
        They are of both sides.
    """
    (assembled,) = subjects(Takes.IMAGES, "refuse", files)
    assert isinstance(assembled.subject, Images), "which was asked for"
    every = assembled.subject
    places = views_of(roles.names, roles.optional, every)
    return replace(every, images=tuple(every.images[places[role]] for role in roles.names if role in places))


def of_nifti(files: Mapping[str, Path], modality: str) -> VolumeSet:
    """The volumes of NIfTI files in their roles, on the grid of the first.

    Raises
    ------
    UnfitData
    OutOfReach
    """
    (role, first), *others = files.items()
    return placed_on(role, volume_in(first, modality), dict(others), modality)


def _series_in(folder: Path) -> _DescribedFolder:
    found, _ = read_studies(folder)
    every = [_Described(series=one, header=read_instance(one.files[0]).header) for one in (*found.series, *found.unlabelled)]
    of_uid: dict[str, list[_Described]] = {}
    of_study: dict[str, list[_Described]] = {}
    for one in every:
        of_uid.setdefault(one.series.uid, []).append(one)
        of_study.setdefault(one.study, []).append(one)
    return _DescribedFolder(every=every, of_uid=of_uid, of_study=of_study, left_out=found.left_out)


def _by_header(line: LabelledLine, roles: Roles, there: _DescribedFolder, table: LabelTable) -> TabledCase:
    study = line.name if table.identifier == STUDY else ""
    if not table.roles and (views := _views_of(there.of_study.get(study, ()), roles)):
        return _views(line, views, roles)
    meant: dict[str, _Described] = {}
    for role, cell in zip(roles.names, line.series if table.roles else roles.names, strict=True):
        # where a role is called as its series is described, one that is not there may be missing as an empty cell may
        if cell and (found := _described(cell, study, there, must=bool(table.roles))):
            meant[role] = found
    _complete(meant, roles)
    reference = meant[roles.names[0]]
    case = dicom_case(
        line,
        reference.series.uid,
        tuple(path for one in meant.values() for path in one.series.files),
        reference.header,
        patient=line.patient or (reference.series.patient if reference.series.patient.partition("\\")[0] else ""),
        modality=_one({one.series.modality for one in meant.values()}),
    )
    case = replace(case, roles=tuple(meant))
    if case.modality in SINGLE:
        # which of them shows what, headers say, here as where they are served
        return replace(case, subject=partial(of_views, case.files, roles))
    return replace(case, subject=partial(of_series, {role: one.series.files for role, one in meant.items()}, roles))


def _views_of(study: Sequence[_Described], roles: Roles) -> list[_Described]:
    """The series of single images of a study, in which the roles are views; none where volumes are described as the roles are called."""
    called = {role.strip().casefold() for role in roles.names}
    views = [one for one in study if one.series.modality in SINGLE]
    return [] if any(one.description in called for one in study if one.series.modality not in SINGLE) else views


def _views(line: LabelledLine, views: Sequence[_Described], roles: Roles) -> TabledCase:
    """A study of single images: which of them shows a role, their headers say."""
    first = views[0]
    case = dicom_case(
        line,
        line.name,
        tuple(path for one in views for path in one.series.files),
        first.header,
        patient=line.patient or (first.series.patient if first.series.patient.partition("\\")[0] else ""),
        modality=_one({one.series.modality for one in views}),
    )
    return replace(case, subject=partial(of_views, case.files, roles))


def _described(cell: str, study: str, there: _DescribedFolder, *, must: bool) -> _Described | None:
    """The series that a cell names: by its UID, or by its description among those of a study; None where none is and none must be."""
    meant = there.of_uid.get(cell, ())
    if study and (others := [one.study for one in meant if one.study != study]):
        raise UnfitData(f"series {cell} is of study {others[0]}, and not of {study}, which the line names: write the one that is meant")
    if not meant and study:
        meant = [one for one in there.of_study.get(study, ()) if one.description == cell.strip().casefold()]
    if len(meant) > 1:
        raise UnfitData(f'{len(meant)} series of study {study} are called "{cell}": name each by its SeriesInstanceUID')
    if not meant and must:
        of_study = f", and none of study {study} is described so" if study else ""
        raise UnfitData(f'no series here has the UID "{cell}"{of_study}')
    return meant[0] if meant else None


def _by_file(line: LabelledLine, roles: Roles, below: FilesBelow, modality: str | None) -> TabledCase:
    paths = {role: below.place(cell) for role, cell in zip(roles.names, line.series, strict=True) if cell}
    _complete(paths, roles)
    kinds = {is_nifti(path) for path in paths.values()}
    if len(kinds) > 1:
        raise UnfitData("some of its files are NIfTI and some are not: one kind of file a line")
    if kinds == {True}:
        said = modality_of(next(iter(paths.values())), modality, volumes=True)
        return TabledCase(
            name=line.series[0],
            line=line.number,
            subject=partial(of_nifti, paths, said),
            patient=line.patient,
            person=("", ""),
            modality=said,
            files=tuple(paths.values()),
            labels=line.labels,
            burned_in="",
            attributes={},
        )
    files = {role: tuple(sorted(one for one in path.rglob("[!.]*") if one.is_file())) for role, path in paths.items() if path.is_dir()}
    if single := [path.name for role, path in paths.items() if not files.get(role)]:
        raise UnfitData(f"{single[0]} is no series that is read here: a NIfTI file, or a folder with the DICOM files of one series")
    headers = {role: read_instance(each[0]) for role, each in files.items()}
    reference = headers[roles.names[0]]
    named = patient_of(reference.header)
    case = dicom_case(
        line,
        line.series[0],
        tuple(path for each in files.values() for path in each),
        reference.header,
        patient=line.patient or (named if named.partition("\\")[0] else ""),
        modality=_one({each.modality for each in headers.values()}),
    )
    return replace(case, roles=tuple(files), subject=partial(of_series, files, roles))


def _complete(meant: Mapping[str, object], roles: Roles) -> None:
    lacking = [role for role in roles.names if role not in meant and role not in roles.optional]
    if lacking:
        raise UnfitData(f"it has no {' and no '.join(lacking)}, and --optional does not name what may be missing")


def _one(modalities: set[str]) -> str:
    if len(modalities) > 1:
        raise UnfitData(f"its series are of {' and '.join(sorted(modalities))}: one network learns one modality")
    return next(iter(modalities))
