"""Four contrasts as the networks for gliomas take them: on 1 mm along the patient's axes, and where in them the brain is.

Images of which a program has cut away all but the brain are known by what lies around: nothing, on as much as a head would take. Of others
the network of mr-brain finds the brain on T1.
"""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.mr_brain.extraction import extract
from inference.applications.mr_glioma.network import CONTRASTS
from inference.applications.port import Infer
from inference.errors import InputError
from inference.imaging.components import fill_holes, largest_component
from inference.imaging.resample import Grid, Interpolation, resample
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Affine, Volume
from inference.stages import RESAMPLE, stage

VOXEL_MM = 1.0
LEAST_CM3, MOST_CM3 = 600.0, 2200.0
"""A brain with its water, from the smallest grown one to the largest; a head is twice as much and more."""
NOTHING = 0.3
"""Share of the images that is exactly one value or less around a brain that was cut out, at least."""
_MOST_WITHOUT = 1
"""Contrasts that may be dark in a voxel of a brain that was cut out."""

_LINEAR, _CUBIC = 1, 3
_APART = 1e-3
"""Of a voxel, by which two lie apart at most that are one."""

Mask = NDArray[np.bool_]


class NoBrainInContrasts(InputError):
    """What is taken for the brain in four contrasts is too small or too large for one."""

    code = "HLM-3240"
    remedy = (
        "Look at the four series: mr-glioma needs a whole head of an adult, or a whole brain that was cut out of it, on FLAIR, on T1 "
        "without and with contrast medium, and on T2. Narrow the route's `when`, or cancel the job."
    )


def grid_of(volumes: VolumeSet) -> Grid:
    """1 mm along z to the head, y to the back, x to the left, over the field of view of the reference.

    A grid that is so already, whatever its axes are called, keeps the places of its voxels.
    """
    source = Grid.of(volumes.reference)
    corners = [(*corner, 1.0) for corner in itertools.product(*((-0.5, side - 0.5) for side in source.shape))]
    places = (np.array(corners) @ source.affine.T)[:, :3]
    first, last = places.min(axis=0), places.max(axis=0)
    columns, rows, planes = (max(1, round(float(side) / VOXEL_MM)) for side in last - first)
    affine = np.zeros((4, 4))
    for axis in range(3):
        affine[2 - axis, axis] = VOXEL_MM
    affine[:3, 3] = (first + last) / 2 - (np.array([columns, rows, planes]) - 1) / 2 * VOXEL_MM
    affine[3, 3] = 1
    return Grid(shape=(planes, rows, columns), affine=affine)


def contrasts_on(grid: Grid, volumes: VolumeSet) -> dict[str, NDArray[Any]]:
    """Each contrast (Z, Y, X) on a grid, by cubic splines; 0 beyond its images, and where all around is dark."""
    with stage(RESAMPLE):
        return {name: _on(grid, volumes[name]) for name in CONTRASTS}


def _on(grid: Grid, volume: Volume) -> NDArray[np.float32]:
    from scipy import ndimage

    within = np.linalg.inv(volume.affine) @ grid.affine
    if _voxel_on_voxel(within, grid):
        # splines go through the voxels themselves
        here = resample(volume.voxels, Grid.of(volume), grid, by=Interpolation.NEAREST).astype(np.float32)
        return np.maximum(here, 0, out=here)
    placed = partial(ndimage.affine_transform, volume.voxels.astype(np.float32), within[:3, :3], within[:3, 3], output_shape=grid.shape)
    values: NDArray[np.float32] = placed(order=_CUBIC)
    # splines swing beyond edges, also into nothing
    values[placed(order=_LINEAR) <= 0] = 0
    return np.maximum(values, 0, out=values)


def _voxel_on_voxel(within: Affine, grid: Grid) -> bool:
    """Whether each voxel of a grid is one of the images, or lies beyond them; `within` gives its place in their voxels."""
    whole = np.rint(within)
    apart = float((np.abs(within - whole)[:3] @ (*grid.shape, 1)).max())
    return apart < _APART and bool((np.abs(whole[:3, :3]).sum(axis=0) == 1).all())


def brain_in(contrasts: Mapping[str, NDArray[Any]], grid: Grid, volumes: VolumeSet, infer: Infer) -> Mask:
    """Where the brain is, (Z, Y, X).

    Raises
    ------
    NoBrainInContrasts, NoBrainOnT1
    """
    found = _cut_out(contrasts)
    if found is None:
        t1 = volumes["T1"]
        found = extract(replace(t1, voxels=contrasts["T1"], affine=grid.affine, sources=()), infer)
    volume_cm3 = int(np.count_nonzero(found)) * VOXEL_MM**3 / 1000
    if not LEAST_CM3 <= volume_cm3 <= MOST_CM3:
        raise NoBrainInContrasts(f"{volume_cm3:.0f} cm³ look like brain, not {LEAST_CM3:g} to {MOST_CM3:g}")
    return found


def _cut_out(contrasts: Mapping[str, NDArray[Any]]) -> Mask | None:
    """A brain with nothing around it; None where there is a head, or part of one."""
    bright = np.sum([values > 0 for values in contrasts.values()], axis=0, dtype=np.uint8)
    shown: Mask = np.asarray(bright >= len(contrasts) - _MOST_WITHOUT)
    if shown.mean() > 1 - NOTHING or not shown.any():
        return None
    brain = fill_holes(largest_component(shown))
    volume_cm3 = int(np.count_nonzero(brain)) * VOXEL_MM**3 / 1000
    return brain if LEAST_CM3 <= volume_cm3 <= MOST_CM3 else None
