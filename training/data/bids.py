"""Images and drawn labels of a BIDS folder (Brain Imaging Data Structure, bids.neuroimaging.io), by the names of its files.

dataset_description.json                                        says that it is one
participants.tsv                                                participant_id, and what is known of each
sub-01/[ses-1/]anat/sub-01[_ses-1]_T1w.nii.gz                   an image; so anat, ct and pet
derivatives/NAME/sub-01/…/sub-01_label-lesion_mask.nii.gz       what somebody drew: 1 where it is
derivatives/NAME/sub-01/…/sub-01_dseg.nii.gz, dseg.tsv          several structures in one file, and their names by index

A subject is a patient, a session one of its visits. Only names are read here; voxels when a case is loaded.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.data.cases import Case
from training.data.dicom import Segment
from training.data.drawn import DrawnFile, load_drawn
from training.data.naming import plain
from training.data.nifti import participants
from training.errors import UnclearLabels, UnfitData

DESCRIPTION, PARTICIPANTS, DERIVATIVES = "dataset_description.json", "participants.tsv", "derivatives"
MODALITIES_OF_FOLDERS: Mapping[str, str] = {"anat": "MR", "ct": "CT", "pet": "PT"}
_FILE = re.compile(r"(?P<entities>(?:[A-Za-z0-9]+-[A-Za-z0-9+]+_)+)(?P<suffix>[A-Za-z0-9]+)\.nii(\.gz)?")
_DRAWN = frozenset({"mask", "dseg"})
_WHERE_THE_IMAGE_IS = frozenset({"orig", "individual", "native"})
_TISSUES = {"BG": "background", "CSF": "cerebrospinal fluid", "GM": "gray matter", "L": "lesion", "WM": "white matter"}
"""Short names of the standard's table of common labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BidsName:
    """What a file's name says: its entities (sub, ses, acq, …) and its suffix."""

    entities: Mapping[str, str]
    suffix: str

    @property
    def visit(self) -> str:
        """Of whom, and of which session: "sub-01_ses-2"."""
        return "_".join(f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities)

    @property
    def contrast(self) -> str:
        """What tells an image from others of its visit: "T1w", "acq-fast_T1w"."""
        return "_".join([*(f"{key}-{value}" for key, value in self.entities.items() if key not in ("sub", "ses")), self.suffix])


