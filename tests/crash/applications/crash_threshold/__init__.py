"""One threshold on a whole series: one of which a slice is missing gives no result, so that no result is of a part."""

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput, SegmentOutput
from inference.findings import Findings, Measurement, Segment
from inference.imaging.volume import Volume

SLICES = 4
_SOFT_TISSUE = codes.Code("87784001", "SCT", "Soft tissue")


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Everything above 0 is the segment."""
    mask = volume.voxels > 0
    size_cm3 = float(mask.sum()) * volume.voxel_volume_mm3 / 1000
    segment = Segment(label="above zero", mask=mask, category=codes.TISSUE, type=_SOFT_TISSUE, rgb=(220, 160, 90))
    measurement = Measurement(name=codes.VOLUME, value=size_cm3, unit=codes.CUBIC_CENTIMETRE, segment="above zero")
    return Findings(segments=(segment,), measurements=(measurement,))


APPLICATION = Application(
    name="crash-threshold",
    version="1.0.0",
    title="Threshold (crash matrix)",
    accepts=Accepts(modality=("CT",), min_slices=SLICES),
    models=(),
    outputs=(
        SegmentOutput(label="above zero", type=_SOFT_TISSUE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
    ),
    analyse=analyse,
)
