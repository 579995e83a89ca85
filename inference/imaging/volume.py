"""The volume: voxels, where each of them lies in the patient, and which instance each slice came from."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Affine: TypeAlias = NDArray[np.float64]
Voxels: TypeAlias = NDArray[Any]


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
        (PS3.3 C.7.6.2.1.1). Note the order: the first column is the step from slice to slice.
    sources
        One per slice, in the order of axis 0.
    thickness_mm
        The largest SliceThickness of the slices; None where none states one.
    patient_years
        How old the patient was, in completed years; None where the headers do not tell.
    """

    voxels: Voxels
    affine: Affine
    sources: tuple[SliceSource, ...]
    modality: str
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    patient_years: int | None = None
    thickness_mm: float | None = None

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (z, y, x) in mm."""
        z, y, x = (float(n) for n in np.linalg.norm(self.affine[:3, :3], axis=0))
        return z, y, x

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm³."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))
