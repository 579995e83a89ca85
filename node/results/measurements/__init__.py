"""Measurement reports: Comprehensive 3D SR of TID 1500 with TID 1411 groups about segments, or TID 1501 groups about images."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, Holding, ResultKind

MEASUREMENTS = ResultKind(
    kind=Kind.SR,
    folder=__name__,
    title="Measurement report",
    chinese="测量报告",
    plural="reports",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR Storage
    series=(2, 3),
    switch="reports",
    says="Measurements and evaluations, as Structured Reports.",
    replaces=True,
    held=Holding.TRACKED,
    stage=EncodingStage.REPORT,
)
"""A report about segments is made with the segmentation that it refers to; the second number is that of a report about images."""
