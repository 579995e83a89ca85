"""From the maps of a detector's heads to boxes: anchors, decoding, non-maximum suppression. numpy only.

It computes what MONAI's RetinaNetDetector does (monai.apps.detection; Lin and others 2017, "Focal loss for dense object detection"), and
only of what is likely enough: anchors of places that nobody asks for are never made. Boxes are (N, 6) float32: the least of each axis,
then the largest, in voxels of the image that the network sees; 0 is the middle of its first voxel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.imaging.resample import Shape

Floats = NDArray[np.float32]

AXES = 3
CODED = 2 * AXES
"""Numbers of a box, and of what a head says of one: its centre's way along each axis, then the logarithm of each side."""

_MOST_GROWN = np.float32(math.log(1000.0 / 16))
"""By how much a side may grow, as a logarithm (MONAI's BoxCoder)."""
_LEAST_SIDE = np.float32(1)
"""Of a box within the image, in voxels: what is thinner counts as empty (monai.data.box_utils.spatial_crop_boxes)."""
_EPSILON = np.finfo(np.float32).eps


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """The boxes that a detector starts from (AnchorGeneratorWithAnchorShape): `shapes` in voxels at every place of a level, times its
    scale."""

    scales: tuple[float, ...]
    shapes: tuple[tuple[float, float, float], ...]

    def cells(self, level: int) -> Floats:
        """(A, 6): the anchors around a place of this level."""
        halves = np.float32(self.scales[level]) * np.array(self.shapes, dtype=np.float32) / np.float32(2)
        cells: Floats = np.rint(np.concatenate([-halves, halves], axis=1))
        return cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which boxes are kept (BoxSelector).

    Attributes
    ----------
    least
        Probability above which a box is one.
    candidates
        Boxes of each level that are looked at: the likeliest.
    overlap
        Intersection over union above which the less likely of two boxes of a class is dropped.
    most
        Boxes of an image.
    """

    least: float
    candidates: int
    overlap: float
    most: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundBoxes:
    """Boxes (N, 6), the probability (N,) and the class (N,) of each, likeliest first."""

    boxes: Floats
    probabilities: Floats
    classes: NDArray[np.intp]


def found_boxes(
    class_maps: Sequence[Floats], box_maps: Sequence[Floats], anchors: Anchors, selection: Selection, padded: Shape, shape: Shape
) -> FoundBoxes:
    """The boxes of an image.

    Parameters
    ----------
    class_maps, box_maps
        Of each level: logits (anchors × classes, X, Y, Z), and what becomes of the anchors (anchors × 6, X, Y, Z).
    padded, shape
        Voxels of the image as the network saw it, and of the image itself: boxes end with it.
    """
    levels = [
        _of_level(logits, coded, anchors.cells(level), selection, padded, shape)
        for level, (logits, coded) in enumerate(zip(class_maps, box_maps, strict=True))
    ]
    boxes, probabilities, classes = (np.concatenate(each) for each in zip(*levels, strict=True))
    kept = suppressed(boxes, probabilities, classes, selection)
    return FoundBoxes(boxes=boxes[kept], probabilities=probabilities[kept], classes=classes[kept])


def suppressed(boxes: Floats, probabilities: Floats, classes: NDArray[np.intp], selection: Selection) -> NDArray[np.intp]:
    """Which boxes stay, likeliest first: none overlaps a likelier one of its class by more than `selection.overlap`."""
    left = np.argsort(-probabilities, kind="stable")
    volumes = np.prod(boxes[:, AXES:] - boxes[:, :AXES], axis=1)
    kept: list[int] = []
    while left.size and len(kept) < selection.most:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        low = np.maximum(boxes[left, :AXES], boxes[best, :AXES])
        high = np.minimum(boxes[left, AXES:], boxes[best, AXES:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        share = common / (volumes[left] + volumes[best] - common + _EPSILON)
        left = left[(share <= selection.overlap) | (classes[left] != classes[best])]
    return np.array(kept, dtype=np.intp)


def decoded(coded: Floats, anchors: Floats) -> Floats:
    """Boxes (N, 6) of what a head says (N, 6) of anchors (N, 6)."""
    sides = anchors[:, AXES:] - anchors[:, :AXES]
    middles = (anchors[:, AXES:] + anchors[:, :AXES]) / np.float32(2)
    centres = coded[:, :AXES] * sides + middles
    halves = np.float32(0.5) * (np.exp(np.minimum(coded[:, AXES:], _MOST_GROWN)) * sides)
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _of_level(
    logits: Floats, coded: Floats, cells: Floats, selection: Selection, padded: Shape, shape: Shape
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """The likeliest boxes of one level within the image."""
    grid = logits.shape[1:]
    by_anchor = logits.reshape(len(cells), -1, *grid)
    # the logistic function of what may be likely alone: of a whole level it would be a second one beside it
    anchor, kind, *place = np.nonzero(by_anchor > _logit(selection.least) - _SLACK)
    chosen = by_anchor[(anchor, kind, *place)]
    probabilities = np.float32(1) / (np.float32(1) + np.exp(-chosen))
    # ties in the order of places, anchors and classes, as MONAI lists them
    listed = np.lexsort((kind, anchor, *reversed(place), -probabilities))
    listed = listed[probabilities[listed] > np.float32(selection.least)][: selection.candidates]
    anchor, kind, probabilities = anchor[listed], kind[listed], probabilities[listed]
    steps = np.array([whole // cell for whole, cell in zip(padded, grid, strict=True)])
    at = np.stack(place, axis=1)[listed]
    centres = (at * steps + steps // 2).astype(np.float32)
    around = cells[anchor] + np.tile(centres, 2)
    x, y, z = at.T
    said = coded.reshape(len(cells), CODED, *grid)[anchor, :, x, y, z]
    boxes = np.clip(decoded(said, around), 0, np.tile(np.array(shape, dtype=np.float32), 2)).astype(np.float32)
    whole = ((boxes[:, AXES:] - boxes[:, :AXES]) >= _LEAST_SIDE).all(axis=1)
    return boxes[whole], probabilities[whole], kind[whole].astype(np.intp)


_SLACK = 1e-3
"""Below a logit, for what rounding makes of it; probabilities decide."""


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability)) if probability > 0 else -math.inf
