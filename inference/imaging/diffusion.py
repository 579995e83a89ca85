"""How strongly, and along which direction, an image is weighted by diffusion (PS3.3 C.8.13.5.9); from private elements where vendors say it
only there. A private element counts only in a block whose creator is the vendor's: its number alone means nothing (PS3.5 7.8).
"""

import math
from collections.abc import Sequence

from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.groups import macro
from inference.imaging.slices import FrameData

B_VALUE, DIRECTIONS, DIRECTION = 0x00189087, 0x00189076, 0x00189089
DIFFUSION = 0x00189117

_PRIVATE_B_VALUES = ((0x0043, "GEMS_PARM_01", 0x39), (0x0019, "SIEMENS MR HEADER", 0x0C), (0x2001, "Philips Imaging DD 001", 0x03))
"""Group, creator and element whose first value is the b-value in s/mm2."""
_PRIVATE_DIRECTIONS = (
    (0x0019, "GEMS_ACQU_01", (0xBB, 0xBC, 0xBD)),
    (0x0019, "SIEMENS MR HEADER", (0x0E,)),
    (0x2005, "Philips MR Imaging DD 001", (0xB0, 0xB1, 0xB2)),
)
"""Group, creator and the elements whose values are the direction together. Their axes are the vendor's: they tell directions apart only."""
_GE_MARK = 1e9
"""GE adds it to the b-value of images that are computed from several."""


def b_value_of(frame: FrameData) -> tuple[float, str] | None:
    """The b-value in s/mm2, and where it stands; None where nothing says so."""
    public = tags.stated(macro(frame.own, frame.common, DIFFUSION, frame.uid), B_VALUE, 1)
    if public is not None:
        return public[0], "DiffusionBValue"
    for group, creator, element in _PRIVATE_B_VALUES if not frame.enhanced else ():
        values = _private(frame.header, group, creator, element)
        if values:
            return math.fmod(values[0], _GE_MARK), f"({group:04x},10{element:02x}) of {creator}"
    return None


def direction_of(frame: FrameData) -> tuple[float, ...]:
    """The gradient's direction, to four digits; () for images that have none (b 0, trace)."""
    holder = macro(frame.own, frame.common, DIFFUSION, frame.uid)
    named = tags.items(holder, DIRECTIONS, frame.uid) if frame.enhanced else ()
    direction: Sequence[float] = tags.stated(named[0] if named else holder, DIRECTION, 3) or ()
    for group, creator, elements in _PRIVATE_DIRECTIONS if not direction and not frame.enhanced else ():
        values = [value for element in elements for value in _private(frame.header, group, creator, element)]
        if len(values) == 3 and any(values):
            direction = values
            break
    return tuple(round(cosine, 4) + 0.0 for cosine in direction)


def _private(header: Dataset, group: int, creator: str, element: int) -> list[float]:
    """The numbers of an element of this creator's block; none where there is no such block, or no numbers."""
    try:
        value = header.private_block(group, creator)[element].value
        values = [float(one) for one in (value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value])]
    except tags.UNPARSABLE:
        return []
    return values if all(map(math.isfinite, values)) else []
