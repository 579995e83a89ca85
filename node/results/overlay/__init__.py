"""Overlays: a map drawn over the images, as Secondary Capture."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, Picture, ResultKind

OVERLAY = ResultKind(
    kind=Kind.OVERLAY,
    folder=__name__,
    title="Map drawn over the images",
    chinese="叠加图",
    plural="maps drawn as pictures",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture Image Storage
    series=(7,),
    switch="overlays",
    says="Maps drawn over the images, as Secondary Capture.",
    needs="SaliencyOutput",
    on_request=True,
    image=True,
    picture=Picture.PAGE,
    stage=EncodingStage.IMAGES,
)
