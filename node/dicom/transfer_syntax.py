"""Transfer syntaxes by name (PS3.5 Annex A, PS3.6 Annex A), texts that are compared; and presentation contexts: a SOP class in a transfer
syntax, and the names of both.

What can be done with data sets in them pydicom.uid knows, which settings and `hilum --help` do not wait for.
"""

from dataclasses import dataclass
from typing import Final

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
PAPYRUS_3_IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.20"
"""Retired."""

UNCOMPRESSED: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""What an object without compression is sent in, the best first."""


LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage (PS3.4 B.5)."""

_NEWER = {LABEL_MAP_STORAGE: "Label Map Segmentation Storage"}
"""SOP classes that pydicom's dictionary does not have yet (PS3.6 A)."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Context:
    """One abstract syntax with one transfer syntax, as a presentation context offers them (PS3.8 7.1.1.13)."""

    sop_class_uid: str
    transfer_syntax_uid: str

    def __str__(self) -> str:
        return f"{name_of(self.sop_class_uid)} in {name_of(self.transfer_syntax_uid)}"


def name_of(uid: str) -> str:
    """The name of a SOP class or transfer syntax (PS3.6 A); the UID itself where it has none."""
    from pydicom.uid import UID

    return _NEWER.get(uid) or str(UID(uid).name)
