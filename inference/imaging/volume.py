"""The volume: voxels, where each of them lies in the patient, and which instance each slice came from."""

import math
import tempfile
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

MAPPED_BYTES = 1 << 30
"""From this size on an array lies in a file: two thousand slices of 512 x 512."""


def space(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of this shape, to be filled.

    A large one is a memory map of a file without a name in the folder for temporary files (TMPDIR): its pages count as the system's
    cache, not as memory that only the end of the process gives back, and it is gone with the last view of it.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size < MAPPED_BYTES:
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile(prefix="hilum-voxels-") as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


Affine: TypeAlias = NDArray[np.float64]
Reals: TypeAlias = NDArray[np.float64]
Voxels: TypeAlias = NDArray[Any]

NO_LEAN = 1e-6
"""Share of a step that floating point may lean sideways in a stack that is straight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSource:
    """The instance (and, in a multi-frame instance, the 1-based frame) that one slice came from."""

    sop_instance_uid: str
    sop_class_uid: str
    frame: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """Voxels with axes (slice z, row y, column x) and their place in the patient.

    Attributes
    ----------
    voxels
        (Z, Y, X). Modality values after the rescale (HU for CT): int16 where rescale allows it without loss, else float32.
    affine
        (4, 4) float64. Maps array indices (z, y, x, 1) to patient coordinates (x, y, z, 1) in mm, LPS, at voxel centres
        (PS3.3 C.7.6.2.1.1). Note the order: the first column is the step from slice to slice. It is perpendicular to the others unless the
        gantry was tilted: then the grid is sheared, as the slices are.
    steps
        Of slices that are not evenly spaced: where each lies along the first axis, in steps of `affine`, from 0 for the first to Z - 1 for
        the last; `affine` then holds for these, not for whole indices. None: evenly spaced.
    sources
        One per slice, in the order of axis 0.
    thickness_mm
        The largest SliceThickness of the slices; None where none states one.
    patient_years
        How old the patient was, in completed years; None where the headers do not tell.
    laterality
        The side of the paired part that all images show, "L" or "R" (Image Laterality, PS3.3 10.5, or Laterality); "" where they do not
        say it, or not alike.
    acquired_on
        The day on which the patient was imaged; None where the headers do not tell, or contradict themselves.
    kernel
        ConvolutionKernel, as all slices have it; "" where they do not say it, or not alike.
    """

    voxels: Voxels
    affine: Affine
    sources: tuple[SliceSource, ...]
    modality: str
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    patient_years: int | None = None
    laterality: str = ""
    thickness_mm: float | None = None
    steps: tuple[float, ...] | None = None
    acquired_on: date | None = None
    kernel: str = ""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of the slices along their normal, of the rows and of the columns, in mm; of slices in unequal steps the mean one."""
        z, y, x = (float(n) for n in np.linalg.norm(self.affine[:3, :3], axis=0))
        lean = self._lean_mm
        return (math.sqrt(z * z - lean * lean) if lean > NO_LEAN * z else z), y, x

    @property
    def apart_mm(self) -> tuple[float, float]:
        """The least and the largest distance between neighbouring slices along their normal, in mm."""
        mean = self.spacing_mm[0]
        if self.steps is None:
            return mean, mean
        apart = np.diff(self.steps)
        return mean * float(apart.min()), mean * float(apart.max())

    @property
    def widest_mm(self) -> float:
        """The largest distance between neighbouring slices, rows or columns in mm."""
        return max(self.apart_mm[1], *self.spacing_mm[1:])

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm³: pixel area times distance along the normal; of slices in unequal steps the mean one."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def tilt_degrees(self) -> float:
        """By how much the stack is sheared: the angle between the line on which the slices lie and their normal."""
        return math.degrees(math.atan2(self._lean_mm, self.spacing_mm[0]))

    @property
    def _lean_mm(self) -> float:
        """How far one step from slice to slice goes sideways."""
        plane = self.affine[:3, 1:3] / np.linalg.norm(self.affine[:3, 1:3], axis=0)
        return float(np.linalg.norm(self.affine[:3, 0] @ plane))

    @property
    def slice_shares(self) -> Reals:
        """(Z,): how much one voxel of each slice stands for, in voxels: half the way along the normal to both neighbours of its slice."""
        if self.steps is None:
            return np.ones(len(self.voxels))
        apart = np.diff(self.steps)
        # beyond the ends as far as inwards
        return np.asarray((np.append(apart[0], apart) + np.append(apart, apart[-1])) / 2, dtype=np.float64)

    def volume_mm3(self, mask: NDArray[np.bool_]) -> float:
        """Volume of a mask (Z, Y, X) on this grid: of each slice its area, times half the way along the normal to both its neighbours."""
        if self.steps is None:
            return int(np.count_nonzero(mask)) * self.voxel_volume_mm3
        return float(np.count_nonzero(mask, axis=(1, 2)) @ self.slice_shares) * self.voxel_volume_mm3

    def held_alike(self, values: NDArray[np.floating[Any]]) -> Voxels:
        """Values that were computed of these, as these are held: int16, rounded and limited in place, where these are, else float32."""
        if self.voxels.dtype.kind == "f":
            return values.astype(np.float32, copy=False)
        limits = np.iinfo(np.int16)
        np.clip(np.rint(values, out=values), limits.min, limits.max, out=values)
        return values.astype(np.int16)

    def to_patient(self, indices: Reals) -> Reals:
        """Array indices (…, 3), the first that of a slice or between two, to mm (LPS)."""
        places: Reals = np.array(indices, dtype=np.float64)
        if self.steps is not None:
            places[..., 0] = _along(places[..., 0], np.arange(len(self.steps)), np.array(self.steps))
        return places @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_indices(self, points: Reals) -> Reals:
        """Points (…, 3) in mm (LPS) to array indices, the inverse of `to_patient`."""
        indices: Reals = (np.asarray(points, dtype=np.float64) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T
        if self.steps is not None:
            indices[..., 0] = _along(indices[..., 0], np.array(self.steps), np.arange(len(self.steps)))
        return indices


def _along(at: Reals, known: NDArray[Any], meant: NDArray[Any]) -> Reals:
    """Between known places as between the meant ones, linearly; beyond the ends as at the ends."""
    low = np.clip(np.searchsorted(known, at, side="right") - 1, 0, len(known) - 2)
    share = (at - known[low]) / (known[low + 1] - known[low])
    return np.asarray(meant[low] + share * (meant[low + 1] - meant[low]), dtype=np.float64)
