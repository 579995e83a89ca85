"""The source images by hand: geometry and intensities read with pydicom alone, to compare the node's results with."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from scipy import ndimage

from tests.lab.orthanc import parts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A series: `voxels` (K, rows, columns); `affine` maps (column, row, k, 1) to patient LPS mm; `positions` of the K slices."""

    study_uid: str
    series_uid: str
    voxels: NDArray[np.float32]
    affine: NDArray[np.float64]
    positions: NDArray[np.float64]

    def inside_head(self) -> NDArray[np.bool_]:
        """Where the head is, by intensity alone: above half of the mean, the largest part, slice by slice without holes."""
        bright = self.voxels > 0.5 * float(self.voxels.mean())
        bright = ndimage.binary_opening(bright, iterations=2)
        parts, count = ndimage.label(bright)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        assert count, "the series shows something"
        head = parts == sizes.argmax()
        return np.stack([ndimage.binary_fill_holes(ndimage.binary_closing(plane, iterations=4)) for plane in head])

    def index_of(self, points_mm: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N, 3) patient positions → nearest (k, row, column)."""
        homogeneous = np.column_stack([points_mm, np.ones(len(points_mm))])
        found: NDArray[np.int64] = np.rint(homogeneous @ np.linalg.inv(self.affine).T)[:, 2::-1].astype(np.int64)
        return found


def read(source: Path) -> Source:
    """Read a series from a file, a folder or a zip: classic slices sorted along their normal, or the frames of one enhanced object."""
    datasets = [pydicom.dcmread(io.BytesIO(data)) for data in parts_of(source)]
    if "PerFrameFunctionalGroupsSequence" in datasets[0]:
        return _enhanced(datasets[0])
    row, column = _cosines(datasets[0].ImageOrientationPatient)
    normal = np.cross(row, column)
    datasets.sort(key=lambda one: float(np.dot(normal, np.asarray(one.ImagePositionPatient, dtype=float))))
    positions = np.asarray([one.ImagePositionPatient for one in datasets], dtype=float)
    voxels = np.stack([one.pixel_array for one in datasets]).astype(np.float32)
    spacing = [float(value) for value in datasets[0].PixelSpacing]
    return _source(datasets[0], voxels, positions, row, column, spacing)


def study_uid(source: Path) -> str:
    """The Study Instance UID of a series' first file."""
    return str(pydicom.dcmread(io.BytesIO(next(iter(parts_of(source)))), stop_before_pixels=True).StudyInstanceUID)


def _enhanced(one: pydicom.Dataset) -> Source:
    shared, frames = one.SharedFunctionalGroupsSequence[0], one.PerFrameFunctionalGroupsSequence

    def group(frame: pydicom.Dataset, name: str) -> pydicom.Dataset:
        found: pydicom.Dataset = (frame if name in frame else shared)[name][0]
        return found

    row, column = _cosines(group(frames[0], "PlaneOrientationSequence").ImageOrientationPatient)
    normal = np.cross(row, column)
    positions = np.asarray([group(frame, "PlanePositionSequence").ImagePositionPatient for frame in frames], dtype=float)
    order = np.argsort(positions @ normal)
    spacing = [float(value) for value in group(frames[0], "PixelMeasuresSequence").PixelSpacing]
    return _source(one, one.pixel_array[order].astype(np.float32), positions[order], row, column, spacing)


def _cosines(orientation: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = np.asarray(orientation, dtype=float)
    return values[:3], values[3:]


def _source(
    header: pydicom.Dataset,
    voxels: NDArray[np.float32],
    positions: NDArray[np.float64],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    spacing: Sequence[float],
) -> Source:
    affine = np.eye(4)
    # PS3.3 C.7.6.2.1.1: the first spacing is that between rows, along the column's direction
    affine[:3, 0] = row * spacing[1]
    affine[:3, 1] = column * spacing[0]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    return Source(
        study_uid=str(header.StudyInstanceUID), series_uid=str(header.SeriesInstanceUID), voxels=voxels, affine=affine, positions=positions
    )
