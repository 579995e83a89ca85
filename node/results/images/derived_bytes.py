"""Hundreds of instances of one series, written at once: what they share is turned into bytes a single time.

Explicit VR Little Endian (PS3.5 A.2), the very bytes that the library would write for each.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian

from node.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION

_PIXEL_DATA = struct.pack("<HH2sH", 0x7FE0, 0x0010, b"OW", 0)
_UTF_8 = ["utf_8"]


def instances_of(template: Dataset, own: Sequence[Dataset], pixels: NDArray[Any]) -> Iterator[bytes]:
    """A Part 10 file for every slice.

    Parameters
    ----------
    template
        What all instances have in common.
    own
        What each has of its own, SOPInstanceUID among it; it replaces what the template says.
    pixels
        (Z, Y, X) 16-bit values, little endian.
    """
    shared = _elements(template)
    for z, mine in enumerate(own):
        elements = {**shared, **_elements(mine)}
        plane = pixels[z].tobytes()
        body = b"".join(elements[tag] for tag in sorted(elements))
        yield b"".join((_head(template, str(mine.SOPInstanceUID)), body, _PIXEL_DATA, struct.pack("<I", len(plane)), plane))


def _elements(dataset: Dataset) -> dict[BaseTag, bytes]:
    """Every element as it is written, by its tag."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    written = {}
    for tag in sorted(dataset.keys()):
        start = buffer.tell()
        write_data_element(buffer, dataset[tag], _UTF_8)
        written[tag] = buffer.getvalue()[start:]
    return written


def _head(template: Dataset, sop_instance_uid: str) -> bytes:
    """Preamble and file meta information (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = template.SOPClassUID
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_file_meta_info(buffer, meta)
    return bytes(128) + b"DICM" + buffer.getvalue()
