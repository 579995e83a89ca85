"""A stand-in for whatever analyses single images: it looks at every pixel once and says one thing."""

from inference import codes
from inference.applications.port import Accepts, Application, EvaluationOutput, Infer, Takes
from inference.codes import Code
from inference.findings import Evaluation, Findings
from inference.imaging.subject import Images

_FINDING = Code("52988006", "SCT", "Lesion")


def analyse(images: Images, infer: Infer) -> Findings:
    """Present where anything is bright."""
    bright = tuple(number for number, image in enumerate(images.images) if float(image.pixels.max()) > 4000)
    return Findings(evaluations=(Evaluation(finding=_FINDING, value=codes.PRESENT if bright else codes.ABSENT, images=bright),))


APPLICATION = Application(
    name="soak-views",
    version="1.0.0",
    title="Views (soak)",
    accepts=Accepts(modality=("DX", "MG"), takes=Takes.IMAGES, whole_study=True),
    models=(),
    outputs=(EvaluationOutput(finding=_FINDING),),
    analyse=analyse,
    triage_only=True,
)
