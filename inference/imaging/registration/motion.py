"""Motion that a registration found: how far it goes, and whether the two volumes fit at all; SimpleITK is not imported."""

import math
from dataclasses import dataclass

import numpy as np

from inference.imaging.registration.errors import NotTheSame
from inference.imaging.volume import Affine
from inference.translatable import Translatable, say


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What normalised mutual information says of two volumes of two modalities: below `least` they are not of one body, from `good` on
    nobody has to be told to look."""

    least: float
    good: float


OF_MR = Fit(least=1.08, good=1.2)
"""At 2 mm. Measured: two visits of one patient 1.33, with much noise 1.31, the same head with its contrast turned round 1.18; heads of
seven different people, in all pairs and whatever their contrasts, 1.01 to 1.07."""
TO_BEND = Fit(least=OF_MR.good, good=OF_MR.good)
"""Bending compares grey values. Measured, laid rigidly: FLAIR a year apart 1.33, in slices of 6 mm with noise of 5 % 1.32; five heads of
one contrast bent by 6 mm 1.19 to 1.27; T1 and FLAIR of one head 1.17, T2 and FLAIR 1.19, T1 without and with contrast medium 1.20."""
OF_CT = Fit(least=1.13, good=1.2)
"""Measured: a trunk, a chest and a head on themselves, moved, with 20 HU of noise, in slices of 8 mm or a third of the coverage, 1.18 to
1.38, bent by 12 mm between two visits 1.16 to 1.18; heads of three people on each other 1.10 to 1.11, other parts of the body 1.02 to
1.06. 80 HU of noise bring a trunk on itself to 1.13."""
OF_BOTH = Fit(least=1.1, good=1.16)
"""MR on CT. Measured on heads made of segmented ones: on itself 1.13 to 1.30, of three people on each other 1.07 to 1.09."""


def fit_of(one: str, other: str) -> Fit | None:
    """By the modalities of the two volumes; None where nobody measured how alike they have to be."""
    fits = {("MR", "MR"): OF_MR, ("CT", "MR"): OF_BOTH, ("MR", "CT"): OF_BOTH, ("CT", "CT"): OF_CT}
    return fits.get((one, other))


GOOD_COVERAGE = 0.8
FAR_MM, FAR_DEGREES = 60.0, 30.0
"""Two visits on one kind of scanner rarely lie further apart: whoever reads has to look."""


def extent(matrix: Affine, middle: Affine) -> tuple[float, float]:
    """How far a rigid motion goes: by how many mm it moves the point that it takes to `middle`, and by how many degrees it turns."""
    before = np.linalg.solve(matrix, np.append(middle, 1.0))[:3]
    cosine = (np.trace(matrix[:3, :3]) - 1) / 2
    return float(np.linalg.norm(middle - before)), math.degrees(math.acos(min(1.0, max(-1.0, float(cosine)))))


def refuse_unlike(likeness: float, moving: str, fixed: str, fit: Fit = OF_MR) -> None:
    """Refuse what fits nowhere.

    Parameters
    ----------
    likeness
        Normalised mutual information, 1 (nothing in common) to 2.
    moving, fixed
        The two, for people.
    fit
        What is asked of their modalities.

    Raises
    ------
    NotTheSame
    """
    if likeness < fit.least:
        raise NotTheSame(
            f"{moving} does not fit {fixed} however it is laid: normalised mutual information {likeness:.3f}, at least {fit.least:g} is "
            "needed"
        )


def said_of(coverage: float, likeness: float, moved_mm: float, turned_degrees: float, fit: Fit = OF_MR) -> tuple[Translatable, ...]:
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
    if likeness < fit.good:
        remarks.append(
            say("The prior resembles the current images little (other contrast, or much has changed): check the alignment by eye.")
        )
    if coverage < GOOD_COVERAGE:
        covered = f"{100 * coverage:.0f}"
        remarks.append(say("The prior covers {covered} % of the body in the current images; it is black elsewhere.", covered=covered))
    if moved_mm > FAR_MM or turned_degrees > FAR_DEGREES:
        remarks.append(say("The prior lay far from the current images: check the alignment by eye."))
    return tuple(remarks)
