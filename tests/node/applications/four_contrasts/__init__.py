"""An application of four roles without a model: what a contrast agent lights up, and what is bright on T2 and FLAIR, by thresholds."""

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput, RigidMotion, Role, SegmentOutput, Takes
from inference.codes import Code
from inference.findings import Findings, Measurement, Segment
from inference.imaging.subject import VolumeSet

ENHANCED_BY, BRIGHT = 100, 600
_MASS = Code("4147007", "SCT", "Mass")
_EDEMA = Code("79654002", "SCT", "Edema")
_MOTION = RigidMotion(max_mm=20, max_degrees=15)


def analyse(volumes: VolumeSet, infer: Infer) -> Findings:
    """T1c above T1 by more than 100; T2 and FLAIR above 600, where there is a FLAIR."""
    found = {"enhancing": (volumes["T1c"].voxels.astype("float32") - volumes["T1"].voxels > ENHANCED_BY, _MASS)}
    if "FLAIR" in volumes:
        found["edema"] = ((volumes["T2"].voxels > BRIGHT) & (volumes["FLAIR"].voxels > BRIGHT), _EDEMA)
    return Findings(
        segments=tuple(
            Segment(label=label, mask=mask, category=codes.TISSUE, type=what, rgb=(240, 80, 60)) for label, (mask, what) in found.items()
        ),
        measurements=tuple(
            Measurement(name=codes.VOLUME, value=volumes.reference.volume_mm3(mask) / 1000, unit=codes.CUBIC_CENTIMETRE, segment=label)
            for label, (mask, _) in found.items()
        ),
    )


APPLICATION = Application(
    name="four-contrasts",
    version="1.0.0",
    title="Enhancement and edema (test)",
    accepts=Accepts(modality=("MR",), takes=Takes.VOLUMES, min_slices=4, remark_spacing_mm=6.0),
    models=(),
    outputs=(
        SegmentOutput(label="enhancing", type=_MASS),
        SegmentOutput(label="edema", type=_EDEMA),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
    ),
    analyse=analyse,
    roles=(
        Role(name="T1"),
        Role(name="T1c", motion=_MOTION),
        Role(name="T2", motion=_MOTION),
        Role(name="FLAIR", motion=_MOTION, optional=True),
    ),
)
