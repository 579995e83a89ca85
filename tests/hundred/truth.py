"""What arithmetic says of a study's own images, by pydicom and numpy alone: what the threshold application has to mark, and its volume."""

from collections.abc import Mapping, Sequence

import numpy as np
import pydicom
from numpy.typing import NDArray

Masks = Mapping[str, NDArray[np.bool_]]
"""By SOP Instance UID."""


def above_zero(images: Sequence[pydicom.Dataset]) -> Masks:
    """The pixels of single-frame images that are above 0 HU."""
    return {str(one.SOPInstanceUID): one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) > 0 for one in images}


def volume_cm3(images: Sequence[pydicom.Dataset], masks: Masks) -> float:
    """Area times distance along the normal; each slice counts half the way to both its neighbours, at the ends as if the way went on."""
    row, column = np.array(images[0].ImageOrientationPatient, float).reshape(2, 3)
    ordered = sorted(images, key=lambda one: float(np.dot(np.cross(row, column), np.array(one.ImagePositionPatient, float))))
    along = [float(np.dot(np.cross(row, column), np.array(one.ImagePositionPatient, float))) for one in ordered]
    ways = np.diff(along)
    thick = (np.concatenate([ways[:1], ways]) + np.concatenate([ways, ways[-1:]])) / 2
    areas = [masks[str(one.SOPInstanceUID)].sum() * float(np.prod(np.array(one.PixelSpacing, float))) for one in ordered]
    return float(np.dot(areas, thick)) / 1000


def wrong_pixels(segmentation: pydicom.Dataset, masks: Masks) -> int:
    """How many pixels of a segmentation with one segment differ from these masks, on the image that each frame names; a frame that is not
    there marks nothing."""
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns) > 0
    left = dict(masks)
    wrong = 0
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        wrong += int(np.count_nonzero(frame != left.pop(str(source), np.zeros_like(frame))))
    return wrong + sum(int(one.sum()) for one in left.values())
