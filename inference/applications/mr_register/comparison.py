"""What is said of two visits that were registered: the motion, the prior's images on the current slices, what to look at."""

from inference import codes
from inference.engines.extras import demand
from inference.findings import DerivedImage, Findings, Registration
from inference.imaging.registration.motion import extent, fit_of, refuse_unlike, said_of
from inference.imaging.subject import VolumeSet

LABEL = "prior on current"


def compared(application: str, both: VolumeSet) -> Findings:
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
    demand(application, "SimpleITK")
    current, prior = both.reference, both.prior
    assert prior is not None, "the applications that register have one"
    # SimpleITK takes a tenth of a second to import, and manifests are read by commands that run nothing
    from inference.imaging.registration.rigid import align, resample_onto

    aligned = align(current, prior)
    fit = fit_of(current.modality, prior.modality)
    assert fit is not None, "the applications that register take CT or MR"
    refuse_unlike(aligned.likeness, f"prior series {prior.series_instance_uid}", f"series {current.series_instance_uid}", fit)
    moved_mm, turned_degrees = extent(aligned.matrix, aligned.middle)
    voxels = resample_onto(current, prior, aligned.matrix)
    return Findings(
        registration=Registration(matrix=aligned.matrix),
        derived=(DerivedImage(label=LABEL, voxels=voxels, derivation=codes.SPATIAL_RESAMPLING, of_prior=True),),
        remarks=said_of(aligned.overlap, aligned.likeness, moved_mm, turned_degrees, fit),
    )
