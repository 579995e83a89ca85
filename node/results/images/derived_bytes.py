"""Hundreds of instances of one series, written at once: what they share is turned into bytes a single time.

Explicit VR Little Endian (PS3.5 A.2), the very bytes that the library would write for each.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag

from node.results.part10 import file_head

_PIXEL_DATA = struct.pack("<HH2sH", 0x7FE0, 0x0010, b"OW", 0)
_UTF_8 = ["utf_8"]


def instances_of(template: Dataset, own: Sequence[Dataset], pixels: NDArray[Any]) -> Iterator[bytearray]:
    """A Part 10 file for every slice, which has no name yet.

    Parameters
    ----------
    template
        What all instances have in common.
    own
        What each has of its own; it replaces what the template says.
    pixels
        (Z, Y, X) 16-bit values, little endian.
    """
    shared, head = _elements(template), file_head(template.SOPClassUID)
    for z, mine in enumerate(own):
        elements = {**shared, **_elements(mine)}
        plane = pixels[z].tobytes()
        body = b"".join(elements[tag] for tag in sorted(elements))
        yield bytearray().join((head, body, _PIXEL_DATA, struct.pack("<I", len(plane)), plane))


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
