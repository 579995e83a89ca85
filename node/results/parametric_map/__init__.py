"""Parametric maps: 32-bit values over the volume, on the source grid."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, Holding, Picture, ResultKind

PARAMETRIC_MAP = ResultKind(
    kind=Kind.MAP,
    folder=__name__,
    title="Parametric map",
    chinese="分布图",
    plural="maps",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.30",  # Parametric Map Storage
    series=(6,),
    switch="maps",
    says="Maps as Parametric Map.",
    needs="SaliencyOutput",
    image=True,
    held=Holding.LABELLED,
    picture=Picture.IMAGE,
    stage=EncodingStage.IMAGES,
)
