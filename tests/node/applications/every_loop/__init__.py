"""An application for loops: what each loop of a series is."""

import numpy as np

from inference import codes
from inference.applications.port import Accepts, Application, EvaluationOutput, Infer, Takes
from inference.codes import Code
from inference.findings import Evaluation, Findings
from inference.imaging.subject import Cine

_FINDING = Code("373930000", "SCT", "Cardiac finding")


def analyse(cine: Cine, infer: Infer) -> Findings:
    """Absent, of every frame; and what was looked at."""
    rows, columns = cine.frames.shape[1:3]
    mean = float(np.mean(cine.frames))
    return Findings(
        evaluations=(Evaluation(finding=_FINDING, value=codes.ABSENT, images=()),),
        remarks=(f"{len(cine.frames)} frames of {columns} x {rows}, mean {mean:.1f}.",),
    )


APPLICATION = Application(
    name="every-loop",
    version="1.0.0",
    title="Loops (test)",
    accepts=Accepts(modality=("US", "XA"), takes=Takes.CINE, parts="each"),
    models=(),
    outputs=(EvaluationOutput(finding=_FINDING),),
    analyse=analyse,
)
