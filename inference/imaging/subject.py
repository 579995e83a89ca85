"""Subject of an analysis: a volume, several volumes in roles, one volume over time, projection images and their views, or a cine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.imaging.volume import Affine, SliceSource, Volume

Region: TypeAlias = tuple[int, int, int, int, float, float]
"""(left, top, right, bottom, mm per column, mm per row): the first and the last column and row that belong to the region, from 0."""

Parts: TypeAlias = Literal["refuse", "each", "b0"]
"""What is taken of a series that holds several volumes of one place, or several loops."""


class Takes(StrEnum):
    """The kind of subject that an application analyses; a pair is two volumes, in the roles `current` and `prior`."""

    VOLUME = "volume"
    PAIR = "pair"
    VOLUMES = "volumes"
    PHASES = "phases"
    IMAGES = "images"
    CINE = "cine"

    @property
    def of_slices(self) -> bool:
        """Whether it is made of slices that lie in the patient, of one volume or of several."""
        return self in (Takes.VOLUME, Takes.PAIR, Takes.VOLUMES, Takes.PHASES)


CURRENT, PRIOR = "current", "prior"
"""The roles of a pair."""


class _OfReference(ABC):
    """Several volumes, of which one says what they are: modality, study, series and space are the reference's."""

    __slots__ = ()

    @property
    @abstractmethod
    def reference(self) -> Volume:
        """The volume that results belong to."""

    @property
    def modality(self) -> str:
        """The reference's."""
        return self.reference.modality

    @property
    def study_instance_uid(self) -> str:
        """The reference's."""
        return self.reference.study_instance_uid

    @property
    def series_instance_uid(self) -> str:
        """The reference's; others, and slices over time, may come from other series of the study."""
        return self.reference.series_instance_uid

    @property
    def frame_of_reference_uid(self) -> str:
        """The reference's."""
        return self.reference.frame_of_reference_uid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VolumeSet(_OfReference):
    """Several volumes of one patient, each in a role that the application names.

    The first is the reference: results belong to it, and masks, maps and locations lie on its grid.

    Attributes
    ----------
    volumes
        By role, in the manifest's order; one that is optional and was not there, or did not fit, is missing. They are as acquired until
        they are analysed: then those in `motions` lie where the reference does, on its grid or on their own, and name no sources.
    priors
        The roles whose volume is of an earlier study.
    motions
        Of each role that is brought to the reference's place: (4, 4), from its patient coordinates to the reference's (mm, LPS).
    own_grids
        Those of them that keep their own voxels there, and are not resampled.
    """

    volumes: Mapping[str, Volume]
    priors: tuple[str, ...] = ()
    motions: Mapping[str, Affine] = field(default_factory=dict)
    own_grids: tuple[str, ...] = ()

    def __getitem__(self, role: str) -> Volume:
        return self.volumes[role]

    def __contains__(self, role: object) -> bool:
        return role in self.volumes

    @property
    def reference(self) -> Volume:
        """The volume that results belong to."""
        return next(iter(self.volumes.values()))

    @property
    def prior(self) -> Volume | None:
        """The first that is of an earlier study; None where none is."""
        return next((self.volumes[role] for role in self.priors if role in self.volumes), None)

    @property
    def sources(self) -> tuple[SliceSource, ...]:
        """The reference's, in the order of its slices; `all_sources` has those of the others too."""
        return self.reference.sources


def pair_of(current: Volume, prior: Volume) -> VolumeSet:
    """A volume with its prior, each in its own patient coordinates."""
    return VolumeSet(volumes={CURRENT: current, PRIOR: prior}, priors=(PRIOR,))


class Clock(StrEnum):
    """What the time of phases is counted by: beats of the heart, breaths, or seconds as they pass."""

    HEART = "heart"
    BREATH = "breath"
    TIME = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When each phase is, and what says so.

    Attributes
    ----------
    clock
        None: what the images say is the order of the phases, and not what their time is counted by.
    attribute
        The keyword of the element that it was read from.
    unit
        "ms" (from the trigger, or from the first phase), "%" (of a beat, of a breath, or without a clock of one of both), or "".
    values
        One per phase, rising; of slices that differ the median.
    """

    clock: Clock | None
    attribute: str
    unit: Literal["ms", "%", ""]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Phases(_OfReference):
    """One volume over time: a beating heart, a contrast agent that arrives, a breath. All phases lie on one grid.

    Attributes
    ----------
    volumes
        In the order of time; each with the images that it was made of. A series that does not move has one.
    timing
        When each of them is.
    """

    volumes: tuple[Volume, ...]
    timing: Timing

    def __len__(self) -> int:
        return len(self.volumes)

    @property
    def reference(self) -> Volume:
        """The first phase: its grid is that of all."""
        return self.volumes[0]

    @property
    def sources(self) -> tuple[SliceSource, ...]:
        """Phase after phase, in each in the order of its slices: slice `z` of phase `t` is number `t * Z + z`."""
        return tuple(source for volume in self.volumes for source in volume.sources)

    def moment(self, phase: int) -> str:
        """When a phase (from 0) is, for people: "310 ms", "40 %", "12.5 s"; "" where nothing says so."""
        at = self.timing.values[phase]
        if self.timing.clock is Clock.TIME:
            return f"{at / 1000:.4g} s"
        return f"{at:.4g} {self.timing.unit}" if self.timing.unit else ""


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
    photographed
        How an ophthalmic photograph was taken, in the header's own words: device, light, filters, channels, agents (PS3.3 C.8.17.2).
    patient_years
        How old the patient was, in completed years; None where the header does not tell.
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
    photographed: tuple[str, ...] = ()
    patient_years: int | None = None


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
    patient_years
        As of an `Image`.
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
    patient_years: int | None = None


Subject: TypeAlias = Volume | VolumeSet | Phases | Images | Cine


def volume_of(subject: Subject) -> Volume | None:
    """The volume on whose grid masks and maps lie: the subject itself, the reference of several, or None for what is not in space."""
    if isinstance(subject, VolumeSet | Phases):
        return subject.reference
    return subject if isinstance(subject, Volume) else None


def volumes_in(subject: Subject) -> tuple[Volume, ...]:
    """Every volume that a subject holds, the one of `volume_of` first; none for what is not in space."""
    if isinstance(subject, VolumeSet):
        return tuple(subject.volumes.values())
    if isinstance(subject, Phases):
        return subject.volumes
    return (subject,) if isinstance(subject, Volume) else ()


def prior_in(subject: Subject) -> Volume | None:
    """The volume of an earlier study that a subject holds; None where there is none."""
    return subject.prior if isinstance(subject, VolumeSet) else None


def all_sources(subject: Subject) -> tuple[SliceSource, ...]:
    """Every source image: those of `sources`, then those of the other volumes, in the order of their roles."""
    if isinstance(subject, Phases):
        return subject.sources
    return (*subject.sources, *(source for volume in volumes_in(subject)[1:] for source in volume.sources))


def images_in(subject: Subject) -> int:
    """How many source images a finding may lie on: slices, images, or frames."""
    return len(subject.sources)


def ages_in(subject: Subject) -> tuple[int | None, ...]:
    """How old the patient was, in completed years, of each image, or of the volume or the cine; None where a header does not tell."""
    if isinstance(subject, Images):
        return tuple(dict.fromkeys(image.patient_years for image in subject.images))
    if isinstance(subject, Cine):
        return (subject.patient_years,)
    return (subject.patient_years if isinstance(subject, Volume) else subject.reference.patient_years,)
