"""An application for any volume: what is brighter than the mean of its voxels, of each volume that a series holds. It costs nothing, and
whatever it is given ends in a mask and a size."""

import numpy as np

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput, SegmentOutput
from inference.findings import Findings, Measurement, Segment
from inference.imaging.volume import Volume

_SOFT_TISSUE = codes.Code("87784001", "SCT", "Soft tissue")
_LABEL = "above the mean"


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Everything above the mean is the segment."""
    mask = volume.voxels > float(np.mean(volume.voxels))
    size_cm3 = float(mask.sum()) * volume.voxel_volume_mm3 / 1000
    segment = Segment(label=_LABEL, mask=mask, category=codes.TISSUE, type=_SOFT_TISSUE, rgb=(220, 160, 90))
    measurement = Measurement(name=codes.VOLUME, value=size_cm3, unit=codes.CUBIC_CENTIMETRE, segment=_LABEL)
    return Findings(segments=(segment,), measurements=(measurement,))


APPLICATION = Application(
    name="bench-volume",
    version="1.0.0",
    title="Above the mean (benchmark)",
    accepts=Accepts(modality=("CT", "MR", "PT", "NM"), parts="each"),
    models=(),
    outputs=(
        SegmentOutput(label=_LABEL, type=_SOFT_TISSUE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
    ),
    analyse=analyse,
)
