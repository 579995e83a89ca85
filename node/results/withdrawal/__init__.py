"""Withdrawals: superseded objects are not to be used any more, as Key Object Selection (IHE IOCM)."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, ResultKind

WITHDRAWAL = ResultKind(
    kind=Kind.WITHDRAWAL,
    folder=__name__,
    title="Withdrawal of superseded results",
    chinese="被取代结果的撤回",
    plural="notes that withdraw superseded results",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection Document Storage
    series=(15,),
    switch="withdrawals",
    says="Withdraws what a later result replaces, once the sink has that, by a Key Object Selection (IHE IOCM); in no shipped profile.",
    on_request=True,
    stage=EncodingStage.REPORT,
    of_findings=False,
)
