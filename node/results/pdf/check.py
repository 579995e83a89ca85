"""Reads an Encapsulated PDF back: the right kind of document, whole, with its fonts in it, about sources of this job."""

import re

from node.domain.profile import Kind
from node.results.kind import Checking
from node.results.port import ReferencesDiffer, ResultMalformed
from node.results.selection import readers_of

_STREAM = re.compile(rb"\bstream\r?\n.*?endstream", re.DOTALL)
_PAGE = re.compile(rb"/Type\s*/Page\b")
_EMBEDDED = b"/FontFile2"
_ACTIVE = (b"/JavaScript", b"/JS", b"/Launch", b"/EmbeddedFile", b"/OpenAction")
"""What runs or carries something: never in a report."""


def check(checking: Checking) -> None:
    """The attributes of PS3.3 C.24.2, and the document's frame; what is written in it is read by tests with another program.

    Raises
    ------
    ResultMalformed, ReferencesDiffer
        What is wrong.
    """
    dataset, sources = checking.dataset, checking.sources
    results = {other.one.sop_instance_uid for other in checking.others}
    length = int(dataset.EncapsulatedDocumentLength)
    content = dataset.EncapsulatedDocument[:length]
    if dataset.MIMETypeOfEncapsulatedDocument != "application/pdf" or dataset.Modality != "DOC":
        raise ResultMalformed("the document does not say that it is a PDF")
    if not content.startswith(b"%PDF-1.") or not content.rstrip().endswith(b"%%EOF") or len(content) != length:
        raise ResultMalformed(f"the PDF of {length} bytes is not whole")
    # what is in the streams is compressed, and may look like anything
    objects = _STREAM.sub(b"", content)
    if not _PAGE.search(objects) or _EMBEDDED not in objects:
        raise ResultMalformed("the PDF has no page, or a font that is not in it")
    active = [word.decode() for word in _ACTIVE if word in objects]
    if active:
        raise ResultMalformed(f"the PDF holds {active[0]}")
    if dataset.BurnedInAnnotation != "YES" or dataset.VerificationFlag != "UNVERIFIED" or not dataset.DocumentTitle:
        raise ResultMalformed("the PDF does not say that the patient stands on it, that nobody verified it, or what it is")
    known = {uid for series in sources.series for _, uid in series.instances} | results
    strangers = [item.ReferencedSOPInstanceUID for item in dataset.SourceInstanceSequence if item.ReferencedSOPInstanceUID not in known]
    if strangers:
        raise ReferencesDiffer(f"the PDF refers to {strangers[0]}, which is no source or result of this job")
    readers = readers_of(checking.encoding.profiles, Kind.PDF, checking.one.form)
    given = known - {
        other.one.sop_instance_uid for other in checking.others if not all(each.gets(other.one.kind, other.one.form) for each in readers)
    }
    broken = [item.ReferencedSOPInstanceUID for item in dataset.SourceInstanceSequence if item.ReferencedSOPInstanceUID not in given]
    if broken:
        raise ReferencesDiffer(f"the PDF refers to {broken[0]}, which a sink that gets the PDF does not get")
