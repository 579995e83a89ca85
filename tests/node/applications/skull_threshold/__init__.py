"""An application without a model: bone on head CT by one threshold, which anybody can check pixel by pixel."""

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput, SegmentOutput
from inference.codes import Code
from inference.findings import Findings, Measurement, Segment
from inference.imaging.volume import Volume

BONE_HU = 300
_BONE = Code("272673000", "SCT", "Bone")


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Every voxel above 300 HU is bone; its volume counts voxels of the grid that is given."""
    mask = volume.voxels > BONE_HU
    size_cm3 = int(mask.sum()) * volume.voxel_volume_mm3 / 1000
    return Findings(
        segments=(Segment(label="bone", mask=mask, category=codes.TISSUE, type=_BONE, rgb=(240, 80, 60)),),
        measurements=(Measurement(name=codes.VOLUME, value=size_cm3, unit=codes.CUBIC_CENTIMETRE, segment="bone"),),
    )


APPLICATION = Application(
    name="skull-threshold",
    version="1.0.0",
    title="Bone by threshold (test)",
    accepts=Accepts(modality=("CT",), min_slices=4),
    models=(),
    outputs=(
        SegmentOutput(label="bone", type=_BONE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
    ),
    analyse=analyse,
)
