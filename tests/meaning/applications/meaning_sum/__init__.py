"""An application that says of a volume how much of it is above zero: two slices are enough, and every set of slices has its own sum."""

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput
from inference.findings import Findings, Measurement
from inference.imaging.volume import Volume


def analyse(volume: Volume, infer: Infer) -> Findings:
    """One number; no model."""
    size_cm3 = float((volume.voxels > 0).sum()) * volume.voxel_volume_mm3 / 1000
    return Findings(measurements=(Measurement(name=codes.VOLUME, value=size_cm3, unit=codes.CUBIC_CENTIMETRE),))


APPLICATION = Application(
    name="meaning-sum",
    version="1.0.0",
    title="Sum (matrix of meaning)",
    accepts=Accepts(modality=("CT",), min_slices=2),
    models=(),
    outputs=(MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),),
    analyse=analyse,
)
