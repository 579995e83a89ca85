"""Bounds of what can be the image of a patient: places, sizes and values. What lies beyond is refused before it is analysed, wherever it
stands in a header; nothing is clipped, because nobody can say what was meant.

The bounds are wide: they keep out numbers that no device measures (a step of 10^15 mm, a slope of 10^300), not unusual patients. What an
application was made for is narrower, and said by its manifest and by `inference.imaging.judge`.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.imaging.errors import BeyondMeasure, TooLarge, naming

LEAST_SPACING_MM, MOST_SPACING_MM = 1e-4, 1000.0
"""Distance of pixels and of slices: from a tenth of a micrometre, below which no light resolves, to a metre, the step of a survey."""

MOST_EXTENT_MM = 10_000.0
"""From the first to the last voxel along any axis: three people long, and more than any table moves."""

MOST_COORDINATE_MM = 1e6
"""From the origin of the frame of reference, which may lie anywhere near the device; farther away a decimal string of 16 characters
(PS3.5 6.2) no longer tells neighbouring pixels apart."""

MOST_VALUE = 1e15
"""Magnitude of a modality value, in whatever unit (a vial of tracer has 1e10 Bq/ml): the squares of a volume's values add up in float32."""

LEAST_SLOPE = 1e-15
"""Magnitude of a rescale slope: its squares are still numbers in float32."""

MOST_OFFSET = float(1 << 24)
"""Magnitude of the intercept in steps of the slope: float32 has 24 bits, and beyond them neighbouring stored values become one."""

CT_SLOPES = (1e-4, 100.0)
"""Rescale slope of CT, in HU or another quantity of its own: extended scales of metal take 10, spectral images a hundredth."""

MOST_CT_VALUE = 1e7
"""Magnitude that a stored value of CT can stand for: 65,536 steps of the largest slope, and air below."""

MOST_VOLUME_BYTES = 16 << 30
"""Voxels of one volume: 8,000 slices of 1,024 x 1,024 in 16 bits. A compressed file of some kilobytes can claim any number."""


class Placed(Protocol):
    """An image with a place, as `inference.imaging.geometry.Plane` has it."""

    @property
    def name(self) -> str: ...
    @property
    def position(self) -> tuple[float, float, float]: ...
    @property
    def spacing(self) -> tuple[float, float]: ...


def refuse_places(planes: Sequence[Placed]) -> None:
    """Look at position and pixel spacing of each plane; directions that are none geometry refuses.

    Raises
    ------
    BeyondMeasure
        A number is larger or smaller than any that images of a patient have. What is 0 or below is left to geometry, which says so.
    """
    for keyword, numbers, least, most in (
        ("ImagePositionPatient", [plane.position for plane in planes], 0.0, MOST_COORDINATE_MM),
        ("PixelSpacing", [plane.spacing for plane in planes], LEAST_SPACING_MM, MOST_SPACING_MM),
    ):
        values = np.abs(np.array(numbers, dtype=np.float64))
        beyond = (values > most) | ((values < least) & (values > 0)) | ~np.isfinite(values)
        if beyond.any():
            names = [planes[int(index)].name for index in np.flatnonzero(beyond.any(axis=1))]
            wrong = float(values[beyond][0])
            bound = f"more than {most:g}" if not wrong < least else f"less than {least:g}"
            raise BeyondMeasure(f"{keyword} holds {wrong:g} mm, {bound}, in {naming(names)}: no image of a patient has that")


def refuse_extent(affine: NDArray[np.float64], shape: tuple[int, int, int], first: str) -> None:
    """Look at the distances between slices and at the size of a whole stack.

    Parameters
    ----------
    affine
        (4, 4), array indices (z, y, x, 1) to mm.
    shape
        (Z, Y, X).
    first
        How messages name the first slice.

    Raises
    ------
    BeyondMeasure
        Slices lie too close or too far apart, or the stack is larger than anything that is imaged.
    """
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if not LEAST_SPACING_MM <= steps[0] <= MOST_SPACING_MM:
        raise BeyondMeasure(f"the slices from {first} on lie {steps[0]:g} mm apart, not {LEAST_SPACING_MM:g} to {MOST_SPACING_MM:g} mm")
    extents = steps * shape
    if extents.max() > MOST_EXTENT_MM:
        z, y, x = (float(mm) for mm in extents)
        raise BeyondMeasure(f"the images from {first} on would show {x:g} x {y:g} x {z:g} mm, more than {MOST_EXTENT_MM:g} mm")


def refuse_size(shape: tuple[int, int, int], bytes_a_voxel: int, first: str) -> None:
    """Before memory is asked for.

    Raises
    ------
    TooLarge
        The voxels would take more than `MOST_VOLUME_BYTES`.
    """
    needed = math.prod(shape) * bytes_a_voxel
    if needed > MOST_VOLUME_BYTES:
        raise TooLarge(f"{shape[0]} slices of {shape[2]} x {shape[1]} pixels from {first} on: {needed / 2**30:.1f} GiB")


def refuse_rescale(slope: float, intercept: float, stored: float, uid: str, *, ct: bool) -> None:
    """Look at what the largest stored value would stand for (PS3.3 C.11.1).

    Parameters
    ----------
    stored
        The largest magnitude that a stored value can have.
    ct
        Whether the values are those of a CT, whose scale is known.

    Raises
    ------
    BeyondMeasure
        The values would be no numbers that a device measures, or could not be told apart.
    """
    most = MOST_CT_VALUE if ct else MOST_VALUE
    least_slope, most_slope = CT_SLOPES if ct else (LEAST_SLOPE, MOST_VALUE)
    if not least_slope <= abs(slope) <= most_slope:
        raise BeyondMeasure(f"RescaleSlope of {uid} is {slope:g}, its magnitude is not {least_slope:g} to {most_slope:g}")
    largest = abs(slope) * stored + abs(intercept)
    if largest > most:
        raise BeyondMeasure(
            f"RescaleSlope {slope:g} and RescaleIntercept {intercept:g} of {uid} make values of up to {largest:g}, more than {most:g}"
        )
    if abs(intercept) > MOST_OFFSET * abs(slope):
        raise BeyondMeasure(
            f"RescaleIntercept {intercept:g} of {uid} is too large for RescaleSlope {slope:g}: neighbouring values become one"
        )


def refuse_values(values: NDArray[Any], uid: str) -> None:
    """Look at pixels that were stored as floating point: these can be no numbers at all.

    Raises
    ------
    BeyondMeasure
        One is infinite, not a number, or of a magnitude above `MOST_VALUE`.
    """
    if not bool(np.all(np.abs(values) <= MOST_VALUE)):
        raise BeyondMeasure(f"pixels of {uid} are infinite, no numbers, or larger than {MOST_VALUE:g}")


def thickness_mm(stated: float | None) -> float | None:
    """SliceThickness, where it is one: what no slice has says nothing, and volumes are made of positions."""
    return stated if stated is not None and LEAST_SPACING_MM <= stated <= MOST_SPACING_MM else None


def is_distance(mm: float) -> bool:
    """Whether pixels can lie so far apart."""
    return LEAST_SPACING_MM <= mm <= MOST_SPACING_MM
