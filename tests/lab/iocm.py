"""A made archive that follows IHE IOCM: it stores what comes, and hides what a Key Object Selection rejects (TF-3, 4.66.4.1.3), whether
the note or the rejected object comes first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import KeyObjectSelectionDocumentStorage, Verification

REJECTIONS = frozenset({"113001", "113037", "113038", "113039"})
"""Titles of CID 7010 that reject."""


@dataclass(slots=True)
class IocmArchive:
    """What came, in its order, and what is rejected."""

    port: int = 0
    came: list[Dataset] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    """SOP Instance UID → title of the note that rejects it."""

    def shown(self) -> list[str]:
        """The SOP Instance UIDs that a workstation is told of: no rejected object, and no note of rejection."""
        return [one.SOPInstanceUID for one in self.came if one.SOPInstanceUID not in self.rejected and not _title(one)]

    def store(self, event: evt.Event) -> int:
        """C-STORE."""
        dataset: Dataset = event.dataset
        self.came.append(dataset)
        if title := _title(dataset):
            for study in dataset.CurrentRequestedProcedureEvidenceSequence:
                for series in study.ReferencedSeriesSequence:
                    for one in series.ReferencedSOPSequence:
                        self.rejected[str(one.ReferencedSOPInstanceUID)] = title
        return 0x0000


def _title(dataset: Dataset) -> str:
    """The title of a note of rejection; of anything else ""."""
    if dataset.SOPClassUID != KeyObjectSelectionDocumentStorage:
        return ""
    title = dataset.ConceptNameCodeSequence[0]
    return str(title.CodeValue) if title.CodingSchemeDesignator == "DCM" and title.CodeValue in REJECTIONS else ""


@contextmanager
def iocm_archive(ae_title: str = "IOCM") -> Iterator[IocmArchive]:
    """One that listens on a free port of this machine."""
    archive = IocmArchive()
    entity = AE(ae_title=ae_title)
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        assert context.abstract_syntax is not None
        entity.add_supported_context(context.abstract_syntax, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    handlers: list[Any] = [(evt.EVT_C_STORE, archive.store)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        assert server is not None
        archive.port = server.server_address[1]
        yield archive
    finally:
        entity.shutdown()
