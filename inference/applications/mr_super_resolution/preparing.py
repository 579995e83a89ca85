"""Pre-processing: lays thick slices onto a finer grid along their axis, and brings back what a network makes of it; training, evaluation
and serving all go through here.

What is done along one axis is linear, and a matrix of (results, sources). The network sees steps of about 1 mm along all axes: of finer
pixels it sees coarser ones, and what it changes is laid back onto theirs, so that they keep their own detail.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.errors import InputError
from inference.imaging.volume import Volume

Image: TypeAlias = NDArray[np.float32]
Matrix: TypeAlias = NDArray[np.float64]

FINE_MM = 1.0
"""About how far slices that are made lie apart, and pixels that the network sees."""
WINDOW = (4, 64, 64)
NEIGHBOURS = 3
"""Acquired slices on either side of a made one that the network sees for it."""
CHANNELS = 3 + 2 * NEIGHBOURS
"""What the network sees of each place: the back-projected image, the acquired slices around it, where it lies, how thick they are."""
LEAST_MM, MOST_MM = 2.5, 6.5
"""Between slices: the network was trained on 3 to 6 mm."""
IN_PLANE_MM = (0.4, 1.3)
THICKNESS = (0.75, 1.1)
"""Slice Thickness as a share of the distance between slices: the network was trained on 0.78 to 1.05."""

ROUNDS = 3
"""Of back-projection, in what the network begins with."""

_LOBES = 3
_THICKNESS = 6.0
"""By which thicknesses are divided, so that they are about 1."""
_AS_IT_IS = 0.1
"""A share by which pixels may differ from `FINE_MM` and are seen as they are."""
_BRIGHT = 98.0
"""The percentile of what is not dark that counts as 1."""


class OtherSlices(InputError):
    """The slices lie too close or too far apart, overlap, leave gaps or do not say how thick they are, or pixels are too small or large."""

    code = "HLM-3203"
    remedy = "Cancel the job, and narrow the route to what the model was trained on: `SliceThickness: {min: 2.5, max: 6.5}`."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThickStack:
    """Thick slices laid onto a finer grid by back-projection.

    Attributes
    ----------
    acquired
        (z, Y, X), in the volume's units.
    image
        (Z, Y, X), every `steps`th slice in the place of an acquired one.
    steps
        How many of the finer slices a thick one is replaced by.
    apart_mm, fine_mm
        How far slices lie apart, as they came and as they are here.
    thickness
        Of the slices that came, in finer slices.
    in_plane_mm
        Of rows and of columns.
    unit
        What counts as 1 to the network.
    """

    acquired: Image
    image: Image
    steps: int
    apart_mm: float
    fine_mm: float
    thickness: float
    in_plane_mm: tuple[float, float]
    unit: float

    def refined(self, network: Callable[[Image], Image]) -> Image:
        """What the network makes of it, in the volume's units.

        Parameters
        ----------
        network
            From (`CHANNELS`, Z, Y, X), whose rows and columns are no fewer than the window's, to the image (Z, Y, X) on the same grid.
        """
        rows, columns = (_resampling(count, mm) for count, mm in zip(self.image.shape[1:], self.in_plane_mm, strict=True))
        image, acquired = (_along(columns.there, _along(rows.there, each / self.unit, 1), 2) for each in (self.image, self.acquired))
        margins = [(0, 0), *((lack // 2, lack - lack // 2) for lack in _lacking(image.shape[1:]))]
        around = np.pad(acquired, margins, mode="edge")
        seen = shown(np.pad(image, margins, mode="edge"), around, self.steps, self.thickness)
        made = network(seen)[tuple(slice(before, before + side) for (before, _), side in zip(margins, image.shape, strict=True))]
        changed = _along(columns.back, _along(rows.back, made - image, 1), 2)
        return self.image + changed * np.float32(self.unit)


def _lacking(sides: tuple[int, ...]) -> list[int]:
    return [max(0, window - side) for window, side in zip(WINDOW[1:], sides, strict=True)]


def prepare(volume: Volume) -> ThickStack:
    """Lay thick slices onto a finer grid.

    Raises
    ------
    OtherSlices
    """
    _, *in_plane_mm = volume.spacing_mm
    # positions are written in decimals: slices 2.5 mm apart come out as 2.4999996
    apart_mm, *rounded_mm = (round(mm, 3) for mm in volume.spacing_mm)
    where = f"series {volume.series_instance_uid}"
    if not LEAST_MM <= apart_mm <= MOST_MM:
        raise OtherSlices(f"the slices of {where} lie {apart_mm:.2f} mm apart; {LEAST_MM:g} to {MOST_MM:g} mm are taken")
    if not IN_PLANE_MM[0] <= min(rounded_mm) <= max(rounded_mm) <= IN_PLANE_MM[1]:
        raise OtherSlices(
            f"the pixels of {where} measure {in_plane_mm[0]:.2f} × {in_plane_mm[1]:.2f} mm; "
            f"{IN_PLANE_MM[0]:g} to {IN_PLANE_MM[1]:g} mm are taken"
        )
    thickness_mm = volume.thickness_mm
    if thickness_mm is None:
        raise OtherSlices(f"the slices of {where} do not say how thick they are: whether they leave gaps is not known")
    if not THICKNESS[0] <= round(thickness_mm / apart_mm, 3) <= THICKNESS[1]:
        raise OtherSlices(
            f"the slices of {where} are {thickness_mm:.2f} mm thick and lie {apart_mm:.2f} mm apart: they overlap, or leave gaps of which "
            "nothing was measured"
        )
    steps = steps_of(apart_mm)
    thickness = thickness_mm / apart_mm * steps
    values = volume.voxels.astype(np.float32)
    return ThickStack(
        acquired=values,
        image=along(laid(len(values), steps, thickness), values),
        steps=steps,
        apart_mm=apart_mm,
        fine_mm=apart_mm / steps,
        thickness=thickness,
        in_plane_mm=(in_plane_mm[0], in_plane_mm[1]),
        unit=unit_of(values),
    )


def steps_of(apart_mm: float) -> int:
    """How many slices of about `FINE_MM` a thick one is replaced by."""
    return math.floor(apart_mm / FINE_MM + 0.5)


def unit_of(values: NDArray[Any]) -> float:
    """What counts as 1: bright tissue, whatever share of the images is air; 1 where nothing is above 0."""
    bright = values[values > 0.1 * values.max()] if values.max() > 0 else values[:0]
    return float(np.percentile(bright, _BRIGHT)) if bright.size else 1.0


def profile(fine: int, at: NDArray[np.float64], thickness: float) -> Matrix:
    """From `fine` slices to thick ones around `at`, all counted in fine slices: a Gaussian of this full width at half maximum."""
    weights = np.exp(-4 * np.log(2) * ((np.arange(fine)[None] - at[:, None]) / thickness) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def lanczos(slices: int, steps: int) -> Matrix:
    """From thick slices to finer ones, the first and the last being the same; beyond the ends as at the ends."""
    apart = np.arange((slices - 1) * steps + 1)[:, None] / steps - np.arange(-_LOBES, slices + _LOBES)[None]
    weights = np.where(np.abs(apart) < _LOBES, np.sinc(apart) * np.sinc(apart / _LOBES), 0)
    inside = weights[:, _LOBES:-_LOBES].copy()
    inside[:, 0] += weights[:, :_LOBES].sum(axis=1)
    inside[:, -1] += weights[:, -_LOBES:].sum(axis=1)
    return np.asarray(inside / inside.sum(axis=1, keepdims=True), dtype=np.float64)


def back_projection(up: Matrix, steps: int, thickness: float, rounds: int) -> Matrix:
    """Iterative back-projection (Irani and Peleg 1991): what the thick slices of the result lack is laid onto it, some rounds long."""
    slices = up.shape[1]
    down = profile(len(up), steps * np.arange(slices, dtype=np.float64), thickness)
    made = up
    for _ in range(rounds):
        made = made + up @ (np.eye(slices) - down @ made)
    return made


def laid(slices: int, steps: int, thickness: float) -> Matrix:
    """From thick slices to the finer ones that the network begins with."""
    return back_projection(lanczos(slices, steps), steps, thickness, ROUNDS)


def shown(image: Image, acquired: Image, steps: int, thickness: float, first: int = 0) -> Image:
    """What the network sees (`CHANNELS`, Z, Y, X); beyond the ends the last acquired slice stands again.

    Parameters
    ----------
    image
        (Z, Y, X) by back-projection.
    acquired
        (z, Y, X).
    first
        The number of the first slice of `image`, counted from the first acquired one.
    """
    place = np.arange(first, first + len(image))
    around = place[None] // steps + np.arange(1 - NEIGHBOURS, 1 + NEIGHBOURS)[:, None]
    seen = np.empty((CHANNELS, *image.shape), dtype=np.float32)
    seen[0] = image
    seen[1:-2] = acquired[np.clip(around, 0, len(acquired) - 1)]
    seen[-2] = (place % steps / steps)[:, None, None]
    seen[-1] = thickness / _THICKNESS
    return seen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Resampling:
    """To pixels of about `FINE_MM`, and back."""

    there: Matrix
    back: Matrix


def _resampling(count: int, mm: float) -> _Resampling:
    if abs(mm - FINE_MM) <= _AS_IT_IS * FINE_MM:
        return _Resampling(there=np.eye(count), back=np.eye(count))
    others = max(2, round(count * mm / FINE_MM))
    here, there = _centred(count, mm), _centred(others, FINE_MM)
    return _Resampling(there=_triangles(there, here, max(mm, FINE_MM)), back=_triangles(here, there, FINE_MM))


def _centred(count: int, mm: float) -> Matrix:
    return np.asarray((np.arange(count) - (count - 1) / 2) * mm, dtype=np.float64)


def _triangles(at: Matrix, of: Matrix, width_mm: float) -> Matrix:
    """Weights of a linear interpolation that also averages where it makes coarser; beyond the ends as at the ends."""
    weights = np.maximum(1 - np.abs(np.clip(at, of[0], of[-1])[:, None] - of[None]) / width_mm, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def _along(matrix: Matrix, image: Image, axis: int) -> Image:
    if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix))):
        return image
    return along(matrix, image, axis)


def along(matrix: Matrix, image: NDArray[Any], axis: int = 0) -> Image:
    """A matrix applied along one axis of an image."""
    return np.ascontiguousarray(np.moveaxis(np.tensordot(matrix.astype(np.float32), image, (1, axis)), 0, axis))
