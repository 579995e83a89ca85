"""Marks what is brighter than 20 HU, without a model: what an acceptance test must find of it follows from the voxels alone."""

import numpy as np

from inference import codes
from inference.applications.port import Accepts, Application, EvaluationOutput, Infer, MeasurementOutput, SegmentOutput
from inference.findings import Evaluation, Findings, Measurement, Segment
from inference.imaging.judge.expects import Expects
from inference.imaging.volume import Volume

THRESHOLD_HU = 20
MUCH_CM3 = 25.0


def analyse(volume: Volume, infer: Infer) -> Findings:
    """What is bright, how much of it, and whether that is much."""
    mask = volume.voxels > THRESHOLD_HU
    cm3 = int(np.count_nonzero(mask)) * volume.voxel_volume_mm3 / 1000
    return Findings(
        segments=(
            Segment(label="bright", mask=mask, category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, type=codes.LESION, rgb=(255, 0, 0)),
        ),
        measurements=(Measurement(name=codes.VOLUME, value=cm3, unit=codes.CUBIC_CENTIMETRE, segment="bright"),),
        evaluations=(
            Evaluation(finding=codes.NODULE, value=codes.PRESENT if cm3 > MUCH_CM3 else codes.ABSENT, probability=min(1.0, cm3 / 100)),
        ),
    )


APPLICATION = Application(
    name="bright-ball",
    version="1.0.0",
    title="What is bright on CT",
    accepts=Accepts(modality=("CT",)),
    models=(),
    outputs=(
        SegmentOutput(label="bright", type=codes.LESION),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        EvaluationOutput(finding=codes.NODULE),
    ),
    analyse=analyse,
    expects=Expects(),
)
