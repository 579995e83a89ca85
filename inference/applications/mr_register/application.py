"""The manifest of mr-register, and what it says of a motion that was found; how it is found stands in `rigid`."""

import math

import numpy as np

from inference import codes
from inference.applications.mr_register.errors import NotTheSame
from inference.applications.port import Accepts, Application, DerivedOutput, Infer, RegistrationOutput, Takes
from inference.engines.extras import demand
from inference.findings import DerivedImage, Findings, Registration
from inference.imaging.judge.expects import Expects
from inference.imaging.subject import Pair
from inference.imaging.volume import Affine
from inference.translatable import Translatable, say

LABEL = "prior on current"
LEAST_LIKENESS, GOOD_LIKENESS = 1.08, 1.2
"""Normalised mutual information at 2 mm. Measured: two visits of one patient 1.33, with much noise 1.31, the same head with its contrast
turned round 1.18; heads of seven different people, in all pairs and whatever their contrasts, 1.01 to 1.07."""
GOOD_COVERAGE = 0.8
FAR_MM, FAR_DEGREES = 60.0, 30.0
"""Two visits on one kind of scanner rarely lie further apart: whoever reads has to look."""


def analyse(pair: Pair, infer: Infer) -> Findings:
    """Register the prior onto the current volume, and resample it there.

    There are no coded measurements: DCM has displacements of deformations (110822 to 110824) and dimensions of models (110856, 110859),
    and nothing for how far a rigid motion goes; a remark says it.

    Raises
    ------
    LibraryNotInstalled
        SimpleITK is not.
    NothingToRegister
        The two have no overlap, or one is empty.
    NotTheSame
        They overlap and do not fit: another person, or another contrast altogether.
    """
    demand("mr-register", "SimpleITK")
    # SimpleITK takes a tenth of a second to import, and manifests are read by commands that run nothing
    from inference.applications.mr_register.rigid import align, resample_onto

    aligned = align(pair.current, pair.prior)
    if aligned.likeness < LEAST_LIKENESS:
        raise NotTheSame(
            f"prior series {pair.prior.series_instance_uid} does not fit series {pair.current.series_instance_uid} however it is laid: "
            f"normalised mutual information {aligned.likeness:.2f}, at least {LEAST_LIKENESS:g} is needed"
        )
    moved_mm, turned_degrees = extent(aligned.matrix, aligned.middle)
    voxels = resample_onto(pair.current, pair.prior, aligned.matrix)
    return Findings(
        registration=Registration(matrix=aligned.matrix),
        derived=(DerivedImage(label=LABEL, voxels=voxels, derivation=codes.SPATIAL_RESAMPLING, of_prior=True),),
        remarks=_remarks(aligned.overlap, aligned.likeness, moved_mm, turned_degrees),
    )


def extent(matrix: Affine, middle: Affine) -> tuple[float, float]:
    """How far a rigid motion goes: by how many mm it moves the point that it takes to `middle`, and by how many degrees it turns."""
    before = np.linalg.solve(matrix, np.append(middle, 1.0))[:3]
    cosine = (np.trace(matrix[:3, :3]) - 1) / 2
    return float(np.linalg.norm(middle - before)), math.degrees(math.acos(min(1.0, max(-1.0, float(cosine)))))


def _remarks(coverage: float, likeness: float, moved_mm: float, turned_degrees: float) -> tuple[Translatable, ...]:
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


APPLICATION = Application(
    name="mr-register",
    version="1.0.0",
    title="Rigid registration of the prior MR",
    noun="MR comparison",
    series=7,
    # below eight slices or 30 mm nothing holds a volume across the slices
    accepts=Accepts(modality=("MR",), takes=Takes.PAIR, min_slices=8, max_spacing_mm=8.0, min_extent_mm=30, remark_spacing_mm=8.0),
    models=(),
    outputs=(RegistrationOutput(), DerivedOutput(label=LABEL, derivation=codes.SPATIAL_RESAMPLING)),
    analyse=analyse,
    expects=Expects(),  # any part of the body, a test object too: what does not fit is told by its likeness
    family=codes.MULTI_SCALE_FILTERING,
)
