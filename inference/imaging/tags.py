"""Values of single elements from their raw bytes, with an error that names the attribute and the instance when they are wrong."""

import math
import struct
from collections.abc import Sequence
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from inference.imaging.errors import MissingAttribute

MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
IMAGE_TYPE = 0x00080008
MODALITY = 0x00080060
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
FRAME_OF_REFERENCE_UID = 0x00200052
IMAGE_POSITION = 0x00200032
IMAGE_ORIENTATION = 0x00200037
SLICE_THICKNESS = 0x00180050
PIXEL_SPACING = 0x00280030
SAMPLES_PER_PIXEL = 0x00280002
PHOTOMETRIC_INTERPRETATION = 0x00280004
PLANAR_CONFIGURATION = 0x00280006
NUMBER_OF_FRAMES = 0x00280008
ROWS = 0x00280010
COLUMNS = 0x00280011
BITS_ALLOCATED = 0x00280100
BITS_STORED = 0x00280101
HIGH_BIT = 0x00280102
PIXEL_REPRESENTATION = 0x00280103
RESCALE_INTERCEPT = 0x00281052
RESCALE_SLOPE = 0x00281053
RESCALE_TYPE = 0x00281054
MODALITY_LUT = 0x00283000
SHARED_GROUPS = 0x52009229
PER_FRAME_GROUPS = 0x52009230
PLANE_POSITION = 0x00209113
PLANE_ORIENTATION = 0x00209116
PIXEL_MEASURES = 0x00289110
PIXEL_VALUE_TRANSFORMATION = 0x00289145
PIXEL_DATA = 0x7FE00010
FLOAT_PIXEL_DATA = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA = 0x7FE00009
PIXELS = frozenset({PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA})

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


def text(dataset: Dataset, tag: int) -> str:
    """The value as it stands, without padding; "" when absent. For UIDs and code strings, which are ASCII."""
    value = _raw(dataset, tag)
    return "" if value is None else str(value).strip(" \0")


def numbers(dataset: Dataset, tag: int, uid: str, count: int) -> tuple[float, ...] | None:
    """`count` finite numbers; None when the element is absent or empty.

    Raises
    ------
    MissingAttribute
        The value is not that many numbers.
    """
    value = _raw(dataset, tag)
    if value is None or value == "":
        return None
    try:
        parsed = tuple(float(part) for part in (value.split("\\") if isinstance(value, str) else value))
    except (TypeError, ValueError) as wrong:
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} is {value!r:.60}, not {count} numbers") from wrong
    if len(parsed) != count or not all(map(math.isfinite, parsed)):
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} is {value!r:.60}, not {count} finite numbers")
    return parsed


def integer(dataset: Dataset, tag: int, uid: str, *, default: int | None = None) -> int:
    """One whole number; `default` when the element is absent or empty.

    Raises
    ------
    MissingAttribute
        Absent without a default, or not a whole number.
    """
    found = numbers(dataset, tag, uid, 1)
    if found is None:
        if default is None:
            raise MissingAttribute(f"{keyword_for_tag(tag)} is absent in {uid}")
        return default
    if found[0] != int(found[0]):
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} is {found[0]:g}, not a whole number")
    return int(found[0])


def count(dataset: Dataset, tag: int, uid: str, *, default: int | None = None) -> int:
    """A whole number of at least one; see `integer`."""
    found = integer(dataset, tag, uid, default=default)
    if found < 1:
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} is {found}")
    return found


def items(dataset: Dataset, tag: int, uid: str) -> Sequence[Dataset]:
    """The items of a sequence; none when it is absent or empty.

    Raises
    ------
    MissingAttribute
        The element is not a sequence that can be parsed.
    """
    if tag not in dataset:
        return ()
    try:
        value: Any = dataset[tag].value
        found = list(value or ())
    except (RecursionError, ValueError, TypeError, EOFError, OSError, struct.error, AttributeError) as broken:
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} cannot be parsed: {broken}") from broken
    if not all(isinstance(item, Dataset) for item in found):
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} is not a sequence")
    return found


def _raw(dataset: Dataset, tag: int) -> str | tuple[float, ...] | None:
    """Text, or binary numbers; pydicom's own conversion is asked only for elements that it has parsed already."""
    if tag not in dataset:
        return None
    try:
        element: Any = dataset.get_item(tag)
    except (NotImplementedError, ValueError, TypeError, KeyError, AttributeError, EOFError, OverflowError):
        return None  # a VR that does not exist: nobody can say what stands there
    value: Any = element.value
    if value is None:
        return None
    if not isinstance(element, RawDataElement):
        parts = [value] if isinstance(value, (str, int, float)) else value
        return "\\".join(str(part) for part in parts)
    kind = _BINARY.get(element.VR or _implicit_vr(tag))
    if kind is None:
        return str(value, "latin-1").strip(" \0")
    size = struct.calcsize(kind)
    order = "<" if element.is_little_endian else ">"
    return struct.unpack(f"{order}{len(value) // size}{kind}", value[: len(value) // size * size])


def _implicit_vr(tag: int) -> str:
    # of the elements read here only those of group 0028 below hold binary numbers
    return "US" if tag in _UNSIGNED else "CS"


_UNSIGNED = frozenset({SAMPLES_PER_PIXEL, PLANAR_CONFIGURATION, ROWS, COLUMNS, BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION})
