"""What structured documents of every kind say of where they come from (observer, procedure reported), and the Enhanced SR around a root.

Content is made where it belongs: reports (sr.py), narratives, statements, withdrawals.
"""

from collections.abc import Sequence

from highdicom import sr
from pydicom.dataset import Dataset

from inference.codes import Code
from node.results.codes import item
from node.results.identity import MANUFACTURER, Identity
from node.results.port import Encoding

DEVICE = Code("121007", "DCM", "Device")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
    "CR": Code("43468-8", "LN", "XR unspecified body region"),
    "DX": Code("43468-8", "LN", "XR unspecified body region"),
    "XA": Code("77343006", "SCT", "Angiography"),
}
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
"""CID 100 "Quantitative Diagnostic Imaging Procedures", by the source's modality; the last for any other."""


def observer(encoding: Encoding) -> sr.ObserverContext:
    """The application as the device that observed (TID 1002 with TID 1004)."""
    application = encoding.application
    return sr.ObserverContext(
        observer_type=item(DEVICE),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=encoding.device_uid,
            name=f"{application.name} {application.version}",
            manufacturer_name=MANUFACTURER,
            model_name=application.name,
            serial_number=encoding.model_digest[:16],
        ),
    )


def procedure(encoding: Encoding) -> Code:
    """What was done to the patient, as far as the source's modality tells it."""
    return PROCEDURES.get(encoding.subject.modality, IMAGING_PROCEDURE)


def procedure_reported(encoding: Encoding) -> Dataset:
    """The same as an item of a document that claims no template."""
    made: Dataset = sr.CodeContentItem(
        name=item(PROCEDURE_REPORTED), value=item(procedure(encoding)), relationship_type=sr.RelationshipTypeValues.HAS_CONCEPT_MOD
    )
    return made


def enhanced_sr(seen: Sequence[Dataset], identity: Identity, root: Dataset) -> Dataset:
    """An Enhanced SR (PS3.3 A.35.2) around `root`; what is evidence is written afterwards.

    Parameters
    ----------
    seen
        The library takes the patient from the first, and wants to see the rest.
    """
    made: Dataset = sr.EnhancedSR(
        evidence=seen,
        content=root,
        series_instance_uid=identity.series_instance_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        record_evidence=False,
    )
    return made
