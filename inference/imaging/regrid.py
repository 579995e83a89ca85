"""A stack that is tilted, or whose slices lie in unequal steps, on a straight and even grid, and what is said about that grid brought back.

Networks are made for straight grids. Every slice is moved sideways by whole pixels, so that no value of it changes, and stands as it is in
the plane nearest to it: what is marked on a plane is marked on the very same pixels of its slice. A slice then lies half a pixel beside
its true place at most, and where the steps are unequal half a plane above or below it. Only planes between slices are interpolated.
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.imaging.volume import Volume, space


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegriddedVolume:
    """A volume on a straight grid, and where on it the slices of its source stand.

    Attributes
    ----------
    volume
        Its affine has perpendicular columns, its planes are evenly spaced; it is larger than the source by what the shear needs, and holds
        the source's least value where the source does not reach. A plane between two slices names the nearer one as its source.
    source
        The volume as acquired.
    planes
        (Z,) the plane of `volume` that each slice of `source` stands in; ascending.
    rows, columns
        (Z,) the row and the column of that plane on which the first pixel of the slice lies.
    """

    volume: Volume
    source: Volume
    planes: NDArray[np.intp]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    def back(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array (Z, Y, X) on the straight grid, on the source grid: pixel by pixel, nothing is interpolated."""
        if array.shape != self.volume.voxels.shape:
            raise ValueError(f"an array of shape {array.shape} is not on a straight grid of shape {self.volume.voxels.shape}")
        out = np.empty(self.source.voxels.shape, dtype=array.dtype)
        for z, plane in enumerate(self.planes):
            out[z] = self._window(array[plane], z)
        return out

    def onto(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask (Z, Y, X) on the source grid, on the straight grid: pixel by pixel; a plane between two slices has the nearer one's."""
        if mask.shape != self.source.voxels.shape:
            raise ValueError(f"a mask of shape {mask.shape} is not on a source grid of shape {self.source.voxels.shape}")
        out = np.zeros(self.volume.voxels.shape, dtype=np.bool_)
        for plane, z in enumerate(self._nearest()):
            self._window(out[plane], int(z))[...] = mask[z]
        return out

    def slice_of(self, plane: int) -> int:
        """The slice of the source that is nearest to a plane."""
        return int(self._nearest()[plane])

    def _nearest(self) -> NDArray[np.intp]:
        return _nearest(self.planes, len(self.volume.voxels))

    def _window(self, plane: NDArray[Any], z: int) -> NDArray[Any]:
        rows, columns = self.source.voxels.shape[1:]
        return plane[self.rows[z] : self.rows[z] + rows, self.columns[z] : self.columns[z] + columns]


def straightened(volume: Volume) -> RegriddedVolume | None:
    """The volume on a straight and even grid; None where its own is one already."""
    step = volume.affine[:3, 0]
    down, across = volume.affine[:3, 1], volume.affine[:3, 2]
    at = np.arange(len(volume.voxels)) if volume.steps is None else np.array(volume.steps)
    rows, columns = (np.round(at * float(step @ axis / (axis @ axis))).astype(np.intp) for axis in (down, across))
    if volume.steps is None and not rows.any() and not columns.any():
        return None
    count, planes = _planes(at)
    before = int(rows.min()), int(columns.min())
    rows, columns = rows - before[0], columns - before[1]
    shape = (count, volume.voxels.shape[1] + int(rows.max()), volume.voxels.shape[2] + int(columns.max()))
    normal = step - down * float(step @ down / (down @ down)) - across * float(step @ across / (across @ across))
    affine = volume.affine.copy()
    affine[:3, 0] = normal if volume.steps is None else normal * (at[-1] / (count - 1))
    affine[:3, 3] = volume.affine[:3, 3] + down * before[0] + across * before[1]
    voxels = space(shape, volume.voxels.dtype)
    voxels[...] = volume.voxels.min()
    sources = tuple(volume.sources[z] for z in _nearest(planes, count))
    made = RegriddedVolume(
        volume=replace(volume, voxels=voxels, affine=affine, steps=None, sources=sources),
        source=volume,
        planes=planes,
        rows=rows,
        columns=columns,
    )
    for z, plane in enumerate(planes):
        made._window(voxels[plane], z)[...] = volume.voxels[z]
    for low, high in itertools.pairwise(map(int, planes)):
        for plane in range(low + 1, high):
            _between(voxels, plane, low, high)
    return made


def _planes(at: NDArray[Any]) -> tuple[int, NDArray[np.intp]]:
    """How many planes there are, and which is nearest to each slice: so many that no two slices share one."""
    if len(at) == 1:
        return 1, np.zeros(1, dtype=np.intp)
    steps = math.ceil(float((at[-1] - at[0]) / np.diff(at).min()) - 1e-9)
    return steps + 1, np.floor((at - at[0]) / (at[-1] - at[0]) * steps + 0.5).astype(np.intp)


def _nearest(planes: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    middles = (planes[:-1] + planes[1:]) / 2
    return np.searchsorted(middles, np.arange(count), side="left")


def _between(voxels: NDArray[Any], plane: int, low: int, high: int) -> None:
    share = np.float32((plane - low) / (high - low))
    values = voxels[low].astype(np.float32)
    values += share * (voxels[high].astype(np.float32) - values)
    voxels[plane] = np.round(values) if voxels.dtype.kind in "iu" else values
