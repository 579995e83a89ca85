"""Instances as they were received, and their routing headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

Value: TypeAlias = str | float | int
Header: TypeAlias = Mapping[str, tuple[Value, ...]]
"""DICOM keyword → its values: numbers for numeric VRs (DS and IS too), text for the others, DA and TM as DICOM writes them.

A keyword that is absent from the instance is absent here; one that is present without a value has an empty tuple. Of enhanced
multi-frame instances PixelSpacing, SliceThickness, ImageOrientationPatient, echo times and the phase, where all frames share them, are
lifted to the top, and ImagePositionPatient of one frame after another. Of a few sequences of codes there are these (`LN:24627-2`), under
the sequence's keyword.
"""


def texts_of(header: Header, keyword: str) -> list[str]:
    """All values as text."""
    return [str(value) for value in header.get(keyword, ())]


def first_text(header: Header, keyword: str) -> str:
    """The first value that is not blank; "" where there is none."""
    return next((text for value in header.get(keyword, ()) if (text := str(value).strip())), "")


def numbers_of(header: Header, keyword: str, count: int) -> tuple[float, ...] | None:
    """The values, where there are `count` and all are numbers; else None."""
    values = header.get(keyword, ())
    numbers = tuple(float(value) for value in values if not isinstance(value, str))
    return numbers if len(numbers) == len(values) == count else None


def first_number(header: Header, *keywords: str) -> float | None:
    """The first value of the first of these elements that begins with a number."""
    return next((float(value) for keyword in keywords for value in header.get(keyword, ())[:1] if not isinstance(value, str)), None)


class Standing(StrEnum):
    """What an instance is to its SOP Instance UID."""

    CURRENT = "current"  # the one that jobs use
    REPLACED = "replaced"  # corrected attributes came later, with the same pixels
    CONFLICT = "conflict"  # same UID, other pixels or geometry: kept, reported, never used
    RESULT = "result"  # what another hilum node made: kept and told, in no arrival, never analysed
    PURGED = "purged"  # pixels deleted by retention, header kept
    HELD = (
        "held"  # added to, or rewriting, what another sender sent, or another patient's: kept, told, used by nothing until a person decides
    )
    REFUSED = "refused"  # was held, and a person said no: kept as long as pixels are, used by nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSource:
    """What another node's result says of how it was made.

    Attributes
    ----------
    device_uid
        InstanceCreatorUID (0008,0014): the application and its model file, alike on every node; "" where it says none.
    series
        SeriesInstanceUIDs of what it refers to: the series that were analysed, and other results where it names some.
    """

    device_uid: str
    series: frozenset[str]


class HeldFor(StrEnum):
    """Why an instance is held."""

    IDENTITY = "identity"  # another PatientID, issuer or StudyInstanceUID than its series has, or another patient than its study has
    ADDED = "added"  # a new instance in a series that another sender sent first
    REWRITTEN = "rewritten"  # other bytes under a SOP Instance UID that another sender sent first


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """One C-STORE request as it came: identifiers from the command set. The data set's bytes follow, untouched.

    `peer` is the name of the peer that its sender was admitted as; empty for a stranger.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str
    address: str
    association: str
    received_at: datetime
    peer: str = ""


def ae_at_host(calling_ae: str, address: str) -> str:
    """A sender as people write it, "CT1@10.0.0.5"; `address` is a presentation address or a host (PS3.10 table 7.1-1: dicom://10.0.0.5)."""
    return f"{calling_ae}@{address.removeprefix('dicom://')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sent an instance: the peer that it was admitted as (None: a stranger), and how it called."""

    peer: str | None
    calling_ae: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One composite instance, durable in the blobs.

    `digest` is the SHA-256 (hex) of the data set bytes as received, without preamble and file meta information. Times are UTC.
    `association` is what events call the one that it came over first; "" where that is not known.
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
    held_for: HeldFor | None = None
    association: str = ""

    @property
    def sender(self) -> Sender:
        """Who sent it."""
        return Sender(peer=self.peer, calling_ae=self.calling_ae, address=self.address)
