"""Motion that a registration found: how far it goes, and whether the two volumes fit at all; SimpleITK is not imported."""

import math

import numpy as np

from inference.imaging.registration.errors import NotTheSame
from inference.imaging.volume import Affine
from inference.translatable import Translatable, say

LEAST_LIKENESS, GOOD_LIKENESS = 1.08, 1.2
"""Normalised mutual information at 2 mm. Measured: two visits of one patient 1.33, with much noise 1.31, the same head with its contrast
turned round 1.18; heads of seven different people, in all pairs and whatever their contrasts, 1.01 to 1.07."""

GOOD_COVERAGE = 0.8
FAR_MM, FAR_DEGREES = 60.0, 30.0
"""Two visits on one kind of scanner rarely lie further apart: whoever reads has to look."""


def extent(matrix: Affine, middle: Affine) -> tuple[float, float]:
    """How far a rigid motion goes: by how many mm it moves the point that it takes to `middle`, and by how many degrees it turns."""
    before = np.linalg.solve(matrix, np.append(middle, 1.0))[:3]
    cosine = (np.trace(matrix[:3, :3]) - 1) / 2
    return float(np.linalg.norm(middle - before)), math.degrees(math.acos(min(1.0, max(-1.0, float(cosine)))))


def refuse_unlike(likeness: float, moving: str, fixed: str) -> None:
    """Refuse what fits nowhere.

    Parameters
    ----------
    likeness
        Normalised mutual information, 1 (nothing in common) to 2.
    moving, fixed
        The two, for people.

    Raises
    ------
    NotTheSame
    """
    if likeness < LEAST_LIKENESS:
        raise NotTheSame(
            f"{moving} does not fit {fixed} however it is laid: normalised mutual information {likeness:.2f}, at least {LEAST_LIKENESS:g} "
            "is needed"
        )


def said_of(coverage: float, likeness: float, moved_mm: float, turned_degrees: float) -> tuple[Translatable, ...]:
    """What people are told of a rigid motion: how far it goes, how well it fits, and where they have to look."""
    remarks = [
        say(
            "The prior was moved by {moved} mm and turned by {turned} degrees onto the current images; normalised mutual information "
            "{likeness} (1 to 2).",
            moved=f"{moved_mm:.1f}",
            turned=f"{turned_degrees:.1f}",
            likeness=f"{likeness:.2f}",
        )
    ]
    if likeness < GOOD_LIKENESS:
        remarks.append(
            say("The prior resembles the current images little (other contrast, or much has changed): check the alignment by eye.")
        )
    if coverage < GOOD_COVERAGE:
        covered = f"{100 * coverage:.0f}"
        remarks.append(say("The prior covers {covered} % of the body in the current images; it is black elsewhere.", covered=covered))
    if moved_mm > FAR_MM or turned_degrees > FAR_DEGREES:
        remarks.append(say("The prior lay far from the current images: check the alignment by eye."))
    return tuple(remarks)
