"""Narratives: a report in sentences, each with its evidence, as Enhanced SR; one a language."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, ResultKind

NARRATIVE = ResultKind(
    kind=Kind.NARRATIVE,
    folder=__name__,
    title="Narrative report",
    chinese="叙述报告",
    plural="narratives",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR Storage
    series=(10,),
    switch="narratives",
    says="A narrative report, as Enhanced SR.",
    on_request=True,
    in_languages=True,
    document=True,
    replaces=True,
    stage=EncodingStage.REPORT,
)
