"""Marks what is brighter than 20 HU, without a model: what an acceptance test must find of it follows from the voxels alone."""

from inference import codes
from inference.applications.port import Accepts, Application, Infer, SegmentOutput
from inference.findings import Findings, Segment
from inference.imaging.judge.expects import Expects
from inference.imaging.volume import Volume

THRESHOLD_HU = 20


def analyse(volume: Volume, infer: Infer) -> Findings:
    """What is bright."""
    mask = volume.voxels > THRESHOLD_HU
    return Findings(
        segments=(
            Segment(label="bright", mask=mask, category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, type=codes.LESION, rgb=(255, 0, 0)),
        )
    )


APPLICATION = Application(
    name="bright-ball",
    version="1.0.0",
    title="What is bright on CT",
    accepts=Accepts(modality=("CT",)),
    models=(),
    outputs=(SegmentOutput(label="bright", type=codes.LESION),),
    analyse=analyse,
    expects=Expects(),
)
