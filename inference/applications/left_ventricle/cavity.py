"""Which of the marked pixels are the cavity of the left ventricle: on each slice one part, on a run of neighbouring slices.

A network that is asked about one slice marks something on slices beyond the base or the apex, too: an atrium, the aorta's root, the
stomach. Which slices count is decided here, phase by phase: from the slice with the most outwards, as long as the next one's part lies
over the one before and is not much larger than the two before.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.imaging.components import largest_component

Mask = NDArray[np.bool_]

LEAST_MM2 = 30.0
"""A part that is smaller is none: the tip of a cavity that a slice just touches is drawn from about this size on."""
MOST_GROWTH = 1.4
"""Times the larger of the two parts before, outwards: a ventricle gets no wider beyond its widest slice but by its own beat, by breath and
by noise. Of two: a slice that was taken in another breath may be smaller than both its neighbours (SC-HYP-40 of the Sunnybrook data)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cavity:
    """What counts in one phase.

    Attributes
    ----------
    mask
        (Z, Y, X).
    first, last
        The outermost slices that count, from 0; -1 where none does.
    left_out
        The slices on which something was marked that does not count.
    """

    mask: Mask
    first: int
    last: int
    left_out: tuple[int, ...]

    @property
    def slices(self) -> int:
        """How many count."""
        return 0 if self.first < 0 else self.last - self.first + 1


def cavity(marked: Mask, pixel_mm2: float) -> Cavity:
    """The cavity among marked pixels (Z, Y, X) of one phase; slices lie in their order along the stack."""
    parts = [largest_component(one[None])[0] for one in marked]
    sizes_mm2 = np.array([np.count_nonzero(one) for one in parts]) * pixel_mm2
    counting: dict[int, Mask] = {}
    if len(parts) and sizes_mm2.max() >= LEAST_MM2:
        widest = int(sizes_mm2.argmax())
        counting[widest] = parts[widest]
        for outwards in (range(widest - 1, -1, -1), range(widest + 1, len(parts))):
            before, most = parts[widest], np.count_nonzero(parts[widest])
            for z in outwards:
                part = _over(marked[z], before)
                pixels = np.count_nonzero(part)
                if not (pixels * pixel_mm2 >= LEAST_MM2 and pixels <= MOST_GROWTH * most):
                    break
                most = max(pixels, np.count_nonzero(before))
                counting[z] = before = part
    mask = np.zeros(marked.shape, dtype=np.bool_)
    for z, part in counting.items():
        mask[z] = part
    left_out = tuple(z for z in range(len(parts)) if z not in counting and sizes_mm2[z] >= LEAST_MM2)
    return Cavity(mask=mask, first=min(counting, default=-1), last=max(counting, default=-1), left_out=left_out)


def _over(marked: Mask, before: Mask) -> Mask:
    """Of the parts of a slice, the largest of those that lie over the part of its neighbour; nothing where none does."""
    rest = marked.copy()
    while rest.any():
        part: Mask = largest_component(rest[None])[0]
        if (part & before).any():
            return part
        rest &= ~part
    return rest
