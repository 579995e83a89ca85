"""The faults that are made in real series: what a sender, an archive or a person has done wrong. None may end in a result.

Each is one of a list of names with what it needs: images that lie one behind another (`slices`), several frames in one file (`frames`), or
any image. What it is given are one study's data sets, sorted, uncompressed where they lie one behind another; it may change them.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

_FEWEST_SLICES = 6


class Needs(Enum):
    """What a fault can be made in."""

    IMAGE = auto()
    FRAMES = auto()
    SLICES = auto()
    CT_SLICES = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: `make` gives the data sets with it.

    `held`: what came first is of one person and one study, and may go on alone, where its result begins with what is held (ADR-0033).
    """

    name: str
    needs: Needs
    make: Callable[[list[Dataset]], list[Dataset]]
    held: bool = False

    def suits(self, images: Sequence[Dataset]) -> bool:
        """Whether it can be made in this series."""
        if self.needs is Needs.IMAGE:
            return True
        if self.needs is Needs.FRAMES:
            return len(images) == 1 and int(images[0].get("NumberOfFrames") or 1) > 1
        return stacked(images) and (self.needs is Needs.SLICES or images[0].Modality == "CT")


def stacked(images: Sequence[Dataset]) -> bool:
    """Whether they lie one behind another, each at a place of its own, enough of them for a fault in the middle to be one."""
    if len(images) < _FEWEST_SLICES or any(int(one.get("NumberOfFrames") or 1) > 1 or not one.get("PixelSpacing") for one in images):
        return False
    along = [position_along(one) for one in images]
    return None not in along and len({round(place or 0.0, 2) for place in along}) == len(images)


def position_along(image: Dataset) -> float | None:
    """In mm along the normal of its plane; None where it says no place."""
    if not image.get("ImagePositionPatient") or not image.get("ImageOrientationPatient"):
        return None
    row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    return float(np.dot(np.cross(row, column), np.array(image.ImagePositionPatient, float)))


