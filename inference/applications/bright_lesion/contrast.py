"""Where the brain is, and how much brighter each of its voxels is than what lies around it. Every parameter stands here.

Classical steps on the source grid: a threshold between tissue and the dark rest, the largest part of it that is thick, and the difference
of each voxel to the smoothed tissue around it, in robust standard deviations.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.bright_lesion.errors import NoBrain, NotFlair
from inference.imaging.volume import Volume

CORE_MM = 6.0
"""Tissue that is this deep everywhere is brain: scalp, muscles and eyes are thinner, and parted from it by dark bone and water."""
REGROWN_MM = 7.0
CLOSED_MM = 4.0
EDGE_MM = 5.0
"""Lesions are looked for this deep in the brain's mask: at its edge bright cortex meets dark water, and vessels and skull base are near."""
AROUND_MM, WITHIN_MM = 8.0, 0.5
"""Standard deviations of the Gaussians: what lies around a voxel, and in-plane smoothing of noise."""
TISSUE = (0.6, 1.6)
"""What counts as ordinary tissue, as multiples of the brain's median: neither water nor something very bright."""
COARSE_MM = 2.0
PLAUSIBLE_CM3 = (600.0, 2100.0)
"""Brains of children and the largest adults, by a rough mask; beyond, it is half a brain, or a brain with all that is around it."""
MOST_UNEVEN = 0.14
"""Robust standard deviation of the tissue against what lies around it, as a share of the median: grey and white matter differ little on
FLAIR (0.11 and 0.12 in two visits of one patient) and much on T1 (0.16)."""

_BINS = 128
_BACKGROUND = 1e-3
_MAD = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contrast:
    """What lesions are looked for in.

    Attributes
    ----------
    search
        (Z, Y, X): where they are looked for.
    values
        (Z, Y, X): robust standard deviations above the surrounding tissue; 0 below it, and outside `search`.
    """

    search: Mask
    values: Floats


def contrast(volume: Volume) -> Contrast:
    """The contrast of every voxel deep enough in the brain.

    Raises
    ------
    NoBrain, NotFlair
    """
    image = volume.voxels.astype(np.float32)
    brain = brain_of(image, volume.spacing_mm)
    size_cm3 = int(np.count_nonzero(brain)) * volume.voxel_volume_mm3 / 1000
    low, high = PLAUSIBLE_CM3
    if not low <= size_cm3 <= high:
        raise NoBrain(f"what looks like brain has {size_cm3:.0f} cm³, {low:.0f} to {high:.0f} are plausible")
    search = deep(brain, EDGE_MM, volume.spacing_mm)
    return Contrast(search=search, values=np.where(search, np.maximum(_above(image, brain, volume.spacing_mm), 0), np.float32(0)))


def brain_of(image: Floats, spacing_mm: tuple[float, float, float]) -> Mask:
    """A rough mask (Z, Y, X) of the brain, found on a coarser grid: nothing in it is finer than its steps are wide."""
    from scipy import ndimage

    strides = [max(int(COARSE_MM // mm), 1) for mm in spacing_mm]
    coarse = image[tuple(slice(stride // 2, None, stride) for stride in strides)]
    coarse_mm = tuple(mm * stride for mm, stride in zip(spacing_mm, strides, strict=True))
    tissue = coarse > _between(coarse)
    parts, found = ndimage.label(deep(tissue, CORE_MM, coarse_mm))
    if not found:
        raise NoBrain("nothing in the images is as thick and as even as a brain")
    core = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    brain = tissue & (ndimage.distance_transform_edt(~core, sampling=coarse_mm) <= REGROWN_MM)
    closed = deep(ndimage.distance_transform_edt(~brain, sampling=coarse_mm) <= CLOSED_MM, CLOSED_MM, coarse_mm)
    # the ventricles are open to nothing within a slice
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in brain | closed])
    for axis, stride in enumerate(strides):
        filled = np.repeat(filled, stride, axis=axis)
    short = [(0, count - have) for count, have in zip(image.shape, filled.shape, strict=True)]
    return np.pad(filled, [(0, max(more, 0)) for _, more in short], mode="edge")[tuple(slice(0, count) for count in image.shape)]


def deep(mask: Mask, mm: float, spacing_mm: tuple[float, ...]) -> Mask:
    """The voxels of a mask that lie deeper in it than `mm`; outside of the images is outside of the mask."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm)
    inside: Mask = depth[1:-1, 1:-1, 1:-1] > mm
    return inside


def _above(image: Floats, brain: Mask, spacing_mm: tuple[float, float, float]) -> Floats:
    from scipy import ndimage

    median = float(np.median(image[brain]))
    tissue = brain & (image > TISSUE[0] * median) & (image < TISSUE[1] * median)
    around = [AROUND_MM / mm for mm in spacing_mm]
    weight = ndimage.gaussian_filter(tissue.astype(np.float32), around)
    ordinary = ndimage.gaussian_filter(np.where(tissue, image, np.float32(0)), around) / np.maximum(weight, _BACKGROUND)
    smooth = ndimage.gaussian_filter(image, [0.0, *(WITHIN_MM / mm for mm in spacing_mm[1:])])
    above: Floats = smooth - ordinary
    middle = float(np.median(above[tissue]))
    deviation = _MAD * float(np.median(np.abs(above[tissue] - middle)))
    if not deviation > 0:
        raise NoBrain("the images are even: what could be brain has one value throughout")
    if deviation > MOST_UNEVEN * median:
        share = 100 * deviation / median
        raise NotFlair(
            f"the brain's tissue differs by {share:.0f} % from what lies around it, on FLAIR by {100 * MOST_UNEVEN:.0f} % at most"
        )
    above -= np.float32(middle)
    above /= np.float32(deviation)
    return above


def _between(image: NDArray[Any]) -> float:
    """The threshold that parts dark from bright best (Otsu): the greatest variance between the two."""
    counts, edges = np.histogram(image, bins=_BINS, range=(0.0, max(float(np.percentile(image, 99.5)), 1e-6)))
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    sums = np.cumsum(counts * centres)
    total, whole = below[-1], sums[-1]
    parted = (below > 0) & (below < total)
    if not parted.any():
        raise NoBrain("the images are even: every voxel has the same value")
    apart = np.zeros(_BINS)
    apart[parted] = (whole * below[parted] / total - sums[parted]) ** 2 / (below[parted] * (total - below[parted]))
    return float(centres[int(apart.argmax())])
