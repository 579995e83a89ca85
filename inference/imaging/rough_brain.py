"""A rough brain on MR without a network: the largest thick part of what is brighter than the dark rest, with what is enclosed in it.

Classical steps: a threshold between tissue and the rest, a core that is deep everywhere, grown back and closed.
"""

import numpy as np
from numpy.typing import NDArray

CORE_MM = 6.0
"""Tissue that is this deep everywhere is brain: scalp, muscles and eyes are thinner, and parted from it by dark bone and water."""
REGROWN_MM = 7.0
CLOSED_MM = 4.0
COARSE_MM = 2.0
_BINS = 128

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


def rough_brain(image: Floats, spacing_mm: tuple[float, float, float]) -> Mask:
    """A rough mask (Z, Y, X) of the brain, found on a coarser grid: nothing in it is finer than its steps are wide. Empty where nothing is
    as thick and as even as a brain."""
    from scipy import ndimage

    strides = [max(int(COARSE_MM // mm), 1) for mm in spacing_mm]
    coarse = image[tuple(slice(stride // 2, None, stride) for stride in strides)]
    coarse_mm = tuple(mm * stride for mm, stride in zip(spacing_mm, strides, strict=True))
    between = _between(coarse)
    if between is None:
        return np.zeros(image.shape, dtype=np.bool_)
    tissue = coarse > between
    parts, found = ndimage.label(deep(tissue, CORE_MM, coarse_mm))
    if not found:
        return np.zeros(image.shape, dtype=np.bool_)
    core = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    brain = tissue & (ndimage.distance_transform_edt(~core, sampling=coarse_mm) <= REGROWN_MM)
    closed = deep(ndimage.distance_transform_edt(~brain, sampling=coarse_mm) <= CLOSED_MM, CLOSED_MM, coarse_mm)
    # the ventricles are open to nothing within a slice
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in brain | closed])
    return as_fine(filled, strides, image.shape)


def as_fine(mask: Mask, strides: list[int], shape: tuple[int, ...]) -> Mask:
    """A mask of every so many voxels on all of them."""
    for axis, stride in enumerate(strides):
        mask = np.repeat(mask, stride, axis=axis)
    short = [(0, max(count - have, 0)) for count, have in zip(shape, mask.shape, strict=True)]
    return np.pad(mask, short, mode="edge")[tuple(slice(0, count) for count in shape)]


def deep(mask: Mask, mm: float, spacing_mm: tuple[float, ...]) -> Mask:
    """The voxels of a mask that lie deeper in it than `mm`; outside of the images is outside of the mask."""
    from scipy import ndimage

    inside = np.zeros(mask.shape, dtype=np.bool_)
    # of what lies within the mask's box the nearest that is outside of the mask is no further away than the box's rim
    for box in ndimage.find_objects(mask.view(np.uint8)):
        depth = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=spacing_mm)
        inside[box] = depth[1:-1, 1:-1, 1:-1] > mm
    return inside


def _between(image: Floats) -> float | None:
    """The threshold that parts dark from bright best (Otsu): the greatest variance between the two; None of one value throughout."""
    counts, edges = np.histogram(image, bins=_BINS, range=(0.0, max(float(np.percentile(image, 99.5)), 1e-6)))
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    sums = np.cumsum(counts * centres)
    total, whole = below[-1], sums[-1]
    parted = (below > 0) & (below < total)
    if not parted.any():
        return None
    apart = np.zeros(_BINS)
    apart[parted] = (whole * below[parted] / total - sums[parted]) ** 2 / (below[parted] * (total - below[parted]))
    return float(centres[int(apart.argmax())])
