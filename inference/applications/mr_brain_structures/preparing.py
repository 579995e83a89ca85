"""From a head to the box that the network sees, and its labels back: conformed as its publisher conforms, cut to the brain.

The published program asks the network about all 256³ voxels, which takes 9 GB. Only the brain is asked for here, with what is near it; the
values are scaled by the whole.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.mr_brain_structures.network import LOST
from inference.errors import InputError
from inference.imaging.judge.borders import WIDE, Border, borders_met
from inference.imaging.resample import Grid, Interpolation, Shape, reorientation, resample
from inference.imaging.rough_brain import rough_brain
from inference.imaging.volume import Volume

SIDE = 256
"""Voxels of 1 mm along each axis of a conformed head, which lies in the middle."""
AXES = "LIA"
_LEFT, _FEET, _FRONT = range(3)
PERCENTILES = (2, 98)
MOST = (152, 136, 176)
"""Voxels of 1 mm for which there is an answer, at most: of a brain with all its deep structures, and 3 GB."""
LEAST_CM3 = 150.0
"""A rough brain is a little smaller than a whole one."""

Floats = NDArray[np.float32]


class NoBrainForStructures(InputError):
    """Nothing in the images is as large, as thick and as bright as a brain on T1."""

    code = "HLM-3250"
    remedy = (
        "Look at the series: mr-brain-structures needs a whole head on T1 in thin slices. Another contrast or another part of the body: "
        "narrow the route's `when`, or cancel the job."
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BrainBox:
    """The part of a conformed head that is asked for.

    Attributes
    ----------
    image
        (left, feet, front) from 0 to 1, voxels of 1 mm: what the network sees, `LOST` voxels more on every side than it answers for.
    grid
        Where the answer lies.
    cut
        Whether the images end within the brain, elsewhere than below, where the stem goes on in every head.
    """

    image: Floats
    grid: Grid
    cut: bool

    def on_source(self, labels: NDArray[np.uint8], volume: Volume) -> NDArray[np.uint8]:
        """Labels (Z, Y, X) on the grid of the images: of each of their voxels, what lies at its centre; 0 outside of the box."""
        back: NDArray[np.uint8] = resample(labels, self.grid, Grid.of(volume), by=Interpolation.NEAREST)
        return back

    def of_source(self, mask: NDArray[np.bool_], volume: Volume) -> NDArray[np.bool_]:
        """A mask (Z, Y, X) on the grid of the images as it lies in the box."""
        here: NDArray[np.bool_] = resample(mask, Grid.of(volume), self.grid, by=Interpolation.NEAREST)
        return here


def brain_box(volume: Volume) -> BrainBox:
    """Conform a head, find its brain roughly, and cut.

    Raises
    ------
    NoBrainForStructures
    """
    head, grid = conformed(volume)
    low, high = (float(each) for each in np.percentile(head, PERCENTILES))
    if not high > low or volume.voxels.min() == volume.voxels.max():
        raise NoBrainForStructures("the images are even: nearly every voxel has the same value")
    brain = rough_brain(np.maximum(head - np.float32(low), 0), (1.0, 1.0, 1.0))
    volume_cm3 = int(np.count_nonzero(brain)) / 1000
    if volume_cm3 < LEAST_CM3:
        raise NoBrainForStructures(
            f"{volume_cm3:.0f} cm³ in the images hang together and are as thick and as bright as a brain, not {LEAST_CM3:g} or more"
        )
    start, stop = box_of(brain)
    # beyond the conformed head there is nothing, as around the images within it
    around = np.pad(head, LOST)[tuple(slice(first, last + 2 * LOST) for first, last in zip(start, stop, strict=True))]
    image = np.clip((around - np.float32(low)) / np.float32(high - low), 0, 1).astype(np.float32)
    met = borders_met(volume, resample(brain, grid, Grid.of(volume), by=Interpolation.NEAREST))
    cut = any(one.share > WIDE and one.border is not Border.LOWER for one in met)
    return BrainBox(image=np.ascontiguousarray(image), grid=grid.cropped(start, stop), cut=cut)


def conformed(volume: Volume) -> tuple[Floats, Grid]:
    """The images on `SIDE` voxels of 1 mm along each axis, as nearly to the left, the feet and the front as turns can; 0 around them."""
    turn = reorientation(Grid.of(volume), AXES)
    source = turn.grid(Grid.of(volume))
    within = np.eye(4)
    for axis, (count, step) in enumerate(zip(source.shape, source.spacing_mm, strict=True)):
        within[axis, axis] = 1 / step
        # both have their middle in one place
        within[axis, 3] = (count - 1) / 2 - (SIDE - 1) / 2 / step
    grid = Grid(shape=(SIDE, SIDE, SIDE), affine=source.affine @ within)
    head: Floats = resample(_finite(turn.apply(volume.voxels)), source, grid, by=Interpolation.LINEAR)
    return head, grid


def box_of(brain: NDArray[np.bool_]) -> tuple[Shape, Shape]:
    """First index and the one after the last, along each axis, of a mask, no more than `MOST` of it.

    What is longer has the jaw, the neck or the face in it, as bright as brain: it is cut at the feet and at the front, and on both sides.
    """
    start, stop = [], []
    for axis, most in enumerate(MOST):
        marked = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        first, last = int(marked[0]), int(marked[-1]) + 1
        spare = max(0, last - first - most)
        at_first = {_LEFT: spare // 2, _FEET: 0, _FRONT: 0}[axis]
        start.append(first + at_first)
        stop.append(last - (spare - at_first))
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])


def _finite(voxels: NDArray[Any]) -> NDArray[Any]:
    return np.nan_to_num(voxels) if voxels.dtype.kind == "f" else voxels
