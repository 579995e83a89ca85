"""Values of single elements from their raw bytes, with an error that names the attribute and the instance when they are wrong."""

import math
import struct
from collections.abc import Sequence
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.valuerep import PersonName

from inference.errors import quoted
from inference.imaging.errors import MissingAttribute

MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
IMAGE_TYPE = 0x00080008
MODALITY = 0x00080060
STUDY_DATE = 0x00080020
PATIENT_BIRTH_DATE = 0x00100030
PATIENT_AGE = 0x00101010
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
SERIES_DESCRIPTION = 0x0008103E
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
PIXEL_PADDING_VALUE = 0x00280120
PIXEL_PADDING_RANGE_LIMIT = 0x00280121
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
REAL_WORLD_VALUE_MAPPING = 0x00409096
SERIES_NUMBER = 0x00200011
INSTANCE_NUMBER = 0x00200013
LATERALITY = 0x00200060
IMAGE_LATERALITY = 0x00200062
PATIENT_ORIENTATION = 0x00200020
WINDOW_CENTER = 0x00281050
WINDOW_WIDTH = 0x00281051
VOI_LUT_FUNCTION = 0x00281056
VIEW_POSITION = 0x00185101
VIEW_CODE = 0x00540220
CODE_VALUE = 0x00080100
CODE_MEANING = 0x00080104
ANATOMIC_REGION = 0x00082218
BODY_PART_EXAMINED = 0x00180015
PHOTOGRAPHED = (0x00180012, 0x00220015, 0x00220016, 0x00220017, 0x00220018, 0x0022001A)
"""Codes of agents, device, illumination, filters in the light and in the image path, and channels (PS3.3 C.8.17.1, C.8.17.2)."""
IMAGER_PIXEL_SPACING = 0x00181164
NOMINAL_SCANNED_PIXEL_SPACING = 0x00182010
CALIBRATION_TYPE = 0x00280A02
LUT_DESCRIPTOR = 0x00283002
LUT_DATA = 0x00283006
FRAME_INCREMENT_POINTER = 0x00280009
FRAME_TIME = 0x00181063
FRAME_TIME_VECTOR = 0x00181065
CINE_RATE = 0x00180040
ACTUAL_FRAME_DURATION = 0x00181242
ULTRASOUND_REGIONS = 0x00186011
REGION_SPATIAL_FORMAT = 0x00186012
REGION_LEFT = 0x00186018
REGION_TOP = 0x0018601A
REGION_RIGHT = 0x0018601C
REGION_BOTTOM = 0x0018601E
REGION_UNITS_ACROSS = 0x00186024
REGION_UNITS_DOWN = 0x00186026
REGION_DELTA_ACROSS = 0x0018602C
REGION_DELTA_DOWN = 0x0018602E
TOTAL_PIXEL_MATRIX_COLUMNS = 0x00480006
TRIGGER_TIME = 0x00181060
FRAME_REFERENCE_TIME = 0x00541300
SPACING_BETWEEN_SLICES = 0x00180088
DETECTOR_INFORMATION = 0x00540022
SLICE_VECTOR = 0x00540080
CONCATENATION_UID = 0x00209161
IN_CONCATENATION_TOTAL = 0x00209163
FRAME_CONTENT = 0x00209111
FRAME_REFERENCE_DATE_TIME = 0x00189151
FRAME_ACQUISITION_DATE_TIME = 0x00189074
PIXEL_DATA = 0x7FE00010
FLOAT_PIXEL_DATA = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA = 0x7FE00009
PIXELS = frozenset({PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA})

UNPARSABLE = (
    *(NotImplementedError, RecursionError, ValueError, TypeError, LookupError, AttributeError, EOFError, OSError, OverflowError),
    *(struct.error, BytesLengthException),
)
"""What pydicom raises for an element that cannot be converted, by fuzzing."""

_MOST_STATED = 1e15
"""Milliseconds since a day long ago are fewer."""
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "AT": "H"}


def text(dataset: Dataset, tag: int) -> str:
    """The value as it stands, without padding; "" when absent. For UIDs and code strings, which are ASCII."""
    value = _raw(dataset, tag)
    return "" if value is None else str(value).strip(" \0")


def words(dataset: Dataset, tag: int) -> str:
    """What people wrote, in the data set's own characters, without padding; "" when absent. Damaged ones as `text` has them."""
    try:
        value = None if tag not in dataset else dataset[tag].value
    except UNPARSABLE:
        return text(dataset, tag)
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
        parsed = tuple(float(part) for part in (_parts(value) if isinstance(value, str) else value))
    except (TypeError, ValueError) as wrong:
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} is {quoted(value)}, not {count} numbers") from wrong
    if len(parsed) != count or not all(map(math.isfinite, parsed)):
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} is {quoted(value)}, not {count} finite numbers")
    return parsed


def _parts(value: str) -> list[str]:
    """Decimal strings as PS3.5 6.2 has them; Python would read "1_0" as ten.

    Raises
    ------
    ValueError
    """
    if "_" in value:
        raise ValueError(value)
    return value.split("\\")


def stated(dataset: Dataset, tag: int, count: int) -> tuple[float, ...] | None:
    """`numbers`, of an attribute that images do without: None also where it is no such thing, or larger than any such number is."""
    try:
        found = numbers(dataset, tag, "", count)
    except MissingAttribute:
        return None
    return None if found is None or any(abs(number) > _MOST_STATED for number in found) else found


def pointers(dataset: Dataset, tag: int) -> tuple[int, ...]:
    """The attribute tags that an element of VR AT names."""
    value = _raw(dataset, tag)
    halves = tuple(map(int, value)) if isinstance(value, tuple) else ()
    return tuple(group << 16 | element for group, element in zip(halves[::2], halves[1::2], strict=False))


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
    except UNPARSABLE as broken:
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} cannot be parsed: {quoted(broken)}") from broken
    if not all(isinstance(item, Dataset) for item in found):
        raise MissingAttribute(f"{keyword_for_tag(tag)} of {uid} is not a sequence")
    return found


def _raw(dataset: Dataset, tag: int) -> str | tuple[float, ...] | None:
    """Text, or binary numbers; pydicom's own conversion is asked only for elements that it has parsed already."""
    if tag not in dataset:
        return None
    try:
        element: Any = dataset.get_item(tag)
    except UNPARSABLE:
        return None  # a VR that does not exist: nobody can say what stands there
    value: Any = element.value
    if value is None:
        return None
    if not isinstance(element, RawDataElement):
        if element.VR == "AT":
            tags_named = [value] if isinstance(value, int) else value
            return tuple(float(half) for each in tags_named for half in (int(each) >> 16, int(each) & 0xFFFF))
        parts = [value] if isinstance(value, (str, int, float, PersonName)) else value
        return "\\".join(str(part) for part in parts)
    kind = _BINARY.get(_implicit_vr(tag) if element.VR in {None, "UN"} else element.VR)
    if kind is None:
        return str(value, "latin-1").strip(" \0")
    size = struct.calcsize(kind)
    order = "<" if element.is_little_endian else ">"
    return struct.unpack(f"{order}{len(value) // size}{kind}", value[: len(value) // size * size])


def _implicit_vr(tag: int) -> str:
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "CS"
    return "US" if vr == "US or SS" else vr
