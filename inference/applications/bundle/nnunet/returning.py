"""Labels of logits that come slab by slab: resampled to the grid before the network's, decided, and let go.

What comes of it is what `finish.finished` makes of all channels at once, and nnU-Net of all probabilities. Only linear splines are computed
so: others take every slice for each. The logits of a slice are needed once, and 25 labels of 512 x 512 x 400 voxels are 5 GB of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.finish import Decision, Finishing, Mask, Regions, Return
from inference.applications.bundle.nnunet.preparing import ResampledBack, splined
from inference.applications.bundle.steps import Array, Floats, ImageOnGrid
from inference.imaging.resample import Interpolation

Labels: TypeAlias = NDArray[np.unsignedinteger[Any]]

_TOGETHER = 8
"""Slices of the result that are made in one go: those of a channel are a few volumes of so many slices."""


class SlabLabels:
    """Labels on the grid before a resampling, of logits on the grid after it.

    Parameters
    ----------
    shape
        Of the network's grid.
    channels
        Of the logits.
    """

    def __init__(self, back: ResampledBack, shape: tuple[int, int, int], decide: Decision | Regions, channels: int) -> None:
        self._back = back
        self._decide = decide
        # the smallest that holds the largest label
        largest = max(decide.order) if isinstance(decide, Regions) else channels - 1
        self._labels: Labels = np.zeros(back.shape, dtype=np.min_scalar_type(largest))
        count, self._length = back.shape[0], shape[0]
        # a voxel's middle lies at its number and a half, on both grids; beyond the last middle its value holds
        at = np.clip((np.arange(count) + 0.5) * (self._length / count) - 0.5, 0, self._length - 1)
        if back.apart == 0 and back.order_apart == 0:
            at = np.floor(at + 0.5)
        self._first = np.floor(at).astype(np.intp)
        self._share = at - self._first
        self._held: Array | None = None
        self._arrived = 0
        self._done = 0

    @property
    def nbytes(self) -> int:
        """Of the labels, and of what is held to make a few slices of them."""
        depth, rows, columns = self._back.shape
        # of one channel, the network's slices that these lie between, before and after they are brought into the result's rows and columns
        between = math.ceil(_TOGETHER * self._length / depth) + 2
        slices = 6 * min(_TOGETHER, depth) + 2 * min(between, self._length)
        return self._labels.nbytes + slices * rows * columns * np.dtype(np.float64).itemsize

    def take(self, slab: Array) -> None:
        """The next logits (channels, slices, rows, columns), from the first slice on."""
        logits = _Logits(slab=slab, start=self._arrived, before=self._held)
        self._arrived += slab.shape[1]
        # a slice between two of the network's waits for the second
        ready = len(self._first) if self._arrived == self._length else int(np.searchsorted(self._first, self._arrived - 1))
        for start in range(self._done, ready, _TOGETHER):
            stop = min(start + _TOGETHER, ready)
            self._labels[start:stop] = self._decided(logits, start, stop)
        self._done = ready
        self._held = slab[:, -1].copy()

    def result(self) -> Labels:
        """The labels, once all logits have come."""
        assert self._done == len(self._labels), "a slab is missing"
        return self._labels

    def _decided(self, logits: "_Logits", start: int, stop: int) -> Labels:
        """Labels of slices `start` to before `stop`."""
        labels = np.zeros((stop - start, *self._back.shape[1:]), dtype=self._labels.dtype)
        if isinstance(self._decide, Regions):
            for channel, label in enumerate(self._decide.order):
                labels[self._resampled(logits, channel, start, stop) > 0] = label
            return labels
        best = self._resampled(logits, 0, start, stop)
        for channel in range(1, len(logits.slab)):
            there = self._resampled(logits, channel, start, stop)
            labels[there > best] = channel
            np.maximum(best, there, out=best)
        return labels

    def _resampled(self, logits: "_Logits", channel: int, start: int, stop: int) -> Floats:
        """One channel's slices of the result, in the precision of the logits."""
        below, share = self._first[start:stop], self._share[start:stop]
        above = np.where(share > 0, below + 1, below)
        low = int(below.min())
        planes = self._in_plane(logits.slices(channel, low, int(above.max()) + 1))
        made = planes[below - low]
        between = np.flatnonzero(share)
        if between.size:
            weight = share[between, None, None]
            made = made.astype(np.float64)
            made[between] = made[between] * (1 - weight) + planes[above[between] - low] * weight
        # numbers are compared as float32, which is many times faster and the same: each is one of half precision
        rounded: Floats = made.astype(np.float32).astype(logits.slab.dtype).astype(np.float32)
        return rounded

    def _in_plane(self, planes: Array) -> Array:
        """Slices of the network's grid in the rows and columns of the result, not rounded where the axis of slices follows at once."""
        sides = self._back.shape[1:]
        if planes.shape[1:] == sides:
            return planes.astype(np.float32)
        apart = self._back.apart
        if apart == 0:
            return np.stack([splined(plane, sides, 1, None, 0) for plane in planes.astype(np.float32)])
        within = None if apart is None else apart - 1
        return np.stack([splined(plane, sides, 1, within, self._back.order_apart) for plane in planes.astype(np.float64)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Logits:
    """A slab (channels, slices, rows, columns) from slice `start` on; `before` is the slice before it (channels, rows, columns)."""

    slab: Array
    start: int
    before: Array | None

    def slices(self, channel: int, low: int, high: int) -> Array:
        """Slices `low` to before `high` of a channel."""
        here = self.slab[channel, max(low - self.start, 0) : high - self.start]
        if low >= self.start:
            return here
        assert self.before is not None, "there is a slice before this one"
        return np.concatenate([self.before[channel][None], here])


def slab_labels(finishings: Sequence[Finishing], image: ImageOnGrid, channels: int) -> SlabLabels | None:
    """What decides the logits of an image slab by slab; None where they have to be there whole.

    Parameters
    ----------
    finishings
        Of these the first two are done by it.
    """
    back = image.back[0] if image.back else None
    if len(finishings) < 2 or finishings[0] != Return(nearest=False) or not isinstance(back, ResampledBack):
        return None
    decide = finishings[1]
    if not isinstance(decide, Regions) and (not isinstance(decide, Decision) or decide.threshold is not None):
        return None
    # a spline along a coarse axis within the slices takes what was rounded before it
    if back.order != 1 or back.order_apart > 1 or (back.apart in (1, 2) and back.order_apart != 0):
        return None
    return SlabLabels(back, image.grid.shape, decide, channels)


def returned(labels: Labels, decide: Finishing, image: ImageOnGrid) -> Array | Mask:
    """Labels of the grid before the resampling on the series' grid; of regions a mask each (C, Z, Y, X)."""
    labels = replace(image, back=image.back[1:]).undo(labels, Interpolation.NEAREST)
    if isinstance(decide, Regions):
        return np.stack([np.isin(labels, members) for members in decide.members])
    whole: Array = np.ascontiguousarray(labels)
    return whole
