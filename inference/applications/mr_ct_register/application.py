"""The manifest of mr-ct-register; what it says of a motion that was found is what mr-register says."""

from inference import codes
from inference.applications.mr_register.comparison import LABEL, compared
from inference.applications.port import Accepts, Application, DerivedOutput, Infer, RegistrationOutput, Role, Takes
from inference.findings import Findings
from inference.imaging.judge.expects import BodyPart, Expects
from inference.imaging.subject import VolumeSet

# a part of another body fits as well as one of the same: how alike the two have to be was measured on heads
_HEAD = Expects(part=BodyPart.HEAD)


def analyse(both: VolumeSet, infer: Infer) -> Findings:
    """See `compared`."""
    return compared("mr-ct-register", both)


APPLICATION = Application(
    name="mr-ct-register",
    version="1.0.0",
    title="Rigid registration of an earlier MR of the head onto a CT",
    noun="MR on CT",
    series=18,
    # below eight slices or 30 mm nothing holds a volume across the slices
    accepts=Accepts(modality=("CT",), takes=Takes.VOLUMES, min_slices=8, max_spacing_mm=8.0, min_extent_mm=30, remark_spacing_mm=8.0),
    models=(),
    outputs=(RegistrationOutput(), DerivedOutput(label=LABEL, derivation=codes.SPATIAL_RESAMPLING)),
    analyse=analyse,
    expects=_HEAD,
    family=codes.MULTI_SCALE_FILTERING,
    roles=(
        Role(name="CT"),
        Role(
            name="MR",
            prior_of="CT",
            own_grid=True,
            accepts=Accepts(modality=("MR",), min_slices=8, max_spacing_mm=8.0, min_extent_mm=30, remark_spacing_mm=8.0),
            expects=_HEAD,
        ),
    ),
)
