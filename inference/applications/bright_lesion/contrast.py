"""Lesion contrast: how much brighter each voxel of the brain is than its surroundings. Every parameter stands here.

Classical steps on the source grid: a rough brain (`inference.imaging.rough_brain`), and the difference of each voxel to the smoothed tissue
around it, in robust standard deviations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.errors import InputError
from inference.imaging.rough_brain import COARSE_MM, as_fine, deep, rough_brain
from inference.imaging.volume import Volume

EDGE_MM = 5.0
"""Lesions are looked for this deep in the brain's mask: at its edge bright cortex meets dark water, and vessels and skull base are near."""
AROUND_MM, WITHIN_MM = 8.0, 0.5
"""Standard deviations of the Gaussians: what lies around a voxel, and in-plane smoothing of noise."""
TISSUE = (0.6, 1.6)
"""What counts as ordinary tissue, as multiples of the brain's median: neither water nor something very bright."""
PLAUSIBLE_CM3 = (600.0, 2100.0)
"""Brains of children and the largest adults, by a rough mask; beyond, it is half a brain, or a brain with all that is around it."""
MOST_UNEVEN = 0.14
"""Robust standard deviation of the tissue against what lies around it, as a share of the median: grey and white matter differ little on
FLAIR (0.11 and 0.12 in two visits of one patient) and much on T1 (0.16)."""

OUTSTANDING = 3.0
"""Robust standard deviations above the tissue around: below, noise and cortex stand out as often as lesions."""
LARGE_MM3 = 2000.0
"""What stands out and is as large changes what lies around it: as much as a fifth of the Gaussian's core."""
GROWN_TO, LEAST_HEIGHT = 0.4, 1.5
"""Share of a large part's own height to which it is grown, and the least height in robust standard deviations, above grey matter."""

_ROUNDS = 20
_BACKGROUND = 1e-3
_MAD = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


class NoBrainOnFlair(InputError):
    """Nothing in the images is as large and as even as a brain."""

    code = "HLM-3180"
    remedy = "Look at the series: bright-lesion needs a whole brain on FLAIR. Narrow the route's `when`, or cancel the job."


class NotFlair(InputError):
    """The brain is too uneven, or so much of it stands out that these are no focal lesions: another contrast than FLAIR."""

    code = "HLM-3181"
    remedy = "Look at the series: bright-lesion needs FLAIR. Let the route's `when` demand it (SeriesDescription), or cancel the job."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LesionContrast:
    """What lesions are looked for in.

    Attributes
    ----------
    search
        (Z, Y, X): where they are looked for.
    values
        (Z, Y, X): robust standard deviations above the surrounding tissue; 0 below it, and outside `search`.
    large
        (Z, Y, X): what belongs to large lesions, which are no tissue that anything is compared with; up to the brain's surface.
    """

    search: Mask
    values: Floats
    large: Mask


def contrast(volume: Volume) -> LesionContrast:
    """The contrast of every voxel deep enough in the brain.

    Raises
    ------
    NoBrainOnFlair, NotFlair
    """
    from scipy import ndimage

    image = volume.voxels.astype(np.float32)
    brain = rough_brain(image, volume.spacing_mm)
    if not brain.any():
        raise NoBrainOnFlair("nothing in the images is as thick and as even as a brain")
    size_cm3 = int(np.count_nonzero(brain)) * volume.voxel_volume_mm3 / 1000
    low, high = PLAUSIBLE_CM3
    if not low <= size_cm3 <= high:
        raise NoBrainOnFlair(f"what looks like brain has {size_cm3:.0f} cm³, {low:.0f} to {high:.0f} are plausible")
    search = deep(brain, EDGE_MM, volume.spacing_mm)
    smooth = ndimage.gaussian_filter(image, [0.0, *(WITHIN_MM / mm for mm in volume.spacing_mm[1:])])
    median = float(np.median(image[brain]))
    large = _large(smooth, image, brain, search, median, volume.spacing_mm)
    above, _ = _above(smooth, image, brain & ~large, median, volume.spacing_mm)
    return LesionContrast(search=search, values=np.where(search, np.maximum(above, 0), np.float32(0)), large=large)


def _above(
    smooth: Floats, image: Floats, brain: Mask, median: float, spacing_mm: tuple[float, ...], *, even: bool = True
) -> tuple[Floats, float]:
    """Robust standard deviations above the tissue around, from the tissue of `brain` alone, and one of them as a share of the median.

    Raises
    ------
    NoBrainOnFlair, NotFlair
        The tissue has one value throughout; or (`even`) differs more from what lies around it than on FLAIR.
    """
    from scipy import ndimage

    tissue = brain & (image > TISSUE[0] * median) & (image < TISSUE[1] * median)
    around = [AROUND_MM / mm for mm in spacing_mm]
    weight = ndimage.gaussian_filter(tissue.astype(np.float32), around)
    ordinary = ndimage.gaussian_filter(np.where(tissue, image, np.float32(0)), around) / np.maximum(weight, _BACKGROUND)
    above: Floats = smooth - ordinary
    middle = float(np.median(above[tissue]))
    deviation = _MAD * float(np.median(np.abs(above[tissue] - middle)))
    if not deviation > 0:
        raise NoBrainOnFlair("the images are even: what could be brain has one value throughout")
    share = deviation / median
    if even and share > MOST_UNEVEN:
        raise NotFlair(
            f"the brain's tissue differs by {100 * share:.0f} % from what lies around it, on FLAIR by {100 * MOST_UNEVEN:.0f} % at most"
        )
    above -= np.float32(middle)
    above /= np.float32(deviation)
    return above, share


def _large(smooth: Floats, image: Floats, brain: Mask, search: Mask, median: float, spacing_mm: tuple[float, float, float]) -> Mask:
    """What belongs to large lesions: each raises the values of all that lies around it, so that of a tumour only the rim would stand out.

    A part that stands out and is large is grown to a share of its own height, and is no tissue from then on; again, until no more joins it.
    Found on a coarser grid, as the brain is.
    """
    from scipy import ndimage

    strides = [max(int(COARSE_MM // mm), 1) for mm in spacing_mm]
    every, whole = tuple(slice(stride // 2, None, stride) for stride in strides), image.shape
    smooth, image, brain, search = smooth[every], image[every], brain[every], search[every]
    coarse_mm = tuple(mm * stride for mm, stride in zip(spacing_mm, strides, strict=True))
    voxel_mm3 = float(np.prod(coarse_mm))
    touching = np.ones((3, 3, 3), dtype=np.bool_)
    large = np.zeros_like(brain)
    for _ in range(_ROUNDS):
        above, _share = _above(smooth, image, brain & ~large, median, coarse_mm, even=False)
        labels, _found = ndimage.label((above > OUTSTANDING) & search, structure=touching)
        sizes = np.bincount(labels.ravel())
        grown = large.copy()
        for number in np.flatnonzero(sizes[1:] * voxel_mm3 >= LARGE_MM3) + 1:
            seed = labels == number
            height = max(LEAST_HEIGHT, GROWN_TO * float(np.median(above[seed])))
            parts, _found = ndimage.label((above > height) & brain)
            joined = np.unique(parts[seed])
            grown |= np.isin(parts, joined[joined > 0])
        if grown.any():
            # a core that is surrounded is compared with itself alone; one as bright as what surrounds it belongs to it
            halfway = (median + float(np.median(smooth[grown]))) / 2
            grown |= ndimage.binary_fill_holes(grown) & (smooth > halfway)
        if not (grown & ~large).any():
            break
        large = grown
    return as_fine(large, strides, whole)
