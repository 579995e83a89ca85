"""Summary pages: key slices, measurements and absences on one page, as Secondary Capture, for viewers that show nothing else."""

from node.domain.profile import Kind
from node.results.kind import EncodingStage, Picture, ResultKind

SUMMARY = ResultKind(
    kind=Kind.SC,
    folder=__name__,
    title="Summary page",
    chinese="摘要页",
    plural="summary page",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture Image Storage
    series=(4,),
    switch="summary",
    says="The summary page, an RGB Secondary Capture, for viewers that show nothing else.",
    image=True,
    picture=Picture.PAGE,
    stage=EncodingStage.PAGE,
    begins=True,
)
"""The page is numpy and Pillow, which leave the interpreter to the other objects, which are Python."""
