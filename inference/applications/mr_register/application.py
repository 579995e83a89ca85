"""The manifest of mr-register, and what it says of a motion that was found; how it is found stands in `rigid`."""

from inference import codes
from inference.applications.port import Accepts, Application, DerivedOutput, Infer, RegistrationOutput, Takes
from inference.engines.extras import demand
from inference.findings import DerivedImage, Findings, Registration
from inference.imaging.judge.expects import Expects
from inference.imaging.registration.motion import extent, refuse_unlike, said_of
from inference.imaging.subject import VolumeSet

LABEL = "prior on current"


def analyse(pair: VolumeSet, infer: Infer) -> Findings:
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
    current, prior = pair.reference, pair["prior"]
    # SimpleITK takes a tenth of a second to import, and manifests are read by commands that run nothing
    from inference.imaging.registration.rigid import align, resample_onto

    aligned = align(current, prior)
    refuse_unlike(aligned.likeness, f"prior series {prior.series_instance_uid}", f"series {current.series_instance_uid}")
    moved_mm, turned_degrees = extent(aligned.matrix, aligned.middle)
    voxels = resample_onto(current, prior, aligned.matrix)
    return Findings(
        registration=Registration(matrix=aligned.matrix),
        derived=(DerivedImage(label=LABEL, voxels=voxels, derivation=codes.SPATIAL_RESAMPLING, of_prior=True),),
        remarks=said_of(aligned.overlap, aligned.likeness, moved_mm, turned_degrees),
    )


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
