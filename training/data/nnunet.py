"""Cases from a raw folder of nnU-Net (version 2), or of the Medical Segmentation Decathlon, which has the same folders.

dataset.json                      channels, labels, ending of the files
imagesTr/NAME_0000.nii.gz         a file for each channel; in the Decathlon imagesTr/NAME.nii.gz
labelsTr/NAME.nii.gz              a label for each voxel, on the grid of the image
splits_final.json                 folds, where they were made: here, or in the folder of nnU-Net's preprocessed data

Only names are read here; voxels when a case is loaded.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from inference.applications.bundle.finish import Regions
from inference.applications.bundle.metadata import role_names
from inference.applications.bundle.nnunet.plans import Labels, read_labels
from inference.errors import HilumError
from training.data.cases import Case
from training.data.dicom import Segment
from training.data.drawn import DrawnFile, load_drawn
from training.data.naming import named_structures
from training.errors import UnfitData

DATASET, IMAGES, LABELS, SPLITS = "dataset.json", "imagesTr", "labelsTr", "splits_final.json"
_PREPROCESSED = "nnUNet_preprocessed"
_ENDINGS = (".nii.gz", ".nii")
_IGNORED = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFolder:
    """What the files of a folder are, by their names.

    Attributes
    ----------
    labels
        What dataset.json says of channels and labels.
    files
        Of each case by name its images, one a channel, and the file of its labels.
    left_out
        Of every file that is not used, why not.
    parts
        Of the cases of splits_final.json by name, the fold that holds each out, from 1, or 0; empty where there is no such file.
    """

    folder: Path
    labels: Labels
    files: Mapping[str, tuple[tuple[Path, ...], Path]]
    left_out: tuple[str, ...]
    parts: Mapping[str, int]

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        """The structures that `names` names, in that order, () for all.

        Raises
        ------
        UnclearLabels
            A name is not there, none is, one fits no element of text, or two structures could not be told apart.
        """
        return named_structures(str(self.folder / DATASET), self.labels.names, names)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels as roles.

        Raises
        ------
        UnfitData
            Several of them are called alike.
        """
        made = role_names(self.labels.inputs)
        if not made and len(self.labels.inputs) > 1:
            raise UnfitData(
                f"{self.folder / DATASET}: the channels {', '.join(self.labels.inputs)} are not told apart: name each otherwise"
            )
        return made or self.labels.inputs

    def cases(self, segments: Sequence[Segment], modality: str, roles: Sequence[str]) -> tuple[Case, ...]:
        """The cases by name, their labels 1, 2, … in the order of `segments`; each counts as a patient."""
        numbers = dict.fromkeys(self.labels.names, 0) | {one.number: at for at, one in enumerate(segments, start=1)}
        channels = self.channels
        made = []
        for name, (images, label) in self.files.items():
            drawn = DrawnFile(file=label, values=numbers, named_in=DATASET)
            load = partial(load_drawn, {role: images[channels.index(role)] for role in roles}, (drawn,), modality, together=len(roles) > 1)
            made.append(Case(patient=name, name=name, load=load, part=self.parts.get(name, 0)))
        return tuple(made)


def is_raw_folder(folder: Path) -> bool:
    """Whether a folder is laid out so."""
    return (folder / DATASET).is_file() and (folder / LABELS).is_dir()


def raw_folder(folder: Path) -> RawFolder:
    """Read dataset.json and the names of the files.

    Raises
    ------
    UnfitData
        dataset.json is not what nnU-Net reads, or asks for what is not learned here; no image has labels; splits_final.json parts other
        cases.
    """
    said = _json(folder / DATASET)
    if not isinstance(said, dict):
        raise UnfitData(f"{folder / DATASET} is no object of JSON")
    labels = _labels(folder / DATASET, said)
    ending = said.get("file_ending", _ENDINGS[0])
    if ending not in _ENDINGS:
        raise UnfitData(
            f"{folder / DATASET}: files end in {ending!r}, and NIfTI is read here ({', '.join(_ENDINGS)}): write them as NIfTI, and say so"
        )
    count = len(labels.inputs)
    files, left_out = _listed(folder, said, count) if "dataset" in said else _found(folder, ending, count)
    if not files:
        raise UnfitData(
            f"{folder}: no NAME{ending} in {LABELS} has an image {IMAGES}/NAME_0000{ending}" + "".join(f"; {one}" for one in left_out[:3])
        )
    parts, unlisted = _parts(folder, list(files))
    return RawFolder(
        folder=folder,
        labels=labels,
        files={name: one for name, one in files.items() if name not in unlisted},
        left_out=(*left_out, *(f"{name}: in no fold of {SPLITS}" for name in unlisted)),
        parts=parts,
    )


