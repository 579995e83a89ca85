"""An application for any MR volume: what is above zero, of each volume that a series holds."""

import numpy as np

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput
from inference.findings import Findings, Measurement
from inference.imaging.volume import Volume


def analyse(volume: Volume, infer: Infer) -> Findings:
    """The size of what is above zero."""
    size_cm3 = int(np.count_nonzero(volume.voxels > 0)) * volume.voxel_volume_mm3 / 1000
    return Findings(measurements=(Measurement(name=codes.VOLUME, value=size_cm3, unit=codes.CUBIC_CENTIMETRE),))


APPLICATION = Application(
    name="mr-above-zero",
    version="1.0.0",
    title="Above zero (test)",
    accepts=Accepts(modality=("MR",), parts="each"),
    models=(),
    outputs=(MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),),
    analyse=analyse,
)
