"""Transfer syntaxes by name (PS3.5 Annex A, PS3.6 Annex A): texts that are compared.

What can be done with data sets in them pydicom.uid knows, which settings and `hilum --help` do not wait for.
"""

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
