"""The manifest of ct-register; what it says of a motion that was found is what mr-register says."""

from inference import codes
from inference.applications.mr_register.comparison import LABEL, compared
from inference.applications.port import Accepts, Application, DerivedOutput, Infer, RegistrationOutput, Takes
from inference.findings import Findings
from inference.imaging.judge.expects import Expects
from inference.imaging.subject import VolumeSet


def analyse(pair: VolumeSet, infer: Infer) -> Findings:
    """See `compared`."""
    return compared("ct-register", pair)


APPLICATION = Application(
    name="ct-register",
    version="1.0.0",
    title="Rigid registration of the prior CT",
    noun="CT comparison",
    series=16,
    # below eight slices or 30 mm nothing holds a volume across the slices
    accepts=Accepts(modality=("CT",), takes=Takes.PAIR, min_slices=8, max_spacing_mm=8.0, min_extent_mm=30, remark_spacing_mm=8.0),
    models=(),
    outputs=(RegistrationOutput(), DerivedOutput(label=LABEL, derivation=codes.SPATIAL_RESAMPLING)),
    analyse=analyse,
    expects=Expects(),  # any part of the body: what does not fit is told by its likeness
    family=codes.MULTI_SCALE_FILTERING,
)
