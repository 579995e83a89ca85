"""Explanations: what moved a classifier's answer, drawn beside the image, as Secondary Capture."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, ResultKind

EXPLANATION = ResultKind(
    kind=Kind.EXPLANATION,
    folder=__name__,
    title="Explanation of an answer, drawn",
    chinese="结果解释图（不表示病变部位）",
    plural="explanations of answers as pictures",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture Image Storage
    series=(12,),
    switch="explanations",
    says="What moved a classifier's answer, drawn beside the image, as Secondary Capture; no location, in no shipped profile.",
    needs="ExplanationOutput",
    on_request=True,
    image=True,
    stage=EncodingStage.IMAGES,
)
