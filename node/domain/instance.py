"""Instances as they were received."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.domain.header import Header


class Standing(StrEnum):
    """What an instance is to its SOP Instance UID."""

    CURRENT = "current"  # the one that jobs use
    REPLACED = "replaced"  # corrected attributes came later, with the same pixels
    CONFLICT = "conflict"  # same UID, other pixels or geometry: kept, reported, never used
    PURGED = "purged"  # pixels deleted by retention, header kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One composite instance, durable in the blobs.

    `digest` is the SHA-256 (hex) of the data set bytes as received, without preamble and file meta information. Times are UTC.
    """

    id: int = 0
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    blob: str
    size: int
    digest: str
    calling_ae: str
    called_ae: str
    address: str
    peer: str | None
    received_at: datetime
    header: Header
    standing: Standing = Standing.CURRENT
