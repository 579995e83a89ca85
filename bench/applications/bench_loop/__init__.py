"""An application for loops, of each that a series holds: whether its frames differ."""

import numpy as np

from inference import codes
from inference.applications.port import Accepts, Application, EvaluationOutput, Infer, Takes
from inference.codes import Code
from inference.findings import Evaluation, Findings
from inference.imaging.subject import Cine

_FINDING = Code("373930000", "SCT", "Cardiac finding")


def analyse(cine: Cine, infer: Infer) -> Findings:
    """Present where the last frame is not the first."""
    moves = bool(np.any(np.asarray(cine.frames[0]) != np.asarray(cine.frames[-1])))
    return Findings(evaluations=(Evaluation(finding=_FINDING, value=codes.PRESENT if moves else codes.ABSENT, images=()),))


APPLICATION = Application(
    name="bench-loop",
    version="1.0.0",
    title="Loops (benchmark)",
    accepts=Accepts(modality=("US", "XA", "RF"), takes=Takes.CINE, parts="each"),
    models=(),
    outputs=(EvaluationOutput(finding=_FINDING),),
    analyse=analyse,
    triage_only=True,
)
