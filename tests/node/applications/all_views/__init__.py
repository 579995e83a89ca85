"""An application that takes all views of an examination: is anything on them brighter than the rest?"""

import numpy as np

from inference import codes
from inference.applications.port import Accepts, Application, EvaluationOutput, Infer, Takes
from inference.codes import Code
from inference.findings import Evaluation, Findings
from inference.imaging.subject import Images

_FINDING = Code("129792006", "SCT", "Architectural distortion of breast")


def analyse(images: Images, infer: Infer) -> Findings:
    """Present where the brightest image is; absent says so of all of them."""
    bright = tuple(number for number, image in enumerate(images.images) if float(np.max(image.pixels)) > 900)
    value = codes.PRESENT if bright else codes.ABSENT
    views = ", ".join(image.view or image.laterality or "?" for image in images.images)
    return Findings(
        evaluations=(Evaluation(finding=_FINDING, value=value, images=bright),), remarks=(f"{len(images.images)} views: {views}.",)
    )


APPLICATION = Application(
    name="all-views",
    version="1.0.0",
    title="Views of an examination (test)",
    accepts=Accepts(modality=("DX", "MG"), takes=Takes.IMAGES, whole_study=True),
    models=(),
    outputs=(EvaluationOutput(finding=_FINDING),),
    analyse=analyse,
    triage_only=True,
)
