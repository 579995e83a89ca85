"""An application of two roles and their priors without a model: what is brighter on FLAIR than it was, where T1 is not dark."""

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput, RigidMotion, Role, SegmentOutput, Takes
from inference.codes import Code
from inference.findings import Findings, Measurement, Segment
from inference.imaging.subject import VolumeSet

BRIGHTER_BY, NOT_DARK = 1000, 50
_LESION = Code("52988006", "SCT", "Lesion")
_MOTION = RigidMotion(max_mm=40, max_degrees=20)


def analyse(volumes: VolumeSet, infer: Infer) -> Findings:
    """FLAIR of today above the earlier one, on today's grid, by more than 1000."""
    brighter = volumes["FLAIR"].voxels.astype("float32") - volumes["FLAIR before"].voxels > BRIGHTER_BY
    mask = brighter & (volumes["T1"].voxels > NOT_DARK)
    size_cm3 = volumes.reference.volume_mm3(mask) / 1000
    return Findings(
        segments=(Segment(label="new lesion", mask=mask, category=codes.TISSUE, type=_LESION, rgb=(240, 80, 60)),),
        measurements=(Measurement(name=codes.VOLUME, value=size_cm3, unit=codes.CUBIC_CENTIMETRE, segment="new lesion"),),
    )


APPLICATION = Application(
    name="change-since",
    version="1.0.0",
    title="New lesions (test)",
    accepts=Accepts(modality=("MR",), takes=Takes.VOLUMES, min_slices=4, remark_spacing_mm=6.0),
    models=(),
    outputs=(SegmentOutput(label="new lesion", type=_LESION), MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE)),
    analyse=analyse,
    roles=(
        Role(name="FLAIR"),
        Role(name="T1", motion=_MOTION),
        Role(name="FLAIR before", prior_of="FLAIR", motion=_MOTION),
        Role(name="T1 before", prior_of="T1", motion=_MOTION, optional=True),
    ),
)
