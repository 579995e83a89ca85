"""Statements: that an application gave no result of a study, and why, as Enhanced SR; one a language."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, ResultKind

STATEMENT = ResultKind(
    kind=Kind.STATEMENT,
    folder=__name__,
    title="Statement that there is no result",
    chinese="无结果说明",
    plural="statements that there is no result",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR Storage
    series=(14,),
    switch="statements",
    says="Where an application that was asked gave no result of a study: a note that says so, and why, as Enhanced SR.",
    on_request=True,
    in_languages=True,
    stage=EncodingStage.REPORT,
    of_findings=False,
)
