"""Head check, for applications that look in a brain and mark none: compares the rough brain in the images with a head's form, and its
weighting with T1 where headers do not say what it is."""

from inference.imaging.judge.coarse import Coarse, Mask
from inference.imaging.judge.doubt import Bounds
from inference.imaging.judge.form import shape_of
from inference.imaging.judge.weighting import likeness_of
from inference.imaging.rough_brain import rough_brain
from inference.translatable import say

EVEN = Bounds(usual=(0.8, None), possible=(0.8, None))
"""Share that its mirror image covers. Rough brains of right FLAIR 0.93 and more, 0.87 where a side is cut off; a belly 0.68, hearts 0.75 at
most."""
CEPHALIC = Bounds(usual=(0.5, 1.3), possible=(0.5, 1.3))
"""Width by length: 0.72 to 0.87 in right FLAIR, 1.12 where the front is cut off."""
HEIGHT = Bounds(usual=(0.45, 1.3), possible=(0.45, 1.3))
"""Height by length: 0.73 to 0.80 in right FLAIR, 0.58 where the vertex is cut off; laid on its back 1.36 and more."""
LIKE_T1 = 2.0
"""Log odds of T1 from which on it is no FLAIR: 0.7 at most in two visits of one patient and what is cut of them, 3.4 and 4.5 in T1 of a
person and drawn of labels, by which it was fixed."""


def brain_in(coarse: Coarse) -> Mask:
    """The rough brain (Z, Y, X) on the coarse grid; empty where there is none."""
    return rough_brain(coarse.values, coarse.spacing_mm)


def no_head(coarse: Coarse, brain: Mask) -> str:
    """Why it is no head, for people; "" where it may be, or too little was found to tell."""
    shape = shape_of(brain, coarse.spacing_mm)
    if shape is None:
        return ""
    wide, high = shape.wide / shape.deep, shape.high / shape.deep
    even = say("{share} % of it have no counterpart on the other side", share=f"{100 * (1 - shape.even):.0f}")
    doubts = EVEN.doubt(shape.even, even)
    doubts += CEPHALIC.doubt(wide, say("it is {share} % as wide as long", share=f"{100 * wide:.0f}"))
    doubts += HEIGHT.doubt(high, say("it is {share} % as high as long", share=f"{100 * high:.0f}"))
    return "; ".join(doubt.said for doubt in doubts)


def like_t1(coarse: Coarse, brain: Mask) -> str:
    """Why it looks like T1, for people; "" where it may be FLAIR."""
    likeness = likeness_of(coarse, brain)
    if likeness is None or likeness < LIKE_T1:
        return ""
    return "no header says how it was weighted, and water, grey and white matter in it are dark and bright as on T1, not as on FLAIR"
