"""Brain check: compares form and symmetry of marked voxels with a brain within its skull, that something was marked rather than air, that
no second body lies beside it, and that no slices are missing in it.

Bounds are wider than all right heads of the bench (`python -m bench judge`), which has them with skull and without, bent, moulded, cut.
"""

import numpy as np

from inference.imaging.judge.borders import WIDE, Border, Met
from inference.imaging.judge.coarse import Coarse, Mask, Values
from inference.imaging.judge.doubt import Bounds, Doubt
from inference.imaging.judge.form import shape_of
from inference.imaging.judge.neighbours import widest_step
from inference.imaging.judge.pixels import threshold
from inference.imaging.volume import Volume
from inference.translatable import say

EVEN = Bounds(usual=(0.93, None), possible=(0.905, None))
"""Share that its mirror image covers. Right heads 0.95 and more, tumours and oedema among them: they move what is inside, not the skull."""
CEPHALIC = Bounds(usual=(0.68, 0.95), possible=(0.5, 1.2))
"""Width by length: 0.74 to 0.86 in right heads. Early suture closure makes longer and shorter ones; heads laid on their back or turned a
quarter are 1.28 and more, or too high."""
HEIGHT = Bounds(usual=(0.66, 0.92), possible=(0.58, 1.08))
"""Height by length."""
TAPERS_BACK = Bounds(usual=(-0.34, -0.10), possible=(-0.5, -0.02))
"""The frontal end is the narrower: -0.25 to -0.16 in right heads; balls, bodies and heads laid otherwise are near 0."""
LEANS = Bounds(usual=(None, -0.1), possible=(None, 0.05))
"""Cerebellum and brain stem lie at the back: -0.25 to -0.20 in the four heads that fixed the bounds. Upside down they are 0.05 and more,
laid otherwise near 0; a head that nods by 10 degrees moves by 0.1."""
ROUND = Bounds(usual=(0.885, None), possible=(0.86, None))
"""Dice coefficient with the ellipsoid of the same moments."""
FILLED = Bounds(usual=(0.55, None), possible=(0.4, None))
"""Share of the marked voxels that are brighter than air; near a surface coil fat is so bright that brain looks dark."""
AIR_DEVIATIONS = 3.0
"""How far above air, in its robust standard deviations, nothing is air any more."""
MOST_CUT = 3
"""Borders that a head can be cut at: more of them, and the images are a piece of something."""
DRAWN = 0.5
"""Share of neighbours with exactly one value, from which on an image is no measurement: a map of labels, a mask, a drawing."""

STEP = Bounds(usual=(None, 1.4), possible=(None, 2.0))
"""How much two neighbouring slices differ, by those around them: at most 1.29 in the four heads that fixed the bounds and in what is made
of them, 2.02 and more where a quarter of the slices is left out of their middle."""
BESIDE = Bounds(usual=(None, 0.03), possible=(None, 0.6))
"""What is as bright as tissue in the upper half and far from what was marked, by its volume: 0 in the four heads, 0.99 beside a second
one. Folding over brings less of one, and is told."""
FAR_MM = 45.0
"""From the brain to its skin it is less, in its upper half."""

_MAD = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""
_ENDS = frozenset({Border.FRONT, Border.BACK})
_SIDES = frozenset({Border.RIGHT, Border.LEFT})
_SAMPLED = 24
"""Slices that neighbours are compared on."""


def brain_doubts(volume: Volume, coarse: Coarse, mask: Mask, marked: Mask, cut: tuple[Met, ...]) -> list[Doubt]:
    """What speaks against a brain. `marked` is the mask as coarse; what a cut changes is not looked at where it is cut so."""
    shape = shape_of(marked, coarse.spacing_mm)
    if shape is None:
        return [Doubt(said=say("next to nothing was marked"), impossible=True)]
    at = {met.border for met in cut if met.share > WIDE}
    doubts: list[Doubt] = []
    if len(cut) > MOST_CUT:
        doubts.append(Doubt(said=say("it meets {number} of the six borders of the images", number=str(len(cut))), impossible=True))
    if not at & _SIDES:
        doubts += EVEN.doubt(
            shape.even, say("{share} % of it have no counterpart on the other side", share=f"{100 * (1 - shape.even):.0f}")
        )
    if not at & (_SIDES | _ENDS):
        ratio = shape.wide / shape.deep
        doubts += CEPHALIC.doubt(ratio, say("it is {share} % as wide as long", share=f"{100 * ratio:.0f}"))
    if not at - _SIDES:
        ratio = shape.high / shape.deep
        doubts += HEIGHT.doubt(ratio, say("it is {share} % as high as long", share=f"{100 * ratio:.0f}"))
        doubts += LEANS.doubt(shape.leans, say("its lower part does not lie behind its upper one"))
    if not at & _ENDS:
        doubts += TAPERS_BACK.doubt(shape.tapers[1], say("its front and its back are not those of a head"))
    if not at:
        doubts += ROUND.doubt(shape.round, say("its form is ragged"))
    between, low = threshold(coarse.values)
    filled = float((coarse.values[marked] > _darkest(coarse.values, marked, between, low)).mean())
    doubts += FILLED.doubt(filled, say("{share} % of it are as dark as air", share=f"{100 * (1 - filled):.0f}"))
    beside = _beside(coarse, marked, between)
    doubts += BESIDE.doubt(beside, say("beside it lies something else, {share} % as large", share=f"{100 * beside:.0f}"))
    step = widest_step(volume, mask)
    doubts += STEP.doubt(step, say("two neighbouring slices differ {times} times as much as others: some are missing", times=f"{step:.1f}"))
    if _drawn(volume, mask) > DRAWN:
        drawn = say("neighbouring voxels have exactly one value, as in a drawing or a map of labels")
        doubts.append(Doubt(said=drawn, impossible=True))
    return doubts


def _darkest(values: Values, marked: Mask, between: float, low: float) -> float:
    """The value up to which voxels are as dark as air: halfway to what is bright, or less, where air itself is darker than that by far.

    Beside bright fat, or near a coil, water and brain are dark as well; undrained hydrocephalus is water for the most part.
    """
    halfway = low + (between - low) / 2
    around = values[~marked & (values < between)]
    if not around.size:
        return halfway
    air = float(np.median(around))
    return min(halfway, air + AIR_DEVIATIONS * _MAD * float(np.median(np.abs(around - air))))


def _beside(coarse: Coarse, marked: Mask, between: float) -> float:
    from scipy import ndimage

    planes = np.flatnonzero(marked.any(axis=(1, 2)))
    upper = slice(int(planes[0] + planes[-1]) // 2, int(planes[-1]) + 1)
    bright = coarse.values[upper] > between
    away_mm = np.asarray(ndimage.distance_transform_edt(~marked[upper], sampling=coarse.spacing_mm))
    return int(np.count_nonzero(bright & (away_mm > FAR_MM))) / int(np.count_nonzero(marked[upper]))


def _drawn(volume: Volume, mask: Mask) -> float:
    """Share of neighbours along the rows, both marked, that have exactly the same value."""
    step = max(1, len(mask) // _SAMPLED)
    values, marked = volume.voxels[::step], mask[::step]
    both = marked[:, :, 1:] & marked[:, :, :-1]
    if not both.any():
        return 0.0
    return float(np.mean(values[:, :, 1:][both] == values[:, :, :-1][both]))
