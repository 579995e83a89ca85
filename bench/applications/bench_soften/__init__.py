"""An application whose model computes for a while and changes nothing: what comes out can be said by hand, on whichever engine it ran."""

import numpy as np

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput, ModelRef, SegmentOutput
from inference.findings import Findings, Measurement, Segment
from inference.imaging.volume import Volume

MODEL = ModelRef(name="soften")
_SOFT_TISSUE = codes.Code("87784001", "SCT", "Soft tissue")


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Everything above 0 in what the model gives back is the segment."""
    softened = infer(MODEL, {"x": np.asarray(volume.voxels, dtype=np.float32)[None, None]})["y"][0, 0]
    mask = softened > 0
    size_cm3 = float(mask.sum()) * volume.voxel_volume_mm3 / 1000
    segment = Segment(label="above zero", mask=mask, category=codes.TISSUE, type=_SOFT_TISSUE, rgb=(220, 160, 90))
    measurement = Measurement(name=codes.VOLUME, value=size_cm3, unit=codes.CUBIC_CENTIMETRE, segment="above zero")
    return Findings(segments=(segment,), measurements=(measurement,))


APPLICATION = Application(
    name="bench-soften",
    version="1.0.0",
    title="A model that takes its time (benchmark)",
    accepts=Accepts(modality=("CT",)),
    models=(MODEL,),
    outputs=(
        SegmentOutput(label="above zero", type=_SOFT_TISSUE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
    ),
    analyse=analyse,
)
