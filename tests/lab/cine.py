"""A short-axis cine: an ellipsoid of blood that contracts, as one series, as one series a slice, and as one enhanced instance.

Whatever form it is sent in, it is the same heart: its voxels are counted here, where they are drawn, and nothing of ours places them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, EnhancedMRImageStorage

from inference.imaging.write_series import write_series

SLICES, ROWS, COLUMNS, PHASES = 6, 40, 48, 8
STEP_MM, PIXEL_MM = 8.0, 1.5
BLOOD, MYOCARDIUM = 900, 120
BEAT_MS = 800.0
RADII = tuple(14.0 - 5.0 * float(np.sin(np.pi * phase / PHASES)) for phase in range(PHASES))
"""Of the ellipsoid across its axis in pixels, by phase: largest in the first, smallest in the fifth."""
LARGEST, SMALLEST = 0, 4

_TILT = np.radians(35)
_ACROSS, _DOWN = np.array([np.cos(_TILT), np.sin(_TILT), 0.0]), np.array([0.0, 0.0, -1.0])
AFFINE = np.eye(4)
AFFINE[:3, :3] = np.stack([np.cross(_ACROSS, _DOWN) * STEP_MM, _DOWN * PIXEL_MM, _ACROSS * PIXEL_MM], axis=1)
AFFINE[:3, 3] = (-20.0, -40.0, 60.0)
VOXEL_CM3 = STEP_MM * PIXEL_MM * PIXEL_MM / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cine:
    """The files of a cine, and what is in them: blood (phase, Z, Y, X), and how much in each phase."""

    files: list[Path]
    blood: NDArray[np.bool_]

    @property
    def volumes_cm3(self) -> list[float]:
        return [int(one.sum()) * VOXEL_CM3 for one in self.blood]


def blood(radii: Sequence[float] = RADII) -> NDArray[np.bool_]:
    """Where it is, (phase, Z, Y, X): an ellipsoid over the slices, off the middle, so that a turned axis shows."""
    z, y, x = np.mgrid[:SLICES, :ROWS, :COLUMNS].astype(np.float64)
    along = 1 - ((z - 2.4) / 2.3) ** 2
    return np.stack([((y - 17) / radius) ** 2 + ((x - 22) / (radius * 0.8)) ** 2 <= along for radius in radii])


def one_series(folder: Path, *, beats_ms: Sequence[float] = (BEAT_MS,) * SLICES, **said: str) -> Cine:
    """Phase after phase of one series, each image with its TriggerTime; `beats_ms` are those of the slices, from the apex on."""
    return _classic(folder, None, beats_ms, said)


def with_grain(made: Cine) -> Cine:
    """The same files with noise, as images have it: what has two values only is taken for a drawing, and declined."""
    rng = np.random.default_rng(0)
    for path in made.files:
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array
        dataset.PixelData = (pixels + rng.integers(-30, 31, pixels.shape)).astype(pixels.dtype).tobytes()
        dataset.save_as(path)
    return made


def series_a_slice(folder: Path, *, beats_ms: Sequence[float] = (BEAT_MS,) * SLICES, **said: str) -> Cine:
    """A series for each slice, numbered from 11 on, as scanners send breath-holds."""
    return _classic(folder, 11, beats_ms, said)


def _classic(folder: Path, numbers: int | None, beats_ms: Sequence[float], said: Mapping[str, str]) -> Cine:
    there = blood()
    made = []
    for phase, one in enumerate(there):
        voxels = np.where(one, BLOOD, MYOCARDIUM).astype(np.int16)
        into = folder / f"phase{phase}"
        files = write_series(voxels, AFFINE, into, modality="MR", study_uid="1.2.826.0.1.1", series_uid="1.2.826.0.1.2", extra=_SAID)
        for z, path in enumerate(files):
            dataset = pydicom.dcmread(path)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.826.0.1.3.{phase}.{z}")
            dataset.TriggerTime = f"{beats_ms[z] * phase / PHASES:.2f}"
            dataset.InstanceNumber = str(z * PHASES + phase + 1)
            if numbers is not None:
                dataset.SeriesNumber, dataset.SeriesInstanceUID = numbers + z, f"1.2.826.0.1.2.{z}"
            for keyword, value in said.items():
                setattr(dataset, keyword, value)
            dataset.save_as(path)
        made += files
    return Cine(files=made, blood=there)


_SAID = {"SeriesNumber": "11", "SeriesDescription": "cine SAX", "BodyPartExamined": "HEART", "FrameOfReferenceUID": "1.2.826.0.1.4"}


def enhanced(folder: Path) -> Cine:
    """One Enhanced MR instance: its frames slice after slice, the last phase first, each with its trigger delay and its place in time."""
    classic = one_series(folder / "classic")
    dataset = pydicom.dcmread(classic.files[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "TriggerTime"):
        delattr(dataset, keyword)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.826.0.1.5")
    dataset.InstanceNumber, dataset.NumberOfFrames = 1, PHASES * SLICES
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [*_ACROSS.round(9), *_DOWN.round(9)]
    measures.PixelSpacing, measures.SliceThickness = [PIXEL_MM, PIXEL_MM], STEP_MM
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames, pixels = [], []
    for z in range(SLICES):
        for phase in reversed(range(PHASES)):
            frame, place, content, heart = Dataset(), Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [float(mm) for mm in (AFFINE @ (z, 0, 0, 1))[:3].round(6)]
            content.TemporalPositionIndex = phase + 1
            heart.NominalCardiacTriggerDelayTime = BEAT_MS * phase / PHASES
            frame.PlanePositionSequence, frame.FrameContentSequence, frame.CardiacSynchronizationSequence = [place], [content], [heart]
            frames.append(frame)
            pixels.append(np.where(classic.blood[phase, z], BLOOD, MYOCARDIUM).astype(np.uint16))
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.PixelData = np.stack(pixels).tobytes()
    path = folder / "enhanced.dcm"
    dataset.save_as(path)
    return Cine(files=[path], blood=classic.blood)
