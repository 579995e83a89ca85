"""Series and single images of a folder, nested in any way, whose labels nobody looks at: what a network is pre-trained on.

DICOM series, NIfTI files and pictures are read, each by the code that reads them beside labels; whatever cannot be assembled is left
out, and said.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications.accept import check
from inference.errors import HilumError
from inference.imaging.subject import Images, Subject, all_sources
from inference.imaging.volume import Volume
from training.data.cases import Case, Labelled, LabelledSubject
from training.data.dicom import LabelledSeries, read_studies
from training.data.lines import INSTANCE, SERIES
from training.data.pictures import ENDINGS, read_picture
from training.errors import UnfitData, UnfitSetting
from training.pretraining.apart import apart, images_of
from training.pretraining.no_images import no_image
from training.recipe import Recipe
from training.tabled.files import is_nifti, volume_in
from training.tabled.studies import SINGLE, of_dicom
from training.tasks.answers import Answerer
from training.tasks.regression import Estimator
from training.tasks.segmentation import Segmenter

_TOLD = 5
PATH = "path"
"""The column by which lines of a table name files."""
HELD_OUT = "those who choose, or are held out"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveImage:
    """How a line of a table names an image: by which column, and what stands there; `patient_id` is "" where no header says whose it is."""

    column: str
    name: str
    patient_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlabelled:
    """Cases as the recipe's `example` takes them, without truth; `left_out` says of what is not among them why, `others` are those lines of
    it that are of patients who are known. Of `nameless` of the cases no header says whose they are: files of NIfTI, pictures, and DICOM
    without a PatientID. `images` are by the names of the cases."""

    cases: tuple[Case, ...]
    left_out: tuple[str, ...]
    others: tuple[str, ...]
    nameless: int
    images: Mapping[str, ArchiveImage]


def unlabelled(folder: Path, recipe: Recipe, modality: str | None, others: Sequence[Case], are: str = HELD_OUT) -> Unlabelled:
    """All of a folder that the recipe can prepare; the patients and the images of `others` are left out. `are` says who they are.

    Raises
    ------
    UnfitSetting
        The recipe takes several roles, or is of a task whose network is of another kind.
    UnfitData
        Nothing of the folder can be learned from.
    """
    if not isinstance(recipe, Segmenter | Answerer | Estimator) or recipe.images > 1:
        raise UnfitSetting(
            f'--unlabelled: recipe "{recipe.name}" is of {recipe.task}, or looks at several images of a case; '
            "series without labels are read for recipes of one image of segmentation, classification and regression"
        )
    asked = modality or recipe.application.accepts.modality[0]
    not_seen = apart(others)
    cases, left_out, theirs, nameless, images = list[Case](), list[str](), list[str](), 0, dict[str, ArchiveImage]()
    for name, patient, subject in _subjects(folder, asked, left_out):
        known = not_seen.has_name(Path(name)) if patient is None else not_seen.has_patient(patient)
        if known:
            theirs.append(f"{name}: its patient is one of {are}")
            continue
        case = Case(patient=patient or name, name=f"unlabelled {name}", load=partial(_without_truth, recipe, subject))
        try:
            read = case.load()
            if why := no_image(Path(name), read.subject, of_dicom=patient is not None):
                left_out.append(f"{name}: {why}")
                continue
            # what serving would refuse teaches nothing of what it takes: a localizer, another modality
            check(recipe.application, read.subject)
            if not images_of(read.subject).isdisjoint(not_seen.images):
                theirs.append(f"{name}: it is an image of {are}")
                continue
            recipe.example(read)
        except HilumError as unfit:
            left_out.append(f"{name}: {unfit} [{unfit.code}]")
            continue
        cases.append(case)
        images[case.name] = _named(name, patient, read.subject)
        nameless += patient is None or patient.startswith("\\")
    every = (*left_out, *theirs)
    if not cases:
        raise UnfitData(f"--unlabelled {folder}: nothing in it can be learned from" + "".join(f"; {one}" for one in every[:_TOLD]))
    return Unlabelled(cases=tuple(cases), left_out=every, others=tuple(theirs), nameless=nameless, images=images)


def _named(name: str, patient: str | None, subject: Subject) -> ArchiveImage:
    """Of DICOM by its UID, whatever its file is called."""
    if patient is None:
        return ArchiveImage(column=PATH, name=name, patient_id="")
    of_one = isinstance(subject, Images)
    uid = all_sources(subject)[0].sop_instance_uid if of_one else subject.series_instance_uid
    return ArchiveImage(column=INSTANCE if of_one else SERIES, name=uid, patient_id=patient.partition("\\")[0])


def _subjects(folder: Path, modality: str, left_out: list[str]) -> list[tuple[str, str | None, Callable[[], Any]]]:
    """Of each series and file its name, its PatientID with the issuer (None of what has no header of DICOM), and what reads it."""
    found, _ = read_studies(folder)
    left_out += found.left_out
    series: list[LabelledSeries] = sorted([*found.series, *found.unlabelled], key=lambda one: one.uid)
    there: list[tuple[str, str | None, Callable[[], Any]]] = []
    for one in series:
        # of single images each is one
        for files in [(file,) for file in one.files] if one.modality in SINGLE else [one.files]:
            name = str(files[0].relative_to(folder)) if len(files) == 1 else one.uid
            there.append((name, one.patient, partial(of_dicom, name, files, one.modality, None)))
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = str(path.relative_to(folder))
        if is_nifti(path):
            there.append((name, None, partial(volume_in, path, modality)))
        elif path.suffix.lower() in ENDINGS:
            there.append((name, None, partial(read_picture, path, modality)))
    return there


def _without_truth(recipe: Recipe, subject: Callable[[], Volume | Images]) -> Any:
    """What the recipe's `example` is given; its labels say nothing."""
    read = subject()
    if isinstance(recipe, Segmenter) and isinstance(read, Volume):
        return Labelled(volume=read, labels=np.zeros(read.voxels.shape, dtype=np.uint8))
    return LabelledSubject(subject=read, labels=(0.0,) * recipe.channels)
