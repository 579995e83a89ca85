"""Derived images: of the SOP class of what they were made from, one series for each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from node.domain.profile import Kind
from node.results.kind import EncodingStage, Holding, Picture, ResultKind

if TYPE_CHECKING:
    from inference.applications.port import Application


def _classes(application: "Application") -> Sequence[str]:
    from node.results.derived.source import CLASSIC

    return [str(sop_class) for sop_class, modality in CLASSIC.items() if modality in application.accepts.modality]


DERIVED = ResultKind(
    kind=Kind.DERIVED,
    folder=__name__,
    title="Derived image",
    chinese="派生图像",
    plural="derived images",
    sop_class_uid="",
    classes=_classes,
    series=(8,),
    switch="derived",
    says="Derived images, of their source's SOP class.",
    needs="DerivedOutput",
    image=True,
    series_of_images=True,
    held=Holding.LABELLED,
    picture=Picture.IMAGE,
    stage=EncodingStage.IMAGES,
)
