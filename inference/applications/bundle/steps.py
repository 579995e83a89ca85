"""What a bundle does to an image before its network sees it, and how a result comes back to the image's own grid. numpy only.

Each step computes what MONAI's transform of that name computes (tests/unit/applications/bundle compares them). Arrays have the axes that
the bundle's orientation gives, one channel, float32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.errors import NothingInside, TooManyVoxels
from inference.imaging.resample import Grid, Interpolation, Reorientation, Shape, reorientation, resample
from inference.imaging.volume import Volume

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]
Back: TypeAlias = Callable[[Array, Interpolation], Array]
"""An array on the grid after a step, brought to the grid before it."""

MOST_VOXELS = 1 << 30
"""Of an image on the network's grid; 1024 × 1024 × 1024, a whole body at 1 mm is a third of it."""

SAME_SPACING_MM = 1e-3
"""Nearer than this a spacing counts as the wanted one (MONAI's AFFINE_TOL)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageOnGrid:
    """Values with the grid that they lie on; `back` are the ways to the grids before, the last step's first.

    `inside` is what a step before found to be the patient, on the same grid; None where none looked for it.
    """

    values: Floats
    grid: Grid
    back: tuple[Back, ...] = ()
    inside: NDArray[np.bool_] | None = None

    def undo(self, array: Array, by: Interpolation) -> Array:
        """An array on this grid on the grid that the series came with."""
        for way in self.back:
            array = way(array, by)
        return array


class Transform(Protocol):
    """One transform with its settings; a frozen dataclass whose fields are JSON."""

    def apply(self, image: ImageOnGrid) -> ImageOnGrid: ...


def source_image(volume: Volume) -> ImageOnGrid:
    """The volume as its series gives it: axes (slice, row, column)."""
    return ImageOnGrid(values=volume.voxels.astype(np.float32), grid=Grid.of(volume))


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """Turn axes towards the letters of `axcodes` ("RAS": the first to the patient's right)."""

    axcodes: str

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        turn = reorientation(image.grid, self.axcodes)

        def back(array: Array, by: Interpolation) -> Array:
            return turn.undo(array)

        return ImageOnGrid(values=np.ascontiguousarray(turn.apply(image.values)), grid=turn.grid(image.grid), back=(back, *image.back))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """Resample to `pixdim` mm along each axis (0 keeps an axis), from the first voxel on; beyond the border its value holds."""

    pixdim: tuple[float, float, float]
    mode: str = "bilinear"

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        present = image.grid.spacing_mm
        wanted = [
            now if asked <= 0 or abs(now - asked) <= SAME_SPACING_MM else asked for now, asked in zip(present, self.pixdim, strict=True)
        ]
        before = image.grid.shape
        first, second, third = (
            int(np.round((count - 1) * now / then + 1)) for count, now, then in zip(before, present, wanted, strict=True)
        )
        after = (first, second, third)
        if float(first) * second * third > MOST_VOXELS:
            sides = " × ".join(str(side) for side in after)
            raise TooManyVoxels(f"at {' × '.join(f'{step:g}' for step in wanted)} mm the series would have {sides} voxels")
        if after == before and wanted == list(present):
            return image
        ratio = [then / now for now, then in zip(present, wanted, strict=True)]
        affine = image.grid.affine.copy()
        affine[:3, :3] = affine[:3, :3] * np.array(ratio)
        by = Interpolation.NEAREST if self.mode == "nearest" else Interpolation.LINEAR

        def back(array: Array, by: Interpolation) -> Array:
            return rescaled(array, [1 / each for each in ratio], before, by)

        values = rescaled(image.values, ratio, after, by)
        return ImageOnGrid(values=values, grid=Grid(shape=after, affine=affine), back=(back, *image.back))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """The same field of view in `size` voxels: what networks that classify see.

    Between voxels values are interpolated ("bilinear"); or each is the mean of those that it covers ("area"), so that nothing fine turns
    into a pattern where the image becomes much smaller.
    """

    size: tuple[int, int, int]
    mode: str = "bilinear"

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        grid = image.grid.resized(self.size)

        def back(array: Array, by: Interpolation) -> Array:
            return resample(array, grid, image.grid, by=by)

        if self.mode == "area":
            values = covered(image.values, self.size)
        else:
            values = resample(image.values, image.grid, grid, by=Interpolation.LINEAR)
        return ImageOnGrid(values=values, grid=grid, back=(back, *image.back))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose:
    """Axis `indices[i]` becomes axis i."""

    indices: tuple[int, int, int]

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        turn = Reorientation(axes=self.indices, flips=(False, False, False))

        def back(array: Array, by: Interpolation) -> Array:
            return turn.undo(array)

        return ImageOnGrid(values=np.ascontiguousarray(turn.apply(image.values)), grid=turn.grid(image.grid), back=(back, *image.back))


@dataclass(frozen=True, slots=True, kw_only=True)
class CropForeground:
    """Keep the box of what is above 0, `margin` voxels around it, its sides multiples of `k_divisible`; outside the image it is 0."""

    margin: tuple[int, int, int] = (0, 0, 0)
    k_divisible: tuple[int, int, int] = (1, 1, 1)
    allow_smaller: bool = False

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        start, stop = self._box(image.values)
        box = image.grid.cropped(start, stop)
        if float(np.prod([float(side) for side in box.shape])) > MOST_VOXELS:
            raise TooManyVoxels(f"with its margin the box of the foreground has {box.shape} voxels")
        before = image.grid.shape

        def back(array: Array, by: Interpolation) -> Array:
            return cut(array, [-first for first in start], [side - first for side, first in zip(before, start, strict=True)])

        return ImageOnGrid(values=cut(image.values, start, stop), grid=box, back=(back, *image.back))

    def _box(self, values: Floats) -> tuple[Shape, Shape]:
        inside = values > 0
        starts, stops = [], []
        for axis, (margin, multiple, length) in enumerate(zip(self.margin, self.k_divisible, values.shape, strict=True)):
            planes = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
            if planes.size == 0:
                raise NothingInside("no voxel of the images is above 0")
            start, stop = int(planes[0]) - margin, int(planes[-1]) + margin + 1
            if self.allow_smaller:
                start, stop = max(start, 0), min(stop, length)
            wanted = -(-(stop - start) // multiple) * multiple
            start -= (wanted - (stop - start)) // 2
            starts.append(start)
            stops.append(start + wanted)
        return (starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleIntensityRange:
    """`a_min` … `a_max` becomes `b_min` … `b_max`."""

    a_min: float
    a_max: float
    b_min: float | None = None
    b_max: float | None = None
    clip: bool = False

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        return _with(image, _ranged(image.values, self.a_min, self.a_max, self.b_min, self.b_max, self.clip))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleIntensityRangePercentiles:
    """As `ScaleIntensityRange`, from the values at two percentiles of the image."""

    lower: float
    upper: float
    b_min: float | None = None
    b_max: float | None = None
    clip: bool = False
    relative: bool = False

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        a_min, a_max = (float(bound) for bound in np.percentile(image.values, (self.lower, self.upper)))
        b_min, b_max = self.b_min, self.b_max
        if self.relative and b_min is not None and b_max is not None:
            b_min, b_max = (b_max - b_min) * (self.lower / 100) + b_min, (b_max - b_min) * (self.upper / 100) + b_min
        return _with(image, _ranged(image.values, a_min, a_max, b_min, b_max, self.clip))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleIntensity:
    """The image's least value becomes `minv`, its largest `maxv`; without both, values grow by `factor`."""

    minv: float | None = 0.0
    maxv: float | None = 1.0
    factor: float | None = None

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        values = image.values
        if self.minv is None and self.maxv is None:
            return _with(image, values if self.factor is None else values * np.float32(1 + self.factor))
        low, high = np.float32(values.min()), np.float32(values.max())
        if low == high:
            return _with(image, values * np.float32(self.minv) if self.minv is not None else values)
        norm = (values - low) / (high - low)
        if self.minv is not None and self.maxv is not None:
            norm = norm * np.float32(self.maxv - self.minv) + np.float32(self.minv)
        return _with(image, norm)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalizeIntensity:
    """Less the mean, over the standard deviation (or the numbers given); `nonzero`: of what is not 0, which stays 0."""

    subtrahend: float | None = None
    divisor: float | None = None
    nonzero: bool = False

    def apply(self, image: ImageOnGrid) -> ImageOnGrid:
        values = image.values
        chosen = values != 0 if self.nonzero else np.ones(values.shape, dtype=np.bool_)
        if not chosen.any():
            return image
        seen = values[chosen]
        less = self.subtrahend if self.subtrahend is not None else float(seen.mean(dtype=np.float64))
        over = self.divisor if self.divisor is not None else float(seen.std(dtype=np.float64))
        made = values.copy()
        made[chosen] = (seen - np.float32(less)) / np.float32(over if over != 0 else 1)
        return _with(image, made)


STEPS: dict[str, Callable[..., Transform]] = {
    step.__name__: step
    for step in (
        Orientation,
        Spacing,
        Resize,
        Transpose,
        CropForeground,
        ScaleIntensityRange,
        ScaleIntensityRangePercentiles,
        ScaleIntensity,
        NormalizeIntensity,
    )
}
"""Every step by its name in application.json."""


def rescaled(array: Array, ratio: Sequence[float], shape: Shape, by: Interpolation) -> Array:
    """The values at voxels `ratio` source voxels apart, the first ones on each other; the border's value holds beyond it.

    LINEAR gives float32; NEAREST keeps the dtype, and of two voxels equally near takes the even one, as `torch` does.
    """
    # the axis that shrinks most first: the others then have less to do
    for axis in sorted(range(3), key=lambda each: shape[each] / array.shape[each]):
        size = array.shape[axis]
        at = np.clip(np.arange(shape[axis]) * ratio[axis], 0, size - 1)
        if by is Interpolation.NEAREST:
            array = array.take(np.rint(at).astype(np.intp), axis=axis)
            continue
        below = np.floor(at).astype(np.intp)
        weight = (at - below).astype(np.float32).reshape([-1 if each == axis else 1 for each in range(3)])
        low = array.take(below, axis=axis).astype(np.float32)
        high = array.take(np.minimum(below + 1, size - 1), axis=axis).astype(np.float32)
        high -= low
        high *= weight
        array = low + high
    return np.ascontiguousarray(array)


def covered(array: Array, shape: Shape) -> Floats:
    """The mean of the voxels that each voxel of another shape covers, those that it covers in part counted whole."""
    # the axis that shrinks most first: the others then have less to do
    for axis in sorted(range(3), key=lambda each: shape[each] / array.shape[each]):
        size, count = array.shape[axis], shape[axis]
        if size == count:
            continue
        bounds = [(place * size // count, -(-(place + 1) * size // count)) for place in range(count)]
        means = [np.take(array, range(first, last), axis=axis).mean(axis=axis, dtype=np.float64) for first, last in bounds]
        array = np.stack(means, axis=axis).astype(np.float32)
    return np.ascontiguousarray(array, dtype=np.float32)


def cut(array: Array, start: Sequence[int], stop: Sequence[int]) -> Array:
    """The box from `start` to before `stop`, 0 where it reaches beyond the array."""
    made = np.zeros([last - first for first, last in zip(start, stop, strict=True)], dtype=array.dtype)
    inside = [(max(first, 0), min(last, length)) for first, last, length in zip(start, stop, array.shape, strict=True)]
    if all(low < high for low, high in inside):
        there = tuple(slice(low - first, high - first) for (low, high), first in zip(inside, start, strict=True))
        made[there] = array[tuple(slice(low, high) for low, high in inside)]
    return made


def _ranged(values: Floats, a_min: float, a_max: float, b_min: float | None, b_max: float | None, clip: bool) -> Floats:
    if a_max == a_min:
        made = values - np.float32(a_min)
        return made if b_min is None else made + np.float32(b_min)
    made = (values - np.float32(a_min)) / np.float32(a_max - a_min)
    if b_min is not None and b_max is not None:
        made = made * np.float32(b_max - b_min) + np.float32(b_min)
    if clip and (b_min is not None or b_max is not None):
        made = np.clip(made, b_min, b_max)
    return made.astype(np.float32, copy=False)


def _with(image: ImageOnGrid, values: Floats) -> ImageOnGrid:
    return ImageOnGrid(values=values.astype(np.float32, copy=False), grid=image.grid, back=image.back)
