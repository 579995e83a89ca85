"""Post-processing of a bundle: a network's channels become masks on the series' own grid, by the bundle's own steps in their order."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.errors import TooLittleMemory
from inference.applications.bundle.steps import ImageOnGrid
from inference.engines.processors import usable_memory
from inference.imaging.resample import Interpolation
from inference.segment_mask import empty_mask

Array: TypeAlias = NDArray[Any]
Mask: TypeAlias = NDArray[np.bool_]
_FULL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """Softmax over the channels, or the logistic function of each."""

    softmax: bool = False
    sigmoid: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The number of the largest channel (`threshold` None), or every channel that reaches `threshold`."""

    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """Regions that overlap, as nnU-Net decides them: channel by channel, a logit above 0 gives its voxel the label `order` has for it.

    What is given is a mask for each channel: the voxels whose label is one of its `members` in the end.
    """

    order: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Back to the series' grid: `nearest` takes the nearest voxel, else values between voxels are interpolated."""

    nearest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLargest:
    """Of each structure the `num_components` largest parts; not `independent`: of all of them together."""

    applied_labels: tuple[int, ...] | None = None
    independent: bool = True
    connectivity: int | None = None
    num_components: int = 1


Finishing: TypeAlias = Activation | Decision | Regions | Return | KeepLargest
FINISHINGS: dict[str, Callable[..., Finishing]] = {each.__name__: each for each in (Activation, Decision, Regions, Return, KeepLargest)}
"""Every finishing by its name in application.json."""


def order_problem(finishings: Sequence[Finishing]) -> str:
    """What is wrong with an order of finishings, "" where nothing is.

    Activations come first; there is one decision and one way back, in either order (regions after it); clean-up comes after the decision.
    """
    kinds = [Decision if isinstance(each, Regions) else type(each) for each in finishings]
    if kinds.count(Decision) != 1:
        return f"{kinds.count(Decision)} decisions (AsDiscreted with argmax or threshold); one makes structures of a network's values"
    if kinds.count(Return) != 1:
        return f"{kinds.count(Return)} ways back (Invertd)"
    decided = kinds.index(Decision)
    if Activation in kinds[min(decided, kinds.index(Return)) :]:
        return "an activation after the decision or the way back"
    if KeepLargest in kinds[:decided]:
        return "KeepLargestConnectedComponentd before there is a decision"
    if isinstance(finishings[decided], Regions) and kinds.index(Return) > decided:
        return "regions decided before the way back"
    if kinds.index(Return) < decided - 1:
        return "something between the way back (Invertd) and the decision"
    return ""


def per_voxel(finishings: Sequence[Finishing]) -> int:
    """How many finishings at the start work voxel by voxel, so that they can be done slice by slice while tiles come in."""
    count = 0
    for each in finishings:
        if not isinstance(each, Activation | Decision):
            break
        count += 1
    return count


def voxelwise(values: Array, finishings: Sequence[Finishing]) -> Array:
    """Channels (C, …) to activated channels, to labels (…) or to masks (C, …)."""
    for each in finishings:
        if isinstance(each, Activation):
            values = _activated(values, each)
        elif isinstance(each, Decision):
            values = decided(values, each)
    return values


def decided(values: Array, decision: Decision) -> Array:
    """Labels (…) uint16, or masks (C, …)."""
    if decision.threshold is None:
        labels: Array = values.argmax(axis=0).astype(np.uint16)
        return labels
    reached: Array = values >= np.float32(decision.threshold)
    return reached


def masks_of(labels: Array, numbers: Sequence[int]) -> dict[int, Mask]:
    """The mask (Z, Y, X) of each number among labels (Z, Y, X).

    A mask takes memory for the rows of the box that it fills alone.

    Raises
    ------
    TooLittleMemory
        The boxes are more than the machine or its container has.
    """
    from scipy import ndimage

    boxes = {0: (slice(0, labels.shape[0]), slice(0, labels.shape[1]), slice(0, labels.shape[2]))}
    boxes.update(enumerate(ndimage.find_objects(labels), start=1))
    there = {number: box for number in numbers if (box := boxes.get(number)) is not None}
    # a box's rows are written whole, page by page
    needed = sum(math.prod(part.stop - part.start for part in box[:2]) * labels.shape[2] for box in there.values())
    if needed > (usable := usable_memory()):
        raise TooLittleMemory(
            f"masks of {len(there)} structures take {needed / 2**30:.1f} GB, this machine or its container has {usable / 2**30:.1f}"
        )
    made: dict[int, Mask] = {}
    for number in numbers:
        made[number] = empty_mask(labels.shape)
        if number in there:
            np.equal(labels[there[number]], number, out=made[number][there[number]])
    return made


