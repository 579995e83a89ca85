"""The sequences of codes that a header has, by tag; apart from what reads them, so that a configuration is read without pydicom."""

from typing import Final

CODED_SEQUENCES: Final = {
    0x00081032: "ProcedureCodeSequence",
    0x00082218: "AnatomicRegionSequence",
    0x00180012: "ContrastBolusAgentSequence",
    0x00321064: "RequestedProcedureCodeSequence",
    0x00400008: "ScheduledProtocolCodeSequence",
    0x00400260: "PerformedProtocolCodeSequence",
    0x00540220: "ViewCodeSequence",
}
CODED: Final = frozenset(CODED_SEQUENCES.values())
"""The keywords whose codes a header has."""