@dataclass(frozen=True, slots=True, kw_only=True)
class BidsImage:
    """An image, and what its folder says that it is of."""

    path: Path
    modality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A file of labels, and the names of its values."""

    path: Path
    names: Mapping[int, str]
    named_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BidsFolder:
    """What lies in a folder.

    Attributes
    ----------
    images
        Of each visit by name, its images by contrast.
    drawn
        Of each visit, its files of labels.
    left_out
        Of every file that is not used, why not.
    attributes
        What participants.tsv says of each subject.
    """

    folder: Path
    images: Mapping[str, Mapping[str, BidsImage]]
    drawn: Mapping[str, tuple[_Drawn, ...]]
    left_out: tuple[str, ...]
    attributes: Mapping[str, Mapping[str, str]]

    @property
    def labels(self) -> Mapping[int, str]:
        """All structures that somebody drew, numbered by their names."""
        every: dict[str, str] = {}
        for file in (one for files in self.drawn.values() for one in files):
            for name in file.names.values():
                every.setdefault(plain(name), name)
        return {number: every[key] for number, key in enumerate(sorted(every), start=1)}

    def roles(self, asked: Sequence[str]) -> tuple[str, ...]:
        """The contrasts that are learned: those that are asked for, or the only one that all visits with labels have.

        Raises
        ------
        UnfitData
        """
        if asked:
            return tuple(asked)
        of_all = [frozenset(self.images.get(visit, {})) for visit in self.drawn]
        shared = sorted(frozenset.intersection(*of_all)) if of_all else []
        if len(shared) != 1:
            every = sorted({contrast for images in self.images.values() for contrast in images})
            which = f"all have {', '.join(shared)}" if shared else "no image is in all"
            raise UnfitData(
                f"{self.folder}: of visits with drawn labels {which}; say which image they were drawn on, `--roles` (there are "
                f"{', '.join(every) or 'none'})"
            )
        return tuple(shared)

    def cases(
        self, segments: Sequence[Segment], roles: Sequence[str], optional: Sequence[str] = ()
    ) -> tuple[tuple[Case, ...], str, tuple[str, ...]]:
        """The visits that have all structures and all roles but `optional` ones; the modality of their images; and why others are left out.

        Their labels are 1, 2, … in the order of `segments`.

        Raises
        ------
        UnfitData
            Images are of several modalities.
        UnclearLabels
            A structure of one visit is in two files.
        """
        labels = self.labels
        numbers = {plain(labels[one.number]): at for at, one in enumerate(segments, start=1)}
        made: list[Case] = []
        lacking: list[str] = []
        modalities: set[str] = set()
        for visit, files in self.drawn.items():
            try:
                images = {role: self.image(visit, role) for role in roles if role not in optional or self.has(visit, role)}
                drawn = _of_visit(visit, files, numbers)
            except UnfitData as without:
                lacking.append(str(without))
                continue
            modalities |= {image.modality for image in images.values()}
            patient = visit.partition("_")[0]
            paths = {role: image.path for role, image in images.items()}
            modality, known = next(iter(images.values())).modality, self.attributes.get(patient, {})
            load = partial(load_drawn, paths, drawn, modality, known, together=len(roles) > 1)
            made.append(Case(patient=patient, name=visit, load=load))
        if len(modalities) != 1:
            raise UnfitData(
                f"{self.folder}: no visit has {', '.join(roles)} with all labels" + "".join(f"; {one}" for one in lacking[:3])
                if not modalities
                else f"{self.folder}: {', '.join(roles)} are of {' and '.join(sorted(modalities))}: one network learns one modality"
            )
        return tuple(made), modalities.pop(), tuple(lacking)

    def image(self, visit: str, role: str) -> BidsImage:
        """The image of a visit in a role, by its contrast, or by its suffix where one image alone has that.

        Raises
        ------
        UnfitData
        """
        there = self.images.get(visit, {})
        fit = self._fitting(visit, role)
        if len(fit) != 1:
            if fit:
                raise UnfitData(f"{visit}: {role} may be any of {', '.join(sorted(fit))}: say which, `--roles {min(fit)}`")
            raise UnfitData(f"{visit}: it has no {role}; it has {', '.join(sorted(there)) or 'no image'}")
        return there[fit[0]]

    def has(self, visit: str, role: str) -> bool:
        """Whether a visit has an image in a role, or several."""
        return bool(self._fitting(visit, role))

    def _fitting(self, visit: str, role: str) -> list[str]:
        there = self.images.get(visit, {})
        return [role] if role in there else [contrast for contrast in there if contrast.rpartition("_")[2] == role]

    def visit(self, participant: str, session: str) -> str:
        """The visit that a line of a table means, by participant_id and session_id ("" where the line has none).

        Raises
        ------
        UnfitData
        """
        subject = participant if participant.startswith("sub-") else f"sub-{participant}"
        of_subject = [visit for visit in self.images if visit.partition("_")[0] == subject]
        if session:
            of_subject = [visit for visit in of_subject if visit == f"{subject}_ses-{session.removeprefix('ses-')}"]
        if len(of_subject) != 1:
            wanted = f"{subject}{f', session {session},' if session else ''}"
            raise UnfitData(
                f"{wanted} has no image in {self.folder}"
                if not of_subject
                else f"{subject} has the sessions {', '.join(one.partition('_')[2] for one in of_subject)}: a column session_id says which"
            )
        return of_subject[0]


def is_bids(folder: Path) -> bool:
    """Whether a folder says that it is one."""
    if not (folder / DESCRIPTION).is_file():
        return False
    try:
        return "BIDSVersion" in json.loads((folder / DESCRIPTION).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, TypeError):
        return False


def bids_folder(folder: Path) -> BidsFolder:
    """Read the names of all files of a BIDS folder.

    Raises
    ------
    UnclearLabels
        A file of several structures has no table of their names.
    """
    images: dict[str, dict[str, BidsImage]] = {}
    left_out: list[str] = []
    for path, name in _files(folder.glob("sub-*")):
        modality = MODALITIES_OF_FOLDERS.get(path.parent.name)
        if modality is not None and name.suffix not in _DRAWN:
            images.setdefault(name.visit, {})[name.contrast] = BidsImage(path=path, modality=modality)
    drawn: dict[str, list[_Drawn]] = {}
    for path, name in _files((folder / DERIVATIVES).glob("*")):
        if name.suffix not in _DRAWN:
            continue
        space = name.entities.get("space", "orig")
        if name.visit not in images:
            left_out.append(f"{path.relative_to(folder)}: its images are not here")
        elif space not in _WHERE_THE_IMAGE_IS and not any(one.rpartition("_")[2] == space for one in images[name.visit]):
            left_out.append(f"{path.relative_to(folder)}: it lies in the space {space}, and not on an image of its visit")
        else:
            names, named_in = _names(folder, path, name)
            drawn.setdefault(name.visit, []).append(_Drawn(path=path, names=names, named_in=named_in))
    left_out += [f"{visit}: no labels in {DERIVATIVES}" for visit in sorted(set(images) - set(drawn))]
    return BidsFolder(
        folder=folder,
        images=dict(sorted(images.items())),
        drawn={visit: tuple(files) for visit, files in sorted(drawn.items())},
        left_out=tuple(left_out),
        attributes=participants(folder / PARTICIPANTS),
    )


def _files(folders: Iterator[Path]) -> Iterator[tuple[Path, BidsName]]:
    for folder in sorted(folders):
        for path in sorted(folder.rglob("sub-*.nii*")):
            found = _FILE.fullmatch(path.name)
            if found and path.is_file():
                entities = dict(part.split("-", 1) for part in found["entities"].strip("_").split("_"))
                yield path, BidsName(entities=entities, suffix=found["suffix"])


def _names(folder: Path, path: Path, name: BidsName) -> tuple[Mapping[int, str], str]:
    """The names of a file's values, and where they stand."""
    if name.suffix == "mask":
        said = name.entities.get("label") or name.entities.get("desc")
        # without a word in its name, a file is what its folder of derivatives is called
        said = _TISSUES.get(said, said) if said else path.relative_to(folder / DERIVATIVES).parts[0].replace("-", " ")
        return {1: said}, f"a mask ({path.name}: 0 and 1)"
    for table in _tables(folder / DERIVATIVES, path):
        named = _FILE.fullmatch(table.name.removesuffix(".tsv") + ".nii")
        entities = dict(part.split("-", 1) for part in named["entities"].strip("_").split("_")) if named else {}
        if table.name == "dseg.tsv" or (named and named["suffix"] == "dseg" and entities.items() <= name.entities.items()):
            return _indexed(table), str(table)
    raise UnclearLabels(f"{path} has several structures, and no dseg.tsv (index, name) beside it or above says their names")