def _labels(file: Path, said: Mapping[str, Any]) -> Labels:
    named = said.get("labels")
    if not isinstance(named, dict):
        raise UnfitData(f'{file} has no labels ("labels": {{"background": 0, "liver": 1}})')
    if all(isinstance(name, str) and name.isdecimal() for name in named):
        # the Decathlon, and the first nnU-Net, name each number
        named = {str(name): int(number) for number, name in named.items()}
    if _IGNORED in named:
        raise UnfitData(
            f'{file} has a label "{_IGNORED}": voxels of which nobody says what they are are not left out here. Draw them, or take these '
            "cases and the label out"
        )
    try:
        labels = read_labels({**said, "labels": named})
    except HilumError as broken:
        raise UnfitData(f"{file}: {broken}") from broken
    if isinstance(labels.decided, Regions):
        raise UnfitData(
            f"{file} has regions that overlap ({', '.join(labels.names.values())}): labels that exclude each other are learned here. Name "
            'each value by itself ("edema": 1, "core": 2)'
        )
    return labels


_Files: TypeAlias = dict[str, tuple[tuple[Path, ...], Path]]


def _found(folder: Path, ending: str, count: int) -> tuple[_Files, list[str]]:
    """The files by their places."""
    files: _Files = {}
    left_out = []
    images = {path.name: path for path in _files(folder / IMAGES, ending)}
    for label in _files(folder / LABELS, ending):
        name = label.name.removesuffix(ending)
        names = [f"{name}_{channel:04d}{ending}" for channel in range(count)]
        if count == 1 and names[0] not in images:
            names = [label.name] if label.name in images else names
        absent = [one for one in names if one not in images]
        if absent:
            left_out.append(f"{LABELS}/{label.name}: there is no {IMAGES}/{absent[0]}")
        else:
            files[name] = (tuple(images.pop(one) for one in names), label)
    left_out += [f"{IMAGES}/{name}: no labels in {LABELS}" for name in images]
    return files, left_out


def _listed(folder: Path, said: Mapping[str, Any], count: int) -> tuple[_Files, list[str]]:
    """The files as dataset.json lists them, which nnU-Net allows."""
    files: _Files = {}
    named: dict[str, str] = {}
    left_out = []
    if not isinstance(said["dataset"], dict):
        raise UnfitData(f'{folder / DATASET}: "dataset" is no object of JSON')
    for name, one in sorted(said["dataset"].items()):
        try:
            images, label = tuple(folder / image for image in one["images"]), folder / one["label"]
            if len(images) != count:
                raise ValueError(f"{len(images)} images of {count} channels")
        except (KeyError, TypeError, ValueError) as broken:
            what = "one image" if count == 1 else "its images"
            raise UnfitData(f'{folder / DATASET}: "{name}" does not name {what} and its label ({broken!r})') from broken
        for image in images:
            if (before := named.setdefault(os.path.realpath(image), name)) != name:
                raise UnfitData(f'{folder / DATASET}: "{before}" and "{name}" are one image, {image}: take one of them out')
        absent = [path for path in (*images, label) if not path.is_file()]
        if absent:
            left_out.append(f"{name}: {absent[0]} is not there")
        else:
            files[name] = (images, label)
    return files, left_out


def _files(folder: Path, ending: str) -> Iterator[Path]:
    # what begins with a point are copies that another system made of its own
    return (path for path in sorted(folder.glob(f"*{ending}")) if path.is_file() and not path.name.startswith("."))


def _parts(folder: Path, names: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Which fold holds out each case; and cases of which splits_final.json says nothing."""
    whole = Path(os.path.abspath(folder))
    places = (folder / SPLITS, whole.parent.parent / _PREPROCESSED / whole.name / SPLITS)
    file = next((path for path in places if path.is_file()), None)
    if file is None:
        return {}, []
    splits = _json(file)
    try:
        sides = [(frozenset(one["train"]), tuple(one["val"])) for one in splits]
    except (KeyError, TypeError) as broken:
        raise UnfitData(f'{file} is no list of folds with "train" and "val": {broken!r}') from broken
    parts: dict[str, int] = {}
    for number, (train, held_out) in enumerate(sides, start=1):
        for name in held_out:
            if name in train or name in parts:
                where = f"fold {number} trains on" if name in train else f"fold {parts[name]} holds out, too,"
                raise UnfitData(f'{file}: {where} "{name}", which fold {number} holds out: such folds judge nothing')
            parts[name] = number
    absent = sorted(set(parts) - set(names))
    if absent:
        raise UnfitData(f'{file}: {len(absent)} cases that it holds out are not in {folder}: "{absent[0]}"')
    listed = set(parts).union(*(train for train, _ in sides))
    for number, (train, held_out) in enumerate(sides, start=1):
        # it would be trained on: what a fold does not hold out is
        if unused := sorted(listed - train - set(held_out)):
            raise UnfitData(f'{file}: fold {number} neither trains on "{unused[0]}" nor holds it out, as another does: put it on one side')
    return parts, [name for name in names if name not in listed]


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as broken:
        raise UnfitData(f"{file} cannot be read as JSON: {broken}") from broken
