"""Files that the lines of a table name: pictures, NIfTI volumes and DICOM files below one folder, as they are."""

import os
from functools import partial
from pathlib import Path

from inference.applications.bundle.metadata import MODALITIES
from inference.errors import InputError
from inference.imaging.errors import NoPixelData, NotDicom
from inference.imaging.header import read_instance
from inference.imaging.volume import Volume
from training.data.dicom import patient_of
from training.data.nifti import read_nifti, volume_of
from training.data.pictures import ENDINGS, read_picture
from training.data.volumes import on_one_grid
from training.errors import UnfitData, UnfitSetting
from training.tabled.labels import LabelledLine, LabelTable
from training.tabled.studies import SINGLE, TabledCase, TabledStudies, dicom_case, empty_line, of_one_modality

_NIFTI = (".nii.gz", ".nii")
_TOLD = frozenset({*SINGLE, "CT", "MR", "PT"})


def filed(folder: Path, table: LabelTable, modality: str | None) -> TabledStudies:
    """Find the file of each line; `modality` is what pictures and NIfTI files are images of, which they do not say.

    Raises
    ------
    UnfitData
        No line names a file, or they are of several kinds.
    UnfitSetting
        `modality` is none, or is not said of files that do not say it.
    """
    if not folder.is_dir():
        raise UnfitData(f"{folder} is no folder")
    # of a relative one neither ".." nor the whole path of a file below it would be told
    folder = Path(os.path.abspath(folder))
    said = None if modality is None else MODALITIES.get(modality.upper(), modality.upper())
    if said is not None and said not in _TOLD:
        raise UnfitSetting(f"--modality {modality} is none that is learned here: {', '.join(sorted(_TOLD))}")
    below = FilesBelow(folder)
    cases: list[TabledCase] = []
    lost: list[str] = []
    doubtful: set[Path] = set()
    first: dict[tuple[Path, int | None], int] = {}
    anywhere = False
    for line in table.lines:
        try:
            path = below.place(line.name)
            if (before := first.setdefault((path, line.frame), line.number)) != line.number:
                raise UnfitData(f"{line.name} is what line {before} names, too")
            cases.append(_case(line, path, said))
        except (UnfitData, InputError) as unfit:
            lost.append(f"line {line.number}: {unfit}")
            meant = below.meant(line.name)
            doubtful.update(meant)
            anywhere = anywhere or bool(line.boxes and not meant)
    used = {path for case in cases for path in case.files}
    rest = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("[!.]*")) if is_image(path) and path not in used}
    blank: dict[str, Path] = {}
    if table.rest_is_empty and cases and not anywhere:
        # what a line may mean that was left out shows what that line says, and not nothing; a line that names no file may mean any
        blank = {name: path for name, path in rest.items() if doubtful.isdisjoint((path, *path.parents))}
    empty = [_case(empty_line(table, name), path, said) for name, path in blank.items()]
    unlabelled = tuple(name for name in rest if name not in blank)
    found = TabledStudies(
        cases=(*cases, *empty),
        lost=tuple(lost),
        unlabelled=unlabelled,
        left_out=(),
        empty=tuple(blank),
        doubted=unlabelled if table.rest_is_empty else (),
    )
    return of_one_modality(found, folder, len(table.lines))


