"""Registrations: where the prior lies in the space of the current images, as Spatial Registration."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, Holding, ResultKind

REGISTRATION = ResultKind(
    kind=Kind.REGISTRATION,
    folder=__name__,
    title="Spatial registration",
    chinese="空间配准",
    plural="registrations",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.66.1",  # Spatial Registration Storage
    series=(9,),
    switch="registrations",
    says="Spatial Registrations.",
    needs="RegistrationOutput",
    held=Holding.LABELLED,
    stage=EncodingStage.IMAGES,
)
