"""Classification images from folders, one a class: DICOM as serving reads it, or PNG and JPEG; the split is by patient (`split`).

DIR/CLASS/…/FILE       DICOM: patients are told apart by PatientID and its issuer
DIR/CLASS/PATIENT/FILE  PNG, JPEG: by the name of the folder that a file lies in; right below its class, every file is one
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from inference.errors import InputError
from inference.imaging.errors import NoPixelData, NotDicom
from inference.imaging.header import read_instance
from inference.imaging.subject import Images, Takes
from inference.imaging.subjects import subjects
from training.data.dicom import patient_of
from training.errors import UnfitData

_PICTURES = frozenset({".png", ".jpg", ".jpeg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One image file, not decoded yet; `label` counts the classes from 0."""

    path: Path
    label: int
    patient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """What a folder holds: its classes, sorted by name, and their images."""

    names: tuple[str, ...]
    pictures: tuple[Picture, ...]


def classes(folder: Path) -> Classes:
    """Every image below the folders of the classes; other files are passed over.

    Raises
    ------
    UnfitData
        There are fewer than two classes, or one has no image; or an image cannot be read.
    """
    names = tuple(sorted(each.name for each in folder.iterdir() if each.is_dir())) if folder.is_dir() else ()
    if len(names) < 2:
        raise UnfitData(f"{folder} has {len(names)} folders; a class is one, and there are two at least")
    found = tuple(picture for label, name in enumerate(names) for picture in _pictures(folder / name, label))
    empty = [name for label, name in enumerate(names) if all(picture.label != label for picture in found)]
    if empty:
        raise UnfitData(f"{folder}: no image in {', '.join(empty)}")
    return Classes(names=names, pictures=found)


def pixels(picture: Picture) -> NDArray[Any]:
    """Grey values (Y, X): modality values of DICOM as serving decodes them, else uint8.

    Raises
    ------
    UnfitData
        The file cannot be read, or is not one greyscale image.
    """
    try:
        if picture.path.suffix.lower() in _PICTURES:
            with Image.open(picture.path) as image:
                if image.mode != "L":
                    raise UnfitData(f"{picture.path} is of mode {image.mode}, not 8-bit greyscale (L)")
                return np.asarray(image)
        (read,) = subjects(Takes.IMAGES, "refuse", [picture.path])
    except (InputError, OSError, UnidentifiedImageError) as broken:
        raise UnfitData(f"{picture.path} cannot be read: {broken}") from broken
    assert isinstance(read.subject, Images), "it was asked for"
    if len(read.subject.images) != 1 or read.subject.images[0].pixels.ndim != 2:
        raise UnfitData(f"{picture.path} is not one greyscale image")
    return read.subject.images[0].pixels


def _pictures(folder: Path, label: int) -> Iterator[Picture]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        if path.suffix.lower() in _PICTURES:
            # the same name in two classes is one patient: `a/p1/x.png` and `b/p1/y.png` never stand on two sides
            patient = path.name if path.parent == folder else path.relative_to(folder).parts[0]
            yield Picture(path=path, label=label, patient=patient)
            continue
        try:
            yield Picture(path=path, label=label, patient=patient_of(read_instance(path).header))
        except (NotDicom, NoPixelData):
            continue
        except InputError as broken:
            raise UnfitData(f"{path}: {broken}") from broken
