"""Detection reports: Comprehensive 3D SR of TID 1500 with TID 1410 groups, whose coordinates viewers draw on the images."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, Holding, ResultKind

DETECTIONS = ResultKind(
    kind=Kind.DETECTIONS,
    folder=__name__,
    title="Detection report",
    chinese="定位报告",
    plural="reports of detections",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR Storage
    series=(5,),
    switch="detections",
    says="Boxes, points and lengths, as a Structured Report that viewers draw on the images.",
    needs="LocationOutput",
    replaces=True,
    held=Holding.TRACKED,
    stage=EncodingStage.REPORT,
)
