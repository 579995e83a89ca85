"""The mask of a segment as it is held: whole, or as the box that it fills, where a whole one would take memory for much that is empty."""

import contextlib
import math
import mmap
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Box: TypeAlias = tuple[slice, slice, slice]

_HUGE = 1 << 22
"""Bytes from which on numpy asks for pages of 2 MiB, and from which on a mask is held as a box."""
_SPARSE = 4
"""A mask is held as a box that is no more than one part in so many of its grid: of a larger one a copy would take as long as it spares."""


def empty_mask(shape: tuple[int, ...]) -> Mask:
    """A mask without a voxel, whose memory is only the pages of 4 KiB that somebody writes to.

    numpy has the system give 2 MiB at a time, in which a small structure lies on every slice of many: a hundred took four times as much.

    Raises
    ------
    MemoryError
    """
    size = math.prod(shape)
    if size < _HUGE:
        return np.zeros(shape, dtype=np.bool_)
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as refused:
        # as numpy says it: what is caught as OSError is a disk or a file, and no file is damaged here
        raise MemoryError(f"a mask of {size} bytes: {refused.strerror}") from refused
    # a kernel without such pages refuses, and gives none
    with contextlib.suppress(OSError):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, dtype=np.bool_).reshape(shape)


def box_of(mask: Mask) -> Box:
    """The box (z, y, x) that a mask (Z, Y, X) fills; of one without a voxel one without an extent."""
    # plane by plane: numpy stops at the first voxel of each
    slices = [z for z, plane in enumerate(mask) if plane.any()]
    if not slices:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    shadow: Mask = np.asarray(mask[slices[0] : slices[-1] + 1].any(axis=0))
    rows, columns = np.flatnonzero(shadow.any(axis=1)), np.flatnonzero(shadow.any(axis=0))
    return slice(slices[0], slices[-1] + 1), slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxedMask:
    """A mask of which only the box that it fills is held.

    Attributes
    ----------
    shape
        (Z, Y, X) of the whole.
    box
        Where it lies.
    inside
        The voxels of the box.
    """

    shape: tuple[int, ...]
    box: Box
    inside: Mask

    def whole(self) -> Mask:
        """The mask (Z, Y, X), made anew: what is written to it would be lost, so nothing can be."""
        made = empty_mask(self.shape)
        made[self.box] = self.inside
        made.flags.writeable = False
        return made

    def part(self, box: Box) -> Mask:
        """What of the mask lies in another box of the grid."""
        wanted = [range(side)[asked] for side, asked in zip(self.shape, box, strict=True)]
        made = np.zeros([len(each) for each in wanted], dtype=np.bool_)
        both = [range(max(one.start, own.start), min(one.stop, own.stop)) for one, own in zip(wanted, self.box, strict=True)]
        if all(both):
            here = tuple(slice(each.start - one.start, each.stop - one.start) for each, one in zip(both, wanted, strict=True))
            made[here] = self.inside[
                tuple(slice(each.start - own.start, each.stop - own.start) for each, own in zip(both, self.box, strict=True))
            ]
        return made


class HeldMask:
    """The field `mask` of a dataclass: given and read as an array of the whole grid, and held as the box that it fills where that is a
    small part of a large grid. Read then, it is made each time: whoever looks at a slice asks for that part, and whoever hands it on to
    another gives it as it is held (`held_mask`)."""

    def __get__(self, owner: Any, kind: type | None = None) -> Mask:
        if owner is None:
            # how a dataclass is told that the field has no default
            raise AttributeError("mask")
        held = held_mask(owner)
        return held.whole() if isinstance(held, BoxedMask) else held

    def __set__(self, owner: Any, mask: Mask | BoxedMask) -> None:
        owner.__dict__["mask"] = mask if isinstance(mask, BoxedMask) else _held(mask)


def held_mask(owner: Any) -> Mask | BoxedMask:
    """As `HeldMask` holds it."""
    held: Mask | BoxedMask = owner.__dict__["mask"]
    return held


def _held(mask: Mask) -> Mask | BoxedMask:
    if mask.nbytes < _HUGE or mask.ndim != 3 or mask.dtype != np.bool_:
        return mask
    box = box_of(mask)
    inside = mask[box]
    return mask if inside.size * _SPARSE > mask.size else BoxedMask(shape=mask.shape, box=box, inside=inside.copy())