def _middle(images: Sequence[Dataset]) -> Dataset:
    return images[len(images) // 2]


def _upper(images: Sequence[Dataset]) -> Sequence[Dataset]:
    return images[len(images) // 2 :]


def _of_two(keyword: str, other: str) -> Callable[[list[Dataset]], list[Dataset]]:
    """Half of the series says something else."""

    def make(images: list[Dataset]) -> list[Dataset]:
        for one in _upper(images):
            setattr(one, keyword, other)
        return images

    return make


def _one_says(**said: object) -> Callable[[list[Dataset]], list[Dataset]]:
    """One image in the middle, or the only one, says something else."""

    def make(images: list[Dataset]) -> list[Dataset]:
        for keyword, value in said.items():
            setattr(_middle(images), keyword, value)
        return images

    return make


def _all_say(**said: object) -> Callable[[list[Dataset]], list[Dataset]]:
    def make(images: list[Dataset]) -> list[Dataset]:
        for one in images:
            for keyword, value in said.items():
                setattr(one, keyword, value)
        return images

    return make


def _lacks(keyword: str) -> Callable[[list[Dataset]], list[Dataset]]:
    """One image in the middle, or the only one, has it not."""

    def make(images: list[Dataset]) -> list[Dataset]:
        if keyword in _middle(images):
            delattr(_middle(images), keyword)
        return images

    return make


def _two_persons(images: list[Dataset]) -> list[Dataset]:
    for one in _upper(images):
        one.PatientID, one.PatientName = f"{one.PatientID}-OTHER", "Other^Person"
    return images


def _missing(images: list[Dataset]) -> list[Dataset]:
    del images[len(images) // 2]
    return images


def _two_missing(images: list[Dataset]) -> list[Dataset]:
    del images[len(images) // 2 : len(images) // 2 + 2]
    return images


def _truncated(images: list[Dataset]) -> list[Dataset]:
    """The second half of the pixels never came, and the element says that it is whole."""
    one = _middle(images)
    one.PixelData = one.PixelData[: len(one.PixelData) // 4 * 2]
    return images


def _turned(images: list[Dataset]) -> list[Dataset]:
    """Rows and columns of one slice change places."""
    one = _middle(images)
    one.ImageOrientationPatient = [*one.ImageOrientationPatient[3:], *one.ImageOrientationPatient[:3]]
    return images


def _across(images: list[Dataset]) -> list[Dataset]:
    """One slice lies across the others, as a scout does."""
    one = _middle(images)
    row, column = np.array(one.ImageOrientationPatient, float).reshape(2, 3)
    one.ImageOrientationPatient = [round(float(value), 6) for value in (*row, *np.cross(row, column))]
    return images


def _askew(images: list[Dataset]) -> list[Dataset]:
    """Rows and columns are not at right angles."""
    for one in images:
        row, column = np.array(one.ImageOrientationPatient, float).reshape(2, 3)
        leaning = (column + 0.4 * row) / np.linalg.norm(column + 0.4 * row)
        one.ImageOrientationPatient = [round(float(value), 6) for value in (*row, *leaning)]
    return images


def _aside(images: list[Dataset]) -> list[Dataset]:
    """One slice is 20 mm beside the others."""
    one = _middle(images)
    row = np.array(one.ImageOrientationPatient, float)[:3]
    one.ImagePositionPatient = [round(float(value), 4) for value in np.array(one.ImagePositionPatient, float) + 20 * row]
    return images


def _farther(images: list[Dataset]) -> list[Dataset]:
    """Slices of one thickness, farther and farther apart."""
    row, column = np.array(images[0].ImageOrientationPatient, float).reshape(2, 3)
    for number, one in enumerate(images):
        moved = np.array(one.ImagePositionPatient, float) + 0.15 * number * number * np.cross(row, column)
        one.ImagePositionPatient = [round(float(value), 4) for value in moved]
    return images


def _same_place(images: list[Dataset]) -> list[Dataset]:
    """A slice stands where its neighbour does."""
    _middle(images).ImagePositionPatient = images[len(images) // 2 - 1].ImagePositionPatient
    return images


def _once_more(one: Dataset) -> Dataset:
    """The same slice under another UID, its pixels the other way up."""
    again = deepcopy(one)
    again.SOPInstanceUID = generate_uid(entropy_srcs=[str(one.SOPInstanceUID), "again"])
    again.PixelData = np.ascontiguousarray(one.pixel_array[::-1]).tobytes()
    return again


def _twice(images: list[Dataset]) -> list[Dataset]:
    return [*images, _once_more(_middle(images))]


def _all_twice(images: list[Dataset]) -> list[Dataset]:
    """Two volumes at one place, and nothing that tells them apart."""
    return [*images, *(_once_more(one) for one in images)]


def _other_spacing(images: list[Dataset]) -> list[Dataset]:
    one = _middle(images)
    one.PixelSpacing = [round(float(value) * 1.5, 4) for value in one.PixelSpacing]
    return images


def _fewer_rows(images: list[Dataset]) -> list[Dataset]:
    """One slice is of another size, and its pixels are of that size."""
    one = _middle(images)
    pixels = one.pixel_array[:-2, :]
    one.Rows, one.PixelData = pixels.shape[0], np.ascontiguousarray(pixels).tobytes()
    return images


def _more_frames(images: list[Dataset]) -> list[Dataset]:
    """More frames are announced than there are."""
    images[0].NumberOfFrames = int(images[0].NumberOfFrames) + 7
    return images


def _more_rows(images: list[Dataset]) -> list[Dataset]:
    _middle(images).Rows = _middle(images).Rows + 16
    return images


def _other_frame(images: list[Dataset]) -> list[Dataset]:
    for one in _upper(images):
        one.FrameOfReferenceUID = generate_uid(entropy_srcs=[str(one.SeriesInstanceUID), "other frame"])
    return images


def _other_study(images: list[Dataset]) -> list[Dataset]:
    for one in _upper(images):
        one.StudyInstanceUID = generate_uid(entropy_srcs=[str(one.SeriesInstanceUID), "other study"])
    return images


FAULTS = (
    Fault(name="two patients in one series", needs=Needs.SLICES, make=_two_persons, held=True),
    Fault(name="two studies in one series", needs=Needs.SLICES, make=_other_study, held=True),
    Fault(name="no PatientID in half", needs=Needs.SLICES, make=_of_two("PatientID", ""), held=True),
    Fault(name="a slice is missing", needs=Needs.SLICES, make=_missing),
    Fault(name="two slices are missing", needs=Needs.SLICES, make=_two_missing),
    Fault(name="another frame of reference in half", needs=Needs.SLICES, make=_other_frame),
    Fault(name="another spacing in one slice", needs=Needs.SLICES, make=_other_spacing),
    Fault(name="spacing of zero", needs=Needs.SLICES, make=_all_say(PixelSpacing=[0, 0])),
    Fault(name="pixels of half a metre", needs=Needs.SLICES, make=_all_say(PixelSpacing=[500, 500])),
    Fault(name="rows and columns change places in one slice", needs=Needs.SLICES, make=_turned),
    Fault(name="a slice across the others", needs=Needs.SLICES, make=_across),
    Fault(name="rows and columns not at right angles", needs=Needs.SLICES, make=_askew),
    Fault(name="a slice beside the others", needs=Needs.SLICES, make=_aside),
    Fault(name="slices farther and farther apart", needs=Needs.SLICES, make=_farther),
    Fault(name="a slice at its neighbour's place", needs=Needs.SLICES, make=_same_place),
    Fault(name="a slice twice, with other pixels", needs=Needs.SLICES, make=_twice),
    Fault(name="every slice twice, nothing tells them apart", needs=Needs.SLICES, make=_all_twice),
    Fault(name="a slice without a place", needs=Needs.SLICES, make=_one_says(ImagePositionPatient=None)),
    Fault(name="a slice without an orientation", needs=Needs.SLICES, make=_lacks("ImageOrientationPatient")),
    Fault(name="a slice of another size", needs=Needs.SLICES, make=_fewer_rows),
    Fault(name="two modalities in one series", needs=Needs.SLICES, make=_of_two("Modality", "OT")),
    Fault(name="an inverted slice", needs=Needs.SLICES, make=_one_says(PhotometricInterpretation="MONOCHROME1")),
    Fault(name="a CT slice without a rescale intercept", needs=Needs.CT_SLICES, make=_lacks("RescaleIntercept")),
    Fault(name="a CT slice with a rescale slope of zero", needs=Needs.CT_SLICES, make=_one_says(RescaleSlope=0)),
    Fault(name="pixel data cut off", needs=Needs.IMAGE, make=_truncated),
    Fault(name="no pixel data in one image", needs=Needs.IMAGE, make=_lacks("PixelData")),
    Fault(name="more rows than pixels", needs=Needs.IMAGE, make=_more_rows),
    Fault(name="more bits stored than allocated", needs=Needs.IMAGE, make=_one_says(BitsStored=20, HighBit=19)),
    Fault(name="no number of columns", needs=Needs.IMAGE, make=_lacks("Columns")),
    Fault(name="more frames announced than there are", needs=Needs.FRAMES, make=_more_frames),
)
"""In the order in which they are made."""
