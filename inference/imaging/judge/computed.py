"""Header check: recognises images that were computed from others, whose values measure no place (projections, differences), or no
attenuation (maps of a material, of the electron density, of the atomic number, which spectral CT makes)."""

import re
from collections.abc import Sequence

from pydicom.dataset import Dataset

from inference.errors import quoted
from inference.imaging import tags
from inference.imaging.axes import image_types
from inference.imaging.groups import macro
from inference.imaging.slices import FrameData

SERIES_DESCRIPTION = 0x0008103E
_COMPUTED = frozenset(
    {
        *("MIP", "MAX_IP", "MAXIP", "MNIP", "MIN_IP", "MINIP", "PROJECTION IMAGE", "VRT", "VOLREN"),
        *("SUB", "SUBTRACTION", "SUBTRACT", "SUBTRACTED"),
        *("MAT_SPECIFIC", "MAT_FRACTIONAL", "MAT_VALUE_BASED", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY"),
    }
)
"""Values of ImageType (PS3.3 C.8.16.1.3, C.8.16.1.4, of multi-energy CT, and vendors') of projections, subtractions and renderings, and of
maps that are in no HU. Slices that were reformatted (MPR), of one energy (VMI) or with a material taken out (MAT_REMOVED) have the values
of what they show, and are none of these."""
_UNITS = frozenset({"MGML", "MG/ML", "MG/CC", "PCT", "Z_EFF", "ED", "EDW", "%EDW"})
"""Values of RescaleType (PS3.3 C.11.1.1.2, and as vendors write them) that such maps are in: mg/ml, per cent, atomic number, densities of
electrons."""
_DERIVED = frozenset({"DERIVED", "SECONDARY"})
_BELOW = r"[ -]?(?:ACUTE|MM|MILLI|[0-9.,]+ ?MM|DURAL|ARACHN|CLAVI|CORTIC|XIPHO|PLEUR|PHREN|SEGMENT|MENT|MANDIB|GLOTT)|-0[0-9]"
"""What stands behind a "sub" that means below, less than, or a subject of BIDS, and no subtraction."""
_WORDS = re.compile(
    rf"(?<![A-Z0-9])(?:MIPS?|MAXIP|MINIPS?|MNIP|VRT|SUBTRACT(?:ED|ION)|SUB(?!{_BELOW})"
    r"|(?:IODINE|JOD|IODE)[ -]?(?:MAPS?|KARTEN?|OVERLAY|DENSITY|CONCENTRATION|NO WATER)"
    r"|(?:MD|DECT|GSI|SPECTRAL) (?:IODINE|JOD|IODE|WATER|CALCIUM)|DE (?:IODINE|JOD|WATER)"
    r"|IODINE ?\(WATER\)|WATER ?\(IODINE\)|Z[ -]?EFF(?:ECTIVE)?|EFFECTIVE Z|RHO ?/? ?Z|ELECTRON DENSITY)(?![A-Z0-9])"
)
_READ = 256
"""Characters of a description that are looked at."""


def computed(headers: Sequence[Dataset]) -> str:
    """What one of the headers says against images as they were measured, for people; "" where none does."""
    found = (
        computed_by(kinds, tags.text(header, SERIES_DESCRIPTION), unit)
        for header in headers
        for frames in (_frames(header),)
        for kinds, unit in dict.fromkeys(zip(image_types(frames), map(_unit, frames), strict=True))
    )
    return next(filter(None, found), "")


def rescaled(header: Dataset) -> bool:
    """Whether anything says what the stored values of one of its frames stand for."""
    holders = (macro(frame.own, frame.common, tags.PIXEL_VALUE_TRANSFORMATION, frame.uid) for frame in _frames(header))
    return tags.MODALITY_LUT in header or any(tags.stated(holder, tags.RESCALE_SLOPE, 1) is not None for holder in holders)


def _frames(header: Dataset) -> list[FrameData]:
    """Each frame of an enhanced instance, of which functional groups say what its values are; any other has one."""
    uid = tags.text(header, tags.SOP_INSTANCE_UID)
    shared, per_frame = tags.items(header, tags.SHARED_GROUPS, uid), tags.items(header, tags.PER_FRAME_GROUPS, uid)
    common = shared[0] if shared else Dataset()
    frames = [FrameData(header=header, own=own, common=common, uid=uid) for own in per_frame]
    return frames or [FrameData(header=header, own=header, common=header, uid=uid)]


def _unit(frame: FrameData) -> str:
    holder = macro(frame.own, frame.common, tags.PIXEL_VALUE_TRANSFORMATION, frame.uid)
    return tags.text(holder, tags.RESCALE_TYPE)


def computed_by(image_type: Sequence[str], description: str, rescale_type: str = "") -> str:
    """The same of values; a description counts where ImageType says that the image was derived, for slices may be named after what is made
    of them."""
    if (unit := rescale_type.strip().upper()) in _UNITS:
        return f"RescaleType is {unit}: the images were computed from others"
    if values := [value for value in image_type[2:] if value in _COMPUTED]:
        return f"ImageType has {values[0]}: the images were computed from others"
    word = _WORDS.search(description[:_READ].upper().replace("_", " "))
    if word and not _DERIVED.isdisjoint(image_type[:2]):
        return f"SeriesDescription is {quoted(description[:_READ])}, and ImageType {image_type[0]}: the images were computed from others"
    return ""
