"""What nnU-Net does to an image before its network sees it, and to logits on their way back, step by step as it computes them itself.

Its default preprocessor: axes are turned (`Orientation` does that), what is 0 around the image is cut off, values are normalised, then the
image is resampled. tests/peers compares the labels that come of it with nnU-Net's own.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inference.applications.bundle.errors import NothingInside, TooManyVoxels, ValuesOutside
from inference.applications.bundle.steps import MOST_VOXELS, Array, Floats, ImageOnGrid, Transform, cut
from inference.imaging.resample import Grid, Interpolation, Shape

_APART = 3
"""From which ratio of spacings on the coarse axis is resampled apart (its ANISO_THRESHOLD)."""

_LEAST_DEVIATION = 1e-8
_BRIGHTEST = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class CropToNonzero:
    """Keep the box of what is not 0 in any of the images; on the way back it is 0 around it, which is background."""

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        return self.together([image])[0]

    def together(self, images: Sequence[ImageOnGrid]) -> list[ImageOnGrid]:
        """The same box of several images of one grid."""
        from scipy import ndimage

        found = np.logical_or.reduce([image.values != 0 for image in images])
        box = []
        for axis in range(3):
            planes = np.flatnonzero(found.any(axis=tuple(other for other in range(3) if other != axis)))
            if planes.size == 0:
                raise NothingInside("every voxel of the images is 0")
            box.append((int(planes[0]), int(planes[-1]) + 1))
        (z0, z1), (y0, y1), (x0, x1) = box
        start, stop = (z0, y0, x0), (z1, y1, x1)
        inside = ndimage.binary_fill_holes(found[z0:z1, y0:y1, x0:x1])

        def cropped(image: ImageOnGrid) -> ImageOnGrid:
            before = image.grid.shape

            def back(array: Array, by: Interpolation) -> Array:
                return cut(array, [-first for first in start], [side - first for side, first in zip(before, start, strict=True)])

            values = np.ascontiguousarray(image.values[z0:z1, y0:y1, x0:x1])
            return ImageOnGrid(values=values, grid=image.grid.cropped(start, stop), back=(back, *image.back), inside=inside)

        return [cropped(image) for image in images]


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised(ABC):
    """A step for one of several images (`channel`)."""

    channel: int = 0

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        return replace(image, values=self.of(image))

    @abstractmethod
    def of(self, image: ImageOnGrid) -> Floats:
        """The values after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZScore(Normalised):
    """Less the mean, over the deviation; `masked`: of what is inside the crop's mask, and outside of it nothing changes."""

    masked: bool = False

    def of(self, image: ImageOnGrid) -> Floats:
        values = image.values.copy()
        chosen = image.inside if self.masked and image.inside is not None else slice(None)
        seen = values[chosen]
        mean, deviation = float(seen.mean(dtype=np.float64)), float(seen.std(dtype=np.float64))
        values[chosen] = (seen - np.float32(mean)) / np.float32(max(deviation, _LEAST_DEVIATION))
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class CtNormalization(Normalised):
    """Values are held between two bounds, then less a mean, over a deviation: those of the training images."""

    low: float
    high: float
    mean: float
    deviation: float

    def of(self, image: ImageOnGrid) -> Floats:
        values = np.clip(image.values, np.float32(self.low), np.float32(self.high))
        values -= np.float32(self.mean)
        values /= np.float32(max(self.deviation, _LEAST_DEVIATION))
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class ToUnit(Normalised):
    """The image's least value becomes 0, its largest 1."""

    def of(self, image: ImageOnGrid) -> Floats:
        values: Floats = image.values - image.values.min()
        values /= max(values.max(), np.float32(_LEAST_DEVIATION))
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class RgbTo01(Normalised):
    """Values from 0 to 255 become 0 to 1."""

    def of(self, image: ImageOnGrid) -> Floats:
        low, high = float(image.values.min()), float(image.values.max())
        if low < 0 or high > _BRIGHTEST:
            raise ValuesOutside(f"the images have values from {low:g} to {high:g}; the model takes 0 to {_BRIGHTEST}, eight bits")
        return image.values / np.float32(_BRIGHTEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resample:
    """To `spacing_mm` along each axis (0 keeps an axis), by splines of `order`; logits come back by those of `order_back`.

    Where voxels are much longer along one axis, planes are resampled first and that axis after them, by splines of `order_apart`: with
    `apart` None where nnU-Net's own rule says so, else always or never.
    """

    spacing_mm: tuple[float, float, float]
    order: int = 3
    order_apart: int = 0
    apart: bool | None = None
    order_back: int = 1
    order_back_apart: int = 0
    apart_back: bool | None = None

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        now, wanted = image.grid.spacing_mm, self.wanted(image.grid)
        before = image.grid.shape
        first, second, third = (round(present / then * side) for present, then, side in zip(now, wanted, before, strict=True))
        after = (max(first, 1), max(second, 1), max(third, 1))
        if float(after[0]) * after[1] * after[2] > MOST_VOXELS:
            raise TooManyVoxels(
                f"at {' × '.join(f'{step:g}' for step in wanted)} mm the series would have {' × '.join(map(str, after))} voxels"
            )
        apart = coarse(wanted, now, self.apart_back)
        back = ResampledBack(shape=before, order=self.order_back, apart=apart, order_apart=self.order_back_apart)
        values = splined(image.values, after, self.order, coarse(now, wanted, self.apart), self.order_apart)
        return ImageOnGrid(values=values, grid=image.grid.resized(after), back=(back, *image.back))

    def wanted(self, grid: Grid) -> list[float]:
        """The spacing after it of an image on a grid, mm along each axis."""
        return [present if asked <= 0 else asked for present, asked in zip(grid.spacing_mm, self.spacing_mm, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampledBack:
    """The way back of `Resample`: to the grid of `shape` voxels before it, by splines, those of `order_apart` along the axis `apart`."""

    shape: Shape
    order: int
    apart: int | None
    order_apart: int

    def __call__(self, array: Array, by: Interpolation) -> Array:
        if by is Interpolation.NEAREST:
            return splined(array, self.shape, 0, None, 0)
        # blended logits are float16, as nnU-Net's are, and so is what becomes of them; no spline computes in that
        return splined(array.astype(np.float32), self.shape, self.order, self.apart, self.order_apart).astype(array.dtype)


def splined(array: Array, shape: tuple[int, ...], order: int, apart: int | None, order_apart: int) -> Array:
    """The same field of view in `shape` voxels, by splines; the border's value holds beyond it, and no value is beyond those there were.

    Parameters
    ----------
    array
        (Z, Y, X), or one of its planes.
    apart
        The axis that is resampled after the planes across it, by splines of `order_apart`; None resamples all axes at once.
    """
    if array.shape == shape:
        return array
    if apart is None:
        return zoomed(array, shape, order)
    planes = np.moveaxis(array, apart, 0)
    sides = tuple(side for axis, side in enumerate(shape) if axis != apart)
    made = np.stack([zoomed(plane, sides, order) for plane in planes])
    count = shape[apart]
    if count != len(made):
        made = _along(made, count, order_apart)
    return np.ascontiguousarray(np.moveaxis(made, 0, apart))


def zoomed(array: Array, shape: Sequence[int], order: int) -> Array:
    """The same field of view in `shape` voxels, all axes at once, by splines of `order`; 0 takes the nearest voxel."""
    from scipy import ndimage

    if array.shape == tuple(shape):
        return array
    factors = [after / before for before, after in zip(array.shape, shape, strict=True)]
    made: Array = ndimage.zoom(array, factors, order=order, mode="nearest", grid_mode=True)
    # a cubic spline swings beyond the values that it joins
    return np.clip(made, array.min(), array.max(), out=made) if order > 1 else made


def _along(planes: Array, count: int, order: int) -> Array:
    """`count` planes of as many as there are, along the first axis."""
    from scipy import ndimage

    if order == 0:
        at = (np.arange(count) + 0.5) * (len(planes) / count) - 0.5
        nearest: Array = planes.take(np.clip(np.floor(at + 0.5).astype(np.intp), 0, len(planes) - 1), axis=0)
        return nearest
    made: Array = ndimage.zoom(planes, (count / len(planes), *(1.0,) * (planes.ndim - 1)), order=order, mode="nearest", grid_mode=True)
    return made


def coarse(now: Sequence[float], then: Sequence[float], apart: bool | None) -> int | None:
    """The axis that is resampled apart, None where none is: the one coarsest of the spacings now, or else of those wanted."""
    if apart is False:
        return None
    of: Sequence[float] | None = now
    if apart is None:
        of = next((spacing for spacing in (now, then) if max(spacing) / min(spacing) > _APART), None)
    if of is None:
        return None
    axes = [axis for axis, each in enumerate(of) if max(of) / each == 1]
    return axes[0] if len(axes) == 1 else None


def together(steps: Sequence[Transform], images: Sequence[ImageOnGrid]) -> list[ImageOnGrid]:
    """Several images of one grid after steps: cropped to one box, each normalised by the step of its channel, all else alike."""
    done = list(images)
    for step in steps:
        if isinstance(step, CropToNonzero):
            done = step.together(done)
        elif isinstance(step, Normalised):
            done[step.channel] = step.apply(done[step.channel])
        else:
            done = [step.apply(image) for image in done]
    return done


STEPS: dict[str, Any] = {step.__name__: step for step in (CropToNonzero, ZScore, CtNormalization, ToUnit, RgbTo01, Resample)}
"""Every step by its name in application.json."""
