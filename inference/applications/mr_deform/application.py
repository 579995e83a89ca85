"""The manifest of mr-deform, and what it says of a bending that was found; how it is found stands in `rigid` and `demons`."""

from inference import codes
from inference.applications.port import Accepts, Application, DeformationOutput, DerivedOutput, Infer, MeasurementOutput, Takes
from inference.engines.extras import demand
from inference.findings import DerivedImage, Findings, Measurement
from inference.imaging.judge.expects import Expects
from inference.imaging.registration.bending import BENT_MOST, BENT_OFTEN, CONCEPTS, measurements
from inference.imaging.registration.motion import TO_BEND, extent, refuse_unlike, said_of
from inference.imaging.subject import VolumeSet
from inference.translatable import Translatable, say

LABEL = "prior bent to current"
FAR_BENT_MM = 8.0
"""Two visits of one head rarely differ by more where nothing was removed and nothing grew: whoever reads has to look."""


def analyse(pair: VolumeSet, infer: Infer) -> Findings:
    """Lay the prior on the current volume, bend it to fit, and resample it there.

    Measured is how far the bending goes, and no change is called one: what grew between the visits was bent back by it.

    Raises
    ------
    LibraryNotInstalled
        SimpleITK is not.
    NothingToRegister
        The two have no overlap, or one is empty.
    NotTheSame
        They overlap and do not fit: another person, or another contrast.
    SpaceFolds
        No smooth bending lays one on the other.
    """
    demand("mr-deform", "SimpleITK")
    current, prior = pair.reference, pair["prior"]
    # SimpleITK takes a tenth of a second to import, and manifests are read by commands that run nothing
    import SimpleITK as sitk

    from inference.imaging.registration.demons import deform, resample_bent
    from inference.imaging.registration.grids import body_in, image_of
    from inference.imaging.registration.rigid import align, one_thread

    aligned = align(current, prior)
    refuse_unlike(aligned.likeness, f"prior series {prior.series_instance_uid}", f"series {current.series_instance_uid}", TO_BEND)
    deformation = deform(current, prior, aligned.matrix)
    with one_thread():
        body = sitk.GetArrayFromImage(body_in(image_of(current), 0.0)) > 0
    measured = tuple(measurements(deformation, current, prior, body))
    return Findings(
        measurements=measured,
        deformation=deformation,
        derived=(
            DerivedImage(
                label=LABEL, voxels=resample_bent(current, prior, deformation), derivation=codes.SPATIAL_RESAMPLING, of_prior=True
            ),
        ),
        remarks=(*_remarks(measured), *said_of(aligned.overlap, aligned.likeness, *extent(aligned.matrix, aligned.middle))),
    )


def _remarks(measured: tuple[Measurement, ...]) -> tuple[Translatable, ...]:
    # nothing is measured where the body lies on one visit's images alone: then nothing was bent there
    values = {one.name: one.value for one in measured}
    most_mm, often_mm = values.get(BENT_MOST, 0.0), values.get(BENT_OFTEN, 0.0)
    remarks = [
        say(
            "The prior was bent to fit the current images, by {often} mm or less in 95 % of the body and by {most} mm at most: what "
            "changed between the visits is bent away with the rest. Read the original prior images, never these alone.",
            often=f"{often_mm:.1f}",
            most=f"{most_mm:.1f}",
        )
    ]
    remarks.append(
        say(
            "Heads that were moved and not bent come out bent by 0.8 mm in 95 % of the body, and by 2.5 mm at most: less than that tells "
            "of no change. New lesions were not looked for."
        )
    )
    if most_mm > FAR_BENT_MM:
        remarks.append(say("The prior was bent far: check by eye what differs there."))
    return tuple(remarks)


APPLICATION = Application(
    name="mr-deform",
    version="1.1.0",
    title="Deformable registration of the prior MR",
    noun="MR follow-up",
    series=14,
    # below eight slices or 30 mm nothing holds a volume across the slices
    accepts=Accepts(modality=("MR",), takes=Takes.PAIR, min_slices=8, max_spacing_mm=8.0, min_extent_mm=30, remark_spacing_mm=4.0),
    models=(),
    outputs=(
        DeformationOutput(),
        DerivedOutput(label=LABEL, derivation=codes.SPATIAL_RESAMPLING),
        *(MeasurementOutput(name=name, unit=unit) for name, unit in CONCEPTS.items()),
    ),
    analyse=analyse,
    expects=Expects(),  # any part of the body, a test object too: what does not fit is told by its likeness
    family=codes.MULTI_SCALE_FILTERING,
)
