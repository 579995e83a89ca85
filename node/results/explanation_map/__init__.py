"""Explanation maps: what moved a classifier's answer, as Parametric Map."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, ResultKind

EXPLANATION_MAP = ResultKind(
    kind=Kind.EXPLANATION_MAP,
    folder=__name__,
    title="Explanation of an answer, map",
    chinese="结果解释分布图（不表示病变部位）",
    plural="explanations of answers as maps",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.30",  # Parametric Map Storage
    series=(13,),
    switch="explanation_maps",
    says="The same as Parametric Map.",
    needs="ExplanationOutput",
    on_request=True,
    image=True,
    stage=EncodingStage.IMAGES,
)
