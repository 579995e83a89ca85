"""A stand-in for whatever analyses loops: it looks at every frame once and says one thing."""

from inference import codes
from inference.applications.port import Accepts, Application, EvaluationOutput, Infer, Takes
from inference.codes import Code
from inference.findings import Evaluation, Findings
from inference.imaging.subject import Cine

_FINDING = Code("52988006", "SCT", "Lesion")


def analyse(cine: Cine, infer: Infer) -> Findings:
    """Present where anything is bright."""
    value = codes.PRESENT if max(int(frame.max()) for frame in cine.frames) > 250 else codes.ABSENT
    return Findings(evaluations=(Evaluation(finding=_FINDING, value=value),))


APPLICATION = Application(
    name="soak-loop",
    version="1.0.0",
    title="Loops (soak)",
    accepts=Accepts(modality=("US",), takes=Takes.CINE),
    models=(),
    outputs=(EvaluationOutput(finding=_FINDING),),
    analyse=analyse,
    triage_only=True,
)
