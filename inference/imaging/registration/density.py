"""CT as a registration sees it: the table and what lies on it is air, and soft tissue has most of the grey values."""

from itertools import combinations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

AIR_HU = -1000.0
HU_WINDOW = (AIR_HU, 1500.0)
"""What is beyond is padding, or metal."""
_TISSUE_HU = -400.0
_TABLE_MM = 9.0
"""Half the thickness of what is taken for a part of the body: tables, sheets, leads and masks are thinner shells."""
_LIMB = 0.2
"""Of the voxels of the largest part of the body that is thick: what has so many is a part as well, such as the other leg."""
_KNOTS_HU, _TONES = (AIR_HU, -200.0, 250.0, HU_WINDOW[1]), (0.0, 200.0, 800.0, 1000.0)
"""HU and what stands for them: fat, water, muscle and contrast medium lie in 19 of 32 bins of a histogram, where by HU they would share
five."""


def without_table(image: sitk.Image) -> sitk.Image:
    """A CT in HU on an even grid, air wherever its body does not enclose a voxel along two axes; `_TONES` in the place of HU.

    Lung and bowel stay, at the border of the images too; a table does not: a body lies on it, and it encloses nothing. All is air where
    nothing is thicker than a table.
    """
    reach = [max(1, round(_TABLE_MM / step)) for step in image.GetSpacing()]
    tissue = image > _TISSUE_HU
    parts = sitk.ConnectedComponent(sitk.BinaryMorphologicalOpening(tissue, reach, sitk.sitkBall))
    sizes = np.bincount(sitk.GetArrayViewFromImage(parts).ravel())[1:]
    # the parts in the order of their sizes, from 1: both legs, whichever is the larger one today
    limbs = int(np.count_nonzero(sizes >= _LIMB * sizes.max(initial=0)))
    ordered = sitk.RelabelComponent(parts, sortByObjectSize=True)
    thick = sitk.And(ordered >= 1, ordered <= limbs)
    body = sitk.GetArrayFromImage(sitk.And(tissue, sitk.BinaryDilate(thick, reach, sitk.sitkBall))) > 0
    hu = np.where(_enclosed(body), sitk.GetArrayViewFromImage(image), AIR_HU)
    toned = sitk.GetImageFromArray(np.interp(hu, _KNOTS_HU, _TONES).astype(np.float32))
    toned.CopyInformation(image)
    return toned


def _enclosed(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What has body before and behind it along at least two axes, or is body."""
    between = [
        np.logical_or.accumulate(body, axis) & np.flip(np.logical_or.accumulate(np.flip(body, axis), axis), axis) for axis in range(3)
    ]
    enclosed: NDArray[np.bool_] = np.logical_or.reduce([one & other for one, other in combinations(between, 2)])
    return enclosed
