"""A stand-in for whatever analyses volumes: it looks at every voxel once and says one thing."""

from inference import codes
from inference.applications.port import Accepts, Application, EvaluationOutput, Infer
from inference.codes import Code
from inference.findings import Evaluation, Findings
from inference.imaging.volume import Volume

_FINDING = Code("52988006", "SCT", "Lesion")


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Present where anything is bright."""
    value = codes.PRESENT if float(volume.voxels.max()) > 900 else codes.ABSENT
    return Findings(evaluations=(Evaluation(finding=_FINDING, value=value),))


APPLICATION = Application(
    name="soak-volume",
    version="1.0.0",
    title="Volumes (soak)",
    accepts=Accepts(modality=("CT", "MR")),
    models=(),
    outputs=(EvaluationOutput(finding=_FINDING),),
    analyse=analyse,
    triage_only=True,
)
