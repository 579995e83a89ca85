"""Files that look like images and are none to learn from: label maps, and values of another modality than was asked for.

NIfTI and pictures say of neither. A label map is known by its name, as layouts of data sets have it, or by its values: whole numbers, few
of them, or the same over whole areas. CT in HU is known by its air and fat.
"""

import re
from pathlib import Path

import numpy as np

from inference.imaging.subject import Images, Subject, volumes_in
from inference.imaging.volume import Voxels

_FOLDERS = frozenset({"labels", "labelstr", "labelsts", "labelsval", "masks", "segmentations"})
"""Of the Medical Segmentation Decathlon, nnU-Net, TotalSegmentator and many others."""
_NAMED = re.compile(r"(?:^|[-_. ])(?:d?seg|probseg|masks?|labels?|segmentations?|groundtruth|gt)$", re.IGNORECASE)
"""How a name ends, without the file's ending: BIDS, BraTS, and what people write."""
_ENDINGS = re.compile(r"(?:\.nii)?\.[A-Za-z]+$")
_FEW = 32
"""Different values: no image that anything is learned from has so few, pictures of 8 bits have a hundred."""
_EVEN = 0.7
"""Of neighbours that are not both of the commonest value, the share that are alike in a label map; noise leaves a fifth alike."""
_AIR_HU = -800.0
_AIR = 0.01
"""Of the voxels of an image so many are air, which no other modality has so far below 0."""


def no_image(path: Path, subject: Subject, *, of_dicom: bool) -> str:
    """Why nothing is learned from a file below its folder, for people; "" where it is an image of what it was read as.

    Parameters
    ----------
    of_dicom
        Its header says what it is.
    """
    if of_dicom:
        return ""
    if any(part.lower() in _FOLDERS for part in path.parts[:-1]) or _NAMED.search(_ENDINGS.sub("", path.name)):
        return "it is named as labels are, and not learned from as an image"
    # of colours one tells: most pictures have the same three
    pictures = [one.pixels[..., 0] if one.pixels.ndim > 2 else one.pixels for one in subject.images] if isinstance(subject, Images) else []
    several = pictures or [one.voxels for one in volumes_in(subject)]
    if all(map(_labels, several)):
        return "its values are those of labels (few, or the same over whole areas), and not learned from as an image"
    return "" if pictures else _other_modality(several[0], subject.modality)


def _labels(values: Voxels) -> bool:
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        return False
    found, counts = np.unique(values, return_counts=True)
    if len(found) <= _FEW:
        return True
    common = found[counts.argmax()]
    left, right = values[..., :-1], values[..., 1:]
    told = (left != common) | (right != common)
    return bool((left == right)[told].mean() >= _EVEN)


def _other_modality(values: Voxels, modality: str) -> str:
    if modality == "CT" and not (values < 0).any():
        return "read as CT, none of its values is below 0: these are no HU"
    air = float((values < _AIR_HU).mean())
    if modality != "CT" and air >= _AIR:
        return f"read as {modality}, it has {100 * air:.0f} % of its voxels below {_AIR_HU:g}, as CT in HU has"
    return ""
