"""Cases of BraTS: a folder a case, with four contrasts of one head and the labels of its tumor, all on one grid.

BraTS20_Training_001/BraTS20_Training_001_{t1,t1ce,t2,flair,seg}.nii.gz       until 2021: necrosis 1, edema 2, enhancing tumor 4
BraTS-GLI-00001-000/BraTS-GLI-00001-000-{t1n,t1c,t2w,t2f,seg}.nii.gz          since 2023: necrosis 1, edema 2, enhancing tumor 3, cavity 4

Since 2023 the three digits at a name's end count the visits of one patient.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.data.cases import Case
from training.data.dicom import Segment
from training.data.drawn import DrawnFile, load_drawn
from training.errors import UnfitData

ROLES = ("FLAIR", "T1", "T1c", "T2")
"""The contrasts, the one in which all of a tumor shows first: outlines lie on the grid of the first that is learned."""
_CONTRASTS = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1c", "t2": "T2", "t2f": "FLAIR", "t1n": "T1", "t1c": "T1c", "t2w": "T2"}
_BEFORE = {1: "necrosis", 2: "edema", 4: "enhancing tumor"}
_SINCE = {1: "necrosis", 2: "edema", 3: "enhancing tumor"}
_CAVITY = 4
_VISIT = re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d{5})-\d{3}")
_LABELS = re.compile(r"(?P<case>.+)[_-]seg\.nii(\.gz)?")
_IMAGE = re.compile(r"(?P<case>.+)[_-](?P<contrast>[A-Za-z0-9]+)\.nii(\.gz)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class BratsFolder:
    """The cases by name: files by role, and the file of labels; and of everything that is not used, why not."""

    files: Mapping[str, tuple[Mapping[str, Path], Path]]
    labels: Mapping[int, str]
    left_out: tuple[str, ...]

    @property
    def named_by_patient(self) -> bool:
        """Whether every name says whose visit it is."""
        return all(_VISIT.fullmatch(name) for name in self.files)

    def cases(
        self, segments: Sequence[Segment], roles: Sequence[str], optional: Sequence[str] = ()
    ) -> tuple[tuple[Case, ...], tuple[str, ...]]:
        """The cases that have all roles but `optional` ones, labels 1, 2, … in the order of `segments`; and why others are left out."""
        numbers = dict.fromkeys(self.labels, 0) | {one.number: at for at, one in enumerate(segments, start=1)}
        made, lacking = [], []
        for name, (images, labels) in self.files.items():
            absent = [role for role in roles if role not in images and role not in optional]
            if absent:
                lacking.append(f"{name}: it has no {', '.join(absent)}")
                continue
            drawn = DrawnFile(file=labels, values=numbers, named_in="BraTS (a resection cavity, 4, is not learned: take such cases out)")
            visit = _VISIT.fullmatch(name)
            there = {role: images[role] for role in roles if role in images}
            load = partial(load_drawn, there, (drawn,), "MR", together=len(roles) > 1)
            made.append(Case(patient=visit["patient"] if visit else name, name=name, load=load))
        return tuple(made), tuple(lacking)


def is_brats(folder: Path) -> bool:
    """Whether a case of BraTS lies in a folder, or one or two folders below it."""
    return next(_labelled(folder), None) is not None


def brats_folder(folder: Path) -> BratsFolder:
    """Find the cases by the names of their files.

    Raises
    ------
    UnfitData
        Cases of before and since 2023 lie together: value 4 is two things.
    """
    files: dict[str, tuple[Mapping[str, Path], Path]] = {}
    since: dict[bool, str] = {}
    for name, labels in _labelled(folder):
        images = {}
        for path in sorted(labels.parent.glob(f"{name}[_-]*.nii*")):
            found = _IMAGE.fullmatch(path.name)
            if found and found["case"] == name and (contrast := found["contrast"].lower()) in _CONTRASTS:
                images[_CONTRASTS[contrast]] = path
                if contrast not in ("t1", "t2"):
                    since.setdefault(contrast in ("t2f", "t1n", "t1c", "t2w"), name)
        files[name] = (images, labels)
    if len(since) > 1:
        raise UnfitData(
            f"{since[False]} is of BraTS before 2023 and {since[True]} of a later one, whose labels are numbered otherwise: a folder each"
        )
    every = {path.name for path in folder.glob("BraTS*") if path.is_dir()}
    return BratsFolder(
        files=dict(sorted(files.items())),
        labels=_SINCE if True in since else _BEFORE,
        left_out=tuple(f"{name}: no labels" for name in sorted(every - set(files)) if _has_images(folder / name)),
    )


def _labelled(folder: Path) -> Iterator[tuple[str, Path]]:
    for depth in ("*", "*/*", "*/*/*"):
        for path in sorted(folder.glob(f"{depth}/*seg.nii*")):
            found = _LABELS.fullmatch(path.name)
            if found and found["case"] == path.parent.name:
                yield path.parent.name, path


def _has_images(folder: Path) -> bool:
    found = (_IMAGE.fullmatch(path.name) for path in folder.glob("*.nii*"))
    return any(each is not None and each["contrast"].lower() in _CONTRASTS for each in found)
