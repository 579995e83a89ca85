"""How far the answers of one way to compute a model lie from those of another: in values, and in the masks that they mean."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_SPATIAL = 3
"""Axes of an output that is a picture: batch, channels, and at least one of space."""

FEWEST = 64
"""Voxels of a class below which its Dice says more of single voxels than of the computation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of two answers to the same inputs, the worst over all outputs.

    Attributes
    ----------
    values
        The largest difference of a value, as a share of the range of the reference's values.
    dice
        The smallest Dice of any class's mask; None where no output means a mask.
    """

    values: float
    dice: float | None

    def worst(self, other: "Difference") -> "Difference":
        """The larger of each."""
        known = [dice for dice in (self.dice, other.dice) if dice is not None]
        return Difference(values=max(self.values, other.values), dice=min(known) if known else None)


NONE = Difference(values=0.0, dice=None)


def difference(reference: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]) -> Difference:
    """Compare all outputs of a model; other shapes, or values that are no numbers, are infinitely far away."""
    worst = NONE
    for name, meant in reference.items():
        worst = worst.worst(_of_output(meant, found[name]))
    return worst


def _of_output(meant: NDArray[Any], found: NDArray[Any]) -> Difference:
    if meant.shape != found.shape or not np.isfinite(found).all():
        return Difference(values=float("inf"), dice=0.0)
    if meant.size == 0:
        return NONE
    low, high = float(meant.min()), float(meant.max())
    # slab by slab: a whole head in double precision would need gigabytes
    most = max(float(np.abs(ours - theirs).max()) for ours, theirs in zip(meant.astype(np.float32, copy=False), found, strict=True))
    spread = high - low
    return Difference(values=most / spread if spread > 0 else most, dice=_dice(meant, found, low, high))


def _dice(meant: NDArray[Any], found: NDArray[Any], low: float, high: float) -> float | None:
    """Several channels: of each class where it has the highest value; one channel: of what lies above its middle."""
    if meant.ndim < LEAST_SPATIAL or meant.dtype.kind != "f":
        return None
    if meant.shape[1] > 1:
        ours, theirs = meant.argmax(axis=1), found.argmax(axis=1)
        return min((_overlap(ours == each, theirs == each) for each in range(meant.shape[1])), default=1.0)
    # probabilities are cut at one half, the values before a sigmoid at zero; anything else is no mask
    cut = 0.5 if low >= 0 and high <= 1 else 0.0
    return _overlap(meant > cut, found > cut) if low < cut < high else None


def _overlap(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    sizes = int(np.count_nonzero(ours)) + int(np.count_nonzero(theirs))
    return 1.0 if sizes < 2 * FEWEST else 2 * int(np.count_nonzero(ours & theirs)) / sizes


def digest_of(answer: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (hex) of all outputs, by name."""
    digest = hashlib.sha256()
    for name in sorted(answer):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(answer[name]).data)
    return digest.hexdigest()
