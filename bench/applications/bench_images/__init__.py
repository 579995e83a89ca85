"""An application for single images, however many: whether anything on one is brighter than half of its own range."""

import numpy as np

from inference import codes
from inference.applications.port import Accepts, Application, EvaluationOutput, Infer, Takes
from inference.codes import Code
from inference.findings import Evaluation, Findings
from inference.imaging.subject import Images

_FINDING = Code("129792006", "SCT", "Architectural distortion of breast")


def analyse(images: Images, infer: Infer) -> Findings:
    """Present where more than half of an image is in the upper half of its range."""
    bright = tuple(number for number, one in enumerate(images.images) if _bright(np.asarray(one.pixels, dtype=np.float32)))
    value = codes.PRESENT if bright else codes.ABSENT
    return Findings(evaluations=(Evaluation(finding=_FINDING, value=value, images=bright),))


def _bright(pixels: np.ndarray) -> bool:
    return float(np.median(pixels)) > (float(pixels.min()) + float(pixels.max())) / 2


APPLICATION = Application(
    name="bench-images",
    version="1.0.0",
    title="Bright images (benchmark)",
    accepts=Accepts(modality=("CR", "DX", "MG", "RG"), takes=Takes.IMAGES),
    models=(),
    outputs=(EvaluationOutput(finding=_FINDING),),
    analyse=analyse,
    triage_only=True,
)
