"""Subject of an analysis: a volume, a volume with its prior, projection images and their views, or a cine."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.imaging.volume import SliceSource, Volume

Region: TypeAlias = tuple[int, int, int, int, float, float]
"""(left, top, right, bottom, mm per column, mm per row): the first and the last column and row that belong to the region, from 0."""

Parts: TypeAlias = Literal["refuse", "each", "b0"]
"""What is taken of a series that holds several volumes of one place, or several loops."""


class Takes(StrEnum):
    """The kind of subject that an application analyses."""

    VOLUME = "volume"
    PAIR = "pair"
    IMAGES = "images"
    CINE = "cine"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Two volumes of one patient: the one that a route chose, and the one that it is compared with.

    The two are in frames of reference of their own, unless the scanner says otherwise. Results belong to the current study.
    """

    current: Volume
    prior: Volume

    @property
    def modality(self) -> str:
        """The current volume's."""
        return self.current.modality

    @property
    def study_instance_uid(self) -> str:
        """The current volume's."""
        return self.current.study_instance_uid

    @property
    def series_instance_uid(self) -> str:
        """The current volume's."""
        return self.current.series_instance_uid

    @property
    def frame_of_reference_uid(self) -> str:
        """The current volume's."""
        return self.current.frame_of_reference_uid

    @property
    def sources(self) -> tuple[SliceSource, ...]:
        """The current volume's, in the order of its slices; the prior's stand at `prior.sources`."""
        return self.current.sources


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """One single image without a place in the patient: a radiograph, a mammogram, an ultrasound still.

    Attributes
    ----------
    pixels
        (Y, X) modality values with bright meaning dense (MONOCHROME1 is inverted), or (Y, X, 3) uint8 RGB.
    inverted
        Whether the stored values were MONOCHROME1: then pixels are the largest value that can be stored, minus the stored one.
    spacing_mm
        (row, column) distance of pixel centres, where the header says one; `calibrated` whether it holds in the patient
        (PixelSpacing with its calibration) rather than on the detector (ImagerPixelSpacing).
    view
        What the header says of the projection, for people ("L MLO", "PA"); "" where it says nothing.
    laterality
        "L", "R", "B" or "".
    orientation
        PatientOrientation: where the rows and where the columns run to ("P", "FL"), where the header says so; a mirrored image shows here.
    regions
        As of a `Cine`: calibrated regions of an ultrasound still.
    window
        The lowest and the highest pixel that the header's first VOI window tells apart; None where it has none.
    body_parts
        What the header says was imaged, in its own words: BodyPartExamined, and the meanings of Anatomic Region Sequence.
    number
        What people call it by: InstanceNumber, of a multi-frame instance the frame's; "" where the header says none.
    """

    pixels: NDArray[Any]
    source: SliceSource
    series_instance_uid: str
    inverted: bool
    spacing_mm: tuple[float, float] | None
    calibrated: bool
    view: str
    laterality: str
    orientation: tuple[str, str] | None = None
    regions: tuple[Region, ...] = ()
    window: tuple[float, float] | None = None
    body_parts: tuple[str, ...] = ()
    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """The images of one series, or the views of one study, in the order (SeriesNumber, series, InstanceNumber, instance, frame)."""

    images: tuple[Image, ...]
    modality: str
    study_instance_uid: str
    series_instance_uid: str
    """Of the series that the job is for; views may come from others of the study."""
    frame_of_reference_uid: str = ""

    @property
    def sources(self) -> tuple[SliceSource, ...]:
        """One per image."""
        return tuple(image.source for image in self.images)

    def called(self, index: int) -> str:
        """The number that people call an image by, as pages and reports do; its place where it has none."""
        return self.images[index].number or str(index + 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cine:
    """The frames of one multi-frame instance over time, without a place in the patient: an ultrasound loop, an angiogram.

    Attributes
    ----------
    frames
        (T, Y, X) modality values as of an `Image`, uint8 where they fit and are stored so, or (T, Y, X, 3) uint8 RGB.
    times_s
        (T,) float64: seconds from the first frame (frame date-times, FrameTime, FrameTimeVector, CineRate or ActualFrameDuration); None
        where the header says nothing, or something that cannot be.
    regions
        Calibrated regions (PS3.3 C.8.5.5), of two-dimensional tissue in cm alone.
    spacing_mm, calibrated
        As of an `Image`: an angiogram has them, an ultrasound loop its regions.
    """

    frames: NDArray[Any]
    times_s: NDArray[np.float64] | None
    sources: tuple[SliceSource, ...]
    modality: str
    study_instance_uid: str
    series_instance_uid: str
    regions: tuple[Region, ...] = ()
    frame_of_reference_uid: str = ""
    spacing_mm: tuple[float, float] | None = None
    calibrated: bool = False


Subject: TypeAlias = Volume | Pair | Images | Cine


def volume_of(subject: Subject) -> Volume | None:
    """The volume on whose grid masks and maps lie: the subject itself, the current one of a pair, or None for what is not in space."""
    if isinstance(subject, Pair):
        return subject.current
    return subject if isinstance(subject, Volume) else None


def images_in(subject: Subject) -> int:
    """How many source images a finding may lie on: slices, images, or frames."""
    return len(subject.sources)
