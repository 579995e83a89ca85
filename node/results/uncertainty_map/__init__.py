"""Maps of uncertainty: how unsure a network is of each voxel that it decided, as Parametric Map."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, ResultKind

UNCERTAINTY_MAP = ResultKind(
    kind=Kind.UNCERTAINTY_MAP,
    folder=__name__,
    title="Map of uncertainty",
    chinese="网络不确定性分布图（不表示病变）",
    plural="maps of uncertainty",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.30",  # Parametric Map Storage
    series=(17,),
    switch="uncertainty_maps",
    says="How unsure a network is of each voxel that it marked or left, as Parametric Map.",
    needs="UncertaintyOutput",
    on_request=True,
    image=True,
    stage=EncodingStage.IMAGES,
)
