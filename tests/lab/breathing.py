"""A 4-D CT: a ball in a lung that grows and shrinks over a breath, as a series a phase told apart in several ways, and as one series.

Whatever form it is sent in, it is the same chest: its voxels are counted here, where they are drawn, and nothing of ours orders them. The
numbers of series and images, and the times at which they were made, say nothing of the phase.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, EnhancedCTImageStorage

from inference.imaging.write_series import write_series

SLICES, ROWS, COLUMNS = 8, 40, 48
SHARES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90)
LUNG, BALL = -800, 40
RADII = tuple(8.0 + 4.0 * float(np.sin(2 * np.pi * share / 100) + np.cos(2 * np.pi * share / 100) / 2) for share in SHARES)
"""In pixels, by phase: no two alike."""
NUMBERS = (7, 4, 12, 5, 9, 3, 14, 11, 6, 8)
"""SeriesNumber of each phase."""
STUDY, SPACE = "1.2.826.0.2.1", "1.2.826.0.2.4"
PIXEL_MM, STEP_MM = 2.0, 3.0
AFFINE = np.array([[0, 0, PIXEL_MM, -48.0], [0, PIXEL_MM, 0, -40.0], [STEP_MM, 0, 0, -12.0], [0, 0, 0, 1]])
VOXEL_CM3 = STEP_MM * PIXEL_MM * PIXEL_MM / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Breath:
    """The files of a 4-D CT by phase, and where the ball is in each: (phase, Z, Y, X)."""

    phases: tuple[tuple[Path, ...], ...]
    ball: NDArray[np.bool_]

    @property
    def files(self) -> list[Path]:
        return [path for each in self.phases for path in each]

    @property
    def volumes_cm3(self) -> list[float]:
        return [int(one.sum()) * VOXEL_CM3 for one in self.ball]


def ball() -> NDArray[np.bool_]:
    """Where it is, (phase, Z, Y, X)."""
    z, y, x = np.mgrid[:SLICES, :ROWS, :COLUMNS].astype(np.float64)
    return np.stack([((z - 3.4) / (radius / 4)) ** 2 + ((y - 17) / radius) ** 2 + ((x - 22) / radius) ** 2 <= 1 for radius in RADII])


def series_uid(phase: int) -> str:
    """Of a series a phase."""
    return f"1.2.826.0.2.2.{NUMBERS[phase]}"


def series_a_phase(folder: Path, said: Callable[[int], Mapping[str, Any]]) -> Breath:
    """A series for each phase; `said` are the elements of its images, by phase."""
    there = ball()
    return Breath(phases=tuple(phase_files(folder, phase, there[phase], **said(phase)) for phase in range(len(SHARES))), ball=there)


def phase_files(folder: Path, phase: int, there: NDArray[np.bool_], *, voxels: NDArray[Any] | None = None, **said: Any) -> tuple[Path, ...]:
    """One phase as a series: an image for each slice."""
    drawn = np.where(there, BALL, LUNG).astype(np.int16) if voxels is None else voxels
    extra = {"SeriesNumber": NUMBERS[phase], "FrameOfReferenceUID": SPACE, "BodyPartExamined": "CHEST", "SeriesDescription": "4D", **said}
    uid = str(extra.pop("SeriesInstanceUID", series_uid(phase)))
    into = folder / uid
    return tuple(write_series(drawn, AFFINE, into, modality="CT", study_uid=STUDY, series_uid=uid, patient_name="Test^Chest", extra=extra))


def described(folder: Path) -> Breath:
    """As GE scanners send them, each description beside a word that all of them have."""
    return series_a_phase(folder, lambda phase: {"SeriesDescription": f"Thorax ASIR 40% T={SHARES[phase]}%"})


def gated(folder: Path) -> Breath:
    return series_a_phase(folder, lambda phase: {"SeriesDescription": f"Gated, {SHARES[phase]:.1f}%"})


def nominal(folder: Path) -> Breath:
    """By NominalPercentageOfRespiratoryPhase."""
    return series_a_phase(folder, lambda phase: {"NominalPercentageOfRespiratoryPhase": float(SHARES[phase])})


def one_series(folder: Path) -> Breath:
    """All phases in one series, by NominalPercentageOfRespiratoryPhase."""
    made = nominal(folder)
    for phase, each in enumerate(made.phases):
        for z, path in enumerate(each):
            dataset = pydicom.dcmread(path)
            dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.826.0.2.3", 3
            dataset.InstanceNumber = z * len(SHARES) + phase + 1
            dataset.save_as(path)
    return made


def enhanced(folder: Path) -> Breath:
    """An Enhanced CT instance for each phase, a series each, by their descriptions."""
    made = described(folder / "classic")
    return Breath(phases=tuple((_enhanced(each, folder, phase, Dataset()),) for phase, each in enumerate(made.phases)), ball=made.ball)


def grouped(folder: Path) -> Breath:
    """The same, by NominalPercentageOfRespiratoryPhase in the functional groups of the frames."""
    made = series_a_phase(folder / "classic", lambda phase: {"SeriesDescription": "4D"})
    phases = []
    for phase, each in enumerate(made.phases):
        frame, breath = Dataset(), Dataset()
        breath.NominalPercentageOfRespiratoryPhase = float(SHARES[phase])
        frame.RespiratorySynchronizationSequence = [breath]
        phases.append((_enhanced(each, folder, phase, frame),))
    return Breath(phases=tuple(phases), ball=made.ball)


def _enhanced(files: Sequence[Path], folder: Path, phase: int, said: Dataset) -> Path:
    """`said` are the functional groups that each frame has besides its place."""
    images = [pydicom.dcmread(path) for path in files]
    dataset = images[0]
    positions = [one.ImagePositionPatient for one in images]
    shared, orientation, measures, values = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = dataset.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = dataset.PixelSpacing, dataset.SliceThickness
    values.RescaleIntercept, values.RescaleSlope, values.RescaleType = dataset.RescaleIntercept, dataset.RescaleSlope, "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [values]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(dataset, keyword)
    for keyword in ("RescaleIntercept", "RescaleSlope", "RescaleType"):
        delattr(dataset, keyword)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.826.0.2.5.{phase}")
    dataset.NumberOfFrames, dataset.SharedFunctionalGroupsSequence = len(images), [shared]
    frames = []
    for position in positions:
        frame, place = copy.deepcopy(said), Dataset()
        place.ImagePositionPatient = position
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.PixelData = b"".join(one.PixelData for one in images)
    path = folder / f"enhanced{phase}.dcm"
    dataset.save_as(path)
    return path


FORMS: Mapping[str, Callable[[Path], Breath]] = {
    "described": described,
    "gated": gated,
    "nominal": nominal,
    "one series": one_series,
    "enhanced": enhanced,
    "grouped": grouped,
}
