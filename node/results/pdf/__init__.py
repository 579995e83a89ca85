"""PDFs: the narrative on pages, as Encapsulated PDF; one a language."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, ResultKind

PDF = ResultKind(
    kind=Kind.PDF,
    folder=__name__,
    title="Narrative report as PDF",
    chinese="PDF叙述报告",
    plural="PDFs",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF Storage
    series=(11,),
    switch="pdf",
    says="The narrative report, as Encapsulated PDF.",
    on_request=True,
    in_languages=True,
    document=True,
    stage=EncodingStage.REPORT,
)