class FilesBelow:
    """The files of a folder as lines name them: by their way from the folder, or by their name alone; endings may be left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._named: dict[str, list[Path]] | None = None

    def place(self, name: str) -> Path:
        """The file or the folder that a line names, where one alone is called so.

        Raises
        ------
        UnfitData
        """
        if not name:
            raise UnfitData("it names no file")
        path = Path(os.path.normpath(self._folder / name))
        if not path.is_relative_to(self._folder):
            raise UnfitData(f'"{name}" lies outside of {self._folder}: name files below it')
        meant = self.meant(name)
        if not meant:
            raise UnfitData(f"{name} is not in {self._folder}")
        if len(meant) > 1:
            where = "its ending" if meant[0].parent == path.parent else "its folder"
            raise UnfitData(f"{name} may be any of {len(meant)} files: write {where}")
        return meant[0]

    def meant(self, name: str) -> list[Path]:
        """Every file or folder that a line may mean."""
        path = Path(os.path.normpath(self._folder / name))
        if not name or not path.is_relative_to(self._folder):
            return []
        # what is too long for a name is not there; Path.exists raises
        if os.path.exists(path):
            return [path]
        beside = [one for one in self._called(path.name) if one.parent == path.parent]
        # public sets keep their files in folders that their tables do not name
        return beside or (self._called(path.name) if path.parent == self._folder else [])

    def _called(self, name: str) -> list[Path]:
        """Every image with this name, with or without its ending."""
        if self._named is None:
            self._named = {}
            for path in sorted(self._folder.rglob("[!.]*")):
                if is_image(path):
                    for said in dict.fromkeys((path.name, path.stem, path.name.removesuffix(".nii.gz"))):
                        self._named.setdefault(said, []).append(path)
        return self._named.get(name, [])


def _case(line: LabelledLine, path: Path, modality: str | None) -> TabledCase:
    if is_nifti(path):
        return _plain(line, path, modality_of(path, modality, volumes=True), volume=True)
    if path.suffix.lower() in ENDINGS:
        return _plain(line, path, modality_of(path, modality, volumes=False), volume=False)
    # what begins with a point another system left there
    files = tuple(sorted(one for one in path.rglob("[!.]*") if one.is_file())) if path.is_dir() else (path,)
    if not files:
        raise UnfitData(f"{line.name} is an empty folder")
    try:
        instance = read_instance(files[0])
    except (NotDicom, NoPixelData) as other:
        kinds = ", ".join(sorted({*ENDINGS, *_NIFTI}))
        raise UnfitData(f"{line.name} is no image that is read here: DICOM, or a file that ends in {kinds}") from other
    named = patient_of(instance.header)
    own = named if named.partition("\\")[0] else ""
    return dicom_case(line, line.name, files, instance.header, patient=line.patient or own, modality=instance.modality)


def modality_of(path: Path, modality: str | None, *, volumes: bool) -> str:
    """What is said of a file that does not say it: of volumes, or of single images.

    Raises
    ------
    UnfitSetting
    """
    kind = "volumes" if volumes else "single images"
    fit = sorted(one for one in _TOLD if (one in SINGLE) is not volumes)
    if modality is None:
        raise UnfitSetting(f"{path.name} does not say what it is an image of: say it, `--modality` {', '.join(fit)}")
    if modality not in fit:
        raise UnfitSetting(f"--modality {modality}, and {path.name} is a file of {kind}, which are {', '.join(fit)}")
    return modality


def _plain(line: LabelledLine, path: Path, modality: str, *, volume: bool) -> TabledCase:
    """A file that says nothing but its values."""
    if line.frame is not None:
        raise UnfitData(f"{line.name} has no frames, and the line names one")
    return TabledCase(
        name=line.name,
        line=line.number,
        subject=partial(volume_in if volume else read_picture, path, modality),
        patient=line.patient,
        person=("", ""),
        modality=modality,
        files=(path,),
        labels=line.labels,
        burned_in="",
        attributes={},
        boxes=line.boxes,
        size=line.size,
    )


def volume_in(path: Path, modality: str) -> Volume:
    """A NIfTI file as a volume.

    Raises
    ------
    UnfitData
    """
    voxels, affine = read_nifti(path)
    return on_one_grid(volume_of(voxels, affine, modality, str(path)))


def is_nifti(path: Path) -> bool:
    """Whether it is a NIfTI file by its name."""
    return path.name.endswith(_NIFTI)


def is_image(path: Path) -> bool:
    """Whether it is an image by its name."""
    return is_nifti(path) or path.suffix.lower() in {*ENDINGS, ".dcm"}
