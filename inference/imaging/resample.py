"""Resampling: from the source grid to a model's grid and exactly back; axes are turned without loss. numpy only.

Voxel centres lie at whole indices, so a grid of N voxels covers -0.5 … N - 0.5: two grids over one field of view differ by half a voxel
at their first centre, and every function here takes that into account.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.imaging.volume import Affine, Volume

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, int, int]

TOWARDS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
"""Axis of the patient (LPS: x to the left, y to the back, z to the head) and the sign along it."""

ALIGNED = 1e-2
"""How far, in voxels over the whole grid, axes may diverge and still count as parallel: a hundredth of a voxel changes no value."""

EDGE = 1e-6
"""Index coordinates this near below a voxel's border count as on it: it absorbs what floating point leaves of an exact half."""


class Interpolation(Enum):
    """How values between voxel centres are made."""

    NEAREST = "nearest"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Where voxels lie: `shape` (Z, Y, X) and the `affine` from indices (z, y, x, 1) to mm (LPS), as in `Volume`."""

    shape: Shape
    affine: Affine

    @staticmethod
    def of(volume: Volume) -> "Grid":
        """The source grid."""
        z, y, x = volume.voxels.shape
        return Grid(shape=(z, y, x), affine=volume.affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each axis."""
        first, second, third = (float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))
        return first, second, third

    def resized(self, shape: Shape) -> "Grid":
        """The same field of view in another number of voxels."""
        scale = np.array(self.shape) / np.array(shape)
        within = np.eye(4)
        within[:3, :3] = np.diag(scale)
        # the first centre of the new grid lies half a new voxel from the common border
        within[:3, 3] = scale / 2 - 0.5
        return Grid(shape=shape, affine=self.affine @ within)

    def cropped(self, start: Shape, stop: Shape) -> "Grid":
        """The part from index `start` to before `stop`; indices outside the grid extend it."""
        within = np.eye(4)
        within[:3, 3] = start
        z, y, x = (last - first for first, last in zip(start, stop, strict=True))
        return Grid(shape=(z, y, x), affine=self.affine @ within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorientation:
    """A lossless turn: axis `axes[i]` of the source becomes axis i, reversed where `flips[i]`."""

    axes: Shape
    flips: tuple[bool, bool, bool]

    def apply(self, array: Array) -> Array:
        """A view of (Z, Y, X) in the new orientation."""
        return array.transpose(self.axes)[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]

    def undo(self, array: Array) -> Array:
        """A view of an array in the new orientation back in the source's; `undo(apply(a))` is `a`."""
        turned = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return turned.transpose(np.argsort(self.axes))

    def grid(self, source: Grid) -> Grid:
        """The grid of what `apply` returns: every voxel keeps its place in the patient."""
        turn = np.zeros((4, 4))
        turn[3, 3] = 1
        for new, (old, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            turn[old, new] = -1 if flip else 1
            if flip:
                turn[old, 3] = source.shape[old] - 1
        first, second, third = (source.shape[axis] for axis in self.axes)
        return Grid(shape=(first, second, third), affine=source.affine @ turn)


def reorientation(source: Grid, towards: str) -> Reorientation:
    """The turn after which the array's axes run towards the letters of `towards` ("RAS": axis 0 to the right), as nearly as turns can.

    Raises
    ------
    ValueError
        `towards` does not name each axis of the patient once.
    """
    wanted = [TOWARDS.get(letter, (-1, 0)) for letter in towards]
    if sorted(axis for axis, _ in wanted) != [0, 1, 2]:
        raise ValueError(f'"{towards}" is not one letter of each of L/R, P/A, S/I')
    cosines = source.affine[:3, :3] / np.linalg.norm(source.affine[:3, :3], axis=0)
    # of the six assignments the one with the least turning left over: oblique axes cannot claim one direction twice
    best = max(
        itertools.permutations(range(3)),
        key=lambda axes: sum(abs(cosines[patient, axis]) for (patient, _), axis in zip(wanted, axes, strict=True)),
    )
    first, second, third = (bool(cosines[patient, axis] * sign < 0) for (patient, sign), axis in zip(wanted, best, strict=True))
    return Reorientation(axes=(best[0], best[1], best[2]), flips=(first, second, third))


def resample(array: Array, source: Grid, target: Grid, *, by: Interpolation, fill: float = 0, out: Array | None = None) -> Array:
    """The values of `array` (on `source`) at the voxel centres of `target`.

    Parameters
    ----------
    array
        (Z, Y, X) on `source`.
    fill
        Outside the field of view of the source. Within half a voxel of its border, the border's value holds.
    out
        Where to put the values, cast to its dtype; any strides, so that a turn (`Reorientation.apply`) costs no pass of its own.

    Returns
    -------
    numpy.ndarray
        On `target`; `out` where that is given. NEAREST keeps the dtype; LINEAR gives float32, but bool for bool: a mask is interpolated
        and cut at one half.
    """
    if out is not None and out.shape != target.shape:
        raise ValueError(f"an array of shape {out.shape} does not hold a grid of shape {target.shape}")
    values = _resampled(array, source, target, by, fill, out if by is Interpolation.NEAREST else None)
    if out is None or values is out:
        return values
    np.copyto(out, values, casting="unsafe")
    return out


def _resampled(array: Array, source: Grid, target: Grid, by: Interpolation, fill: float, out: Array | None) -> Array:
    if array.shape != source.shape:
        raise ValueError(f"an array of shape {array.shape} is not on a grid of shape {source.shape}")
    to_source: Affine = np.linalg.inv(source.affine) @ target.affine
    if array.dtype == np.bool_ and by is Interpolation.LINEAR:
        return _resampled(array.astype(np.float32), source, target, by, fill, None) >= np.float32(0.5)
    axes = _parallel_axes(to_source, target.shape)
    if axes is None:
        return _oblique(array, to_source, target.shape, by, fill)
    return _separable(array, to_source, target.shape, axes, by, fill, out)


def _parallel_axes(to_source: Affine, shape: Shape) -> Shape | None:
    """For each target axis the source axis that runs along it; None when the grids are oblique to each other."""
    reach = np.abs(to_source[:3, :3]) * np.array(shape)
    along = np.argmax(reach, axis=0)
    if sorted(along.tolist()) != [0, 1, 2]:
        return None
    rest = reach.copy()
    rest[along, range(3)] = 0
    return None if float(rest.sum(axis=1).max()) > ALIGNED else (int(along[0]), int(along[1]), int(along[2]))


def _separable(array: Array, to_source: Affine, shape: Shape, axes: Shape, by: Interpolation, fill: float, out: Array | None) -> Array:
    values: Array = array.transpose(axes)
    sizes = values.shape
    coordinates = [to_source[axis, new] * np.arange(shape[new]) + to_source[axis, 3] for new, axis in enumerate(axes)]
    if by is Interpolation.NEAREST:
        nearest = [np.clip(np.floor(at + 0.5 + EDGE), 0, size - 1).astype(np.intp) for at, size in zip(coordinates, sizes, strict=True)]
        values = gather(values, nearest, np.empty(shape, dtype=array.dtype) if out is None else out)
    else:
        # one axis after the other, the one that shrinks most first
        for new in sorted(range(3), key=lambda new: shape[new] / sizes[new]):
            values = _linear(values, coordinates[new], new)
        values = np.ascontiguousarray(values.astype(np.float32, copy=False))
    for new, (at, size) in enumerate(zip(coordinates, sizes, strict=True)):
        outside = (at < -0.5 - EDGE) | (at >= size - 0.5 + EDGE)
        if outside.any():
            values[(slice(None),) * new + (outside,)] = fill
    return values


def gather(values: Array, indices: Sequence[NDArray[np.intp]], out: Array) -> Array:
    """Write `values[numpy.ix_(*indices)]` into `out`, cast to its dtype, plane by plane.

    The planes hold the axis along which `values` lies in memory and the one along which `out` does: so each is turned in the
    processor's cache, and no line of memory is fetched for a single voxel.
    """
    along_in, along_out = (int(np.argmin(np.abs(array.strides))) for array in (values, out))
    over = min({0, 1, 2} - {along_in, along_out})
    first, second = (axis for axis in range(3) if axis != over)
    sources, targets = np.moveaxis(values, over, 0), np.moveaxis(out, over, 0)
    slow, fast = (indices[first], indices[second]) if along_in == second else (indices[second], indices[first])
    whole = fast.size == values.shape[along_in] and bool((fast == np.arange(fast.size)).all())
    before, plane = -1, out[:0]
    for number, index in enumerate(indices[over].tolist()):
        if index != before:
            lines = sources[index] if along_in == second else sources[index].T
            plane = lines[slow]
            if not whole:
                plane = plane.take(fast, axis=1)
            if along_in != second:
                plane = plane.T
            before = index
        targets[number] = plane
    return out


def _linear(values: Array, at: NDArray[np.float64], axis: int) -> Array:
    size = values.shape[axis]
    at = np.clip(at, 0, size - 1)
    below = np.floor(at + EDGE).astype(np.intp)
    weight = np.clip(at - below, 0, 1).astype(np.float32)
    low = values.take(below, axis=axis).astype(np.float32, copy=False)
    if not weight.any():
        return low
    high = values.take(np.minimum(below + 1, size - 1), axis=axis).astype(np.float32, copy=False)
    high -= low
    high *= weight.reshape([-1 if each == axis else 1 for each in range(3)])
    low += high
    return low


def _oblique(array: Array, to_source: Affine, shape: Shape, by: Interpolation, fill: float) -> Array:
    """Slice by slice, so that the coordinates never need more memory than a slice."""
    out = np.full(shape, fill, dtype=array.dtype if by is Interpolation.NEAREST else np.float32)
    size = np.array(array.shape)
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    plane = to_source[:3, 1, None] * rows.ravel() + to_source[:3, 2, None] * columns.ravel() + to_source[:3, 3, None]
    for z in range(shape[0]):
        at = plane + to_source[:3, 0, None] * z
        inside = np.all((at >= -0.5 - EDGE) & (at < size[:, None] - 0.5 + EDGE), axis=0)
        if inside.any():
            at = np.clip(at[:, inside], 0, size[:, None] - 1)
            out[z].reshape(-1)[inside] = _nearest_at(array, at) if by is Interpolation.NEAREST else _trilinear_at(array, at)
    return out


def _nearest_at(array: Array, at: NDArray[np.float64]) -> Array:
    z, y, x = np.floor(at + 0.5 + EDGE).astype(np.intp)
    found: Array = array[np.minimum(z, array.shape[0] - 1), np.minimum(y, array.shape[1] - 1), np.minimum(x, array.shape[2] - 1)]
    return found


def _trilinear_at(array: Array, at: NDArray[np.float64]) -> NDArray[np.float32]:
    below = np.floor(at + EDGE).astype(np.intp)
    above = np.minimum(below + 1, np.array(array.shape)[:, None] - 1)
    weight = np.clip(at - below, 0, 1).astype(np.float32)
    total = np.zeros(at.shape[1], dtype=np.float32)
    for corner in itertools.product((0, 1), repeat=3):
        z, y, x = (above[axis] if high else below[axis] for axis, high in enumerate(corner))
        share = np.ones_like(total)
        for axis, high in enumerate(corner):
            share *= weight[axis] if high else 1 - weight[axis]
        total += share * array[z, y, x]
    return total
