"""Pre-processing: cuts the surroundings of the lungs out of a chest CT onto an isotropic grid, and says where nodules are looked for.

Training, evaluation and serving all go through here. Arrays have axes (z to the head, y to the back, x to the left).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.ct_lung.anatomy import GAS_HU, body_mask
from inference.errors import InputError
from inference.imaging.components import fill_holes
from inference.imaging.resample import Grid, Interpolation, Shape, reorientation, resample
from inference.imaging.volume import Volume

SPACING_MM = 1.25
WINDOW_HU = (-1000.0, 400.0)
"""Air to contrast in vessels; brought to 0 and 1."""

AIR_HU = -400
COARSE_MM = 3.0
"""Where lungs are looked for."""
LEAST_CM3 = 100.0
"""Less air-bearing lung than this is gas in the bowel, or a lung that is only just in the images."""
MINOR = 0.03
"""Parts smaller than this share of the largest are no lung."""
CLOSED_MM = 9.0
"""Half the width of what stands in the lung or at its wall and still is looked at: nodules, vessels."""
MARGIN_MM = 3.0
"""Beyond the lung's wall: nodules at the pleura lie inside."""

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


class NoLungs(InputError):
    """No air-bearing lung is in the images, or too little of it to look for nodules."""

    code = "HLM-3205"
    remedy = "Cancel the job, or narrow the route to CT of the chest; look at the images where they do show lungs."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedLungs:
    """What the network sees, and where it lies.

    Attributes
    ----------
    image
        (Z, Y, X) float32, `WINDOW_HU` as 0 to 1: the box around the lungs.
    search
        (Z, Y, X): lungs with what stands in them, and a margin; elsewhere nothing is looked for.
    grid
        Of both; about `SPACING_MM` along each axis.
    """

    image: Floats
    search: Mask
    grid: Grid

    def onto(self, labels: NDArray[Any], source: Grid) -> NDArray[Any]:
        """Labels (Z, Y, X) of the source grid on this one."""
        return resample(labels, source, self.grid, by=Interpolation.NEAREST)


def prepare(volume: Volume) -> PreparedLungs:
    """Find the lungs of a CT, and bring their surroundings to the network's grid and window.

    Raises
    ------
    NoLungs
    """
    source = Grid.of(volume)
    turn = reorientation(source, "SPL")
    hu, grid = turn.apply(volume.voxels), turn.grid(source)
    coarse = grid.resized(_shape(grid, COARSE_MM))
    region = _region(resample(hu, grid, coarse, by=Interpolation.NEAREST), coarse)
    whole = grid.resized(_shape(grid, SPACING_MM))
    target = whole.cropped(*_box(region, whole.shape))
    image = resample(hu, grid, target, by=Interpolation.LINEAR, fill=WINDOW_HU[0])
    low, high = WINDOW_HU
    image = np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1)
    return PreparedLungs(image=image, search=resample(region, coarse, target, by=Interpolation.NEAREST), grid=target)


def lungs_in(hu: NDArray[Any], grid: Grid) -> Mask:
    """Air-bearing lung (Z, Y, X) on a grid of about 3 mm, by threshold: parts of the body filled with less than tissue and more than gas.

    Raises
    ------
    NoLungs
    """
    for opened in (True, False):
        # what stands off the body may be a table, or a thin chest wall with the lung behind it
        lungs = _airy(hu, body_mask(hu, opened=opened))
        if int(np.count_nonzero(lungs)) * float(np.prod(grid.spacing_mm)) / 1000 >= LEAST_CM3:
            return lungs
    raise NoLungs(f"less than {LEAST_CM3:g} cm³ of the images are air-bearing lung")


def _airy(hu: NDArray[Any], body: Mask) -> Mask:
    from scipy import ndimage

    labels, found = ndimage.label(body & (hu < AIR_HU))
    sizes = np.bincount(labels.ravel(), minlength=found + 1)[1:]
    medians = ndimage.median(hu, labels, range(1, found + 1)) if found else []
    kept = [
        number
        for number, (size, median) in enumerate(zip(sizes, medians, strict=True), start=1)
        if median > GAS_HU and size >= MINOR * sizes.max()
    ]
    airy: Mask = np.isin(labels, kept)
    return airy


def _region(hu: NDArray[Any], grid: Grid) -> Mask:
    """Lungs with what stands in them and at their walls, and a margin."""
    from scipy import ndimage

    lungs = lungs_in(hu, grid)
    near = ndimage.distance_transform_edt(~lungs, sampling=grid.spacing_mm) <= CLOSED_MM + MARGIN_MM
    closed: Mask = ndimage.distance_transform_edt(near, sampling=grid.spacing_mm) > CLOSED_MM if not near.all() else near
    return fill_holes(closed)


def _shape(grid: Grid, spacing_mm: float) -> Shape:
    z, y, x = (max(1, round(count * step / spacing_mm)) for count, step in zip(grid.shape, grid.spacing_mm, strict=True))
    return z, y, x


def _box(region: Mask, shape: Shape) -> tuple[Shape, Shape]:
    """The region's first and behind its last index on another grid over the same field of view."""
    start, stop = [], []
    for axis in range(3):
        there = np.flatnonzero(region.any(axis=tuple(other for other in range(3) if other != axis)))
        scale = shape[axis] / region.shape[axis]
        start.append(max(0, int(np.floor(there[0] * scale))))
        stop.append(min(shape[axis], int(np.ceil((there[-1] + 1) * scale))))
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])