def finished(values: Array, finishings: Sequence[Finishing], image: ImageOnGrid) -> Array:
    """All that is not done yet: labels (Z, Y, X) or masks (C, Z, Y, X) on the series' grid.

    Parameters
    ----------
    values
        Channels, labels or masks on the grid of `image`.
    """
    left = list(finishings)
    while left:
        each = left.pop(0)
        if isinstance(each, Return):
            by = Interpolation.NEAREST if each.nearest else Interpolation.LINEAR
            if left and isinstance(left[0], Decision | Regions):
                values = _returned_and_decided(values, left.pop(0), image, by)
            elif values.ndim == _FULL:
                values = image.undo(values, Interpolation.NEAREST)
            else:
                values = np.stack([image.undo(mask, Interpolation.NEAREST) for mask in values])
        elif isinstance(each, KeepLargest):
            values = _cleaned(values, each)
        else:
            values = voxelwise(values, [each])
    return np.ascontiguousarray(values)


def _returned_and_decided(values: Array, decision: Finishing, image: ImageOnGrid, by: Interpolation) -> Array:
    """Channel by channel, so that no more than two are on the series' grid at a time."""
    if isinstance(decision, Regions):
        painted: Any = np.uint16(0)
        for label, channel in zip(decision.order, values, strict=True):
            painted = np.where(image.undo(channel, by) > 0, np.uint16(label), painted)
        return np.stack([np.isin(painted, members) for members in decision.members])
    assert isinstance(decision, Decision)
    if decision.threshold is not None:
        return np.stack([image.undo(channel, by) >= np.float32(decision.threshold) for channel in values])
    best = image.undo(values[0], by)
    labels = np.zeros(best.shape, dtype=np.uint16)
    for number, channel in enumerate(values[1:], start=1):
        there = image.undo(channel, by)
        more = there > best
        labels[more] = number
        np.maximum(best, there, out=best)
    return labels


def _activated(values: Array, activation: Activation) -> Array:
    values = values.astype(np.float32, copy=False)
    if activation.sigmoid:
        # both halves without overflow: e^-|x|
        small = np.exp(-np.abs(values))
        values = np.where(values >= 0, 1, small).astype(np.float32) / (1 + small)
    if activation.softmax:
        powers = np.exp(values - values.max(axis=0))
        values = powers / powers.sum(axis=0)
    return values


def _cleaned(values: Array, keep: KeepLargest) -> Array:
    """A copy of labels or masks with the smaller parts taken out."""
    labels = values.ndim == _FULL
    if not labels and len(values) == 1:
        # a single mask is to MONAI an image of the labels 0 and 1
        chosen = [0] if keep.applied_labels is None or 1 in keep.applied_labels else []
    elif keep.applied_labels is not None:
        chosen = [label for label in keep.applied_labels if labels or label < len(values)]
    else:
        chosen = [int(label) for label in np.unique(values) if label] if labels else list(range(1, len(values)))
    made = values.copy()
    groups = [[label] for label in chosen] if keep.independent else [chosen]
    for group in groups:
        masks = [values == label for label in group] if labels else [values[label] for label in group]
        if not masks:
            continue
        foreground: Mask = np.logical_or.reduce(masks)
        lost = foreground & ~_largest(foreground, keep)
        for label in group:
            if labels:
                made[lost] = 0
            else:
                made[label][lost] = False
    return made


def _largest(mask: Mask, keep: KeepLargest) -> Mask:
    from scipy import ndimage

    hops = min(keep.connectivity or mask.ndim, mask.ndim)
    labels, found = ndimage.label(mask, structure=ndimage.generate_binary_structure(mask.ndim, hops))
    if found <= keep.num_components:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.zeros(sizes.shape, dtype=np.bool_)
    kept[np.argsort(sizes)[::-1][: keep.num_components]] = True
    largest: Mask = kept[labels]
    return largest
