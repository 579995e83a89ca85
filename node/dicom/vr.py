"""Value representations (PS3.5 6.2), one table: how an element's head is written in Explicit VR, and what its values are; the sequences of
codes that a header has; and which keywords' values may say who somebody is. A configuration is read with these, and without pydicom.
"""

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from node.domain.private_name import LIKE_PRIVATE, is_private
from node.domain.route import DERIVED


class Content(Enum):
    """What the values of a representation are."""

    TEXT = auto()  # of the default repertoire
    ENCODED_TEXT = auto()  # by Specific Character Set (0008,0005)
    DECIMAL = auto()  # numbers as text
    INTEGER = auto()
    NUMBERS = auto()  # binary numbers
    TAGS = auto()
    BYTES = auto()
    ITEMS = auto()


class Representation(NamedTuple):
    """One value representation.

    Attributes
    ----------
    long
        Its length has four bytes, behind two reserved ones (PS3.5 7.1.2).
    several
        It may have more than one value; text that may not has backslashes of its own.
    number
        The form of one binary number, as `struct` names it.
    """

    content: Content
    long: bool = False
    several: bool = True
    number: str = ""


REPRESENTATIONS: Final[dict[bytes, Representation]] = {
    b"AE": Representation(Content.TEXT),
    b"AS": Representation(Content.TEXT),
    b"AT": Representation(Content.TAGS),
    b"CS": Representation(Content.TEXT),
    b"DA": Representation(Content.TEXT),
    b"DS": Representation(Content.DECIMAL),
    b"DT": Representation(Content.TEXT),
    b"FD": Representation(Content.NUMBERS, number="d"),
    b"FL": Representation(Content.NUMBERS, number="f"),
    b"IS": Representation(Content.INTEGER),
    b"LO": Representation(Content.ENCODED_TEXT),
    b"LT": Representation(Content.ENCODED_TEXT, several=False),
    b"OB": Representation(Content.BYTES, long=True),
    b"OD": Representation(Content.BYTES, long=True),
    b"OF": Representation(Content.BYTES, long=True),
    b"OL": Representation(Content.BYTES, long=True),
    b"OV": Representation(Content.BYTES, long=True),
    b"OW": Representation(Content.BYTES, long=True),
    b"PN": Representation(Content.ENCODED_TEXT),
    b"SH": Representation(Content.ENCODED_TEXT),
    b"SL": Representation(Content.NUMBERS, number="i"),
    b"SQ": Representation(Content.ITEMS, long=True),
    b"SS": Representation(Content.NUMBERS, number="h"),
    b"ST": Representation(Content.ENCODED_TEXT, several=False),
    b"SV": Representation(Content.NUMBERS, long=True, number="q"),
    b"TM": Representation(Content.TEXT),
    b"UC": Representation(Content.ENCODED_TEXT, long=True),
    b"UI": Representation(Content.TEXT),
    b"UL": Representation(Content.NUMBERS, number="I"),
    b"UN": Representation(Content.BYTES, long=True),
    b"UR": Representation(Content.TEXT, long=True, several=False),
    b"US": Representation(Content.NUMBERS, number="H"),
    b"UT": Representation(Content.ENCODED_TEXT, long=True, several=False),
    b"UV": Representation(Content.NUMBERS, long=True, number="Q"),
}

HEAD_BYTES: Final = {vr: 12 if one.long else 8 for vr, one in REPRESENTATIONS.items()}
"""Length of an element's head in Explicit VR, by its VR: tag, VR and length, with two reserved bytes where that has four."""
SHORT: Final = frozenset(vr for vr, one in REPRESENTATIONS.items() if not one.long)
LONG: Final = frozenset(vr for vr, one in REPRESENTATIONS.items() if one.long)


def may_be_vr(text: bytes) -> bool:
    """Whether it has the form of a VR, known or to come: what is not in the table has a length of four bytes (PS3.5 6.2)."""
    return len(text) == 2 and text.isalpha() and text.isupper()


CODED_SEQUENCES: Final = {
    0x00081032: "ProcedureCodeSequence",
    0x00082218: "AnatomicRegionSequence",
    0x00089215: "DerivationCodeSequence",
    0x00180012: "ContrastBolusAgentSequence",
    0x00321064: "RequestedProcedureCodeSequence",
    0x00400008: "ScheduledProtocolCodeSequence",
    0x00400260: "PerformedProtocolCodeSequence",
    0x00540220: "ViewCodeSequence",
}
CODED: Final = frozenset(CODED_SEQUENCES.values())
"""The keywords whose codes a header has."""

_ASKED_OFTEN: Final = {
    "AS": "PatientAge",
    "CS": (
        "AcquisitionType BodyPartExamined BurnedInAnnotation ImageLaterality ImageType Laterality MRAcquisitionType Modality "
        "PatientPosition PatientSex PhotometricInterpretation PresentationIntentType ScanOptions ScanningSequence "
        "SequenceVariant ViewPosition"
    ),
    "DA": "PatientBirthDate SeriesDate StudyDate",
    "DS": (
        "EchoTime GantryDetectorTilt ImageOrientationPatient InversionTime KVP MagneticFieldStrength PixelSpacing "
        "ReconstructionDiameter RepetitionTime SliceThickness SpacingBetweenSlices"
    ),
    "IS": "InstanceNumber NumberOfFrames SeriesNumber",
    "LO": (
        "ContrastBolusAgent DeviceSerialNumber InstitutionName Manufacturer ManufacturerModelName PatientID ProtocolName "
        "RequestedProcedureDescription SeriesDescription SoftwareVersions StudyDescription"
    ),
    "PN": "PatientName ReferringPhysicianName",
    "SH": "AccessionNumber ConvolutionKernel StationName StudyID",
    "TM": "SeriesTime StudyTime",
    "UI": "SOPClassUID SeriesInstanceUID StudyInstanceUID",
    "US": "BitsStored Columns Rows",
}
ASKED_OFTEN: Final = {keyword: vr for vr, keywords in _ASKED_OFTEN.items() for keyword in keywords.split()}
"""Value representations of what routes mostly ask for, by keyword: a configuration with no other one is read without pydicom, which takes
a process longer to load than all that it reads it with."""


_OF_MANY = frozenset({"CS", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
"""Codes and numbers (PS3.5 6.2), which many studies have alike. Names, texts, dates, times and identifiers are somebody's own, or typed."""
_OF_ONE = ("Patient", "Pregnancy", "Smoking")
"""What keywords hold whose codes and numbers describe a person, as PatientSex and PatientWeight do."""
_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]+")


def identifies(keyword: str) -> bool:
    """Whether the values of a DICOM keyword, or what routes derive of some, may say who somebody is; what is neither (`from`, `to`) has
    none."""
    from pydicom.datadict import dictionary_VR, keyword_dict

    if is_private(keyword):
        return True  # what a vendor keeps there nobody knows here
    if keyword in DERIVED:
        return any(map(identifies, DERIVED[keyword]))
    tag = keyword_dict.get(keyword)
    return tag is not None and (dictionary_VR(tag) not in _OF_MANY or any(word in keyword for word in _OF_ONE))


def quotes(sentence: str) -> bool:
    """Whether a sentence names a keyword that identifies: then its values may stand there too."""
    return LIKE_PRIVATE.search(sentence) is not None or any(identifies(word) for word in _KEYWORD.findall(sentence))
