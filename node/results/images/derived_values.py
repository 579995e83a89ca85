"""Modality values as 16-bit stored values with a rescale: nothing is clipped, nothing is off by more than half a step."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

_DIGITS = Context(prec=6, rounding=ROUND_CEILING)
_SIGNED, _UNSIGNED = np.iinfo(np.int16), np.iinfo(np.uint16)
_WINDOW_PERCENTILES = (1.0, 99.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """Stored values, and the slope to modality values; the intercept is always 0, so that nothing stays exactly nothing.

    Attributes
    ----------
    pixels
        (Z, Y, X) int16 or uint16, little endian.
    slope
        As it is written (a decimal string), "1" where the values are whole.
    """

    pixels: NDArray[Any]
    slope: str

    @property
    def signed(self) -> bool:
        """PixelRepresentation 1."""
        return self.pixels.dtype.kind == "i"


def stored(voxels: NDArray[Any]) -> Stored:
    """Whole values that fit 16 bits are kept as they are; others are rounded to steps that the range of all slices needs."""
    low, high = float(voxels.min()), float(voxels.max())
    fits = low >= _SIGNED.min and high <= _SIGNED.max
    if fits and (voxels.dtype.kind in "iu" or bool(np.all(voxels == np.rint(voxels)))):
        return Stored(pixels=np.ascontiguousarray(voxels, dtype="<i2"), slope="1")
    if low < 0:
        slope, dtype = _step(max(low / _SIGNED.min, high / _SIGNED.max)), "<i2"
    else:
        slope, dtype = _step(high / _UNSIGNED.max), "<u2"
    pixels = np.empty(voxels.shape, dtype=dtype)
    for z, plane in enumerate(voxels):
        # in double precision: a float32 quotient may round across the half
        pixels[z] = np.rint(plane.astype(np.float64) / float(slope))
    return Stored(pixels=pixels, slope=slope)


def show(holder: Dataset, voxels: NDArray[Any]) -> None:
    """Write a window that shows nearly all values."""
    low, high = (float(bound) for bound in np.percentile(voxels[::2, ::3, ::3], _WINDOW_PERCENTILES))
    width = high - low if high > low else 1.0
    holder.WindowCenter, holder.WindowWidth = f"{(low + high) / 2:.6g}", f"{width:.6g}"
    if width < 1:
        # the function that holds unless another is named needs a width of 1 at least (PS3.3 C.11.2.1.2.1)
        holder.VOILUTFunction = "LINEAR_EXACT"


def _step(exact: float) -> str:
    """A step of six digits, never smaller than needed, as a decimal string."""
    return f"{_DIGITS.create_decimal(Decimal(exact)).normalize():g}"