def _tables(derivatives: Path, path: Path) -> Iterator[Path]:
    """Tables of labels, the nearest first (the standard's principle of inheritance)."""
    for place in path.parents:
        yield from sorted(place.glob("*dseg.tsv"), key=lambda table: (-len(table.name), table.name))
        if place.parent == derivatives:
            return


def _indexed(table: Path) -> Mapping[int, str]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            found = {int(row["index"]): row["name"].strip() for row in csv.DictReader(lines, delimiter="\t", strict=True)}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, csv.Error) as broken:
        raise UnfitData(f"{table} is no table with columns index and name: {broken!r}") from broken
    return {number: name for number, name in found.items() if number}


def _of_visit(visit: str, files: Sequence[_Drawn], numbers: Mapping[str, int]) -> tuple[DrawnFile, ...]:
    """Those files of a visit that have the structures of `numbers`, which are all there, each once."""
    first: dict[str, Path] = {}
    for file in files:
        for name in map(plain, file.names.values()):
            if name in numbers and first.setdefault(name, file.path) != file.path:
                raise UnclearLabels(f'"{name}" of {visit} is in {first[name]} and in {file.path}: take one of them out of the folder')
    absent = sorted(set(numbers) - set(first))
    if absent:
        raise UnfitData(f"{visit}: nothing drawn is called {', '.join(absent)}")
    used = sorted((file for file in files if file.path in first.values()), key=lambda file: min(_numbered(file, numbers)))
    return tuple(
        DrawnFile(file=one.path, values={v: numbers.get(plain(name), 0) for v, name in one.names.items()}, named_in=one.named_in)
        for one in used
    )


def _numbered(file: _Drawn, numbers: Mapping[str, int]) -> list[int]:
    return [numbers[plain(name)] for name in file.names.values() if plain(name) in numbers]
