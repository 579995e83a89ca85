"""Deformable registrations: where each place of the current images lies in the prior, as Deformable Spatial Registration."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, Holding, ResultKind

DEFORMABLE_REGISTRATION = ResultKind(
    kind=Kind.DEFORMABLE_REGISTRATION,
    folder=__name__,
    title="Deformable registration",
    chinese="形变配准",
    plural="deformable registrations",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.66.3",  # Deformable Spatial Registration Storage
    series=(16,),
    switch="deformable_registrations",
    says="Deformable Spatial Registrations.",
    needs="DeformationOutput",
    held=Holding.LABELLED,
    stage=EncodingStage.IMAGES,
)
